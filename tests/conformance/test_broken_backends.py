"""Backends broken by hand: the report's first group leads their author to the fault.

Each is a good device with one mistake that authors make; the whole suite up to level 1 is asked
about a few operators, and what is read is what an author would read first.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from dovetail.backend import Backend, KernelTable, registry
from dovetail.backend.state import forget_state
from dovetail.device import device as Device
from dovetail.dispatch import clear_plans
from dovetail.dtypes import float32
from dovetail_conformance import grade
from dovetail_conformance.hints import Group, groups
from dovetail_conformance.mutants.base import PlainRuntime, good_table
from dovetail_conformance.report import Report

NAME = "broken"

# The kernels are NumPy's own, which warn of overflow and of invalid values.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@contextlib.contextmanager
def device_of(runtime: PlainRuntime) -> Iterator[str]:
    """The runtime as a device of this process."""
    registry.register(NAME, Backend(runtime))
    try:
        yield f"{NAME}:0"
    finally:
        clear_plans()
        for index in range(runtime.count()):
            forget_state(Device(NAME, index))
        registry.unregister(NAME)


def report_of(runtime: PlainRuntime, level: int, **selection: str) -> Report:
    with device_of(runtime) as device:
        return grade(device, level=level, jobs=0, **selection)


def first_of(report: Report) -> Group:
    return groups(report.outcomes)[0]


# What is broken.


class ForgetsOffsets(PlainRuntime):
    """``view`` begins at the buffer's start, whatever the offset."""

    def view(self, buffer: int, offset: int, shape: Any, strides: Any, dtype: Any) -> np.ndarray:
        return super().view(buffer, 0, shape, strides, dtype)


def by_twos(good: Callable[..., Any]) -> Callable[..., None]:
    """A kernel for two lanes, which leaves the last element of an odd number as it was."""

    def kernel(*arrays: np.ndarray) -> None:
        *inputs, out = arrays
        whole = np.empty(out.shape, out.dtype)
        good(*inputs, whole)
        even = out.size // 2 * 2
        out.reshape(-1)[:even] = whole.reshape(-1)[:even]

    return kernel


def odd_table(*names: str) -> KernelTable:
    """The host's table with such kernels for float32."""
    table = good_table()
    for name, good in (
        ("add", np.add),
        ("exp", np.exp),
        ("mul", np.multiply),
        ("sub", np.subtract),
    ):
        if name in names:
            kernel = by_twos(good)
            table.add(name, kernel, dtypes=[float32], layout="contiguous", broadcasts=False)
    return table


class NotAwaited(PlainRuntime):
    """Kernels run in a thread of their own, and ``d2h`` does not wait for it."""

    def __init__(self) -> None:
        self.work: queue.Queue[Callable[[], None]] = queue.Queue()
        super().__init__(self.queued(good_table()))
        threading.Thread(target=self.run, daemon=True).start()

    def queued(self, table: KernelTable) -> KernelTable:
        """Every kernel put in the queue instead of being run."""
        made = table.copy()
        for name in table:
            made.remove(name)
            for entry in reversed(table.entries(name)):
                made.add(
                    name,
                    self.later(entry.function, entry.specialize),
                    dtypes=entry.dtypes, layout=entry.layout, when=entry.when,
                    broadcasts=entry.broadcasts, scalars=entry.scalars, specialize=entry.specialize,
                )  # fmt: skip
        return made

    def later(self, kernel: Callable[..., Any], specialize: bool) -> Callable[..., Any]:
        if specialize:
            return lambda call: self.later(kernel(call), False)
        return lambda *arrays, **attributes: self.work.put(lambda: kernel(*arrays, **attributes))

    def run(self) -> None:
        while True:
            job = self.work.get()
            time.sleep(0.002)
            with np.errstate(all="ignore"):
                job()
            self.work.task_done()

    def synchronize(self, index: int) -> None:
        self.work.join()


def last_only(ufunc: np.ufunc) -> Callable[..., None]:
    """A reduction that takes the last dims for ``dim``."""

    def kernel(
        x: np.ndarray, out: np.ndarray, *, dim: Any, keepdim: bool, dtype: Any = None
    ) -> None:
        moved = np.moveaxis(x, dim, range(-len(dim), 0)).shape
        last = tuple(range(-len(dim), 0))
        out[...] = ufunc.reduce(np.reshape(x, moved), axis=last).reshape(out.shape)

    return kernel


# What their authors read.


def test_forgotten_offsets_are_named() -> None:
    report = report_of(ForgetsOffsets(), 1, op="view,add,sum,copy,matmul", dtype="float32,int64")
    group = first_of(report)
    assert group.title.startswith(("every operator: ", "nearly every operator: "))
    assert "calls whose input starts at a storage offset fail" in group.title
    assert "Does Runtime.view (or the kernel) add `offset`?" in group.hint
    # The example is the runtime's own question, which no kernel of the suite's stands before.
    assert group.example.id == "0/runtime/view/float32"
    assert "must read [2.0, 5.0, 8.0, 11.0, 14.0], read [0.0, 3.0, 6.0, 9.0, 12.0]" in group.text


def test_forgotten_offsets_come_first_among_all_of_level_0() -> None:
    report = report_of(ForgetsOffsets(), 0, check="runtime,views,copies", dtype="float32")
    group = first_of(report)
    assert "calls whose input starts at a storage offset fail" in group.title
    assert group.example.id == "0/runtime/view/float32"
    assert "Does view() pass offset and strides on" in " ".join(report.text(100).split())


@pytest.mark.parametrize("names", [("exp",), ("add", "exp", "mul", "sub")])
def test_odd_sizes_are_named(names: tuple[str, ...]) -> None:
    runtime = PlainRuntime(odd_table(*names))
    report = report_of(runtime, 1, op="add,exp,mul,sub,neg", dtype="float32")
    group = first_of(report)
    scope, _, fault = group.title.partition(": ")
    assert scope == ("exp" if names == ("exp",) else "nearly every operator")
    assert fault == "calls whose number of elements is odd fail"
    assert "Is the tail written?" in group.hint
    assert "of the others 0 of" in group.hint
    assert {o.op for o in report.outcomes if o.is_against} == set(names)


def test_a_dim_that_is_ignored_is_named() -> None:
    table = good_table()
    table.update({"sum": last_only(np.add), "amax": last_only(np.maximum)}, dtypes=[float32])
    report = report_of(PlainRuntime(table), 1, op="sum,amax,amin,prod", dtype="float32")
    group = first_of(report)
    assert "calls along another dim than the last fail" in group.title
    assert "Does the kernel work along `dim`" in group.hint
    assert {o.op for o in report.outcomes if o.is_against} == {"sum", "amax"}


def test_work_that_is_not_awaited_is_named() -> None:
    report = report_of(NotAwaited(), 1, op="add,sum,copy,matmul", check="settled,values,out")
    group = first_of(report)
    assert group.title.startswith(("every operator: ", "nearly every operator: "))
    assert "results differ between reads, or are what memory held before" in group.title
    assert "must d2h (or synchronize, or free) wait for it?" in group.hint
    wrong = sum(o.is_against for o in report.outcomes)
    assert len(group.outcomes) > 0.9 * wrong


def test_the_same_device_without_a_fault_passes() -> None:
    with device_of(PlainRuntime()) as device:
        short = device.partition(":")[0]  # as an author calls a device of which there is one
        report = grade(short, level=1, jobs=0, op="view,add,exp,copy,matmul", dtype="float32")
    assert report.device == device
    assert report.executed > 30
    assert report.is_good, report.text()
