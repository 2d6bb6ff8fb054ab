"""Reductions, statistics and scans beside PyTorch: forms, dtypes, gradients at ties, errors."""

from __future__ import annotations

import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from beside_torch import beside_torch, both_raise, torch

import dovetail as dt

RNG = np.random.default_rng(0)
NAN, INF = float("nan"), float("inf")


def x(*shape: int) -> np.ndarray:
    return RNG.uniform(-2, 2, shape)


TIES = np.array([[3.0, 1.0, 3.0], [1.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
ZEROS = np.array([[2.0, 0.0, -3.0, 1.5], [0.0, 2.0, 0.0, 1.0], [1.0, 2.0, 3.0, 4.0]])

# name -> (function of (library, tensor), array); values, gradients and second gradients
CASES: dict[str, tuple[Any, np.ndarray]] = {
    "sum": (lambda m, a: a.sum(), x(3, 4)),
    "sum dims": (lambda m, a: m.sum(a, (0, -1), keepdim=True), x(2, 3, 4)),
    "sum axis": (lambda m, a: a.sum(axis=1, keepdims=True), x(2, 3)),
    "sum dtype": (lambda m, a: a.sum(dtype=m.float64), x(5)),
    "sum no dims": (lambda m, a: a.sum(()), x(2, 3)),
    "prod": (lambda m, a: a.prod(), x(5)),
    "prod of zeros": (lambda m, a: a.prod(1), ZEROS),
    "prod of two zeros": (lambda m, a: a.prod(), ZEROS[:2]),
    "prod dim 0": (lambda m, a: a.prod(0, True), ZEROS),
    "amax ties": (lambda m, a: a.amax(1), TIES),
    "amin ties": (lambda m, a: a.amin((0, 1), keepdim=True), TIES),
    "max ties": (lambda m, a: a.max(), TIES),
    "min ties": (lambda m, a: a.min(), TIES),
    "max dim": (lambda m, a: a.max(1)[0], x(3, 4)),
    "min dim keep": (lambda m, a: m.min(a, dim=0, keepdim=True).values, x(3, 4)),
    "max of a number": (lambda m, a: a.max(0)[0], x()),
    "aminmax": (lambda m, a: tuple(a.aminmax(dim=1)), TIES),
    "mean": (lambda m, a: a.mean(1), x(3, 4)),
    "mean dims": (lambda m, a: a.mean((0, 2), True), x(2, 3, 4)),
    "nansum": (lambda m, a: a.nansum(1), np.where(x(3, 4) > 1, NAN, 1.5)),
    "nanmean": (lambda m, a: a.nanmean(0), np.where(x(3, 4) > 1, NAN, x(3, 4))),
    "var": (lambda m, a: a.var(), x(3, 4)),
    "var biased": (lambda m, a: a.var(1, False, True), x(3, 4)),
    "var correction": (lambda m, a: m.var(a, dim=(0, 2), correction=2.5), x(3, 2, 4)),
    "std": (lambda m, a: a.std(0), x(3, 4)),
    "std of one value": (lambda m, a: a.std(1), np.ones((2, 3))),
    "var_mean": (lambda m, a: m.var_mean(a, 1), x(3, 4)),
    "std_mean": (lambda m, a: m.std_mean(a, dim=0, correction=0), x(3, 4)),
    "norm": (lambda m, a: a.norm(), x(3, 4)),
    "norm at 0": (lambda m, a: a.norm(dim=1), np.array([[0.0, 0.0], [1.0, 2.0]])),
    "norm 1": (lambda m, a: m.norm(a, 1, 0), x(3, 4)),
    "norm 3": (lambda m, a: m.norm(a, 3, (0, 1), True), x(3, 4)),
    "norm 0.5": (lambda m, a: m.norm(a, 0.5, 1), x(3, 4)),
    "norm inf": (lambda m, a: m.norm(a, INF, 1), TIES + 1),
    "norm -inf": (lambda m, a: m.norm(a, -INF), x(3, 4)),
    "logsumexp": (lambda m, a: a.logsumexp(1), x(3, 4) * 50),
    "logsumexp dims": (lambda m, a: a.logsumexp((0, 1), True), x(3, 4)),
    "cumsum": (lambda m, a: a.cumsum(1), x(3, 4)),
    "cumprod": (lambda m, a: a.cumprod(0), x(3, 4)),
    "cumprod of zeros": (lambda m, a: a.cumprod(1), ZEROS),
    "cummax": (lambda m, a: a.cummax(1)[0], TIES),
    "cummin": (lambda m, a: m.cummin(a, 0).values, TIES),
    "logcumsumexp": (lambda m, a: a.logcumsumexp(1), x(3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_beside_torch(name: str, served: str, device: Any) -> None:
    function, array = CASES[name]
    beside_torch(
        lambda a: function(dt, a), lambda a: function(torch, a), array,
        dtype="float64", device=device,
    )  # fmt: skip


LOW = [name for name in CASES if name not in ("nansum", "sum dtype", "prod of two zeros")]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", LOW)
def test_low_precision(name: str, dtype: str, served: str, device: Any) -> None:
    function, array = CASES[name]
    beside_torch(
        lambda a: function(dt, a), lambda a: function(torch, a), array,
        dtype=dtype, device=device, order=0,
    )  # fmt: skip


WHOLE = {
    "sum": lambda m, a: a.sum(),
    "sum to float": lambda m, a: a.sum(1, dtype=m.float32),
    "sum to half": lambda m, a: a.sum(dtype=m.float16),
    "sum to bool": lambda m, a: a.sum(dtype=m.bool),
    "prod": lambda m, a: a.prod(0),
    "prod to int32": lambda m, a: a.prod(dtype=m.int32),
    "max": lambda m, a: tuple(a.max(1)),
    "min": lambda m, a: a.min(),
    "any": lambda m, a: m.any(a, (0, 1)),
    "any of dim": lambda m, a: a.any(1, keepdim=True),
    "any no dims": lambda m, a: a.any(()),
    "all": lambda m, a: a.all(),
    "all of dim": lambda m, a: a.all(axis=0),
    "count_nonzero": lambda m, a: m.count_nonzero(a),
    "count_nonzero of dim": lambda m, a: m.count_nonzero(a, (0,)),
    "amax": lambda m, a: a.amax((0, 1)),
    "cumsum": lambda m, a: a.cumsum(1),
    "cumprod to float": lambda m, a: a.cumprod(0, dtype=m.float64),
    "cummax": lambda m, a: tuple(a.cummax(1)),
    "nansum": lambda m, a: a.nansum(),
    "median": lambda m, a: a.median(),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["bool", "uint8", "int8", "int32", "int64"])
@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers(name: str, kind: str, served: str, device: Any) -> None:
    if (name, kind) == ("median", "bool"):
        return  # PyTorch has none
    array = np.array([[3, 0, 2, 2], [0, 0, 0, 0], [1, 5, 1, 1]]).astype(kind)
    function = WHOLE[name]
    mine = function(dt, dt.tensor(array, device=device))
    other = function(torch, torch.from_numpy(array))
    pairs = zip(mine, other, strict=True) if isinstance(other, tuple) else [(mine, other)]
    for a, b in pairs:
        assert repr(a.dtype) == repr(b.dtype)
        assert a.tolist() == b.tolist()


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "nansum", "any", "all", "var", "logsumexp",
                                  "norm", "std"])  # fmt: skip
@pytest.mark.parametrize(("shape", "dim"), [((0,), 0), ((2, 0), 1), ((2, 0), 0), ((0, 3), (0, 1))])
def test_nothing_to_reduce(name: str, shape: Any, dim: Any, served: str, device: Any) -> None:
    if name == "prod" and isinstance(dim, tuple):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine = getattr(dt.zeros(shape, device=device), name)(dim=dim)
        other = getattr(torch.zeros(shape), name)(dim=dim)
    np.testing.assert_array_equal(mine.cpu().numpy(), other.numpy())


@pytest.mark.parametrize("name", ["amax", "amin", "argmax", "argmin", "max", "min"])
@pytest.mark.parametrize("array", [
    [1.0, NAN, 3.0], [NAN, 1.0, NAN], [INF, 2.0, INF], [-INF, -INF, -INF], [0.0, -0.0, 0.0],
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_special_values(name: str, array: Any, dtype: str, served: str, device: Any) -> None:
    mine = getattr(dt.tensor(array, dtype=getattr(dt, dtype), device=device), name)()
    other = getattr(torch.tensor(array, dtype=getattr(torch, dtype)), name)()
    np.testing.assert_equal(mine.item(), other.item())
    pair = getattr(dt.tensor([array] * 2, dtype=getattr(dt, dtype), device=device), name)(1)
    both = getattr(torch.tensor([array] * 2, dtype=getattr(torch, dtype)), name)(1)
    for a, b in zip(pair, both, strict=True) if isinstance(both, tuple) else [(pair, both)]:
        np.testing.assert_equal(a.tolist(), b.tolist())


@pytest.mark.parametrize("array", [[INF, 1.0], [-INF, -INF], [-INF, 2.0], [NAN, 1.0]])
def test_logsumexp_of_infinities(array: Any, served: str, device: Any) -> None:
    a = dt.tensor(array, device=device, requires_grad=True)
    b = torch.tensor(array, requires_grad=True)
    for t in (a, b):
        t.logsumexp(0).backward()
    np.testing.assert_equal(a.detach().logsumexp(0).item(), b.detach().logsumexp(0).item())
    np.testing.assert_equal(a.grad.tolist(), b.grad.tolist())


@pytest.mark.parametrize("name", ["max", "min"])
def test_gradient_among_nan(name: str, device: Any) -> None:
    a = dt.tensor([NAN, 1.0, NAN], device=device, requires_grad=True)
    b = torch.tensor([NAN, 1.0, NAN], requires_grad=True)
    for t in (a, b):
        getattr(t, name)().backward()
    assert a.grad.tolist() == b.grad.tolist() == [0.5, 0.0, 0.5]


# Shapes on both sides of where the kernels change: small, rows of many, columns of few, both ends.
SIZES = [
    ((4096,), 0), ((4097,), 0), ((40000,), 0), ((300001,), 0), ((70, 100), 1), ((70, 100), 0),
    ((5000, 3), 0), ((5000, 3), 1), ((3, 5000), 1), ((3, 5000), 0), ((9000, 1), 0), ((2, 70000), 1),
    ((13, 7, 6, 9), (0, 2, 3)), ((13, 7, 60, 9), (1, 3)), ((130, 7, 9), (0, 1)),
    ((600000, 2), 0), ((100, 40, 3), 2), ((20, 10, 100), (1,)),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "dim"), SIZES, ids=str)
@pytest.mark.parametrize(
    "name", ["sum", "mean", "amax", "prod", "var", "norm", "logsumexp", "argmin"]
)
def test_every_path_of_the_kernels(name: str, shape: Any, dim: Any, device: Any) -> None:
    if name in ("prod", "argmin") and isinstance(dim, tuple):
        return
    array = np.random.default_rng(1).uniform(-1, 2, shape).astype(np.float32)
    if name == "prod":
        # Mostly ones, some powers of two and signs: exact in any order, and in range.
        array = np.ones(shape, np.float32)
        flat = array.reshape(-1)
        flat[::977], flat[5::1013], flat[9::31] = 2, 0.5, -1
    wide = array.astype(np.float64)
    axis = dim if isinstance(dim, int) else tuple(dim)
    count = np.size(wide) / np.size(np.sum(wide, axis))
    expected = {
        "sum": lambda: np.sum(wide, axis),
        "mean": lambda: np.mean(wide, axis),
        "amax": lambda: np.max(wide, axis),
        "prod": lambda: np.prod(wide, axis),
        "var": lambda: np.var(wide, axis, ddof=1),
        "norm": lambda: np.sqrt(np.sum(wide * wide, axis)),
        "logsumexp": lambda: np.log(np.sum(np.exp(wide), axis)),
        "argmin": lambda: np.argmin(wide, axis),
    }[name]
    if name == "var" and count < 2:
        return
    made = getattr(dt.tensor(array, device=device), name)(dim=dim).cpu().numpy()
    # As tight as a pairwise sum: errors grow with the logarithm, not the length.
    scale = {"sum": count, "mean": 1}.get(name, 0)
    np.testing.assert_allclose(made, expected(), 2e-6, 2e-7 * scale)


def test_large_low_precision_sums_do_not_stall(device: Any) -> None:
    ones = dt.ones(100000, dtype=dt.bfloat16, device=device)
    assert ones.sum().item() == 99840  # the nearest bfloat16 to 100000
    assert ones.mean().item() == 1
    half = dt.full((100,), 60000.0, dtype=dt.float16, device=device)
    assert half.mean().item() == 60000
    assert half.sum().item() == INF
    assert ones.cumsum(0)[-1].item() == 99840


def test_running_sum_does_not_drift(device: Any) -> None:
    array = np.full(200000, 0.1, np.float32)
    made = dt.tensor(array, device=device).cumsum(0)[-1].item()
    assert made == pytest.approx(np.cumsum(array.astype(np.float64))[-1], rel=2e-7)


@pytest.mark.parametrize(("name", "form"), [
    ("max", lambda t: t.max(0)), ("min", lambda t: t.min(0)), ("cummax", lambda t: t.cummax(0)),
    ("aminmax", lambda t: t.aminmax()), ("median", lambda t: t.median(0)),
])  # fmt: skip
def test_named_results(name: str, form: Any) -> None:
    mine, other = form(dt.tensor([1.0, 3.0, 2.0])), form(torch.tensor([1.0, 3.0, 2.0]))
    assert repr(mine) == repr(other)
    assert isinstance(mine, tuple)
    assert type(mine) is getattr(dt.return_types, name)
    first = next(iter(mine))
    assert getattr(mine, mine._fields[0]) is first
    again = pickle.loads(pickle.dumps(mine))
    assert type(again) is type(mine)
    assert again[0].tolist() == mine[0].tolist()


def test_max_with_another_tensor(device: Any) -> None:
    a, b = dt.tensor([1.0, 5.0], device=device), dt.tensor([3.0, 2.0], device=device)
    assert dt.max(a, b).tolist() == dt.max(a, other=b).tolist() == a.max(b).tolist() == [3.0, 5.0]
    assert dt.min(a, b).tolist() == [1.0, 2.0]


def test_out(device: Any) -> None:
    a = dt.tensor([[1.0, 4.0], [3.0, 2.0]], device=device)
    total = dt.empty(2, device=device)
    assert dt.sum(a, 1, out=total) is total
    assert total.tolist() == [5.0, 5.0]
    values, indices = dt.empty(2, device=device), dt.empty(2, dtype=dt.int64, device=device)
    result = dt.max(a, 1, out=(values, indices))
    assert result.values is values
    assert (values.tolist(), indices.tolist()) == ([4.0, 3.0], [1, 0])
    assert dt.cumsum(a, 0, out=dt.empty(2, 2, device=device)).tolist() == [[1, 4], [4, 6]]


def test_in_place_scans(device: Any) -> None:
    a = dt.tensor([1, 2, 3], dtype=dt.int32, device=device)
    assert a.cumsum_(0) is a
    assert (a.tolist(), a.dtype) == ([1, 3, 6], dt.int32)
    assert dt.tensor([2.0, 3.0], device=device).cumprod_(0).tolist() == [2.0, 6.0]


def test_same_call_with_another_dtype_or_dim_is_another_call(device: Any) -> None:
    a = dt.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
    for _ in range(2):
        assert a.sum().item() == 10
        assert a.sum(0).tolist() == [4, 6]
        assert a.sum(1).tolist() == [3, 7]
        assert a.sum(1, True).tolist() == [[3], [7]]
        assert a.sum((0, 1)).item() == 10
        assert a.sum([0]).tolist() == [4, 6]
        assert a.sum(dtype=dt.int64).dtype is dt.int64
        assert a.amax(0).tolist() == [3, 4]
        assert a.amax(0, True).tolist() == [[3, 4]]
        assert a.max(0).values.tolist() == [3, 4]
        assert a.argmax(1).tolist() == [1, 1]
        assert a.argmax().item() == 3
        assert a.argmax(None, True).tolist() == [[3]]


def test_trace_names_the_kernel() -> None:
    a = dt.ones(3)
    a.sum()
    with dt.trace() as events:
        a.sum()
        a.sum(0)
        a.max()
    assert [(e.op, e.served_by) for e in events if not e.depth] == [
        ("sum", "kernel"), ("sum", "kernel"), ("max", "fused"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["var", "std", "var_mean", "std_mean"])
def test_too_few_for_a_variance(name: str, device: Any) -> None:
    with pytest.warns(UserWarning, match=rf"{name}\(\): degrees of freedom is <= 0"):
        mine = getattr(dt, name)(dt.ones(1, device=device))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = getattr(torch, name)(torch.ones(1))
    first = (mine[0], other[0]) if isinstance(other, tuple) else (mine, other)
    assert [math.isnan(t.item()) for t in first] == [True, True]


@pytest.mark.parametrize("name", ["var", "std", "var_mean", "std_mean"])
@pytest.mark.parametrize("dim", [0, -1, (0, 1), None])
def test_gradient_of_named_dims_of_too_few(name: str, dim: Any, device: Any) -> None:
    """Where all dims are named PyTorch divides by less than 0, as along some of them."""
    given = x(2, 1) if dim == (0, 1) else x(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for named in ({"correction": 2}, {"correction": 3}, {"correction": 3, "keepdim": True}):
            a = dt.tensor(given, device=device, requires_grad=True)
            b = torch.tensor(given, requires_grad=True)
            mine, other = (getattr(lib, name)(x, dim, **named) for lib, x in ((dt, a), (torch, b)))
            if isinstance(mine, tuple):
                assert isinstance(other, tuple)
                assert [tuple(t.shape) for t in mine] == [tuple(t.shape) for t in other]
                mine, other = mine[0] + 3 * mine[1], other[0] + 3 * other[1]
            assert tuple(mine.shape) == tuple(other.shape)
            mine.sum().backward()
            other.sum().backward()
            np.testing.assert_allclose(a.grad.cpu().numpy(), b.grad.numpy(), 1e-12)


def test_gradient_of_too_few_for_a_variance(device: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for correction in (3, 4):
            a = dt.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
            b = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
            a.var(correction=correction).backward()
            b.var(correction=correction).backward()
            np.testing.assert_array_equal(a.grad.cpu().numpy(), b.grad.numpy())


def vector_norm(library: Any) -> Any:
    return (library.linalg if library is torch else library.ops).vector_norm


FLOATS, WHOLES, EMPTY = x(2, 3), np.arange(6).reshape(2, 3), np.zeros((2, 0))
ERRORS: dict[str, tuple[Any, np.ndarray]] = {
    "dim out of range": (lambda m, a: a.sum(2), FLOATS),
    "dim twice": (lambda m, a: a.sum((0, -2)), FLOATS),
    "amax of nothing": (lambda m, a: a.amax(), EMPTY),
    "amin of an empty dim": (lambda m, a: a.amin(1), EMPTY),
    "argmax of an empty dim": (lambda m, a: a.argmax(1), EMPTY),
    "max of nothing": (lambda m, a: a.max(), EMPTY),
    "max of an empty dim": (lambda m, a: a.max(1), EMPTY),
    "aminmax of nothing": (lambda m, a: a.aminmax(), EMPTY),
    "aminmax of an empty dim": (lambda m, a: a.aminmax(dim=1), EMPTY),
    "median of an empty dim": (lambda m, a: a.median(1), EMPTY),
    "argmax of bool": (lambda m, a: a.argmax(), WHOLES > 2),
    "mean of whole numbers": (lambda m, a: a.mean(), WHOLES),
    "nanmean of whole numbers": (lambda m, a: a.nanmean(), WHOLES),
    "var of whole numbers": (lambda m, a: a.var(), WHOLES),
    "norm of whole numbers": (lambda m, a: a.norm(), WHOLES),
    "norm of an unknown name": (lambda m, a: a.norm("abc"), FLOATS),
    "infinite norm of nothing": (lambda m, a: vector_norm(m)(a, INF), EMPTY),
    "cumsum of no dim": (lambda m, a: a.cumsum(3), FLOATS),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str, device: Any) -> None:
    function, array = ERRORS[name]
    both_raise(function, array, device=device)


@pytest.mark.parametrize("form", [
    lambda m, a: a.max((0, 1)), lambda m, a: a.sum(1.5), lambda m, a: a.amax(1.5),
    lambda m, a: a.var(1, True, correction=1), lambda m, a: m.sum("a"), lambda m, a: m.max([1.0]),
    lambda m, a: a.argmax((0, 1)), lambda m, a: vector_norm(m)(a[:, :0], INF, dim=1),
])  # fmt: skip
def test_wrong_arguments(form: Any, device: Any) -> None:
    both_raise(form, FLOATS, device=device, text=False)


def test_complex_sums(device: Any) -> None:
    array = x(3, 4) + 1j * x(3, 4)
    for name, dim in (("sum", 1), ("mean", 0), ("prod", 1), ("cumsum", 0), ("cumprod", 1)):
        call = lambda a, name=name, dim=dim: getattr(a, name)(dim)
        beside_torch(call, call, array, dtype="float64", device=device)
    for call in (lambda a: a.var(1), lambda a: a.norm(), lambda a: a.std(), lambda a: a.norm(1)):
        beside_torch(call, call, array, dtype="float64", device=device, order=1)
