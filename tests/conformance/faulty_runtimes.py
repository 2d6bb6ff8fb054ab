"""Loopback runtimes that work in the background, and ones with one fault each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dovetail.backend import KernelTable
from dovetail.dtypes import INTEGRAL
from dovetail.errors import OutOfMemoryError

pytest.importorskip("dovetail_loopback", reason="its runtimes are made of the loopback plugin")

from dovetail_loopback import LoopbackRuntime
from dovetail_loopback.arrays import Array


class Forgets(LoopbackRuntime):
    """``view`` begins at the start of the buffer."""

    def view(self, buffer: int, offset: int, shape: Any, strides: Any, dtype: Any) -> Array:
        return super().view(buffer, 0, shape, strides, dtype)


class ReadsFromStart(LoopbackRuntime):
    """``d2h`` ignores its offset."""

    def d2h(self, target: memoryview, buffer: int, offset: int) -> None:
        super().d2h(target, buffer, 0)


class ReadsWords(LoopbackRuntime):
    """``d2h`` copies whole words of four bytes only."""

    def d2h(self, target: memoryview, buffer: int, offset: int) -> None:
        whole = len(target) // 4 * 4
        super().d2h(target[:whole], buffer, offset)


class WritesTooMuch(LoopbackRuntime):
    """``h2d`` rounds its length up to words."""

    def h2d(self, buffer: int, offset: int, source: memoryview) -> None:
        block, _ = self._bytes(buffer)
        end = min(offset + -(-len(source) // 4) * 4, block.nbytes)
        block[offset:end] = 0
        super().h2d(buffer, offset, source)


class Queue(LoopbackRuntime):
    """Kernels run at ``synchronize``, or when a copy or ``free`` waits for them; behind one that
    fails, what was queued is dropped."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.pending: list[Callable[[], Any]] = []

    def wait(self) -> None:
        while self.pending:
            try:
                self.pending.pop(0)()
            except Exception:
                self.pending.clear()
                raise

    def synchronize(self, index: int) -> None:
        self.wait()

    def free(self, buffer: int) -> None:
        self.wait()
        super().free(buffer)

    def h2d(self, buffer: int, offset: int, source: memoryview) -> None:
        self.wait()
        super().h2d(buffer, offset, source)

    def d2h(self, target: memoryview, buffer: int, offset: int) -> None:
        self.wait()
        super().d2h(target, buffer, offset)

    def kernels(self) -> KernelTable:
        def late(function: Callable[..., Any], name: str) -> Callable[..., Any]:
            def work(*arrays: Any, **attributes: Any) -> None:
                try:
                    function(*arrays, **attributes)
                except (IndexError, RuntimeError) as error:
                    raise self.failed(name, error) from error

            return lambda *a, **k: self.pending.append(lambda: work(*a, **k))

        return wrapped(super().kernels(), late)

    def failed(self, name: str, error: Exception) -> Exception:
        return RuntimeError(f"{name}: {error}")


def wrapped(table: KernelTable, wrap: Callable[..., Any], *names: str) -> KernelTable:
    """A table whose kernels (or those of these names) are wrapped."""
    made = KernelTable(layout="strided")
    for name in table:
        for entry in reversed(table.entries(name)):
            is_meant = not names or name in names
            function = entry.function
            if is_meant and entry.specialize:
                function = lambda facts, make=function, name=name: wrap(make(facts), name)
            elif is_meant:
                function = wrap(function, name)
            options = {k: getattr(entry, k) for k in ("dtypes", "layout", "when", "specialize")}
            made.add(name, function, **options)
    return made


class ReadsEarly(Queue):
    """``d2h`` does not wait for the kernels."""

    def d2h(self, target: memoryview, buffer: int, offset: int) -> None:
        LoopbackRuntime.d2h(self, target, buffer, offset)
        self.wait()


class WritesEarly(Queue):
    """``h2d`` overtakes the kernels that are queued."""

    def h2d(self, buffer: int, offset: int, source: memoryview) -> None:
        LoopbackRuntime.h2d(self, buffer, offset, source)


class FreesEarly(Queue):
    """``free`` does not wait, and the memory is another's at once."""

    def free(self, buffer: int) -> None:
        block, _ = self._bytes(buffer)
        LoopbackRuntime.free(self, buffer)
        self.pending.append(lambda: None)
        self.spare = block

    def alloc(self, nbytes: int, index: int) -> int:
        handle = super().alloc(nbytes, index)
        spare, self.spare = getattr(self, "spare", None), None
        if spare is not None and spare.nbytes == nbytes:
            self._blocks[handle] = (spare, index)
        return handle


class Borrows(Queue):
    """``h2d`` keeps the caller's memory, and copies when somebody waits."""

    def h2d(self, buffer: int, offset: int, source: memoryview) -> None:
        self.pending.append(lambda: LoopbackRuntime.h2d(self, buffer, offset, source))


class Keeps(LoopbackRuntime):
    """``free`` does nothing."""

    def free(self, buffer: int) -> None:
        pass


class FreesNeighbour(LoopbackRuntime):
    """``free`` overwrites the buffer that was made after its own too."""

    def free(self, buffer: int) -> None:
        super().free(buffer)
        if buffer + 1 in self._blocks:
            self._blocks[buffer + 1][0].fill(0xDD)


class LendsTwice(LoopbackRuntime):
    """Every seventh buffer shares the memory of the one before."""

    def alloc(self, nbytes: int, index: int) -> int:
        handle = super().alloc(nbytes, index)
        last = self._blocks.get(handle - 1)
        if handle % 7 == 0 and last is not None and last[0].nbytes >= nbytes:
            self._blocks[handle] = (last[0][:nbytes], index)
        return handle


class Peer(LoopbackRuntime):
    """Copies between its devices itself."""

    def copy_peer(self, target: int, at: int, source: int, start: int, nbytes: int) -> bool:
        self._bytes(target)[0][at : at + nbytes] = self._bytes(source)[0][start : start + nbytes]
        return True


class PeerBackwards(Peer):
    """Takes the target for the source."""

    def copy_peer(self, target: int, at: int, source: int, start: int, nbytes: int) -> bool:
        return super().copy_peer(source, start, target, at, nbytes)


class PeerFromStart(Peer):
    """Ignores where the source begins."""

    def copy_peer(self, target: int, at: int, source: int, start: int, nbytes: int) -> bool:
        return super().copy_peer(target, at, source, 0, nbytes)


class OneDevice(LoopbackRuntime):
    """Takes all memory from device 0."""

    def alloc(self, nbytes: int, index: int) -> int:
        handle = super().alloc(nbytes, 0)
        self._blocks[handle] = (self._blocks[handle][0], index)
        return handle

    def free(self, buffer: int) -> None:
        self._blocks[buffer] = (self._blocks[buffer][0], 0)
        super().free(buffer)


class CountsOnce(LoopbackRuntime):
    """``count`` works once."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.asked = 0

    def count(self) -> int:
        self.asked += 1
        if self.asked > 1:
            raise RuntimeError("no driver")
        return 2

    def synchronize(self, index: int) -> None:
        pass


class NoCount(LoopbackRuntime):
    """``count`` raises."""

    def count(self) -> int:
        raise RuntimeError("no driver")


class Refuses(LoopbackRuntime):
    """Out of memory is the driver's own error."""

    def alloc(self, nbytes: int, index: int) -> int:
        if nbytes > 1 << 40:
            raise OSError("CL_MEM_OBJECT_ALLOCATION_FAILURE")
        return super().alloc(nbytes, index)


class Scratch(LoopbackRuntime):
    """Threads share one buffer on the way to the device."""

    scratch = np.zeros(1 << 20, np.uint8)

    def h2d(self, buffer: int, offset: int, source: memoryview) -> None:
        part = self.scratch[: len(source)]
        part[:] = np.frombuffer(source, np.uint8)
        time.sleep(1e-4)
        super().h2d(buffer, offset, part.data.cast("B"))


class Anonymous(Queue):
    """Errors of kernels do not say whose they are."""

    def failed(self, name: str, error: Exception) -> Exception:
        return RuntimeError("CL_INVALID_VALUE")


class Remembers(Queue):
    """Once a kernel has failed, every wait raises."""

    error: Exception | None = None

    def failed(self, name: str, error: Exception) -> Exception:
        self.error = super().failed(name, error)
        return self.error

    def synchronize(self, index: int) -> None:
        super().synchronize(index)
        if self.error is not None:
            raise self.error


class Overcounts(LoopbackRuntime):
    """An allocation that fails is counted all the same."""

    def alloc(self, nbytes: int, index: int) -> int:
        try:
            return super().alloc(nbytes, index)
        except OutOfMemoryError:
            self._used[index] += nbytes
            raise


class Outside(LoopbackRuntime):
    """``gather`` reads where a wrong index says."""

    def kernels(self) -> KernelTable:
        table = super().kernels()

        def gather(x: Array, index: Array, out: Array, **_: Any) -> None:
            values = x.open()
            wide = np.lib.stride_tricks.as_strided(values, (values.shape[0] + 4,), values.strides)
            out.open()[...] = wide[np.clip(index.open(), 0, len(wide) - 1)]

        one_dim = lambda facts: facts.inputs[0].ndim == 1
        table.add("gather", gather, when=one_dim, layout="strided")
        return table


class Divides(LoopbackRuntime):
    """Whole numbers by zero are 0, and nobody is told, though the device says that it tells."""

    def kernels(self) -> KernelTable:
        table = super().kernels()

        def divide(x: Array, y: Array, out: Array) -> None:
            np.floor_divide(x.open(), y.open(), out.open())

        table.add("floor_divide", divide, dtypes=INTEGRAL, layout="strided")
        return table


class SameNumbers(LoopbackRuntime):
    """Random kernels ignore the generator's offset."""

    def kernels(self) -> KernelTable:
        def wrap(function: Callable[..., Any], name: str) -> Callable[..., Any]:
            return lambda *a, seed, offset, **k: function(*a, seed=seed, offset=0, **k)

        names = ("random_bits", "random_uniform", "random_normal", "random_noise")
        return wrapped(super().kernels(), wrap, *names, "random_integers")
