"""The functions for results kept as halves, on the host's cores: all 65,536 arguments of each type.

Each is computed in float with a relative error of 2^-16.5 or less, so that a result is off by
little more than the half unit in the last place that its rounding takes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

import dovetail as dt
from dovetail.backend import EXPRESSIONS, elementwise_source
from dovetail.backend.source import DENSE
from dovetail.dtypes import float16, float32, float64
from dovetail_kernels import mathematics
from dovetail_kernels.dialect import CPU

torch = pytest.importorskip("torch", reason="its functions in float64 are the reference")

ULP = {"float16": 0.53, "bfloat16": 0.505}
"""The largest error in units of the result's last place."""

UNARY: dict[str, Callable[[Any], Any]] = {
    name: getattr(torch, name)
    for name in (
        "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "tanh",
        "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh", "erf", "erfc", "sigmoid",
    )
}  # fmt: skip
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "silu": lambda x: x * torch.sigmoid(x),
    "softplus": lambda x: torch.where(x > 20, x, torch.logaddexp(x, torch.zeros_like(x))),
    "logsigmoid": lambda x: -torch.logaddexp(-x, torch.zeros_like(x)),
    "elu": lambda x: torch.where(x > 0, x, torch.expm1(x)),
    "gelu": lambda x: x * torch.special.erfc(-x * 0.5**0.5) / 2,
    "gelu_tanh": lambda x: x * torch.sigmoid(2 * (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)),
    "mish": lambda x: x * torch.tanh(torch.logaddexp(x, torch.zeros_like(x))),
}
OURS: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(dt, name) for name in UNARY},
    **{name: getattr(dt.nn.functional, name) for name in ACTIVATIONS if name != "gelu_tanh"},
    "gelu_tanh": functools.partial(dt.nn.functional.gelu, approximate="tanh"),
}
SLOPES = ("gelu", "gelu_tanh", "mish", "silu")
"""Sums whose terms cancel where they are 0: there their errors are those of the terms."""


def every(dtype: str) -> Any:
    """All numbers of a dtype."""
    return torch.arange(-(1 << 15), 1 << 15, dtype=torch.int16).view(getattr(torch, dtype))


def brought(x: Any, device: dt.device) -> Any:
    """A tensor of PyTorch's on the device, bit by bit."""
    kind = getattr(dt, str(x.dtype).rpartition(".")[2])
    return dt.tensor(x.view(torch.int16).numpy(), device=device).view(kind)


def back(y: Any, kind: Any) -> Any:
    """A tensor of ours as one of PyTorch's in float64."""
    return torch.from_numpy(y.view(dt.int16).cpu().numpy()).view(kind).double()


def errors(got: Any, wanted: Any, kind: Any, less: float = 0.0) -> Any:
    """Units in the last place; infinite where one is NaN or infinite and the other is not.

    ``less``: what an error may be anyway.
    """
    facts = torch.finfo(kind)
    unit = 2.0 ** wanted.abs().clamp(facts.smallest_normal, facts.max).log2().floor() * facts.eps
    error = ((got - wanted).abs() - less) / unit
    # From half a unit beyond the largest number on it is infinite.
    over = wanted.isfinite() & (wanted.abs() >= facts.max * (1 - facts.eps))
    same = (got == wanted) | (got.isnan() & wanted.isnan()) | over & (got.abs() >= facts.max)
    return torch.where(same, 0.0, torch.where(error.isnan(), torch.inf, error))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", sorted(UNARY | ACTIVATIONS))
def test_every_argument(name: str, dtype: str, opencl: dt.device, queue: Any) -> None:
    if not queue.is_cpu:
        pytest.skip("a GPU's own functions are used")
    x = every(dtype)
    got = back(OURS[name](brought(x, opencl)), x.dtype)
    wanted = (UNARY | ACTIVATIONS)[name](x.double())
    checked = torch.ones_like(x, dtype=torch.bool)
    if name in ("silu", "gelu", "gelu_tanh", "mish"):  # 0 times infinity in the formula
        checked = ~x.isinf()
    if name in ("silu", "sigmoid", "mish"):  # exp(-x) is infinite in float, as it is in PyTorch's
        checked &= (x >= -88) | x.isnan()
    if name in ("gelu", "gelu_tanh"):  # what float rounds of the exponential's argument counts
        checked &= (x >= -4) | (x < -20) | x.isnan()
    error = errors(got, wanted, x.dtype).where(checked, 0)
    worst = int(error.argmax())
    assert error[worst] <= ULP[dtype], (x[worst], got[worst], wanted[worst], error[worst])
    zeros = checked & (wanted == 0) & (got == 0)
    assert (got.signbit() == wanted.signbit())[zeros].all(), "the sign of a zero"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", SLOPES)
def test_slopes(name: str, dtype: str, opencl: dt.device, queue: Any) -> None:
    if not queue.is_cpu:
        pytest.skip("a GPU's own functions are used")
    x = every(dtype)
    x = x[x.abs() < 50]
    ours, theirs = brought(x, opencl).requires_grad_(), x.double().requires_grad_()
    OURS[name](ours).sum().backward()
    ACTIVATIONS[name](theirs).sum().backward()
    assert theirs.grad is not None
    got = back(ours.grad, x.dtype)
    error = errors(got, theirs.grad, x.dtype, less=4e-6)
    worst = int(error.argmax())
    assert error[worst] <= ULP[dtype], (x[worst], got[worst], theirs.grad[worst], error[worst])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["pow", "atan2"])
def test_pairs(name: str, dtype: str, opencl: dt.device, queue: Any) -> None:
    if not queue.is_cpu:
        pytest.skip("a GPU's own functions are used")
    torch.manual_seed(0)
    x = every(dtype)
    x = torch.cat([x[torch.randperm(x.numel())] for _ in range(4)])
    y = every(dtype)
    small = torch.randn(y.numel()).to(y.dtype)
    y = torch.cat([y[torch.randperm(y.numel())], small * 3, small.round(), small * 0 + 1.7])
    got = back(getattr(dt, name)(brought(x, opencl), brought(y, opencl)), x.dtype)
    wanted = getattr(torch, name)(x.double(), y.double())
    error = errors(got, wanted, x.dtype)
    worst = int(error.argmax())
    assert error[worst] <= 0.6, (x[worst], y[worst], got[worst], wanted[worst], error[worst])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["exp", "log", "sin", "asinh", "pow"])
def test_vectors_end_where_the_elements_do(name: str, dtype: str, opencl: dt.device) -> None:
    kind = getattr(dt, dtype)
    x = torch.rand(7, 21).to(getattr(torch, dtype)) + 1
    whole = brought(x, opencl)
    for view, theirs in ((whole[1:, 3:], x[1:, 3:]), (whole[:, ::2], x[:, ::2])):
        if name == "pow":
            got, wanted = view**1.7, theirs.double() ** 1.7
        else:
            got, wanted = getattr(dt, name)(view), getattr(torch, name)(theirs.double())
        assert got.dtype is kind
        torch.testing.assert_close(
            torch.from_numpy(got.cpu().double().numpy()), wanted, rtol=5e-3, atol=1e-4
        )


def test_only_halves_have_them() -> None:
    exp = EXPRESSIONS["exp"]
    short, long = mathematics.named("exp", 16, "half"), mathematics.named("exp", 16)
    text = elementwise_source("exp", (float16,), float16, DENSE[2], CPU, exp)
    assert f"{short}(" in text
    assert f"{long}(" not in text
    text = elementwise_source("exp", (float32,), float32, DENSE[2], CPU, exp)
    assert f"{short}(" not in text
    assert f"{long}(" in text
    text = elementwise_source("exp", (float64,), float16, DENSE[2], CPU, exp)
    assert mathematics.named("exp", 1, "double") in text
    assert "exp_half" not in text
