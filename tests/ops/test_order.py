"""Sorting and what is made of it, beside PyTorch: stability, NaN, gradients, counts, errors."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from beside_torch import beside_torch, both_raise, torch
from hypothesis import given, settings

import dovetail as dt

RNG = np.random.default_rng(0)
NAN, INF = float("nan"), float("inf")


def x(*shape: int) -> np.ndarray:
    return np.asarray(RNG.permutation(int(np.prod(shape))).reshape(shape) / 7 - 1)


CASES: dict[str, tuple[Any, np.ndarray]] = {
    "sort": (lambda m, a: tuple(a.sort()), x(3, 5)),
    "sort descending": (lambda m, a: tuple(m.sort(a, 0, True)), x(4, 3)),
    "sort stable": (lambda m, a: a.sort(dim=1, stable=True).values, x(2, 4, 3)),
    "sort axis": (lambda m, a: a.sort(axis=0)[0], x(4, 3)),
    "sort a number": (lambda m, a: tuple(a.sort()), x()),
    "argsort": (lambda m, a: a * a.argsort(-1, descending=True), x(3, 5)),
    "msort": (lambda m, a: m.msort(a), x(4, 3)),
    "topk": (lambda m, a: tuple(a.topk(3)), x(3, 7)),
    "topk smallest": (lambda m, a: tuple(m.topk(a, 2, 0, largest=False)), x(5, 3)),
    "topk of many": (lambda m, a: tuple(a.topk(5)), x(3, 100)),
    "topk none": (lambda m, a: a.topk(0).values, x(3, 4)),
    "kthvalue": (lambda m, a: tuple(a.kthvalue(2)), x(3, 5)),
    "kthvalue keep": (lambda m, a: m.kthvalue(a, 3, 0, True).values, x(4, 3)),
    "median": (lambda m, a: a.median(), x(3, 4)),
    "median dim": (lambda m, a: tuple(a.median(1)), x(3, 5)),
    "median keep": (lambda m, a: tuple(a.median(0, True)), x(4, 3)),
    "nanmedian": (lambda m, a: a.nanmedian(), np.where(x(3, 4) > 0, NAN, x(3, 4))),
    "nanmedian dim": (lambda m, a: a.nanmedian(1).values, np.where(x(3, 5) > 0.5, NAN, x(3, 5))),
    "mode": (lambda m, a: a.mode(1).values, np.round(x(3, 9))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_beside_torch(name: str, served: str, device: Any) -> None:
    function, array = CASES[name]
    beside_torch(
        lambda a: function(dt, a), lambda a: function(torch, a), array,
        dtype="float64", device=device,
    )  # fmt: skip


KINDS = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "int8", "bool"]


def tied(kind: str, *shape: int) -> np.ndarray:
    """Few different values, so that most have equals; zeros of both signs and NaN for floats."""
    values = np.random.default_rng(3).integers(-2, 3, shape).astype(np.float64)
    if kind.endswith(("16", "32", "64")) and "float" in kind:
        values[values == 0] *= np.where(np.arange(np.sum(values == 0)) % 2, 1, -1)
        values.reshape(-1)[::5] = NAN
        values.reshape(-1)[1::7] = INF
        return values
    return values.astype(bool) if kind == "bool" else np.abs(values).astype(kind)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("shape", [(9,), (40,), (300,), (1000,), (3, 200), (100, 5)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_stable(kind: str, shape: Any, descending: bool, device: Any) -> None:
    array = tied(kind, *shape)
    mine = dt.tensor(array, dtype=getattr(dt, kind), device=device)
    other = torch.from_numpy(array).to(getattr(torch, kind))
    ours = mine.sort(descending=descending)
    theirs = other.sort(stable=True, descending=descending)
    assert ours.indices.tolist() == theirs.indices.tolist()
    # Zeros keep their signs: 0 and -0 are equal, so they stay in order.
    zeros = (theirs.values == 0).numpy()
    signs = [np.signbit(v.double().cpu().numpy()[zeros]) for v in (ours.values, theirs.values)]
    np.testing.assert_array_equal(*signs)
    np.testing.assert_equal(ours.values.tolist(), theirs.values.tolist())
    strided = dt.stack([mine, mine], -1).select(-1, 0)
    assert strided.argsort(descending=descending).tolist() == theirs.indices.tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("dim", [0, 1])
def test_large(dtype: str, dim: int, device: Any) -> None:
    array = np.random.default_rng(4).integers(-(2**40), 2**40, (500, 40)).astype(dtype)
    mine = dt.tensor(array, device=device).sort(dim)
    np.testing.assert_array_equal(mine.values.cpu().numpy(), np.sort(array, dim))
    picked = np.take_along_axis(array, mine.indices.cpu().numpy(), dim)
    np.testing.assert_array_equal(picked, np.sort(array, dim))


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int64"])
@pytest.mark.parametrize(("n", "k"), [(10, 4), (500, 20), (500, 400)])
def test_topk(kind: str, n: int, k: int, largest: bool, served: str, device: Any) -> None:
    array = np.random.default_rng(5).permutation(n).reshape(1, n).repeat(2, 0).astype(np.float64)
    if kind != "int64" and largest:
        array[0, 3] = NAN  # the largest of all
    made = dt.tensor(array, dtype=getattr(dt, kind), device=device).topk(k, largest=largest)
    other = torch.from_numpy(array).to(getattr(torch, kind)).topk(k, largest=largest)
    np.testing.assert_equal(made.values.tolist(), other.values.tolist())
    if kind != "bfloat16":  # there, neighbours are equal and their order is not defined
        assert made.indices.tolist() == other.indices.tolist()


def test_medians_of_nan(served: str, device: Any) -> None:
    array = [[NAN, 5.0, 4.0], [2.0, NAN, NAN], [1.0, 2.0, 3.0]]
    a, b = dt.tensor(array, device=device), torch.tensor(array)
    for name in ("median", "nanmedian"):
        np.testing.assert_equal(getattr(a, name)().item(), getattr(b, name)().item())
        mine, other = getattr(a, name)(1), getattr(b, name)(1)
        np.testing.assert_equal(mine.values.tolist(), other.values.tolist())
        assert mine.indices.tolist() == other.indices.tolist()
    assert dt.tensor([], device=device).median().isnan().item()


def test_mode_is_the_smallest_of_equals(served: str, device: Any) -> None:
    for array in ([1, 2, 2, 3, 3], [5], [4, 4, 1], [3, 1, 2]):
        mine = dt.tensor(array, device=device).mode()
        other = torch.tensor(array).mode()
        assert mine.values.item() == other.values.item()
        assert array[mine.indices.item()] == mine.values.item()


UNIQUE = {
    "whole": {},
    "inverse": {"return_inverse": True},
    "counts": {"return_counts": True},
    "both": {"return_inverse": True, "return_counts": True},
    "rows": {"return_inverse": True, "return_counts": True, "dim": 0},
    "columns": {"return_inverse": True, "return_counts": True, "dim": 1},
}


@pytest.mark.parametrize("options", UNIQUE.values(), ids=UNIQUE)
@pytest.mark.parametrize("name", ["unique", "unique_consecutive"])
def test_unique(name: str, options: Any, served: str, device: Any) -> None:
    for array in ([[1, 2, 1], [1, 2, 1], [0, 5, 5], [1, 2, 1]], [[3, 3, 3]]):
        mine = getattr(dt, name)(dt.tensor(array, device=device), **options)
        other = getattr(torch, name)(torch.tensor(array), **options)
        for a, b in zip(as_tuple(mine), as_tuple(other), strict=True):
            assert repr(a.dtype) == repr(b.dtype)
            assert a.tolist() == b.tolist()


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def test_unique_of_special_values(device: Any) -> None:
    assert dt.tensor([], device=device).unique().tolist() == []
    assert dt.tensor([0.0, -0.0, 2.0, 0.0], device=device).unique().tolist() == [0.0, 2.0]
    np.testing.assert_equal(dt.tensor([NAN, 1.0], device=device).unique().tolist(), [1.0, NAN])
    found, counts = dt.tensor([True, False, True], device=device).unique(return_counts=True)
    assert (found.tolist(), counts.tolist()) == ([False, True], [1, 2])
    assert dt.zeros(0, 3, device=device).unique(dim=0).shape == (0, 3)


@settings(max_examples=60, deadline=None)
@given(
    array=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int32, np.int64]),
        hnp.array_shapes(max_dims=3, max_side=6),
        elements=st.integers(-3, 3),
    ),
    data=st.data(),
)
def test_any_shape(array: np.ndarray, data: Any) -> None:
    dim = data.draw(st.integers(-array.ndim, array.ndim - 1))
    descending = data.draw(st.booleans())
    mine = dt.tensor(array).sort(dim, descending)
    other = torch.from_numpy(array).sort(dim=dim, descending=descending, stable=True)
    assert mine.values.tolist() == other.values.tolist()
    assert mine.indices.tolist() == other.indices.tolist()
    k = data.draw(st.integers(1, array.shape[dim]))
    assert dt.tensor(array).kthvalue(k, dim).values.tolist() == (
        torch.from_numpy(array).kthvalue(k, dim).values.tolist()
    )
    assert dt.tensor(array).unique().tolist() == torch.from_numpy(array).unique().tolist()


FLOATS = x(2, 3)
ERRORS = {
    "dim": lambda m, a: a.sort(2),
    "too many": lambda m, a: a.topk(4),
    "negative": lambda m, a: a.topk(-1),
    "k of 0": lambda m, a: a.kthvalue(0),
    "k too large": lambda m, a: a.kthvalue(4),
    "median dim": lambda m, a: a.median(3),
}


@pytest.mark.parametrize("form", ERRORS.values(), ids=ERRORS)
def test_errors(form: Any, device: Any) -> None:
    both_raise(form, FLOATS, device=device)


@pytest.mark.parametrize("form", [
    lambda m, a: (a * 1j).sort(), lambda m, a: a.bool().topk(1), lambda m, a: a.bool().median(),
    lambda m, a: a.sort("x"), lambda m, a: a.kthvalue(1, (0, 1)),
])  # fmt: skip
def test_wrong_dtypes_and_arguments(form: Any, device: Any) -> None:
    both_raise(form, FLOATS, device=device, text=False)


def test_out(device: Any) -> None:
    a = dt.tensor([3.0, 1.0, 2.0], device=device)
    values, indices = dt.empty(3, device=device), dt.empty(3, dtype=dt.int64, device=device)
    assert dt.sort(a, out=(values, indices)).values is values
    assert (values.tolist(), indices.tolist()) == ([1.0, 2.0, 3.0], [1, 2, 0])
