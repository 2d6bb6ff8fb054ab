"""Tensors in page-locked memory, on a device that does what is queued when it is waited for."""

from __future__ import annotations

import gc
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.backend import Backend, DeviceInfo, KernelTable, Runtime, registry
from dovetail.utils.data import DataLoader


class Posted(Runtime):
    """NumPy memory; kernels and copies from page-locked memory wait until ``synchronize``."""

    def __init__(self) -> None:
        self.queued: list[Callable[[], None]] = []
        self.locked: list[int] = []

    def count(self) -> int:
        return 1

    def info(self, index: int) -> DeviceInfo:
        return DeviceInfo("posted")

    def alloc(self, nbytes: int, index: int) -> Any:
        return np.zeros(nbytes, np.uint8)

    def free(self, buffer: Any) -> None:
        pass

    def h2d(self, buffer: Any, offset: int, source: memoryview) -> None:
        buffer[offset : offset + len(source)] = source

    def h2d_pinned(self, buffer: Any, offset: int, source: memoryview) -> None:
        self.queued.append(lambda: self.h2d(buffer, offset, source))

    def pinned_memory(self, nbytes: int, index: int) -> Any:
        self.locked.append(nbytes)
        return np.full(nbytes, 77, np.uint8)

    def d2h(self, target: memoryview, buffer: Any, offset: int) -> None:
        self.synchronize(0)
        target[:] = buffer[offset : offset + len(target)].data

    def view(self, buffer: Any, offset: int, shape: Any, strides: Any, dtype: Any) -> Any:
        return np.ndarray(shape, dtype.numpy, buffer, offset, strides)

    def synchronize(self, index: int) -> None:
        while self.queued:
            self.queued.pop(0)()

    def kernels(self) -> KernelTable:
        table = KernelTable()
        table.add("copy", self._copy)
        table.add("fill", lambda out, value: out.fill(value))
        return table

    def _copy(self, x: Any, out: Any) -> None:
        self.queued.append(lambda: np.copyto(out, x, casting="unsafe"))


@pytest.fixture
def posted() -> Iterator[Posted]:
    runtime = Posted()
    registry.register("posted", Backend(runtime, version="1"))
    yield runtime
    gc.collect()
    dt.accelerator.empty_host_cache()
    registry.unregister("posted")


def _pinned(x: dt.Tensor) -> dt.Tensor:
    made: dt.Tensor = x.pin_memory("posted")
    assert made.is_pinned()
    return made


def test_a_pinned_tensor_is_a_copy_with_the_same_values(posted: Posted) -> None:
    x = dt.randn(3, 5)
    pinned = _pinned(x)
    assert not x.is_pinned()
    assert dt.equal(pinned, x)
    assert pinned.data_ptr() != x.data_ptr()
    assert pinned.pin_memory("posted") is pinned
    assert pinned.is_pinned("posted")
    assert not pinned.is_pinned("opencl")
    assert not (pinned + 1).is_pinned()
    x.zero_()
    assert pinned.any()


@pytest.mark.parametrize(
    "dtype", [dt.bool, dt.uint8, dt.int64, dt.float16, dt.bfloat16, dt.complex64]
)
def test_every_dtype_and_layout(posted: Posted, dtype: dt.dtype) -> None:
    x = dt.randint(0, 2, (4, 6)).to(dtype)
    for view in (x, x.t(), x[1:, ::2], x[0], x[:0], x.expand(2, 4, 6)):
        pinned = _pinned(view)
        assert dt.equal(pinned, view)
        assert pinned.shape == view.shape
    assert _pinned(x.t()).stride() == x.t().stride()


def test_views_of_a_pinned_tensor_are_pinned(posted: Posted) -> None:
    pinned = _pinned(dt.arange(24.0).reshape(4, 6))
    for view in (pinned[1], pinned.t(), pinned.view(-1)[3:], pinned.detach(), pinned.numpy()):
        if isinstance(view, np.ndarray):
            view = dt.from_numpy(view)
        assert view.is_pinned()
    part = pinned[1]
    del pinned
    assert part.is_pinned()
    assert part.tolist() == [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]


def test_a_copy_is_queued_only_if_asked_and_pinned(posted: Posted) -> None:
    x = dt.arange(6.0)
    pinned = _pinned(x)
    for source, non_blocking, queued in (
        (x, True, 0), (pinned, False, 0), (pinned, True, 1), (pinned[2:], True, 1),
    ):  # fmt: skip
        for move, kernels in (
            (lambda s, n: s.to("posted", non_blocking=n), 0),
            (lambda s, n: s.to("posted", None, n), 0),
            (lambda s, n: s.posted(non_blocking=n), 0),
            (lambda s, n: dt.empty(s.shape, device="posted").copy_(s, non_blocking=n), 1),
        ):
            made = move(source, non_blocking)
            assert len(posted.queued) == queued + kernels
            assert dt.equal(made.cpu(), source)


def test_the_memory_serves_again_when_the_device_has_read_it(posted: Posted) -> None:
    first = _pinned(dt.arange(1000.0))
    there = first.to("posted", non_blocking=True)
    del first
    gc.collect()
    second = _pinned(dt.zeros(1000))
    assert posted.locked == [4096, 4096]
    dt.posted.synchronize()
    assert dt.equal(there.cpu(), dt.arange(1000.0))
    third = _pinned(dt.ones(1000))
    assert posted.locked == [4096, 4096]
    assert not second.any()
    assert third.all()
    del second, third
    dt.accelerator.empty_host_cache()
    _pinned(dt.ones(1000))
    assert posted.locked == [4096] * 3


def test_gradients_go_through(posted: Posted) -> None:
    x = dt.randn(3, requires_grad=True)
    (_pinned(x) * 2).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0] * 3


@pytest.mark.parametrize(
    "make",
    [
        lambda **o: dt.empty(3, **o), lambda **o: dt.zeros(3, **o), lambda **o: dt.ones(3, **o),
        lambda **o: dt.full((3,), 2.0, **o), lambda **o: dt.tensor([1, 2], **o),
        lambda **o: dt.arange(3, **o), lambda **o: dt.linspace(0, 1, 3, **o),
        lambda **o: dt.eye(3, **o), lambda **o: dt.rand(3, **o), lambda **o: dt.randn(3, **o),
        lambda **o: dt.randint(3, (3,), **o), lambda **o: dt.randperm(3, **o),
        lambda **o: dt.zeros_like(dt.ones(3), **o), lambda **o: dt.rand_like(dt.ones(3), **o),
        lambda **o: dt.tril_indices(3, 3, **o), lambda **o: dt.hann_window(5, **o),
        lambda **o: dt.scalar_tensor(1.0, **o), lambda **o: dt.ones(3).new_zeros(2, **o),
        lambda **o: dt.empty_strided((2, 3), (1, 2), **o),
        lambda **o: dt.full_like(dt.ones(3), 2.0, **o),
    ],
)  # fmt: skip
def test_factories_pin(posted: Posted, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "accelerator", lambda kind: "posted")
    plain, pinned = make(), make(pin_memory=True)
    assert pinned.is_pinned()
    assert not plain.is_pinned()
    assert (pinned.shape, pinned.stride(), pinned.dtype) == (
        plain.shape, plain.stride(), plain.dtype,
    )  # fmt: skip
    assert make(pin_memory=True, device="meta").is_meta


def test_what_cannot_be_pinned_says_so(posted: Posted, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        dt.ones(2, device="meta").pin_memory()
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        dt.zeros(2, device="posted", pin_memory=True)
    assert not dt.ones(2, device="posted").is_pinned()
    monkeypatch.setattr(registry, "accelerator", lambda kind: None)
    with pytest.raises(RuntimeError, match="Cannot access accelerator device when none"):
        dt.ones(2).pin_memory()
    with pytest.raises(RuntimeError, match="no pinned memory allocator is available"):
        dt.ones(2, pin_memory=True)


def test_a_runtime_without_such_memory_leaves_the_tensor(posted: Posted) -> None:
    posted.pinned_memory = lambda nbytes, index: None  # type: ignore[method-assign]
    x = dt.ones(2)
    assert x.pin_memory("posted") is x
    assert not x.is_pinned()


Pair = namedtuple("Pair", "x label")


class Own:
    """A batch of a class of its own, which says how it is pinned."""

    def __init__(self, samples: list[int]) -> None:
        self.x = dt.tensor(samples)

    def pin_memory(self) -> Own:
        self.x = self.x.pin_memory()
        return self


def _rows(samples: list[int]) -> Any:
    x = dt.tensor(samples)
    return {"x": x, "more": [x, "name", Pair(x, 3)], "both": (x, 1.5)}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_pins_its_batches(
    posted: Posted, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "accelerator", lambda kind: "posted")
    loader = DataLoader(list(range(4)), 2, collate_fn=_rows, pin_memory=True, num_workers=workers)
    for number, batch in enumerate(loader):
        pair = batch["more"][2]
        assert type(pair) is Pair
        assert pair.label == 3
        assert batch["more"][1] == "name"
        assert batch["both"][1] == 1.5
        for x in (batch["x"], batch["more"][0], pair.x, batch["both"][0]):
            assert x.is_pinned()
            assert x.tolist() == [2 * number, 2 * number + 1]
    own = list(DataLoader(list(range(2)), 2, collate_fn=Own, pin_memory=True, num_workers=workers))
    assert own[0].x.is_pinned()
    plain = DataLoader(list(range(4)), 2, collate_fn=_rows, num_workers=workers)
    assert not any(batch["x"].is_pinned() for batch in plain)


def test_a_loader_without_an_accelerator_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "accelerator", lambda kind: None)
    with pytest.warns(UserWarning, match="no accelerator is found"):
        batches = list(DataLoader([1, 2], pin_memory=True))
    assert len(batches) == 2
    assert not batches[0].is_pinned()
