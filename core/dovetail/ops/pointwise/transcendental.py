"""Exponentials, logarithms, roots, trigonometry and rounding, elementwise on floats."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dovetail.dtypes as d
from dovetail.ops.families import elementwise, level, pairs, same, to_float, uniform
from dovetail.ops.pointwise.hyperbolic import (
    complex_acos,
    complex_asin,
    complex_atan,
    cosh_of,
    sinh_of,
)

__all__ = [
    "erf_reference",
]

inf, nan = float("inf"), float("nan")
SPECIAL = (0.0, -0.0, 1.0, -1.0, inf, -inf, nan)
REAL = (*d.FLOATING, *d.INTEGRAL, d.bool_)


def _conj(x: Any) -> Any:
    return x.conj() if x._spec.dtype.is_complex else x


def erf_reference(x: NDArray[Any]) -> NDArray[Any]:
    """The error function from the standard library, value by value."""
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def _float(name: str, **fields: Any) -> None:
    fields.setdefault("rule", to_float)
    fields.setdefault("special", SPECIAL)
    elementwise(name, **fields)


# exp and log

_float(
    "exp",
    gradient=lambda g, out: g * _conj(out),
    reference=np.exp,
    samples=uniform(-10, 10),
    ulp=4,
    required=True,
    doc="e to the power of ``input``.",
)
_float(
    "expm1",
    gradient=lambda g, out: g * _conj(out + 1),
    reference=np.expm1,
    samples=uniform(-4, 4),
    required=True,
    doc="``exp(input) - 1``, accurate near 0.",
)
_float(
    "log",
    gradient=lambda g, input: g / _conj(input),
    reference=np.log,
    samples=uniform(0.1, 10),
    required=True,
    doc="Natural logarithm.",
)
_float(
    "log1p",
    gradient=lambda g, input: g / _conj(input + 1),
    reference=np.log1p,
    samples=uniform(-0.5, 10),
    required=True,
    doc="``log(1 + input)``, accurate near 0.",
)
_float(
    "exp2",
    gradient=lambda g, out: g * (_conj(out) * math.log(2)),
    decompose=lambda input: (input * math.log(2)).exp(),
    compute=d.float32,
    reference=np.exp2,
    samples=uniform(-5, 5),
    ulp=32,
    doc="2 to the power of ``input``.",
)
_float(
    "log2",
    gradient=lambda g, input: g / (_conj(input) * math.log(2)),
    decompose=lambda input: input.log() * (1 / math.log(2)),
    compute=d.float32,
    reference=np.log2,
    samples=uniform(0.1, 10),
    ulp=16,
    doc="Logarithm to base 2.",
)
_float(
    "log10",
    gradient=lambda g, input: g / (_conj(input) * math.log(10)),
    decompose=lambda input: input.log() * (1 / math.log(10)),
    compute=d.float32,
    reference=np.log10,
    samples=uniform(0.1, 10),
    ulp=16,
    doc="Logarithm to base 10.",
)

# roots

_float(
    "sqrt",
    gradient=lambda g, out: g / (_conj(out) * 2),
    reference=np.sqrt,
    samples=uniform(0.1, 10),
    ulp=1,
    required=True,
    doc="Square root.",
)
_float(
    "rsqrt",
    gradient=lambda g, out: g * (_conj(out * out * out) * -0.5),
    decompose=lambda input: 1.0 / input.sqrt(),
    reference=lambda x: 1 / np.sqrt(x),
    samples=uniform(0.1, 10),
    doc="``1 / sqrt(input)``.",
)

# trigonometry

tanh_backward: Any = elementwise(
    "tanh_backward",
    inputs=("grad_output", "output"),
    gradient={
        "grad_output": lambda g, output: tanh_backward(g, output),
        "output": lambda g, grad_output, output: g * (grad_output * output * -2),
    },
    complex_gradient={
        "grad_output": lambda g, output: g * (1 - output * output),
        "output": lambda g, grad_output, output: _conj(g) * grad_output * output.conj() * -2,
    },
    decompose=lambda grad_output, output: grad_output * _conj(1 - output * output),
    reference=lambda g, y: g * np.conj(1 - y * y),
    samples=pairs(-1, 1, -0.9, 0.9),
    accepts=(*d.FLOATING, *d.COMPLEX),
    ulp=16,
    method=False,
    public=False,
    inplace=False,
    doc="The gradient of tanh, from its output.",
).function

_float(
    "sin",
    gradient=lambda g, input: g * _conj(input.cos()),
    reference=np.sin,
    samples=uniform(-6, 6),
    required=True,
    doc="Sine, ``input`` in radians.",
)
_float(
    "cos",
    gradient=lambda g, input: -g * _conj(input.sin()),
    reference=np.cos,
    samples=uniform(-6, 6),
    required=True,
    doc="Cosine, ``input`` in radians.",
)
_float(
    "tanh",
    gradient=lambda g, out: tanh_backward(g, out),
    reference=np.tanh,
    samples=uniform(-4, 4),
    required=True,
    doc="Hyperbolic tangent.",
)
_float(
    "tan",
    gradient=lambda g, out: g * _conj(1 + out * out),
    decompose=lambda input: input.sin() / input.cos(),
    compute=d.float32,
    reference=np.tan,
    samples=uniform(-1.3, 1.3),
    ulp=16,
    special=(0.0, -0.0, nan),
    doc="Tangent, ``input`` in radians.",
)
_float(
    "sinh",
    gradient=lambda g, input: g * _conj(input.cosh()),
    decompose=sinh_of,
    compute=d.float32,
    reference=np.sinh,
    samples=uniform(-4, 4),
    ulp=16,
    special=(0.0, -0.0, 19.0, 21.0, -88.75, inf, -inf, nan),
    doc="Hyperbolic sine.",
)
_float(
    "cosh",
    gradient=lambda g, input: g * _conj(input.sinh()),
    decompose=cosh_of,
    compute=d.float32,
    reference=np.cosh,
    samples=uniform(-4, 4),
    ulp=16,
    special=(0.0, 19.0, -88.75, inf, -inf, nan),
    doc="Hyperbolic cosine.",
)
_float(
    "atan",
    gradient=lambda g, input: g / _conj(input * input + 1),
    decompose=lambda input: complex_atan(input) if input.dtype.is_complex else input.atan2(1),
    reference=np.arctan,
    samples=uniform(-4, 4),
    doc="Arc tangent, in radians.",
    aliases=("arctan",),
)
_float(
    "asin",
    gradient=lambda g, input: g * _conj((1 - input * input).rsqrt()),
    decompose=lambda input: (
        complex_asin(input)
        if input.dtype.is_complex
        else input.atan2(((1 - input) * (1 + input)).sqrt())
    ),
    reference=np.arcsin,
    samples=uniform(-0.9, 0.9),
    special=(0.0, -0.0, 1.0, -1.0, nan),
    ulp=16,
    doc="Arc sine, in radians.",
    aliases=("arcsin",),
)
_float(
    "acos",
    gradient=lambda g, input: -g * _conj((1 - input * input).rsqrt()),
    decompose=lambda input: (
        complex_acos(input)
        if input.dtype.is_complex
        else ((1 - input) * (1 + input)).sqrt().atan2(input)
    ),
    reference=np.arccos,
    samples=uniform(-0.9, 0.9),
    special=(0.0, -0.0, 1.0, -1.0, nan),
    ulp=16,
    doc="Arc cosine, in radians.",
    aliases=("arccos",),
)
_float(
    "erf",
    accepts=REAL,
    gradient=lambda g, input: g * ((-input * input).exp() * (2 / math.sqrt(math.pi))),
    reference=erf_reference,
    samples=uniform(-3, 3),
    ulp=8,
    required=True,
    doc="The error function.",
)

# rounding

_ROUNDED = (
    0.0, -0.0, 0.5, 1.5, 2.5, -0.5, inf, -inf, nan,
    1 - 2.0**-13, 1 + 2.0**-13, 2.5 + 2.0**-12, 1 - 2.0**-30, 1 + 2.0**-30, 0.5 + 2.0**-30,
)  # fmt: skip
"""Ties, and numbers beside whole ones and ties that a narrower dtype would round to them."""

for _name, _reference, _doc in (
    ("floor", np.floor, "The largest whole number not above ``input``."),
    ("round", np.round, "The nearest whole number; halves go to the even one."),
):
    elementwise(
        _name,
        rule=same,
        accepts=(*d.INTEGRAL, *d.FLOATING),
        gradient=level,
        reference=_reference,
        samples=uniform(-5, 5),
        special=_ROUNDED,
        ulp=0,
        required=True,
        doc=_doc,
    )
elementwise(
    "ceil",
    accepts=(*d.INTEGRAL, *d.FLOATING),
    gradient=level,
    decompose=lambda input: -((-input).floor()),
    reference=np.ceil,
    samples=uniform(-5, 5),
    special=tuple(x for x in _ROUNDED if x or str(x) == "0.0"),
    ulp=0,
    doc="The smallest whole number not below ``input``.",
)
elementwise(
    "trunc",
    accepts=(*d.INTEGRAL, *d.FLOATING),
    gradient=level,
    decompose=lambda input: input.sign() * input.abs().floor(),
    reference=np.trunc,
    samples=uniform(-5, 5),
    special=(0.0, *(x for x in _ROUNDED if x > 0 and x < inf)),
    ulp=0,
    doc="``input`` without its fraction.",
    aliases=("fix",),
)
elementwise(
    "frac",
    accepts=d.FLOATING,
    gradient=lambda g: g,
    decompose=lambda input: input - input.trunc(),
    reference=lambda x: x - np.trunc(x),
    samples=uniform(-5, 5),
    doc="The fraction of ``input``, with its sign.",
)
