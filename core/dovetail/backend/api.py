"""The contract between the core and a device: what a backend author implements.

A backend is one object with a :class:`Runtime` (memory and transfers) and one
:class:`KernelTable` (what the device computes). The core has already checked shapes, dtypes,
devices (and index bounds, where the data is on the host), promoted dtypes and allocated the outputs
before a kernel runs.
"""

from __future__ import annotations

import abc
import copy
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dovetail.dtypes import ALL, dtype

__all__ = [
    "CONTRACT_VERSION",
    "Backend",
    "DeviceInfo",
    "HostEvent",
    "Kernel",
    "KernelTable",
    "Layout",
    "Runtime",
]

CONTRACT_VERSION = (1, 6)
"""(major, minor). A table built for another major is refused with one sentence; a minor version
adds what is optional, so a table of an earlier (or a later) one loads."""

Layout = Literal["contiguous", "broadcast", "strided"]
"""What a kernel accepts. ``contiguous``: dense row-major, all inputs of the output's shape;
``broadcast``: also stride 0; ``strided``: any non-negative strides."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class DeviceInfo:
    """Facts about one device.

    Attributes:
        name: the hardware's own name, for people.
        dtypes: the element types that its memory and kernels can hold.
        memory_total: bytes, or None where unknown.
        version: the driver's or library's version, for people.
        limits: anything else worth printing, such as ``{"work_group": 1024}``;
            ``{"checks_indices": True}`` promises that an index out of range raises, and
            ``{"checks_values": True}`` that a value without a result does.

    Example:
        >>> info = DeviceInfo("Toy 3000", memory_total=1 << 30, limits={"cores": 4})
        >>> info.name, info.memory_total, len(info.dtypes)
        ('Toy 3000', 1073741824, 12)
    """

    name: str
    dtypes: tuple[dtype, ...] = ALL
    memory_total: int | None = None
    version: str = ""
    limits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Kernel:
    """One entry of a table.

    Attributes:
        function: ``function(*inputs, *outs, **attributes)``; writes its outputs, returns nothing.
        dtypes: the dtypes of the first input it serves; None: every dtype of the device.
        layout: what it accepts; the core packs with ``copy`` where it has less.
        when: an extra condition on the call, given an object with one :class:`~dovetail.Spec`
            per named input and the attributes; evaluated once per combination of specs.
        broadcasts: the kernel broadcasts its inputs by itself, as NumPy's ufuncs do; otherwise
            the core expands every input to the output's shape (stride 0) first.
        scalars: Python numbers may come in place of 0-d arrays.
        specialize: ``function(facts)`` is called once per combination of specs and returns the
            function that runs; ``facts`` has inputs, outputs and attributes.
        in_place: its output may be its first input's array, with an operator for which the contract
            does not say so of every kernel.

    Example:
        >>> import numpy as np
        >>> table = KernelTable()
        >>> table.add("exp", np.exp, layout="contiguous")
        >>> [kernel] = table.entries("exp")
        >>> kernel.layout, kernel.function is np.exp
        ('contiguous', True)
    """

    function: Callable[..., Any]
    dtypes: frozenset[dtype] | None = None
    layout: Layout = "strided"
    when: Callable[[Any], bool] | None = None
    broadcasts: bool = False
    scalars: bool = False
    specialize: bool = False
    in_place: bool = False


class KernelTable:
    """The kernels of a device: its capability is what this table holds.

    Args:
        contract: the contract version that the table was written for.
        layout, broadcasts, scalars: defaults for entries that do not say (see :class:`Kernel`).

    Example:
        >>> import numpy as np
        >>> table = KernelTable(broadcasts=True)
        >>> table.update({"add": np.add, "exp": np.exp})
        >>> sorted(table)
        ['add', 'exp']
    """

    def __init__(
        self,
        *,
        contract: tuple[int, int] = CONTRACT_VERSION,
        layout: Layout = "strided",
        broadcasts: bool = False,
        scalars: bool = False,
    ) -> None:
        self.contract = contract
        self._defaults: dict[str, Any] = {
            "layout": layout,
            "broadcasts": broadcasts,
            "scalars": scalars,
        }
        self._entries: dict[str, list[Kernel]] = {}

    def add(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        dtypes: Iterable[dtype] | None = None,
        layout: Layout | None = None,
        when: Callable[[Any], bool] | None = None,
        broadcasts: bool | None = None,
        scalars: bool | None = None,
        specialize: bool = False,
        in_place: bool = False,
    ) -> None:
        """Enter ``function`` as a kernel of operator ``name``; the latest that fits is used."""
        given: dict[str, Any] = {"layout": layout, "broadcasts": broadcasts, "scalars": scalars}
        options = {k: self._defaults[k] if v is None else v for k, v in given.items()}
        kinds = None if dtypes is None else frozenset(dtypes)
        entry = Kernel(
            function, kinds, when=when, specialize=specialize, in_place=in_place, **options
        )
        self._entries.setdefault(name, []).insert(0, entry)

    def update(self, functions: Mapping[str, Callable[..., Any]], **options: Any) -> None:
        """Enter many kernels at once: ``{"add": np.add, …}``, all with the same options."""
        for name, function in functions.items():
            self.add(name, function, **options)

    def kernel(
        self, name: str, **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator form of :meth:`add`."""

        def enter(function: Callable[..., Any]) -> Callable[..., Any]:
            self.add(name, function, **options)
            return function

        return enter

    def remove(self, name: str) -> None:
        """Take every kernel of ``name`` out of the table."""
        self._entries.pop(name, None)

    def copy(self) -> KernelTable:
        """An independent table with the same entries."""
        twin = copy.copy(self)
        twin._entries = {name: list(entries) for name, entries in self._entries.items()}
        return twin

    def entries(self, name: str) -> tuple[Kernel, ...]:
        """The kernels of ``name``, the preferred first; empty where there is none."""
        return tuple(self._entries.get(name, ()))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Any:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class Runtime(abc.ABC):
    """Memory, transfers and waiting for all devices of one backend; nine methods are required.

    A buffer is whatever :meth:`alloc` returns; the core never looks into it. Sizes and offsets are
    in bytes.

    Example:
        >>> import numpy as np
        >>> class Host(Runtime):
        ...     def count(self): return 1
        ...     def info(self, index): return DeviceInfo("host memory")
        ...     def alloc(self, nbytes, index): return np.empty(nbytes, np.uint8)
        ...     def free(self, buffer): pass
        ...     def h2d(self, buffer, offset, source):
        ...         buffer[offset : offset + len(source)] = source
        ...     def d2h(self, target, buffer, offset):
        ...         target[:] = buffer[offset : offset + len(target)].data
        ...     def view(self, buffer, offset, shape, strides, dtype):
        ...         return np.ndarray(shape, dtype.numpy, buffer, offset, strides)
        ...     def synchronize(self, index): pass
        ...     def kernels(self):
        ...         table = KernelTable(broadcasts=True)
        ...         table.update({"add": np.add, "copy": lambda x, out: np.copyto(out, x)})
        ...         return table
        >>> from dovetail.backend import registry
        >>> registry.register("toy", Backend(Host(), version="0.1"))
        >>> x = dt.tensor([1.0, 2.0], device="toy:0")
        >>> (x + x).tolist()
        [2.0, 4.0]
        >>> registry.unregister("toy")
    """

    @abc.abstractmethod
    def count(self) -> int:
        """Devices present. Must not raise: 0, and keep the reason for :meth:`why_absent`."""

    def why_absent(self) -> str:
        """Why :meth:`count` is 0, and what to do about it."""
        return "no device found"

    @abc.abstractmethod
    def info(self, index: int) -> DeviceInfo:
        """Facts about device ``index``."""

    @abc.abstractmethod
    def alloc(self, nbytes: int, index: int) -> Any:
        """``nbytes`` bytes of uninitialised memory on device ``index``.

        Raises:
            OutOfMemoryError: the device cannot give that much.
        """

    @abc.abstractmethod
    def free(self, buffer: Any) -> None:
        """Give back what :meth:`alloc` returned."""

    @abc.abstractmethod
    def h2d(self, buffer: Any, offset: int, source: memoryview) -> None:
        """Copy the bytes of ``source`` (1-D, contiguous) into ``buffer`` at byte ``offset``."""

    @abc.abstractmethod
    def d2h(self, target: memoryview, buffer: Any, offset: int) -> None:
        """Copy ``len(target)`` bytes of ``buffer`` from byte ``offset`` into ``target``."""

    @abc.abstractmethod
    def view(self, buffer: Any, offset: int, shape: Shape, strides: Shape, dtype: dtype) -> Any:
        """The array that kernels take: ``offset`` and ``strides`` in bytes."""

    @abc.abstractmethod
    def synchronize(self, index: int) -> None:
        """Wait for all work on device ``index``; errors of asynchronous work surface here."""

    @abc.abstractmethod
    def kernels(self) -> KernelTable:
        """The table of this backend's kernels."""

    # Optional, with defaults.

    host_arrays: bool = False
    """Arrays are NumPy arrays in host memory, allocated and owned by :meth:`empty_maker`."""

    caching: bool = True
    """Let the core keep freed blocks for the next allocation of a similar size."""

    def empty_maker(self, shape: Shape, dtype: dtype, index: int) -> Callable[[], Any]:
        """For ``host_arrays``: a function of no argument that returns a new array each call."""
        raise NotImplementedError

    def memory_free(self, index: int) -> int | None:
        """Free bytes on the device, or None where unknown."""
        return None

    def threads(self) -> int:
        """How many host threads one kernel may use."""
        return 1

    def set_threads(self, count: int) -> None:  # noqa: B027 (a device may have none to choose)
        """Choose how many host threads one kernel may use."""

    def copy_peer(
        self, target: Any, target_offset: int, source: Any, source_offset: int, nbytes: int
    ) -> bool:
        """Copy between two devices of this backend; False: the core goes through the host."""
        return False

    def trim(self, index: int) -> None:  # noqa: B027 (a device may keep nothing)
        """Hand memory that no tensor has, and that the core's cache gave back, to the system:
        ``empty_cache()`` calls this last."""

    def close(self) -> None:  # noqa: B027 (doing nothing is a fine default)
        """Release everything at exit."""

    # Page-locked memory of the host, for Tensor.pin_memory(). Since contract 1.3.

    def pinned_memory(self, nbytes: int, index: int) -> Any:
        """``nbytes`` bytes of host memory (uint8, NumPy) that device ``index`` reads by itself,
        given back with the array; None where there is no such.

        Raises:
            OutOfMemoryError: the driver cannot lock that much.
        """
        return None

    def h2d_pinned(self, buffer: Any, offset: int, source: memoryview) -> None:
        """As :meth:`h2d`, of bytes in page-locked memory which the caller does not change until
        the device has read them: the copy may be queued. ``source`` is kept until then."""
        self.h2d(buffer, offset, source)

    # Streams and events. A runtime that says ``streams = True`` gives all of these; the defaults
    # are of a device with one stream, whose handle is the device's index. Handles are the runtime's
    # own; the core never looks into them. Since contract 1.1.

    streams: bool = False
    """Kernels can be queued on several streams; memory is then kept apart by stream."""

    def stream_new(self, index: int, priority: int = 0) -> Any:
        """A new stream of device ``index``; a lower ``priority`` goes first."""
        return index

    def stream_default(self, index: int) -> Any:
        """The stream that kernels go to unless :meth:`set_stream` says otherwise."""
        return index

    def stream_synchronize(self, stream: Any) -> None:
        """Wait for all work queued on ``stream``; its errors surface here."""
        self.synchronize(stream)

    def stream_query(self, stream: Any) -> bool:
        """Whether all work queued on ``stream`` is done."""
        self.synchronize(stream)
        return True

    def stream_wait(self, stream: Any, event: Any) -> None:  # noqa: B027 (one stream is in order)
        """Have what is queued on ``stream`` from here on wait for ``event``; the host goes on."""

    def set_stream(self, index: int, stream: Any) -> None:  # noqa: B027 (there is only one)
        """Queue what this thread launches on device ``index`` from here on on ``stream``."""

    def event_new(self, index: int, timing: bool = False) -> Any:
        """A new event of device ``index``, which takes the time if ``timing``."""
        return HostEvent(index, timing)

    def event_record(self, event: Any, stream: Any) -> None:
        """Have ``event`` happen when all work queued on ``stream`` so far is done."""
        if event.timing:
            self.synchronize(event.index)
        event.seconds = time.perf_counter()

    def event_query(self, event: Any) -> bool:
        """Whether a recorded ``event`` has happened."""
        self.synchronize(event.index)
        return True

    def event_synchronize(self, event: Any) -> None:
        """Wait until a recorded ``event`` has happened."""
        self.synchronize(event.index)

    def event_elapsed(self, start: Any, end: Any) -> float:
        """Milliseconds between two recorded events with timing, both of which have happened."""
        return float((end.seconds - start.seconds) * 1e3)

    # Graphs: work of a stream that is kept while it is queued, and queued again as a whole. A
    # runtime that says ``graphs = True`` has streams and gives all of these. Since contract 1.2.

    graphs: bool = False
    """Work on a stream can be captured and replayed."""

    def capture_begin(
        self, index: int, stream: Any, pool: Hashable, seed: int, offset: int
    ) -> None:
        """Keep what is queued on ``stream``, the thread's current one, and do not run it.

        What would wait for the device raises RuntimeError until :meth:`capture_end`.

        Args:
            pool: names memory that graphs share; what kernels take for themselves must stay
                theirs until the last graph of this name is freed.
            seed, offset: where the device's generator is: draws that are kept come after it.
        """
        raise RuntimeError(_NO_GRAPHS)

    def capture_end(self, index: int, stream: Any) -> Any:
        """The graph of what was kept since :meth:`capture_begin`.

        Raises:
            RuntimeError: something was queued that cannot be kept; there is no graph, and
                ``stream`` works as before.
        """
        raise RuntimeError(_NO_GRAPHS)

    def replay(self, graph: Any, stream: Any, seed: int, offset: int) -> None:
        """Queue a graph on ``stream``, the thread's current one.

        Its draws are those of a generator that is at ``seed`` and ``offset``.
        """
        raise RuntimeError(_NO_GRAPHS)

    def graph_free(self, graph: Any) -> None:
        """A graph is not replayed again; it may be running still."""
        raise RuntimeError(_NO_GRAPHS)


_NO_GRAPHS = "graph: this device cannot capture graphs of its work"


@dataclass
class HostEvent:
    """The event of a device with one stream: a time by the host's clock.

    Attributes:
        index: the device's.
        timing: wait for the device when recorded, so that the time means something.
        seconds: when it was recorded, by ``time.perf_counter``.
    """

    index: int
    timing: bool
    seconds: float = 0.0


@dataclass(frozen=True)
class Backend:
    """What the hook ``dovetail_backend`` returns.

    Attributes:
        runtime: memory and transfers.
        version: the backend package's version, for people.
        contract: the contract version it was written for.
        doctor: an optional function that returns ``[(what is wrong, command that mends it)]``;
            what is worth knowing of a device that works has no command, ``""``.

    Raises:
        ContractVersionError: not here, but when the device is used: ``contract`` has another major
            number than the core's.

    The example of :class:`Runtime` makes one.
    """

    runtime: Runtime
    version: str = ""
    contract: tuple[int, int] = CONTRACT_VERSION
    doctor: Callable[[], list[tuple[str, str]]] | None = None
