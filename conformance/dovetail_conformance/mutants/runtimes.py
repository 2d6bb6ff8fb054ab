"""Faults of a runtime and of a table: what goes wrong outside of any kernel."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dovetail.backend import DeviceInfo, KernelTable
from dovetail.dtypes import INTEGRAL, float64
from dovetail_conformance.mutants.base import PlainRuntime

__all__ = ["RUNTIMES", "TABLES"]


class _NoViewOffset(PlainRuntime):
    """``view`` does not add the offset."""

    def view(self, buffer: int, offset: int, shape: Any, strides: Any, dtype: Any) -> np.ndarray:
        return super().view(buffer, 0, shape, strides, dtype)


class _DenseViews(PlainRuntime):
    """``view`` takes every array for dense."""

    def view(self, buffer: int, offset: int, shape: Any, strides: Any, dtype: Any) -> np.ndarray:
        if 0 in shape:
            return super().view(buffer, offset, shape, strides, dtype)
        block = self.blocks[buffer][0][offset:]
        count = int(np.prod(shape, dtype=int)) * dtype.itemsize
        if count > block.size:
            return super().view(buffer, offset, shape, strides, dtype)
        made: np.ndarray = block[:count].view(dtype.numpy).reshape(shape)
        return made


class _NoUploadOffset(PlainRuntime):
    """``h2d`` does not add the offset."""

    def h2d(self, buffer: int, offset: int, source: memoryview) -> None:
        super().h2d(buffer, 0, source)


class _NoDownloadOffset(PlainRuntime):
    """``d2h`` does not add the offset."""

    def d2h(self, target: memoryview, buffer: int, offset: int) -> None:
        super().d2h(target, buffer, 0)


class _WordsUp(PlainRuntime):
    """``h2d`` moves whole words of four bytes; what is left over stays behind."""

    def h2d(self, buffer: int, offset: int, source: memoryview) -> None:
        super().h2d(buffer, offset, source[: source.nbytes // 4 * 4])


class _WordsDown(PlainRuntime):
    """``d2h`` moves whole words of four bytes; what is left over stays behind."""

    def d2h(self, target: memoryview, buffer: int, offset: int) -> None:
        count = target.nbytes // 4 * 4
        super().d2h(target[:count], buffer, offset)


class _LateUpload(PlainRuntime):
    """``h2d`` keeps the host's memory and copies when something is read."""

    def __init__(self, table: KernelTable | None = None) -> None:
        super().__init__(table)
        self.late: list[tuple[int, int, memoryview]] = []

    def h2d(self, buffer: int, offset: int, source: memoryview) -> None:
        self.late.append((buffer, offset, source))

    def _catch_up(self) -> None:
        while self.late:
            buffer, offset, source = self.late.pop(0)
            if buffer in self.blocks:
                super().h2d(buffer, offset, source)

    def d2h(self, target: memoryview, buffer: int, offset: int) -> None:
        self._catch_up()
        super().d2h(target, buffer, offset)

    def view(self, buffer: int, offset: int, shape: Any, strides: Any, dtype: Any) -> np.ndarray:
        if len(self.late) > 1:
            self._catch_up()
        return super().view(buffer, offset, shape, strides, dtype)


class _NoPinnedOffset(PlainRuntime):
    """``h2d_pinned`` does not add the offset."""

    def h2d_pinned(self, buffer: int, offset: int, source: memoryview) -> None:
        super().h2d_pinned(buffer, 0, source)


class _PinnedLetGo(PlainRuntime):
    """``h2d_pinned`` keeps an address; the memory serves again before the copy is made."""

    def __init__(self, table: KernelTable | None = None) -> None:
        super().__init__(table)
        self.late: list[tuple[int, int, np.ndarray]] = []
        self.locked = np.zeros(0, np.uint8)

    def pinned_memory(self, nbytes: int, index: int) -> np.ndarray:
        if self.locked.size < nbytes:
            self.locked = np.zeros(nbytes, np.uint8)
        return self.locked[:nbytes]

    def h2d_pinned(self, buffer: int, offset: int, source: memoryview) -> None:
        self.late.append((buffer, offset, np.frombuffer(source, np.uint8)))

    def d2h(self, target: memoryview, buffer: int, offset: int) -> None:
        while self.late:
            late, start, source = self.late.pop(0)
            if late in self.blocks:
                super().h2d(late, start, source.data)
        super().d2h(target, buffer, offset)


class _Leaks(PlainRuntime):
    """``free`` frees nothing."""

    def free(self, buffer: int) -> None:
        pass


class _SmallBlocks(PlainRuntime):
    """``alloc`` of more than a page gives a block of one page less, wrapped around."""

    def alloc(self, nbytes: int, index: int) -> int:
        return super().alloc(nbytes - 4096 if nbytes > 8192 else nbytes, index)


class _SharedBlocks(PlainRuntime):
    """``alloc`` gives the same block to two callers now and then."""

    def __init__(self, table: KernelTable | None = None) -> None:
        super().__init__(table)
        self.last: dict[tuple[int, int], int] = {}
        self.shared = 0

    def alloc(self, nbytes: int, index: int) -> int:
        old = self.last.pop((nbytes, index), None)
        if old in self.blocks:
            self.shared += 1
            return old
        self.last[nbytes, index] = made = super().alloc(nbytes, index)
        return made

    def free(self, buffer: int) -> None:
        if buffer in self.blocks:
            super().free(buffer)


class _OneDevice(PlainRuntime):
    """Everything is on device 0, whatever the index."""

    def alloc(self, nbytes: int, index: int) -> int:
        return super().alloc(nbytes, 0)


class _PeerLie(PlainRuntime):
    """``copy_peer`` says it copied, and did not."""

    def copy_peer(self, *where: Any) -> bool:
        return True


class _PeerTurned(PlainRuntime):
    """``copy_peer`` copies the other way round."""

    def copy_peer(
        self, target: Any, target_offset: int, source: Any, source_offset: int, nbytes: int
    ) -> bool:
        a, b = self.blocks[source][0], self.blocks[target][0]
        a[source_offset : source_offset + nbytes] = b[target_offset : target_offset + nbytes]
        return True


class _NoOutOfMemory(PlainRuntime):
    """Out of memory raises another error than the contract's."""

    def alloc(self, nbytes: int, index: int) -> int:
        try:
            return super().alloc(nbytes, index)
        except RuntimeError as error:
            raise ValueError("no room") from error


class _BrokenAfterOutOfMemory(PlainRuntime):
    """After the first refusal nothing is given any more."""

    is_broken = False

    def alloc(self, nbytes: int, index: int) -> int:
        if self.is_broken:
            nbytes = 1 << 62
        try:
            return super().alloc(nbytes, index)
        except RuntimeError:
            self.is_broken = True
            raise


class _Asynchronous(PlainRuntime):
    """Kernels run in a thread of their own; nobody waits for it.

    Args:
        waits: names of the methods that do wait.
    """

    waits: tuple[str, ...] = ()

    def __init__(self, table: KernelTable | None = None) -> None:
        self.work: queue.Queue[Callable[[], None]] = queue.Queue()
        super().__init__(_queued(table or PlainRuntime().table, self.work))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            job = self.work.get()
            time.sleep(0.002)
            try:
                job()
            except Exception:  # what a device does with an error that nobody reads
                pass
            finally:
                self.work.task_done()

    def synchronize(self, index: int) -> None:
        if "synchronize" in self.waits:
            self.work.join()

    def d2h(self, target: memoryview, buffer: int, offset: int) -> None:
        if "d2h" in self.waits:
            self.work.join()
        super().d2h(target, buffer, offset)


class _SyncForgotten(_Asynchronous):
    """``d2h`` does not wait for kernels; ``synchronize`` does."""

    waits = ("synchronize",)


def _queued(table: KernelTable, work: queue.Queue[Any]) -> KernelTable:
    from dovetail_conformance.mutants.fault import Fault, faulty_table

    def later(good: Any, facts: Any) -> Any:
        return lambda *arrays: work.put(lambda: good(*arrays))

    fault = Fault("later", "", lambda op: True, later)
    for name in list(table):
        table = faulty_table(table, name, fault)
    return table


class _ForeignDtype(PlainRuntime):
    """A kernel claims float64, which ``info`` does not have."""

    def info(self, index: int) -> DeviceInfo:
        facts = super().info(index)
        return DeviceInfo(
            facts.name, tuple(k for k in facts.dtypes if k is not float64), facts.memory_total
        )

    def kernels(self) -> KernelTable:
        table = super().kernels()
        add = table.entries("add")[0]
        table.add("add", add.function, dtypes=[float64], broadcasts=add.broadcasts)
        return table


class _SilentIndices(PlainRuntime):
    """It says that it raises for an index out of range, and nobody looks."""

    def info(self, index: int) -> DeviceInfo:
        return replace(super().info(index), limits={"checks_indices": True})


class _SilentValues(PlainRuntime):
    """It says that it raises for whole numbers divided by zero, and gives 0."""

    def info(self, index: int) -> DeviceInfo:
        return replace(super().info(index), limits={"checks_values": True})

    def kernels(self) -> KernelTable:
        table = super().kernels()
        for name, ufunc in (("floor_divide", np.floor_divide), ("remainder", np.remainder)):
            table.add(name, ufunc, dtypes=INTEGRAL, broadcasts=True)
        table.remove("fmod")
        return table


RUNTIMES: dict[str, type[PlainRuntime]] = {
    "view-offset": _NoViewOffset,
    "view-dense": _DenseViews,
    "upload-offset": _NoUploadOffset,
    "download-offset": _NoDownloadOffset,
    "upload-words": _WordsUp,
    "download-words": _WordsDown,
    "upload-late": _LateUpload,
    "pinned-offset": _NoPinnedOffset,
    "pinned-let-go": _PinnedLetGo,
    "leak": _Leaks,
    "small-blocks": _SmallBlocks,
    "shared-blocks": _SharedBlocks,
    "one-device": _OneDevice,
    "peer-lie": _PeerLie,
    "peer-turned": _PeerTurned,
    "out-of-memory-error": _NoOutOfMemory,
    "out-of-memory-broken": _BrokenAfterOutOfMemory,
    "not-awaited": _Asynchronous,
    "read-not-awaited": _SyncForgotten,
    "claims-foreign-dtype": _ForeignDtype,
    "claims-checked-indices": _SilentIndices,
    "claims-checked-values": _SilentValues,
}
"""By the name of the fault; each class says what it does wrong."""


def _without(table: KernelTable, name: str) -> KernelTable:
    table.remove(name)
    return table


def _never(table: KernelTable, name: str) -> KernelTable:
    entry = table.entries(name)[0]
    table.remove(name)
    table.add(name, entry.function, layout=entry.layout, when=lambda facts: False)
    return table


TABLES: dict[str, Callable[[KernelTable, str], KernelTable]] = {
    "kernel-missing": _without,
    "kernel-never": _never,
}
"""Faults of a table at one name: not there at all, or never fitting."""
