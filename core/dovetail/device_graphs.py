"""The part of ``dt.<name>`` and ``dt.accelerator`` that is about graphs, by PyTorch's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.device import device as Device
from dovetail.device_part import DevicePart

if TYPE_CHECKING:
    from dovetail import graphs
    from dovetail.streams import Stream

__all__ = ["AcceleratorGraphs", "DeviceGraphs"]


class DeviceGraphs(DevicePart):
    """Graphs of one device type's work; see :mod:`dovetail.graphs`."""

    def CUDAGraph(self, keep_graph: bool = False) -> graphs.Graph:
        """A graph of the device that is current when it is captured."""
        from dovetail.graphs import Graph

        return Graph(self._name, keep_graph)

    def graph(
        self,
        cuda_graph: graphs.Graph,
        pool: tuple[int, int] | None = None,
        stream: Stream | None = None,
        capture_error_mode: str = "global",
    ) -> graphs.GraphContext:
        """A context whose work is captured into ``cuda_graph``.

        Args:
            pool: of another graph or of :meth:`graph_pool_handle`, to share its memory.
            stream: where to capture; None: a stream that captures share.
            capture_error_mode: ``global``, ``thread_local`` or ``relaxed``, all served as relaxed.

        Raises:
            RuntimeError: the device cannot capture; from inside, what would wait for the device.
        """
        from dovetail.graphs import GraphContext

        return GraphContext(cuda_graph, pool, stream, capture_error_mode)

    def graph_pool_handle(self) -> tuple[int, int]:
        """A new name for memory that graphs share."""
        from dovetail.graphs import pool_handle

        return pool_handle()

    def is_current_stream_capturing(self) -> bool:
        """Whether this thread's current stream is captured."""
        from dovetail.graphs import capturing

        return self.is_available() and capturing(self._device())

    def make_graphed_callables(
        self,
        callables: Any,
        sample_args: tuple[Any, ...],
        num_warmup_iters: int = 3,
        allow_unused_input: bool = False,
        pool: tuple[int, int] | None = None,
    ) -> Any:
        """Modules or functions whose forward and backward passes replay graphs.

        Args:
            callables: one, or a tuple in the order in which they run.
            sample_args: a tuple of tensors like those of later calls, or one per callable.
            num_warmup_iters: passes before the capture.
            allow_unused_input: an input that no output depends on is no error.
            pool: memory that the graphs use.

        Raises:
            RuntimeError: the device cannot capture, or autocast keeps casts.
        """
        from dovetail.graphed import make_graphed_callables

        return make_graphed_callables(
            self._device(), callables, sample_args, num_warmup_iters, allow_unused_input, pool
        )


class AcceleratorGraphs:
    """Graphs of whichever accelerator there is."""

    def current_accelerator(self, check_available: bool = False) -> Device | None:
        """The accelerator's device."""
        raise TypeError("AcceleratorGraphs: is a part of Accelerator, which knows its device")

    def Graph(
        self, keep_graph: bool = False, *, pool: tuple[int, int] | None = None,
        capture_error_mode: str = "default",
    ) -> graphs.AcceleratorGraph:  # fmt: skip
        """A graph that is a context itself: ``with stream, graph:`` captures the block.

        Raises:
            RuntimeError: there is no accelerator.
        """
        from dovetail.device import NO_ACCELERATOR
        from dovetail.graphs import AcceleratorGraph

        where = self.current_accelerator()
        if where is None:
            raise RuntimeError(NO_ACCELERATOR)
        return AcceleratorGraph(where, keep_graph, pool=pool, capture_error_mode=capture_error_mode)
