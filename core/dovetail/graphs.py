"""Graphs of a device's work: queued once, kept, and run again as a whole at a small cost.

Names and meanings follow PyTorch's pages ``torch.cuda.CUDAGraph`` and ``torch.cuda.graph``. While a
stream is captured, what is queued on it is kept and not run. What Python does is done once: the
numbers, shapes and choices of a replay are those of the capture. Tensors made meanwhile keep their
memory for the graph.
"""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dovetail.backend.state import state_of
from dovetail.capture import Capture, PoolHandle, under_way
from dovetail.device import device as Device
from dovetail.device import resolve
from dovetail.generator import Generator, default_generator, only_draws_on
from dovetail.streams import Stream, StreamContext, current_stream

if TYPE_CHECKING:
    from dovetail.backend.state import DeviceState

__all__ = ["AcceleratorGraph", "Graph", "GraphContext", "aside", "capturing", "pool_handle"]

MODES = ("global", "thread_local", "relaxed")

_handles = itertools.count(1)


def pool_handle() -> PoolHandle:
    """A new name for memory that graphs share, to be passed as ``pool``."""
    return 0, next(_handles)


def capturing(device: Any = None) -> bool:
    """Whether this thread's current stream on a device is captured."""
    return bool(under_way) and current_stream(device).capture is not None


class Graph:
    """Work that was captured from a stream, to be run again by :meth:`replay`.

    Args:
        device: whose work.
        keep_graph: instantiate the graph at :meth:`instantiate`, or the first :meth:`replay`.

    Raises:
        RuntimeError: from :meth:`capture_begin`, where the device cannot capture.
    """

    def __init__(self, device: Any, keep_graph: bool = False) -> None:
        self._device = Device(device) if isinstance(device, str) else device
        self.keep_graph = bool(keep_graph)
        self._state: DeviceState | None = None
        self._capture: Capture | None = None
        self._stream: Stream | None = None
        self._pool: PoolHandle | None = None
        self._generator: Generator | None = None
        self._begun = (0, 0)
        self._blocks = 0
        self._kept: list[Any] = []
        self._handle: Any = None

    def capture_begin(
        self, pool: PoolHandle | None = None, capture_error_mode: str = "global"
    ) -> None:
        """Keep what is queued on the current stream from here on.

        Args:
            pool: of another graph or of ``graph_pool_handle()``, to share its memory.
            capture_error_mode: ``global``, ``thread_local`` or ``relaxed``; accepted as in PyTorch.
                A capture is always relaxed: what other threads do does not spoil it.

        Raises:
            RuntimeError: the device cannot capture, the stream is the default one, there is a
                capture under way, or the graph has been captured before.
        """
        if capture_error_mode not in MODES:
            raise RuntimeError(
                "Unknown capture error mode. Expected `global`, `thread_local`, or `relaxed`, got "
                f"{capture_error_mode}"
            )
        if self._handle is not None or self._capture is not None:
            raise RuntimeError(
                "This CUDAGraph instance already owns a captured graph. To capture a new graph, "
                "create a new instance."
            )
        where = resolve(self._device)
        state, stream = state_of(where), current_stream(where)
        if not state.runtime.graphs:
            raise RuntimeError(f"graph: {where} cannot capture graphs of its work")
        if not stream.stream_id:
            raise RuntimeError(
                "Graphs must be captured on a non-default stream. (However, after capture, "
                "it's ok to replay them on the default stream.)"
            )
        if any(capture.device == where for capture in under_way):
            raise RuntimeError(f"graph: another capture is under way on {where}; end it first")
        generator = default_generator(where)
        _, *begun = generator.__getstate__()
        handle = pool_handle() if pool is None else pool
        state.runtime.capture_begin(state.index, stream.handle, handle, *begun)
        self._begun = (begun[0], begun[1])
        self._state, self._stream, self._generator = state, stream, generator
        self._pool = handle
        state.pool.hold(handle)
        self._capture = Capture(stream, handle)
        only_draws_on(where, generator)

    def capture_end(self) -> None:
        """End the capture that :meth:`capture_begin` began.

        Raises:
            RuntimeError: there is none, another stream is current, or the device says that
                something cannot be captured; the graph is then as before the capture.
        """
        capture, state, stream = self._capture, self._state, self._stream
        if capture is None or state is None or stream is None or self._generator is None:
            raise RuntimeError("capture_end: there was no capture_begin before it")
        is_here = current_stream(stream.device) == stream
        seed, offset = self._begun
        _, now, reached = self._generator.__getstate__()
        self._capture = None
        only_draws_on(stream.device, None)
        self._generator._go_to(now, offset if now == seed else reached)
        try:
            handle = state.runtime.capture_end(state.index, stream.handle)
        except BaseException:
            self._forget()
            raise
        finally:
            capture.close()
        self._handle, self._kept = handle, capture.kept
        self._blocks = reached - offset
        wrong = ""
        if not is_here:
            wrong = "Capture must end on the same stream it began on."
        elif now != seed:
            wrong = "graph: the generator must not be seeded while its draws are captured"
        if wrong:
            self.reset()
            raise RuntimeError(wrong)
        if not self.keep_graph:
            self.instantiate()

    def instantiate(self) -> None:
        """Make it ready to run, where ``keep_graph`` has put that off.

        Raises:
            RuntimeError: nothing was captured.
        """
        self._ready("instantiate")

    def replay(self) -> None:
        """Queue all of it on the current stream.

        Random numbers go on: each replay draws what follows in the default generator.

        Raises:
            RuntimeError: nothing was captured.
        """
        state = self._ready("replay")
        generator = self._generator
        assert generator is not None
        seed, offset = generator.take(4 * self._blocks)
        state.runtime.replay(self._handle, current_stream(state.device).handle, seed, offset)

    def reset(self) -> None:
        """Forget the graph; its memory is free once the tensors made in it are gone."""
        if self._handle is not None and self._state is not None:
            handle, self._handle = self._handle, None
            self._state.runtime.graph_free(handle)
            self._forget()

    def _forget(self) -> None:
        if self._state is not None and self._pool is not None:
            self._state.pool.release(self._pool)
        self._pool = self._state = self._stream = None
        self._kept = []

    def _ready(self, what: str) -> DeviceState:
        if self._handle is None or self._state is None:
            raise RuntimeError(f"Called CUDAGraph::{what} without a preceding successful capture.")
        return self._state

    def pool(self) -> PoolHandle:
        """The name of its memory, for ``pool`` of another capture.

        Raises:
            RuntimeError: nothing was captured.
        """
        if self._handle is None or self._pool is None:
            raise RuntimeError("Called CUDAGraph::pool() without a preceding successful capture.")
        return self._pool

    def register_generator_state(self, generator: Generator) -> None:
        """Let draws of a generator be captured: the device's default one always is.

        Raises:
            RuntimeError: any other generator.
        """
        if generator is not default_generator(resolve(self._device)):
            raise RuntimeError(
                "register_generator_state: only the default generator's draws can be captured; "
                "draw from another one outside of the graph"
            )

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None and not sys.is_finalizing():
            self.reset()


class AcceleratorGraph(Graph):
    """``torch.accelerator.Graph``: a graph that is a context itself, on the current stream.

    Args:
        keep_graph: see :class:`Graph`.
        pool, capture_error_mode: see :meth:`Graph.capture_begin`.
    """

    def __init__(
        self, device: Any, keep_graph: bool = False, *, pool: PoolHandle | None = None,
        capture_error_mode: str = "default",
    ) -> None:  # fmt: skip
        super().__init__(device, keep_graph)
        self.graph_pool, self.capture_error_mode = pool, capture_error_mode

    def capture_begin(self) -> None:  # type: ignore[override]
        """Keep what is queued on the current stream from here on."""
        mode = self.capture_error_mode
        super().capture_begin(self.graph_pool, "global" if mode == "default" else mode)

    def __enter__(self) -> AcceleratorGraph:
        self.capture_begin()
        return self

    def __exit__(self, *error: object) -> None:
        self.capture_end()


class GraphContext:
    """``with dt.<device>.graph(g):`` what the block queues is captured into ``g``.

    Args:
        graph: a :class:`Graph`.
        pool: memory to share, see :meth:`Graph.capture_begin`.
        stream: where to capture; None: one that all captures on the device share.
        capture_error_mode: see :meth:`Graph.capture_begin`.
    """

    def __init__(
        self,
        graph: Graph,
        pool: PoolHandle | None = None,
        stream: Stream | None = None,
        capture_error_mode: str = "global",
    ) -> None:
        where = resolve(graph._device) if stream is None else stream.device
        self.capture_stream = _shared_stream(where) if stream is None else stream
        self.graph, self.pool, self.capture_error_mode = graph, pool, capture_error_mode
        self._inside = StreamContext(self.capture_stream)

    def __enter__(self) -> None:
        from dovetail.backend import allocator

        where = self.capture_stream.device
        gc.collect()  # what only cycles hold would be freed in the middle of the capture
        allocator.empty_cache(where)
        self._inside.__enter__()
        try:
            self.graph.capture_begin(self.pool, self.capture_error_mode)
        except BaseException:
            self._inside.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        try:
            self.graph.capture_end()
        finally:
            self._inside.__exit__(*error)


_shared: dict[Any, Stream] = {}


def _shared_stream(where: Device) -> Stream:
    state = state_of(where)
    if not state.runtime.graphs:
        raise RuntimeError(f"graph: {where} cannot capture graphs of its work")
    found = _shared.get((state.runtime, where))
    if found is None:
        found = _shared[state.runtime, where] = Stream(where)
    return found


@contextmanager
def aside(where: Device) -> Iterator[Stream]:
    """A block whose work goes to a stream of its own, in order with what is before and after it."""
    stream, here = Stream(where), current_stream(where)
    stream.wait_stream(here)
    with stream:
        yield stream
    here.wait_stream(stream)
