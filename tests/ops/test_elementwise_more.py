"""lerp, addcmul, fmod, xlogy and their like, and questions about closeness, beside PyTorch."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from beside_torch import beside_torch, both_raise, torch

import dovetail as dt

RNG = np.random.default_rng(0)
inf, nan = math.inf, math.nan
ODD = np.array([0.0, -0.0, 1.0, -1.0, 2.5, -2.5, inf, -inf, nan])


def x(*shape: int) -> np.ndarray:
    return RNG.uniform(-3, 3, shape)


def p(*shape: int) -> np.ndarray:
    return RNG.uniform(0.5, 3, shape)


def i(*listed: Any) -> np.ndarray:
    return np.array(listed, np.int64)


CASES: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "lerp": (lambda m, a, b: a.lerp(b, 0.3), (x(3, 4), x(4))),
    "lerp by a tensor": (lambda m, a, b, w: m.lerp(a, b, w), (x(3, 4), x(4), x(3, 1))),
    "addcmul": (lambda m, *a: m.addcmul(*a), (x(3, 4), x(4), x(3, 1))),
    "addcmul scaled": (lambda m, *a: m.addcmul(*a, value=-2.5), (x(4), x(4), x(3, 1))),
    "addcdiv": (lambda m, *a: m.addcdiv(*a, value=0.5), (x(3, 4), x(4), p(3, 1))),
    "fmod": (lambda m, a, b: a.fmod(b), (x(3, 4) * 3, p(4))),
    "fmod by a number": (lambda m, a: m.fmod(a, -1.5), (x(3, 4),)),
    "hypot": (lambda m, a, b: m.hypot(a, b), (x(3, 4), x(4))),
    "copysign": (lambda m, a, b: m.copysign(a, b), (x(3, 4), x(4))),
    "copysign of a number": (lambda m, a: a.copysign(-2), (x(3),)),
    "xlogy": (lambda m, a, b: m.xlogy(a, b), (x(3, 4), p(4))),
    "xlogy by a number": (lambda m, a: m.xlogy(a, 2.5), (x(3),)),
    "xlogy of a number": (lambda m, a: m.xlogy(2, a), (p(3),)),
    "logaddexp": (lambda m, a, b: m.logaddexp(a, b), (x(3, 4), x(4))),
    "logaddexp2": (lambda m, a, b: m.logaddexp2(a, b), (x(3, 4), x(4))),
    "heaviside": (lambda m, a, b: m.heaviside(a, b).detach(), (np.array([-1.0, 0, 2]), x(3))),
    "deg2rad": (lambda m, a: m.deg2rad(a), (x(3),)),
    "rad2deg": (lambda m, a: a.rad2deg(), (x(3),)),
    "nan_to_num": (lambda m, a: m.nan_to_num(a), (ODD,)),
    "nan_to_num given": (lambda m, a: a.nan_to_num(1.0, 2.0, -3.0), (ODD,)),
    "signbit": (lambda m, a: m.signbit(a), (ODD[:-1],)),
    "isposinf": (lambda m, a: m.isposinf(a), (ODD,)),
    "isneginf": (lambda m, a: a.isneginf(), (ODD,)),
    "rsub": (lambda m, a, b: m.rsub(a, b, alpha=2), (x(3), x(3))),
    "rsub from a number": (lambda m, a: m.rsub(a, 2), (x(3),)),
    "float_power": (lambda m, a: m.float_power(a, 2), (x(3),)),
    "float_power of integers": (lambda m, a: m.float_power(2, a), (i(1, 2),)),
    "ldexp": (lambda m, a, b: m.ldexp(a, b), (x(3), i(1, 2, 0))),
    "div floor": (lambda m, a, b: m.div(a, b, rounding_mode="floor"), (x(3, 4), p(4))),
    "div trunc": (lambda m, a, b: a.div(b, rounding_mode="trunc"), (x(3, 4), p(4))),
    "divide": (lambda m, a, b: m.divide(a, b), (x(3, 4), p(4))),
    "true_divide": (lambda m, a: a.true_divide(2), (x(3, 4),)),
    "div floor of integers": (
        lambda m, a, b: m.div(a, b, rounding_mode="floor"), (i(7, -7, 7, -7), i(2, 2, -2, -2)),
    ),
    "div trunc of integers": (
        lambda m, a, b: m.div(a, b, rounding_mode="trunc"), (i(7, -7, 7, -7), i(2, 2, -2, -2)),
    ),
    "div trunc by a number": (lambda m, a: a.div(2, rounding_mode="trunc"), (i(7, -7),)),
    "fmod of integers": (lambda m, a, b: m.fmod(a, b), (i(7, -7, 7, -7), i(3, 3, -3, -3))),
    "addcmul of integers": (lambda m, *a: m.addcmul(*a, value=2), (i(1, 2), i(3, 4), i(5, 6))),
    "deg2rad of integers": (lambda m, a: m.deg2rad(a), (i(90, 180),)),
    "nan_to_num of integers": (lambda m, a: m.nan_to_num(a), (i(1, 2),)),
    "isclose": (
        lambda m, a, b: m.isclose(a, b),
        (np.array([inf, nan, 1.0, -inf, 2.0]), np.array([inf, nan, 1 + 1e-6, inf, 2.1])),
    ),
    "isclose with NaN": (lambda m, a: m.isclose(a, a, equal_nan=True), (ODD,)),
    "isclose of integers": (lambda m, a, b: m.isclose(a, b, rtol=0.5), (i(1, 5), i(2, 50))),
    "dist": (lambda m, a, b: m.dist(a, b), (x(3, 4), x(4))),
    "dist 1": (lambda m, a, b: a.dist(b, 1), (x(3), x(3))),
}  # fmt: skip

# PyTorch's gradients of these are constants, or of the first order only.
ORDERS = {"nan_to_num": 1, "nan_to_num given": 1, "heaviside": 0, "copysign": 1}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str, dtype: str, device: Any, served: str) -> None:
    function, arrays = CASES[name]
    order = ORDERS.get(name, 2)
    if dtype == "bfloat16" and name in ("hypot", "logaddexp2", "div floor", "div trunc", "dist"):
        pytest.skip("PyTorch rounds in between")
    beside_torch(
        partial(function, dt), partial(function, torch), *arrays,
        dtype=dtype, device=device, order=order if dtype == "float64" else min(order, 1),
    )  # fmt: skip


SPECIAL = ["copysign", "xlogy", "logaddexp", "logaddexp2", "fmod", "hypot", "lerp", "addcdiv"]


@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name: str, device: Any, served: str) -> None:
    a, b = (np.ascontiguousarray(g).reshape(-1) for g in np.meshgrid(ODD, ODD))
    function = {
        "lerp": lambda m, a, b: m.lerp(a, b, 0.25),
        "addcdiv": lambda m, a, b: m.addcdiv(a, a, b),
    }.get(name, lambda m, a, b: getattr(m, name)(a, b))
    if name == "fmod":  # the remainder by infinity is the devices' own affair
        keep = np.isfinite(a) & np.isfinite(b)
        a, b = a[keep], b[keep]
    if name == "hypot":  # NaN and infinity together
        keep = ~np.isnan(a) & ~np.isnan(b)
        a, b = a[keep], b[keep]
    beside_torch(
        partial(function, dt), partial(function, torch), a, b,
        dtype="float64", device=device, order=0,
    )  # fmt: skip


IN_PLACE = {
    "lerp_": lambda a, b: a.lerp_(b, 0.25),
    "addcmul_": lambda a, b: a.addcmul_(b, b, value=2),
    "addcdiv_": lambda a, b: a.addcdiv_(b, b + 5),
    "fmod_": lambda a, b: a.fmod_(b),
    "hypot_": lambda a, b: a.hypot_(b),
    "copysign_": lambda a, b: a.copysign_(b),
    "xlogy_": lambda a, b: a.xlogy_(b.abs()),
    "nan_to_num_": lambda a, b: a.nan_to_num_(),
    "deg2rad_": lambda a, b: a.deg2rad_(),
    "div_": lambda a, b: a.div_(b),
    "div_ floor": lambda a, b: a.div_(b, rounding_mode="floor"),
}


FLAT: dict[str, Any] = {
    "sign": lambda m, a: a.sign(),
    "floor": lambda m, a: a.floor(),
    "ceil": lambda m, a: a.ceil(),
    "trunc": lambda m, a: a.trunc(),
    "round": lambda m, a: a.round(),
    "pow 0": lambda m, a: a.pow(0),
    "div floor": lambda m, a: m.div(a, a + 1, rounding_mode="floor"),
    "div trunc": lambda m, a: m.div(a, a + 1, rounding_mode="trunc"),
    "copysign": lambda m, a: m.copysign(m.ones_like(a), a),
}


@pytest.mark.parametrize("name", FLAT)
def test_what_is_flat_gives_0_for_any_gradient(name: str, device: Any) -> None:
    given = np.array([0.0, 1.5, 2.5, -3.5])
    back = np.array([nan, inf, -inf, 1.0])
    a, b = dt.tensor(given, device=device, requires_grad=True), torch.tensor(given)
    b.requires_grad_()
    FLAT[name](dt, a).backward(dt.tensor(back, device=device))
    FLAT[name](torch, b).backward(torch.tensor(back))
    np.testing.assert_array_equal(a.grad.cpu().numpy(), b.grad.numpy())
    assert not b.grad.any()


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name: str, device: Any, served: str) -> None:
    start, other = x(3, 4), x(4)

    def run(lib: Any, a: Any, b: Any) -> Any:
        view = (a * 1)[:, ::2]
        assert IN_PLACE[name](view, b[:2]) is view
        return view

    beside_torch(
        partial(run, dt), partial(run, torch), start, other, dtype="float64", device=device, order=1
    )


def test_questions(device: Any) -> None:
    a = dt.tensor([1.0, 2.0], device=device)
    assert dt.is_tensor(a)
    assert not dt.is_tensor([1.0])
    assert dt.is_floating_point(a)
    assert not dt.is_floating_point(a.int())
    assert dt.is_complex(a.to(dt.complex64))
    assert not dt.is_complex(a)
    assert dt.numel(a) == 2
    assert dt.equal(a, a.clone())
    assert dt.equal(a, a.double())
    assert not dt.equal(a, a[:1])
    assert not a.equal(a + 1)
    assert not dt.equal(a * nan, a * nan)
    assert dt.allclose(a, a + 1e-7)
    assert not a.allclose(a + 1)
    assert dt.allclose(a * nan, a * nan, equal_nan=True)
    assert dt.is_nonzero(a[0])
    assert not a[:1].zero_().is_nonzero()
    assert a.is_same_size(a + 1)


def test_isin_of_many(device: Any) -> None:
    a, b = RNG.integers(0, 5000, 2000), RNG.integers(0, 5000, 1000)
    mine = dt.isin(dt.tensor(a, device=device), dt.tensor(b, device=device))
    assert mine.tolist() == np.isin(a, b).tolist()


ERRORS: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "isclose dtypes": (lambda m, a: m.isclose(a, a.double()), (x(2),)),
    "isclose sizes": (lambda m, a, b: m.isclose(a, b), (x(2), x(3))),
    "isclose rtol": (lambda m, a: m.isclose(a, a, rtol=-1), (x(2),)),
    "equal": (lambda m, a: m.equal(a, 1), (x(2),)),
    "is_nonzero": (lambda m, a: m.is_nonzero(a), (x(2),)),
    "is_nonzero of nothing": (lambda m, a: m.is_nonzero(a), (x(0),)),
    "lerp dtypes": (lambda m, a: m.lerp(a, a.double(), 0.5), (x(2),)),
    "lerp weight": (lambda m, a: m.lerp(a, a, a.double()), (x(2),)),
    "addcdiv": (lambda m, a: m.addcdiv(a, a, a), (i(1, 2),)),
    "fmod": (lambda m, a: m.fmod(a, 0), (i(1, 2),)),
    "div trunc": (lambda m, a: m.div(a, 0, rounding_mode="trunc"), (i(1, 2),)),
    "rounding_mode": (lambda m, a: m.div(a, a, rounding_mode="foo"), (x(2),)),
    "heaviside": (lambda m, a: m.heaviside(a, a.double()), (x(2),)),
    "rsub": (lambda m, a: m.rsub(a, a), (np.ones(2, bool),)),
    "isposinf": (lambda m, a: m.isposinf(a), (np.array([1j]),)),
    "dist": (lambda m, a, b: m.dist(a, b), (x(2), x(3))),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str, device: Any) -> None:
    function, arrays = ERRORS[name]
    both_raise(function, *arrays, device=device, text=name != "addcdiv")


@pytest.mark.parametrize("name", ["hypot", "logaddexp", "lerp", "signbit"])
def test_refused_dtypes(name: str, device: Any) -> None:
    a = dt.ones(2, dtype=dt.complex64 if name == "signbit" else dt.int64, device=device)
    arguments = {"lerp": (a, a, 0.5), "signbit": (a,)}.get(name, (a, a))
    with pytest.raises(NotImplementedError):
        getattr(dt, name)(*arguments)
