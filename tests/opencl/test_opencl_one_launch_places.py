"""What moves elements to other places, or brings them together there, in one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")

Call = Callable[[Any, Any, Any], Any]
"""Of the library, a tensor and a maker of tensors of whole numbers on its device."""


def _pad(sides: tuple[int, ...], mode: str) -> Call:
    return lambda library, x, t: library.nn.functional.pad(x, sides, mode=mode)


def _mean(dim: int, rows: int, include_self: bool) -> Call:
    def call(library: Any, x: Any, t: Any) -> Any:
        shape = list(x.shape)
        shape[dim] = rows
        places = np.random.default_rng(1).integers(0, x.shape[dim], shape)
        src = t(np.random.default_rng(2).integers(0, 9, shape), x.dtype)
        return x.scatter_reduce(dim, t(places), src, "mean", include_self=include_self)

    return call


def _rows(reduce: str, include_self: bool) -> Call:
    def call(library: Any, x: Any, t: Any) -> Any:
        source = t(np.arange(4 * x.shape[1]).reshape(4, -1) % 7 + 1, x.dtype)
        return x.index_reduce(0, t([1, 0, 1, 1]), source, reduce, include_self=include_self)

    return call


CASES: dict[str, tuple[tuple[int, ...], Call]] = {
    "roll": ((5, 7), lambda library, x, t: x.roll(2, 0)),
    "roll back": ((5, 70), lambda library, x, t: x.roll(-73, 1)),
    "roll, two dims": ((3, 5, 7), lambda library, x, t: x.roll((1, -2), (2, 0))),
    "roll, one twice": ((3, 5), lambda library, x, t: x.roll((1, 3), (1, 1))),
    "roll, flat": ((3, 5), lambda library, x, t: x.roll(4)),
    "roll, transposed": ((3, 5), lambda library, x, t: x.t().roll(1, 0)),
    "reflect": ((2, 3, 5, 7), _pad((3, 2, 4, 1), "reflect")),
    "reflect, cut": ((2, 3, 7), _pad((-1, 4), "reflect")),
    "replicate": ((2, 3, 5, 7), _pad((3, 2, 9, 1), "replicate")),
    "replicate, volume": ((2, 3, 4, 5), _pad((3, 2, 0, 1, 1, 0), "replicate")),
    "circular": ((2, 3, 5, 7), _pad((7, 2, 3, 5), "circular")),
    "circular, cut": ((2, 3, 7), _pad((-2, 5), "circular")),
    "one_hot": ((), lambda library, x, t: library.nn.functional.one_hot(t([3, 0, 4]), 5)),
    "one_hot, many": (
        (),
        lambda library, x, t: library.nn.functional.one_hot(t(np.arange(60).reshape(6, 10)), 70),
    ),
    "one_hot, strided": (
        (),
        lambda library, x, t: library.nn.functional.one_hot(t([[1, 0], [2, 3]]).t(), 4),
    ),
    "diag_embed": ((3, 5), lambda library, x, t: x.diag_embed()),
    "diag_embed, above": ((3, 5), lambda library, x, t: x.diag_embed(2)),
    "diag_embed, below": ((3, 5), lambda library, x, t: x.diag_embed(-3, 0, 2)),
    "diag_embed, turned": ((3, 5), lambda library, x, t: x.t().diag_embed(1, 2, 1)),
    "take": ((3, 5), lambda library, x, t: x.take(t([[0, -1], [14, 3]]))),
    "put": ((3, 5), lambda library, x, t: x.put(t([0, -1, 7]), x.reshape(-1)[3:6])),
    "put, added": ((3, 5), lambda library, x, t: x.put(t([7, -8, 7]), x[0, :3], True)),
    "index_add, scaled": (
        (3, 5),
        lambda library, x, t: x.index_add(
            0, t([2, 0, 2]), t(np.arange(15).reshape(3, 5), x.dtype), alpha=3
        ),
    ),
    "take_along_dim": (
        (3, 5),
        lambda library, x, t: x.take_along_dim(t([[0, 2], [1, 1], [4, 0]]), 1),
    ),
    "nonzero_static": ((3, 5), lambda library, x, t: library.nonzero_static(x, size=4)),
    "nonzero_static, more": (
        (3, 4, 5),
        lambda library, x, t: library.nonzero_static(x, size=70, fill_value=9),
    ),
    "nonzero_static, many": ((80, 70), lambda library, x, t: library.nonzero_static(x, size=6000)),
    "unfold": ((2, 3, 6, 7), lambda library, x, t: library.nn.functional.unfold(x, 3)),
    "unfold, all": (
        (2, 3, 6, 7),
        lambda library, x, t: library.nn.functional.unfold(x, (3, 2), (2, 1), (1, 2), (1, 3)),
    ),
    "unfold, strided": (
        (2, 7, 6, 3),
        lambda library, x, t: library.nn.functional.unfold(x.permute(0, 3, 2, 1), 2, padding=1),
    ),
    "fold": ((2, 12, 30), lambda library, x, t: library.nn.functional.fold(x, (6, 7), 2)),
    "slice_scatter": ((4, 6), lambda library, x, t: x.slice_scatter(x[:, 1:3], 1, 0, 4, 2)),
    "select_scatter": ((4, 6), lambda library, x, t: x.select_scatter(x[:, 1], 1, -1)),
    "diagonal_scatter": ((4, 6), lambda library, x, t: x.diagonal_scatter(x[0, :4], 2)),
    "diff": ((4, 6), lambda library, x, t: x.diff()),
    "diff of diff": ((4, 6), lambda library, x, t: x.diff(3, 0)),
    "trapezoid": ((4, 6), lambda library, x, t: library.trapezoid(x, dim=0)),
    "trapezoid, by points": (
        (4, 6),
        lambda library, x, t: library.trapezoid(x, t([1, 2, 4, 9, 3, 1], x.dtype)),
    ),
    "trapezoid, running": ((4, 6), lambda library, x, t: library.cumulative_trapezoid(x, dx=0.5)),
    "mean by index": ((3, 5), _mean(0, 8, include_self=True)),
    "mean by index, few": ((3, 5), _mean(1, 4, include_self=False)),
    "mean by index, many": ((30, 200), _mean(1, 150, include_self=True)),
    "index_reduce mean": ((3, 5), _rows("mean", include_self=True)),
    "index_reduce mean alone": ((3, 5), _rows("mean", include_self=False)),
    "index_reduce amax": ((3, 5), _rows("amax", include_self=True)),
    "index_reduce prod alone": ((3, 5), _rows("prod", include_self=False)),
    "pixel_shuffle": (
        (2, 8, 3, 5),
        lambda library, x, t: library.nn.functional.pixel_shuffle(x, 2),
    ),
    "pixel_unshuffle": (
        (3, 2, 4, 6),
        lambda library, x, t: library.nn.functional.pixel_unshuffle(x, 2),
    ),
    "channel_shuffle": (
        (2, 6, 7),
        lambda library, x, t: library.nn.functional.channel_shuffle(x, 3),
    ),
    "take_along_dim, broadcast": (
        (3, 1, 5),
        lambda library, x, t: library.take_along_dim(x, t([[[0], [2]]] * 2), 0),
    ),
    "take_along_dim, flat": ((3, 5), lambda library, x, t: library.take_along_dim(x, t([9, 0]))),
}
NUMBERS = {"reflect", "replicate", "mean", "index_reduce", "index_add", "trapezoid"}
"""What PyTorch has not of bool."""

FIXED = {"index_reduce", "nonzero_static", "nonzero_static,"}
"""Whose gradients are others' matter, or none."""

FLOATS = {"unfold", "fold", "trapezoid"}
"""What has no kernel, or one of floats alone."""

MORE_LAUNCHES = {"mean by index, many", "roll, transposed", "nonzero_static, many"}
"""Which copy what they begin with in a launch of its own, or share the work out."""
COPIES = {"slice_scatter", "select_scatter", "diagonal_scatter"}
"""What is moved as bytes is no launch."""


def _made(library: Any, device: Any) -> Callable[[Any], Any]:
    return lambda values, kind=library.int64: library.tensor(
        np.asarray(values), dtype=kind, device=device
    )


@pytest.mark.filterwarnings("ignore:index_reduce")  # PyTorch's, that it may change
@pytest.mark.parametrize("kind", ["float32", "float16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("name", CASES)
def test_beside_torch(opencl: dt.device, name: str, kind: str) -> None:
    shape, call = CASES[name]
    array = np.random.default_rng(0).integers(-9, 9, shape)
    if kind == "uint8":
        array = abs(array)
    if kind == "bool" and name.split()[0].strip(",") in NUMBERS:
        return
    if kind in ("int64", "uint8", "bool") and name.split()[0].strip(",") in FLOATS:
        return
    found = []
    for library, device in ((dt, "opencl:0"), (torch, "cpu")):
        x = library.tensor(array, device=device).to(getattr(library, kind))
        x.requires_grad_(kind == "float32" and bool(shape) and name.split()[0] not in FIXED)
        for _ in range(2):
            out = call(library, x, _made(library, device))
        rows = [out]
        if x.requires_grad:
            (out * out.detach()).sum().backward()
            rows.append(x.grad)
        found.append([row.detach().cpu().double().numpy() for row in rows])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3 if kind == "float16" else 1e-5)


@pytest.mark.parametrize("name", [n for n in CASES if n not in MORE_LAUNCHES | COPIES])
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    shape, call = CASES[name]
    kept: dict[Any, Any] = {}

    def made(values: Any, kind: Any = dt.int64) -> Any:  # in the first call, which is not counted
        key = np.asarray(values, np.int64).tobytes(), kind
        if key not in kept:
            kept[key] = _made(dt, opencl)(values, kind)
        return kept[key]

    x = dt.ones(shape, device=opencl, dtype=dt.float32)
    call(dt, x, made)
    before = queue.launches
    call(dt, x, made)
    assert queue.launches == before + 1


@pytest.mark.parametrize("index", [15, -16])
def test_a_place_out_of_range(opencl: dt.device, index: int) -> None:
    x, where = dt.ones(3, 5, device=opencl), dt.tensor([1, index], device=opencl)
    text = (
        rf"out of range: tried to access index {index} on a tensor of 15 elements.* \({{}}, found"
    )
    with pytest.raises(IndexError, match=text.format("take")):
        x.take(where).cpu()
    with pytest.raises(IndexError, match=text.format("put")):
        x.put_(where, dt.zeros(2, device=opencl)).cpu()
    assert x.sum().item() == 14


@pytest.mark.parametrize("index", [5, -1])
def test_a_class_out_of_range(opencl: dt.device, index: int) -> None:
    where = dt.tensor([1, index], device=opencl)
    with pytest.raises(RuntimeError, match=r"smaller than num_classes.*\(one_hot, found"):
        dt.nn.functional.one_hot(where, 5).cpu()


def test_a_row_out_of_range_of_a_mean(opencl: dt.device) -> None:
    x, where = dt.ones(3, 5, device=opencl), dt.tensor([1, 3], device=opencl)
    with pytest.raises(IndexError, match=r"index out of range in self.*\(index_reduce, found"):
        x.index_reduce(0, where, x[:2], "mean").cpu()
    with pytest.raises(IndexError, match=r"index 3 is out of bounds .*\(scatter_reduce, found"):
        x.scatter_reduce(0, where.reshape(2, 1), x, "mean").cpu()


def test_in_place(opencl: dt.device, queue: Any) -> None:
    x = dt.tensor([[1.0, 2.0], [3.0, 4.0]], device=opencl)
    rows, where = dt.full((2, 2), 8.0, device=opencl), dt.tensor([1, 1], device=opencl)
    for _ in range(2):
        x.index_reduce_(0, where, rows, "mean", include_self=False)
        x.put_(where[:1], rows[0, :1])
    before = queue.launches
    x.index_reduce_(0, where, rows, "mean", include_self=False)
    x.put_(where[:1], rows[0, :1])
    assert queue.launches == before + 2
    assert x.tolist() == [[1, 8], [8, 8]]
