"""Reading and writing by index beside PyTorch, and checks of indices."""

from __future__ import annotations

from functools import partial
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from beside_torch import beside_torch, both_raise, torch, values
from hypothesis import given, settings

import dovetail as dt
from dovetail import ops

RNG = np.random.default_rng(0)


def x(*shape: int) -> np.ndarray:
    return RNG.uniform(-1, 1, shape)


def i(*listed: Any) -> np.ndarray:
    return np.array(listed, np.int64)


MASK = RNG.random((3, 4)) < 0.5
MANY = RNG.integers(0, 3, (5, 4))

CASES: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "gather": (lambda m, a, k: a.gather(0, k), (x(3, 4), MANY)),
    "gather less": (lambda m, a, k: m.gather(a, 1, k), (x(3, 4, 5), MANY[:2, :3, None])),
    "gather int32": (lambda m, a, k: a.gather(-1, k.int()), (x(5, 3), MANY)),
    "gather a number": (lambda m, a, k: a.gather(0, k), (x(), np.array(0))),
    "gather from strided": (lambda m, a, k: a.t().gather(0, k), (x(4, 3), MANY)),
    "gather a row": (lambda m, a, k: a.gather(0, k.expand(2, 4)), (x(3, 4), i([2], [0]))),
    "scatter": (lambda m, a, k, s: a.scatter(1, k, s), (x(2, 4), i([0, 2], [3, 1]), x(2, 2))),
    "scatter larger source": (
        lambda m, a, k, s: a.scatter(0, k, s), (x(3, 4), i([0, 2]), x(2, 5)),
    ),
    "scatter a number": (lambda m, a, k: a.scatter(0, k, 2.5), (x(3, 4), MANY[:1])),
    "scatter a value": (lambda m, a, k: m.scatter(a, 0, k, value=1), (x(3, 4), MANY[:1])),
    "scatter into strided": (
        lambda m, a, k, s: a.t().scatter(0, k, s), (x(4, 3), i([0, 2, 1, 1]), x(1, 4)),
    ),
    "scatter add": (
        lambda m, a, k, s: a.scatter(0, k, s, reduce="add").detach(), (x(3, 4), MANY, x(5, 4)),
    ),
    "scatter multiply": (
        lambda m, a, k, s: a.scatter(0, k, s, reduce="multiply").detach(),
        (x(3, 4), MANY, x(5, 4)),
    ),
    "scatter_add": (lambda m, a, k, s: a.scatter_add(0, k, s), (x(3, 4), MANY, x(5, 4))),
    "scatter_add larger source": (
        lambda m, a, k, s: a.scatter_add(0, k, s), (x(3, 4), MANY[:4, :3], x(5, 4)),
    ),
    "scatter_add rows": (
        lambda m, a, k, s: a.scatter_add(0, k.expand(3, 4), s),
        (x(3, 4), i([2], [0], [2]), x(3, 4)),
    ),
    "scatter_add to a number": (
        lambda m, a, k, s: a.scatter_add(0, k, s), (x(), i(0, 0), x(2)),
    ),
    **{
        f"scatter_reduce {how}{'' if own else ' alone'}": (
            lambda m, a, k, s, how=how, own=own: a.scatter_reduce(0, k, s, how, include_self=own),
            (x(3, 4), MANY, x(5, 4)),
        )
        for how in ("sum", "mean", "prod", "amax", "amin")
        for own in (True, False)
    },
    "scatter_reduce prod of zeros": (
        lambda m, a, k, s: a.scatter_reduce(0, k, s, "prod"),
        (np.array([1.0, 0.0, 2.0]), i(0, 0, 1, 2), np.array([0.0, 3.0, 4.0, 0.0])),
    ),
    "scatter_reduce ties": (
        lambda m, a, k, s: a.scatter_reduce(0, k, s, "amax"),
        (np.array([1.0, 2.0]), i(0, 0, 1, 0), np.array([1.0, 1.0, 1.0, 0.5])),
    ),
    "index_select": (lambda m, a, k: a.index_select(0, k), (x(3, 4), i(2, 0, 2))),
    "index_select columns": (lambda m, a, k: m.index_select(a, -1, k), (x(3, 4), i(3, 1))),
    "index_select int32": (lambda m, a, k: a.index_select(0, k.int()), (x(3, 4), i(2, 0))),
    "index_select from strided": (lambda m, a, k: a.t().index_select(1, k), (x(3, 4), i(2, 0))),
    "index_select by a number": (lambda m, a, k: a.index_select(0, k), (x(3, 4), np.array(1))),
    "index_select of a number": (lambda m, a, k: a.index_select(0, k), (x(), i(0))),
    "index_add": (lambda m, a, k, s: a.index_add(0, k, s), (x(3, 4), i(2, 0, 2), x(3, 4))),
    "index_add scaled": (
        lambda m, a, k, s: a.index_add(1, k, s, alpha=-2), (x(3, 4), i(2, 2), x(3, 2)),
    ),
    "index_add wide rows": (
        lambda m, a, k, s: a.index_add(0, k, s), (x(3, 300), i(2, 0, 2), x(3, 300)),
    ),
    "index_add nothing": (lambda m, a, k, s: a.index_add(0, k, s), (x(3, 4), i(), x(0, 4))),
    "index_copy": (lambda m, a, k, s: a.index_copy(1, k, s), (x(3, 4), i(2, 0), x(3, 2))),
    "index_fill": (lambda m, a, k: a.index_fill(1, k, 2.5), (x(3, 4), i(2, -1))),
    "index_fill with a tensor": (
        lambda m, a, k, v: a.index_fill(0, k, v), (x(3, 4), i(2, 0), x()),
    ),
    "take": (lambda m, a, k: m.take(a, k), (x(3, 4), i([2, -1], [11, 2]))),
    "take_along_dim": (lambda m, a, k: m.take_along_dim(a, k, 0), (x(3, 4), i([2, 0, 1, 1]))),
    "take_along_dim broadcast": (
        lambda m, a, k: m.take_along_dim(a, k, 1), (x(3, 4), i([2, 0, 1, 1, 3])),
    ),
    "take_along_dim flat": (lambda m, a, k: m.take_along_dim(a, k), (x(3, 4), i(11, 0))),
    "masked_select": (lambda m, a, k: a.masked_select(k), (x(3, 4), MASK)),
    "masked_select broadcast": (lambda m, a, k: m.masked_select(a, k), (x(3, 1), MASK)),
    "masked_scatter": (lambda m, a, k, s: a.masked_scatter(k, s), (x(3, 4), MASK, x(3, 5))),
    "masked_scatter broadcast": (
        lambda m, a, k, s: a.masked_scatter(k, s), (x(3, 4), MASK[0], x(3, 4)),
    ),
    "embedding": (lambda m, w, k: m.embedding(w, k), (x(5, 3), i([2, 0], [2, 4]))),
    "embedding int32": (lambda m, w, k: m.embedding(w, k.int()), (x(5, 3), i(2, 0, 2))),
    "embedding padded": (lambda m, w, k: m.embedding(w, k, 2), (x(5, 3), i(2, 0, 2, 4))),
    "embedding of a view": (lambda m, w, k: m.embedding(w.t(), k), (x(3, 5), i(2, 0, 2, 4))),
    "nonzero": (lambda m, a: m.nonzero(a), (MASK,)),
    "nonzero as_tuple": (lambda m, a: a.nonzero(as_tuple=True), (MASK,)),
    "nonzero of floats": (lambda m, a: a.nonzero(), (np.array([0.0, -0.0, np.nan, 2.0]),)),
    "nonzero of a number": (lambda m, a: a.nonzero(), (np.array(3),)),
    "argwhere": (lambda m, a: m.argwhere(a.t()), (MASK,)),
    "where": (lambda m, a: m.where(a), (MASK,)),
    "where of two": (lambda m, k, a, b: m.where(k, a, b), (MASK, x(3, 4), x(4))),
    "Tensor.where": (lambda m, k, a, b: a.where(k, b), (MASK, x(3, 4), x(4))),
    "isin": (lambda m, a, b: m.isin(a, b), (i([1, 2], [3, 4]), i(2, 3))),
    "isin inverted": (lambda m, a: m.isin(a, 2, invert=True), (i(1, 2),)),
    "searchsorted": (lambda m, a, b: m.searchsorted(a, b), (np.sort(x(7)), x(2, 3))),
    "searchsorted right": (
        lambda m, a, b: m.searchsorted(a, b, right=True, out_int32=True),
        (i(1, 2, 2, 2, 5), i(0, 2, 5, 9)),
    ),
    "searchsorted rows": (
        lambda m, a, b: m.searchsorted(a, b, side="right"), (np.sort(x(2, 7)), x(2, 3)),
    ),
    "searchsorted many rows": (
        lambda m, a, b: m.searchsorted(a, b),
        (np.sort(np.round(5 * x(40, 7))), np.round(5 * x(40, 5))),
    ),
    "searchsorted many rows, right": (
        lambda m, a, b: m.searchsorted(a, b, right=True),
        (np.sort(np.round(5 * x(40, 8))), np.round(5 * x(40, 5))),
    ),
    "searchsorted number": (lambda m, a: m.searchsorted(a, 2.5), (np.sort(x(7)),)),
    "searchsorted sorter": (
        lambda m, a, b, s: m.searchsorted(a, b, sorter=s),
        (np.array([3.0, 1.0, 2.0]), x(4), i(1, 2, 0)),
    ),
    "bucketize": (lambda m, a, b: m.bucketize(a, b), (x(3, 4), np.sort(x(4)))),
}  # fmt: skip

# PyTorch has no gradient of its own for a source that is larger than the index.
ORDERS = {
    "scatter larger source": 0, "scatter_add larger source": 0, "scatter_reduce prod": 1,
    "scatter_reduce prod alone": 1, "scatter_reduce prod of zeros": 1,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str, device: Any, served: str) -> None:
    function, arrays = CASES[name]
    beside_torch(
        partial(function, dt), partial(function, torch), *arrays,
        dtype="float64", device=device, order=ORDERS.get(name, 2),
    )  # fmt: skip


# These add up in another order than PyTorch, which rounds to half precision after every step.
SUMS = ("add", "sum", "mean", "prod", "multiply")


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "int32", "bool"])
@pytest.mark.parametrize("name", [n for n in CASES if CASES[n][1][0].dtype.kind == "f"])
def test_other_dtypes(name: str, dtype: str, device: Any) -> None:
    function, arrays = CASES[name]
    tolerance = 0.1 if dtype == "bfloat16" and any(word in name for word in SUMS) else None
    if dtype.startswith("float") or dtype == "bfloat16":
        beside_torch(
            partial(function, dt), partial(function, torch), *arrays,
            dtype=dtype, device=device, order=0, tolerance=tolerance,
        )  # fmt: skip
        return
    if dtype == "bool" and any(
        word in name for word in (*SUMS, "search", "bucket", "reduce", "alpha", "scaled")
    ):
        return
    if not np.isfinite(arrays[0]).all():
        return
    whole = [np.asarray(a * 9).astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
    if "search" in name or "bucket" in name:
        whole = [np.sort(a, -1) for a in whole] if "sorter" not in name else whole
    beside_torch(partial(function, dt), partial(function, torch), *whole, device=device, order=0)


IN_PLACE: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "scatter_": (lambda a, k, s: a.scatter_(0, k, s), (i([0, 2, 1, 1]), x(1, 4))),
    "scatter_ a number": (lambda a, k: a.scatter_(0, k, 7.0), (i([0, 2, 1, 1]),)),
    "scatter_add_": (lambda a, k, s: a.scatter_add_(0, k, s), (MANY, x(5, 4))),
    "index_add_": (lambda a, k, s: a.index_add_(0, k, s), (i(2, 0, 2), x(3, 4))),
    "index_copy_": (lambda a, k, s: a.index_copy_(1, k, s), (i(2, 0), x(3, 2))),
    "index_fill_": (lambda a, k: a.index_fill_(1, k, 7.0), (i(-1, 0),)),
    "masked_scatter_": (lambda a, k, s: a.masked_scatter_(k, s), (MASK, x(12))),
}  # fmt: skip


@pytest.mark.parametrize("layout", ["contiguous", "strided"])
@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name: str, layout: str, device: Any, served: str) -> None:
    function, arrays = IN_PLACE[name]

    def run(whole: Any, *rest: Any) -> Any:
        target = whole[:, ::2] if layout == "strided" else whole[:, :4].clone()
        assert function(target, *rest) is target
        return whole, target

    wide = x(3, 8)
    first = dt.tensor(wide, device=device)
    whole, target = run(first, *[dt.tensor(a, device=device) for a in arrays])
    assert target._version == 1
    expected = run(torch.from_numpy(wide.copy()), *[torch.from_numpy(a.copy()) for a in arrays])
    for mine, other in zip((whole, target), expected, strict=True):
        np.testing.assert_allclose(values(mine), values(other), rtol=1e-12)

    def recorded(a: Any, *rest: Any) -> Any:
        return function(a[:, ::2] if layout == "strided" else a * 1, *rest)

    def through(lib: Any, a: Any, *rest: Any) -> Any:
        a = a * 1
        return recorded(a, *rest), a

    beside_torch(
        partial(through, dt), partial(through, torch), wide if layout == "strided" else wide[:, :4],
        *arrays, dtype="float64", device=device,
    )  # fmt: skip


def test_in_place_from_its_own_memory(device: Any) -> None:
    a = dt.arange(6.0, device=device)
    index = dt.tensor([1, 2, 3], device=device)
    assert a.index_copy_(0, index, a[:3]).tolist() == [0.0, 0.0, 1.0, 2.0, 4.0, 5.0]
    assert a.index_add_(0, index, a[:3]).tolist() == [0.0, 0.0, 1.0, 3.0, 4.0, 5.0]


def test_gradient_of_a_larger_source(device: Any) -> None:
    a = dt.zeros(3, device=device).requires_grad_()
    source = dt.ones(5, device=device).requires_grad_()
    for function in (dt.scatter, dt.scatter_add):
        made = function(a, 0, dt.tensor([2, 0], device=device), source)
        g = dt.tensor([1.0, 2.0, 3.0], device=device).requires_grad_()
        (first,) = dt.autograd.grad(made, source, g, create_graph=True)
        assert first.tolist() == [3.0, 1.0, 0.0, 0.0, 0.0]
        (second,) = dt.autograd.grad(first, g, dt.arange(5.0, device=device))
        assert second.tolist() == [1.0, 0.0, 0.0]


def test_embedding_scaled_by_frequency(device: Any, served: str) -> None:
    """PyTorch's second gradient forgets the scale, so only the first is compared."""
    for rest in ((-1, True), (2, True)):
        beside_torch(
            lambda w, k, r=rest: dt.embedding(w, k, *r),
            lambda w, k, r=rest: torch.embedding(w, k, *r),
            x(5, 3), i([2, 0, 2], [4, 2, 0]), dtype="float64", device=device, order=1,
        )  # fmt: skip
    w = dt.tensor(x(5, 3), device=device).requires_grad_()
    k = dt.tensor(i(2, 0, 2, 4), device=device)
    g = dt.tensor(x(4, 3), device=device).requires_grad_()
    (first,) = dt.autograd.grad(dt.embedding(w, k, 0, True), w, g, create_graph=True)
    (second,) = dt.autograd.grad(first, g, dt.ones_like(first))
    assert second.tolist() == [[0.5] * 3, [0.0] * 3, [0.5] * 3, [1.0] * 3]


def test_embedding_of_nothing(device: Any) -> None:
    w = dt.ones(5, 3, device=device).requires_grad_()
    made = dt.embedding(w, dt.zeros(0, dtype=dt.int64, device=device))
    (grad,) = dt.autograd.grad(made, w, dt.ones_like(made))
    assert made.shape == (0, 3)
    assert grad.tolist() == [[0.0] * 3] * 5


def test_embedding_renorm(device: Any) -> None:
    start = x(5, 3) * 3
    mine, other = dt.tensor(start, device=device), torch.from_numpy(start.copy())
    dt.embedding_renorm_(mine, dt.tensor([1, 3], device=device), 0.5, 2.0)
    torch.embedding_renorm_(other, torch.tensor([1, 3]), 0.5, 2.0)
    np.testing.assert_allclose(values(mine), values(other), rtol=1e-6)


@pytest.mark.parametrize("args", [(), (5,), (7,)])
def test_one_hot(args: Any, device: Any, served: str) -> None:
    for array in (i([0, 4], [2, 1]), np.array(3), i(4)):
        beside_torch(
            lambda a: ops.one_hot(a, *args), lambda a: torch.nn.functional.one_hot(a, *args),
            array, device=device,
        )  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    dim=st.integers(0, 2),
    length=st.integers(0, 5),
    stepped=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_shapes(shape: list[int], dim: int, length: int, stepped: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dim %= len(shape)
    where = [int(rng.integers(1, n + 1)) for n in shape]
    where[dim] = length
    index = rng.integers(0, shape[dim], where)
    source = rng.standard_normal(where)

    def run(lib: Any, a: Any, k: Any, s: Any) -> Any:
        a = a[..., ::2] if stepped else a
        return lib.gather(a, dim, k), lib.scatter_add(a, dim, k, s)

    wide = rng.standard_normal([*shape[:-1], shape[-1] * (1 + stepped)])
    beside_torch(partial(run, dt), partial(run, torch), wide, index, source, dtype="float64")


ERRORS: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "gather": (lambda m, a, k: a.gather(0, k), (x(3), i(5))),
    "gather negative": (lambda m, a, k: a.gather(0, k), (x(3), i(0, -1))),
    "gather dim": (lambda m, a, k: a.gather(1, k), (x(3), i(0))),
    "gather dtype": (lambda m, a, k: a.gather(0, k), (x(3), x(3))),
    "gather dims": (lambda m, a, k: a.gather(0, k), (x(3, 4), i(0))),
    "gather sizes": (lambda m, a, k: a.gather(0, k), (x(3, 4), np.zeros((2, 5), np.int64))),
    "scatter": (lambda m, a, k: a.scatter(0, k, 1.0), (x(3), i(5))),
    "scatter dtypes": (lambda m, a, k, s: a.scatter(0, k, s.double()), (x(3), i(0), x(1))),
    "scatter source": (lambda m, a, k, s: a.scatter(0, k, s), (x(3), i(0, 1), x(1))),
    "scatter source dims": (lambda m, a, k, s: a.scatter(0, k, s), (x(3), i(0), x(1, 1))),
    "scatter sizes": (
        lambda m, a, k, s: a.scatter(0, k, s), (x(3, 3), np.zeros((2, 4), np.int64), x(4, 4)),
    ),
    "scatter reduce": (lambda m, a, k, s: a.scatter(0, k, s, reduce="foo"), (x(3), i(0), x(1))),
    "scatter_add": (lambda m, a, k, s: a.scatter_add(0, k, s), (x(3), i(3), x(1))),
    "scatter_add dtypes": (lambda m, a, k, s: a.scatter_add(0, k, s.double()), (x(3), i(0), x(1))),
    "scatter_reduce": (
        lambda m, a, k, s: a.scatter_reduce(0, k, s, "foo"), (x(3), i(0), x(1)),
    ),
    "index_select": (lambda m, a, k: a.index_select(0, k), (x(3), i(3))),
    "index_select negative": (lambda m, a, k: a.index_select(0, k), (x(3), i(-1))),
    "index_select dtype": (lambda m, a, k: a.index_select(0, k), (x(3), x(1))),
    "index_select dims": (lambda m, a, k: a.index_select(0, k), (x(3), i([0]))),
    "index_select of a number": (lambda m, a, k: a.index_select(0, k), (x(), i(0, 0))),
    "index_add": (lambda m, a, k, s: a.index_add(0, k, s), (x(3, 2), i(3), x(1, 2))),
    "index_add count": (lambda m, a, k, s: a.index_add(0, k, s), (x(3, 2), i(0), x(2, 2))),
    "index_add sizes": (lambda m, a, k, s: a.index_add(0, k, s), (x(3, 2), i(0), x(1, 3))),
    "index_add dtypes": (
        lambda m, a, k, s: a.index_add(0, k, s.double()), (x(3, 2), i(0), x(1, 2)),
    ),
    "index_add index": (lambda m, a, k, s: a.index_add(0, k, s), (x(3, 2), x(1), x(1, 2))),
    "index_add dims": (lambda m, a, k, s: a.index_add(0, k, s), (x(3, 2), i([0]), x(1, 2))),
    "index_copy": (lambda m, a, k, s: a.index_copy(0, k, s), (x(3, 2), i(3), x(1, 2))),
    "index_copy count": (lambda m, a, k, s: a.index_copy(0, k, s), (x(3, 2), i(0), x(2, 2))),
    "index_copy sizes": (lambda m, a, k, s: a.index_copy(0, k, s), (x(3, 2), i(0), x(1, 3))),
    "index_copy index": (lambda m, a, k, s: a.index_copy(0, k.int(), s), (x(3, 2), i(0), x(1, 2))),
    "index_fill": (lambda m, a, k: a.index_fill(0, k, 1.0), (x(3, 2), i(3))),
    "index_fill index": (lambda m, a, k: a.index_fill(0, k.int(), 1.0), (x(3, 2), i(0))),
    "index_fill value": (lambda m, a, k, v: a.index_fill(0, k, v), (x(3, 2), i(0), x(2))),
    "embedding": (lambda m, w, k: m.embedding(w, k), (x(3, 2), i(3))),
    "embedding negative": (lambda m, w, k: m.embedding(w, k), (x(3, 2), i(-1))),
    "embedding dtype": (lambda m, w, k: m.embedding(w, k), (x(3, 2), x(1))),
    "embedding table": (lambda m, w, k: m.embedding(w, k), (x(3), i(0))),
    "take": (lambda m, a, k: m.take(a, k), (x(3), i(3))),
    "take negative": (lambda m, a, k: m.take(a, k), (x(3), i(-4))),
    "take dtype": (lambda m, a, k: m.take(a, k.int()), (x(3), i(0))),
    "take from nothing": (lambda m, a, k: m.take(a, k), (x(0), i(0))),
    "take_along_dim": (lambda m, a, k: m.take_along_dim(a, k, 0), (x(3, 4), i(0))),
    "masked_select": (lambda m, a, k: a.masked_select(k), (x(3), i(1, 0, 1))),
    "masked_select sizes": (lambda m, a, k: a.masked_select(k), (x(3), np.ones(4, bool))),
    "masked_scatter": (lambda m, a, k, s: a.masked_scatter(k, s), (x(3), i(1, 1, 1), x(3))),
    "masked_scatter count": (
        lambda m, a, k, s: a.masked_scatter(k, s), (x(3), np.ones(3, bool), x(2)),
    ),
    "masked_scatter dtypes": (
        lambda m, a, k, s: a.masked_scatter(k, s.double()), (x(3), np.ones(3, bool), x(3)),
    ),
    "where": (lambda m, k: m.where(k, 1), (np.ones(3, bool),)),
    "searchsorted": (lambda m, a, b: m.searchsorted(a, b), (x(2, 3), x(3, 2))),
    "searchsorted side": (lambda m, a, b: m.searchsorted(a, b, side="foo"), (x(3), x(2))),
    "bucketize": (lambda m, a, b: m.bucketize(a, b), (x(2), x(2, 2))),
}  # fmt: skip

OUT_OF_BOUNDS = (
    "gather", "gather negative", "scatter", "scatter_add", "index_select", "index_select negative",
    "index_add", "index_copy", "index_fill", "embedding", "embedding negative", "take",
    "take negative",
)  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str, device: Any) -> None:
    if name in OUT_OF_BOUNDS and not dt.ones(1, device=device).is_cpu:
        return  # indices on a device are not read back
    function, arrays = ERRORS[name]
    # PyTorch prints its alternatives after this one's first line.
    both_raise(function, *arrays, device=device, text=name != "where")
