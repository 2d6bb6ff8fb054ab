"""Logarithms with a factor: logit, entr, xlog1py; and sinc."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.dispatch import call
from dovetail.ops.expose import operator
from dovetail.ops.families import (
    PAIRS,
    SHAPES,
    draw,
    elementwise,
    elementwise_infer,
    to_float,
    uniform,
)
from dovetail.ops.linear_algebra.operands import conj
from dovetail.ops.pointwise.approximations import (
    REAL,
    horner,
    sin_pi,
    special_function,
    valuewise,
    where,
)
from dovetail.ops.schema import OpDef, Sample, Tolerance
from dovetail.tensor import Tensor

__all__ = ["logit"]

inf, nan = math.inf, math.nan


# logit


def _logit(input: Any, eps: float | None) -> Any:
    if eps is not None:
        input = input.maximum(eps).minimum(1.0 - eps)
    return (input / (1.0 - input)).log()


def _logit_gradient(g: Any, input: Any, eps: float | None) -> Any:
    low, high, outside = (0.0, 1.0, nan) if eps is None else (eps, 1.0 - eps, 0.0)
    inside = input.ge(low) & input.le(high)
    kept = where(inside, input, 0.5)
    return where(inside, g / (kept * (1.0 - kept)), outside)


def _logit_reference(x: Any, eps: float | None = None) -> Any:
    if eps is not None:
        x = np.minimum(np.maximum(x, eps), 1 - eps)
    return np.log(x) - np.log1p(-x)


def _logit_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = [Sample((draw(rng, shape, dtype, 0.05, 0.95),)) for shape in SHAPES]
    clamped = draw(rng, (3, 5), dtype, -0.5, 1.5)
    edge = np.array([0.125, 0.875, 0.0625, 0.9375, 0.5]).astype(dtype.numpy)
    return [
        *made,
        Sample((clamped, 0.125), name="eps"),
        Sample((edge,), {"eps": 0.125}, name="at the bounds"),
    ]


LOGIT = OpDef(
    "logit",
    kind="elementwise",
    attributes=("eps",),
    infer=lambda spec, **_: elementwise_infer("logit", to_float)(spec),
    accepts=REAL,
    decompose=_logit,
    compute=d.float32,
    gradient={"input": _logit_gradient},
    reference=_logit_reference,
    samples=_logit_samples,
    special=(0.25, 0.5, 0.0, 1.0, -0.5, 1.5, inf, -inf, nan),
    tolerance=Tolerance(16, against="inputs"),  # the quotient's rounding, near 0.5
    inplace=True,
)


@operator(LOGIT, out=True)
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """``log(input / (1 - input))``; with ``eps``, of ``input`` bounded to [eps, 1 - eps]."""
    return call(LOGIT, (input,), (None if eps is None else float(eps),))


# entr, xlog1py


def _entr(x: Any) -> Any:
    inside = x.gt(0)
    return where(
        inside, -x * where(inside, x, 1.0).log(), where(x.eq(0), 0.0, where(x.lt(0), -inf, x))
    )


special_function(
    "entr",
    _entr,
    gradient=lambda g, input: g * (-1.0 - input.log()),
    reference=lambda x: np.where(x > 0, -x * np.log(np.where(x > 0, x, 1)),
                                 np.where(x == 0, 0.0, np.where(x < 0, -inf, nan))),
    samples=uniform(0.05, 4),
    special=(0.0, -0.0, 1.0, 0.5, 3.0, -1.0, inf, -inf, nan),
    doc="``-input * log(input)``: 0 at 0, minus infinity below.",
)  # fmt: skip


def _log1p_of(number: float) -> float:
    return math.log1p(number) if number > -1 else -inf if number == -1 else nan


def _xlog1py(input: Any, other: Any) -> Any:
    log = other.log1p() if isinstance(other, Tensor) else _log1p_of(other)
    if isinstance(input, Tensor):
        product = where(input.eq(0), 0.0, input * log)
    else:
        product = log.new_zeros(()) if input == 0 else log * input
    if isinstance(other, Tensor):
        return where(other.isnan(), nan, product)
    return where(input.isnan(), nan, product) if other == other else input * nan


def _xlog1py_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = [Sample((draw(rng, a, dtype, 0, 4), draw(rng, b, dtype, 0.5, 4))) for a, b in PAIRS]
    some = draw(rng, (5,), dtype, 0, 2)
    zeros = np.zeros(3).astype(dtype.numpy)
    return [
        *made,
        Sample((some, 2.5)),
        Sample((some, nan)),
        Sample((1.5, some)),
        Sample((1.0, some)),
        Sample((0.0, some)),
        Sample((zeros, np.array([-0.5, 0, 2]).astype(dtype.numpy)), name="zeros"),
    ]


special_function(
    "xlog1py",
    _xlog1py,
    inputs=("input", "other"),
    gradient={
        "input": lambda g, input, other: _xlog1py(g, other).masked_fill(
            (input == 0) & (other <= -1), 0.0
        ),
        "other": lambda g, input, other: g * (input / (other + 1)),
    },
    reference=lambda x, y: np.where(
        np.isnan(y), nan, np.where(x == 0, 0.0, x * np.log1p(np.where(x == 0, 1, y)))
    ),
    samples=_xlog1py_samples,
    special=(0.0, 1.0, -1.0, -0.5, -2.0, 3.0, inf, -inf, nan),
    doc="``input * log1p(other)``, 0 where ``input`` is 0 and NaN where ``other`` is.",
)

# sinc

_SERIES = tuple((-1) ** k * 2 * k / math.factorial(2 * k + 1) for k in range(9, 0, -1))
"""The derivative of ``sin(t) / t`` over ``t``, in powers of ``t * t``."""


def _sinc(input: Any) -> Any:
    is_zero = input.eq(0)
    turned = where(is_zero, 1.0, input) * math.pi
    sine = turned.sin() if input._spec.dtype.is_complex else sin_pi(input)
    return where(is_zero, 1.0, sine / turned)


def _sinc_value(x: float) -> float:
    if math.isinf(x):
        return nan
    turns = round(x)
    sine = math.sin(math.pi * (x - turns)) * (-1) ** (turns % 2)
    return sine / (math.pi * x) if x else 1.0


def _sinc_reference(x: Any) -> Any:
    return np.sinc(x) if np.iscomplexobj(x) else valuewise(_sinc_value)(x)


def _sinc_gradient(g: Any, input: Any) -> Any:
    """By the series near 0, where the two terms of the quotient cancel."""
    near = input.abs().lt(0.25)
    t = where(near, input, 0.0) * math.pi
    far = where(near, 1.0, input) * math.pi
    series = t * horner(t * t, _SERIES)
    return g * conj(where(near, series, (far * far.cos() - far.sin()) / (far * far)) * math.pi)


elementwise(
    "sinc",
    rule=to_float,
    decompose=_sinc,
    compute=d.float32,
    gradient=_sinc_gradient,
    reference=_sinc_reference,
    samples=lambda rng, dtype: [
        *uniform(-3, 3)(rng, dtype),
        Sample((np.array([0, -1e-3, 0.2, 0.25, 0.3, 0]).astype(dtype.numpy),), name="near 0"),
    ],
    special=(0.0, -0.0, 0.5, -0.25, 1e-9, 2.5, nan),
    ulp=16,
    doc="``sin(pi * input) / (pi * input)``, 1 at 0.",
)
