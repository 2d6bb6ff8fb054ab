"""Activations beside PyTorch: values, gradients (kinks included), second gradients, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beside_torch import beside_torch, torch, values

import dovetail as dt
from dovetail import ops

pytestmark = pytest.mark.usefixtures("served")  # by our kernels, and by decompositions

F = torch.nn.functional
RNG = np.random.default_rng(0)
KINKS = np.array([-3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 6.0])
PLAIN = RNG.uniform(-4, 4, (3, 5))

CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "relu": (F.relu, ()),
    "relu6": (F.relu6, ()),
    "threshold": (F.threshold, (0.5, -2.0)),
    "hardtanh": (F.hardtanh, (-1.0, 2.0)),
    "leaky_relu": (F.leaky_relu, (0.2,)),
    "elu": (F.elu, (0.7,)),
    "selu": (F.selu, ()),
    "celu": (F.celu, (0.6,)),
    "sigmoid": (torch.sigmoid, ()),
    "silu": (F.silu, ()),
    "mish": (F.mish, ()),
    "logsigmoid": (F.logsigmoid, ()),
    "softplus": (F.softplus, (2.0, 3.0)),
    "hardswish": (F.hardswish, ()),
    "hardsigmoid": (F.hardsigmoid, ()),
    "hardshrink": (F.hardshrink, (0.5,)),
    "softshrink": (F.softshrink, (0.5,)),
    "softsign": (F.softsign, ()),
    "gelu": (F.gelu, ()),
}

ROUNDED = {"celu": 1e-7, "hardsigmoid": 1e-7}
"""PyTorch's float64 gradients of these use constants rounded to float32."""


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str, dtype: str, device: Any) -> None:
    other, rest = CASES[name]
    mine = getattr(ops, name)
    first_only = dtype == "bfloat16" or name == "hardsigmoid"  # PyTorch has no second one there
    for array in (KINKS, PLAIN, PLAIN[1, 2], np.empty((0, 3))):
        beside_torch(
            mine,
            other,
            np.asarray(array),
            *rest,
            dtype=dtype,
            device=device,
            order=1 if first_only else 2,
            tolerance=ROUNDED.get(name) if dtype == "float64" else None,
        )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gelu_by_tanh(dtype: str, device: Any) -> None:
    beside_torch(
        lambda x: ops.gelu(x, approximate="tanh"),
        lambda x: F.gelu(x, approximate="tanh"),
        PLAIN,
        dtype=dtype,
        device=device,
    )


@pytest.mark.parametrize("name", CASES)
def test_special_values(name: str, device: Any) -> None:
    other, rest = CASES[name]
    special = np.array([np.nan, np.inf, -np.inf, 40.0, -40.0, 100.0, -100.0], np.float32)
    if name in ("gelu", "softsign"):  # at infinity PyTorch's results depend on the vector unit
        special = special[np.isfinite(special)]
    mine = values(getattr(ops, name)(dt.tensor(special, device=device), *rest))
    want = values(other(torch.from_numpy(special), *rest))
    np.testing.assert_allclose(mine, want, rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize("name", ["relu", "relu6", "hardtanh", "threshold"])
def test_whole_numbers(name: str, device: Any) -> None:
    other, rest = CASES[name]
    rest = tuple(int(r) for r in rest)
    array = np.array([-9, -1, 0, 1, 9])
    mine = getattr(ops, name)(dt.tensor(array, device=device), *rest)
    want = other(torch.from_numpy(array), *rest)
    assert mine.dtype is dt.int64
    np.testing.assert_array_equal(values(mine), values(want))


def test_prelu_and_glu(device: Any) -> None:
    for shape, weight in (((4, 3), 3), ((2, 3, 4), 3), ((2, 3, 4), 1), ((5,), 1)):
        x, w = RNG.uniform(-2, 2, shape), RNG.uniform(-1, 1, weight)
        beside_torch(ops.prelu, F.prelu, x, w, dtype="float64", device=device)
    for shape, dim in (((4, 6), -1), ((2, 4, 3), 1)):
        beside_torch(ops.glu, F.glu, RNG.uniform(-2, 2, shape), dim, dtype="float64", device=device)


def test_in_place(device: Any) -> None:
    for name in ("relu", "elu", "leaky_relu", "silu", "selu", "sigmoid", "hardtanh"):
        start = dt.tensor(PLAIN, device=device, requires_grad=True)
        x = start * 1
        result = getattr(ops, name + "_")(x)
        assert result is x
        (g,) = dt.autograd.grad(x, start, dt.ones_like(x))
        y = torch.tensor(PLAIN, requires_grad=True)
        z = getattr(torch, name, None) or getattr(F, name)
        (h,) = torch.autograd.grad(z(y), y, torch.ones_like(y))
        np.testing.assert_allclose(values(g), values(h), rtol=1e-12)


ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda x: ops.gelu(x.long()), NotImplementedError, "\"gelu\" not implemented for 'Long'"),
    (lambda x: ops.relu(x > 0), RuntimeError, "relu"),
    (lambda x: ops.gelu(x, approximate="erf"), RuntimeError, "must be either none or tanh"),
    (lambda x: ops.softshrink(x, -1), RuntimeError, "greater or equal to 0, but found to be -1"),
    (
        lambda x: ops.glu(x),
        RuntimeError,
        "Halving dimension must be even, but dimension 1 is size 5",
    ),
    (
        lambda x: ops.prelu(x, dt.ones(4, dtype=dt.float64)),
        RuntimeError,
        "Mismatch of parameter numbers",
    ),
    (lambda x: ops.celu(x, 0.0), RuntimeError, "alpha cannot be 0"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS)
def test_errors(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text.replace("(", r"\(")):
        call(dt.tensor(PLAIN))


@pytest.mark.parametrize("name", ["relu", "sigmoid", "silu", "gelu", "elu", "leaky_relu"])
def test_layouts_and_sizes(name: str, device: Any) -> None:
    """Several blocks, a tail, and operands that are not dense row by row."""
    other, rest = CASES[name]
    mine = getattr(ops, name)
    layouts = [
        lambda x: x,
        lambda x: x.t(),
        lambda x: x[:, ::2],
        lambda x: x[0].expand(5, -1),
        lambda x: x[:, :60].reshape(3, 4, 3, 5).permute(0, 3, 1, 2),
    ]
    array = RNG.uniform(-4, 4, (3, 30_001))
    for layout in layouts:
        beside_torch(
            lambda x, f=layout: mine(f(x), *rest),
            lambda x, f=layout: other(f(x), *rest),
            array,
            device=device,
            order=1,
        )
