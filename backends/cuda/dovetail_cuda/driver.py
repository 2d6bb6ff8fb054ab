"""Everything that is asked of CUDA, through CuPy: memory, copies, streams, events, kernels.

All of the backend's host side goes through one object, :data:`cuda`, so that a test can put another
in its place.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import Forked
from dovetail_cuda.cache import compiled
from dovetail_cuda.discovery import LIBRARIES

__all__ = ["CuPyDriver", "DefaultStream", "Left", "cuda", "load_library", "place"]

POOL_ON_DEVICE, POOL_NOT_REACHED, POOL_READ_WRITE = 1, 0, 3
"""``CUmemAccessDesc``: a pool's memory, by a device, not at all, or for reading and writing."""

HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = 1, 2, 3


def load_library(name: str) -> str:
    """Load a library of the CUDA toolkit; why that cannot be, or nothing."""
    import importlib

    if name == "cublasLt":
        from dovetail_cuda.blas import why_absent

        return why_absent()
    try:
        importlib.import_module(f"cupy_backends.cuda.libs.{name}")
    except Exception as error:  # whatever CuPy's loader raises, it is what the doctor tells
        return str(error).splitlines()[0]
    return ""


class DefaultStream:
    """The default stream of a device: CUDA knows it by the thread's current device."""

    ptr = 0

    def __init__(self, driver: Any, index: int, stream: Any) -> None:
        self._driver, self._index, self._stream = driver, index, stream

    def _here(self) -> Any:
        self._driver.use(self._index)
        return self._stream

    def use(self) -> None:
        """Make it this thread's stream on its device."""
        self._here().use()

    def synchronize(self) -> None:
        """Wait for it."""
        self._here().synchronize()

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return bool(self._here().done)

    def wait_event(self, event: Any) -> None:
        """Have what is queued from here on wait for an event."""
        self._here().wait_event(event)

    def record(self, event: Any) -> None:
        """Have an event happen when it gets here."""
        self._here().record(event)


class Left(Forked):
    """CUDA in a forked process. Memory is the parent's, so that giving it back is nothing."""

    is_real = True

    def free(self, pointer: int, stream: int) -> None:
        """Nothing."""

    def free_fixed(self, pointer: int) -> None:
        """Nothing."""

    def deny_peer(self, index: int, pool: int) -> bool:
        """Nothing."""
        return False


class CuPyDriver:
    """CUDA by CuPy. Streams are CuPy's; pointers are integers."""

    is_real = True

    def __init__(self) -> None:
        import cupy

        self.cupy = cupy
        self.runtime = cupy.cuda.runtime
        self.error = cupy.cuda.runtime.CUDARuntimeError
        self.errors = (self.error, cupy.cuda.driver.CUDADriverError)
        self.out_of_memory = 2  # cudaErrorMemoryAllocation

    # devices

    def use(self, index: int) -> None:
        """Make a device this thread's current one."""
        self.runtime.setDevice(index)

    def current(self) -> int:
        """This thread's current device, whoever made it so."""
        return int(self.runtime.getDevice())

    def allow_peer(self, index: int, other: int, pool: int) -> bool:
        """Let device ``index`` reach what device ``other`` has in ``pool``; whether it can.

        Where it cannot, copies between them go through the host.
        """
        if not self.runtime.deviceCanAccessPeer(index, other):
            return False
        # Memory in the order of streams is not reached by what lets a device reach another's.
        return self._set_access(index, pool, POOL_READ_WRITE)

    def deny_peer(self, index: int, pool: int) -> bool:
        """Take back what :meth:`allow_peer` gave: it has a cost for all memory of the pool, which
        other libraries of the process use too."""
        return self._set_access(index, pool, POOL_NOT_REACHED)

    @staticmethod
    def _set_access(index: int, pool: int, kind: int) -> bool:
        access = (ctypes.c_int * 3)(POOL_ON_DEVICE, index, kind)
        name = LIBRARIES[sys.platform]
        return not ctypes.CDLL(name).cuMemPoolSetAccess(
            ctypes.c_void_p(pool), access, ctypes.c_size_t(1)
        )

    def properties(self, index: int) -> dict[str, Any]:
        """Facts about a device, by the names of ``cudaDeviceProp``."""
        found: dict[str, Any] = self.runtime.getDeviceProperties(index)
        return found

    def memory(self, index: int) -> tuple[int, int]:
        """(free, total) bytes of a device."""
        self.use(index)
        free, total = self.runtime.memGetInfo()
        return int(free), int(total)

    def synchronize(self, index: int) -> None:
        """Wait for everything on a device."""
        self.use(index)
        self.runtime.deviceSynchronize()

    # memory

    def new_pool(self, index: int) -> int:
        """The device's pool of memory, which keeps what is freed until it is trimmed."""
        pool = self.runtime.deviceGetDefaultMemPool(index)
        keep = self.runtime.cudaMemPoolAttrReleaseThreshold
        self.runtime.memPoolSetAttribute(pool, keep, (1 << 63) - 1)
        return int(pool)

    def allocate(self, nbytes: int, stream: int) -> int:
        """Memory from the current device's pool, in the order of ``stream``."""
        return int(self.runtime.mallocAsync(nbytes, stream))

    def allocate_fixed(self, nbytes: int) -> int:
        """Memory outside of the pool, which may be had while a graph is captured."""
        return int(self.runtime.malloc(nbytes))

    def free(self, pointer: int, stream: int) -> None:
        """Give :meth:`allocate`'s memory back, when ``stream`` gets there."""
        self.runtime.freeAsync(pointer, stream)

    def free_fixed(self, pointer: int) -> None:
        """Give :meth:`allocate_fixed`'s memory back."""
        self.runtime.free(pointer)

    def trim(self, pool: int) -> None:
        """Hand what the pool keeps back to the system."""
        self.runtime.memPoolTrimTo(pool, 0)

    def pinned(self, nbytes: int) -> Any:
        """Page-locked memory of the host, as NumPy bytes."""
        block = self.cupy.cuda.alloc_pinned_memory(nbytes)
        return np.frombuffer(block, np.uint8, nbytes)

    def write(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Queue a copy from the host."""
        self.runtime.memcpyAsync(target, source, nbytes, HOST_TO_DEVICE, stream)

    def read(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Queue a copy to the host."""
        self.runtime.memcpyAsync(target, source, nbytes, DEVICE_TO_HOST, stream)

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Queue a copy on the device."""
        self.runtime.memcpyAsync(target, source, nbytes, DEVICE_TO_DEVICE, stream)

    def copy_peer(
        self, target: int, to: int, source: int, origin: int, nbytes: int, stream: int
    ) -> None:
        """Queue a copy between devices ``origin`` and ``to``."""
        self.runtime.memcpyPeerAsync(target, to, source, origin, nbytes, stream)

    # streams and events

    def stream(self, index: int, priority: int = 0) -> Any:
        """A new stream that does not wait for the default one."""
        self.use(index)
        return self.cupy.cuda.Stream(non_blocking=True, priority=priority)

    def default_stream(self, index: int) -> Any:
        """The stream of all on a device that is put on no other."""
        return DefaultStream(self, index, self.cupy.cuda.Stream.null)

    def current_stream(self) -> Any:
        """This thread's stream on the current device."""
        return self.cupy.cuda.get_current_stream()

    def event(self, *, timing: bool) -> Any:
        """A new event of the current device."""
        return self.cupy.cuda.Event(disable_timing=not timing)

    def elapsed(self, start: Any, end: Any) -> float:
        """Milliseconds between two events."""
        return float(self.cupy.cuda.get_elapsed_time(start, end))

    # graphs

    def begin_capture(self, stream: Any) -> None:
        """Keep what is queued on a stream; other threads may do what they like."""
        stream.begin_capture(self.runtime.streamCaptureModeRelaxed)

    def end_capture(self, stream: Any) -> Any:
        """What was kept, ready to be launched."""
        return stream.end_capture()

    def is_capturing(self, stream: int) -> bool:
        """Whether a stream takes part in a capture."""
        return bool(self.runtime.streamIsCapturing(stream))

    def launch_graph(self, graph: Any, stream: Any) -> None:
        """Queue a graph."""
        graph.launch(stream if stream.ptr else self.cupy.cuda.Stream.null)

    # kernels

    def module(self, source: str, options: tuple[str, ...], arch: str) -> Any:
        """A compiled program.

        Raises:
            CompileError: the compiler refuses.
        """
        made = self.cupy.cuda.function.Module()
        made.load(compiled(source, options, arch))
        return made

    def function(self, module: Any, name: str) -> Any:
        """A kernel of a program."""
        return module.get_function(name)

    def launcher(
        self, function: Any, grid: tuple[int, ...], block: tuple[int, ...], addresses: list[int]
    ) -> Callable[[int], None]:
        """What queues a kernel on a stream; its arguments are read from these places of the host.

        The driver's own call is the cheapest by far: CuPy's, which looks at every argument, costs
        as much again as the launch.
        """
        x, y, z = (*grid, 1, 1)[:3]
        i, j, k = (*block, 1, 1)[:3]
        launch, kernel = self.cupy.cuda.driver.launchKernel, function.ptr
        places = np.array(addresses, np.uint64)
        first = places.ctypes.data

        def queue(stream: int, _kept: Any = (function, places)) -> None:
            launch(kernel, x, y, z, i, j, k, 0, stream, first, 0)

        return queue


_current: Any = None


def cuda() -> Any:
    """The driver, made on first use."""
    global _current
    if _current is None:
        _current = CuPyDriver()
    return _current


def place(driver: Any) -> None:
    """Put another driver in CuPy's place: for tests of the host side without a GPU."""
    global _current
    _current = driver
