"""The parts of floating numbers: mantissa and exponent, and the neighbour in a direction.

Both work on the bits, seen as integers: exact for every number, subnormal ones among them, whatever
a device's arithmetic does with those.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

import dovetail.dtypes as d
from dovetail.dispatch import call
from dovetail.ops.expose import attach
from dovetail.ops.families import SHAPES, draw, elementwise, pairs
from dovetail.ops.out import finish
from dovetail.ops.pointwise.approximations import where
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["frexp"]

inf, nan = math.inf, math.nan


class _Format(NamedTuple):
    """Where the parts of a number are in its bits."""

    whole: Any
    mantissa: int
    bias: int


_FORMATS = {
    d.float64: _Format(d.int64, 52, 1023),
    d.float32: _Format(d.int32, 23, 127),
    d.bfloat16: _Format(d.int16, 7, 127),
    d.float16: _Format(d.int16, 10, 15),
}


# nextafter


def _nextafter(input: Any, other: Any) -> Any:
    """One more or one less in the bits, which are in the order of the sizes."""
    kind = input._spec.dtype
    whole = _FORMATS[kind].whole
    bits = input.contiguous().view(whole)
    lowest = d.iinfo(whole).min  # the sign bit alone: minus zero
    grows = input.lt(other) ^ input.lt(0)
    moved = where(grows, bits + 1, bits - 1)
    least = where(other.lt(0), lowest + 1, 1).to(whole)
    made = where(input.eq(0), least, moved).view(kind)
    return where(input.isnan(), input, where(input.eq(other) | other.isnan(), other, made))


elementwise(
    "nextafter",
    inputs=("input", "other"),
    tensors_only=True,
    accepts=d.FLOATING,
    decompose=_nextafter,
    gradient={
        "input": lambda g, input, other: where(input.eq(other), 0.0, g),
        "other": lambda g: g.new_zeros(g.shape),
    },
    samples=pairs(-3, 3),
    special=(0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1.7976931348623157e308, inf, -inf, nan),
    reference=np.nextafter,
    doc="The number next to ``input`` in the direction of ``other``.",
)


# frexp


def _frexp(input: Any) -> tuple[Any, Any]:
    kind = input._spec.dtype
    form = _FORMATS[kind]
    scale = 2.0 ** (form.mantissa + 1)  # makes the smallest numbers normal
    is_plain = input.abs().lt(inf) & input.ne(0)
    smallest = 2.0 ** (1 - form.bias)
    is_small = is_plain & input.abs().lt(smallest)
    bits = where(is_small, input * scale, input).contiguous().view(form.whole)
    field = ((1 << (8 * kind.itemsize - 1 - form.mantissa)) - 1) << form.mantissa
    exponent = ((bits & field) >> form.mantissa) - (form.bias - 1)
    half = (bits & ~field) | ((form.bias - 1) << form.mantissa)
    mantissa = where(is_plain, half.view(kind), input)
    exponent = where(is_small, exponent - (form.mantissa + 1), exponent)
    return mantissa, where(is_plain, exponent, 0).to(d.int32)


def _frexp_infer(spec: Spec) -> Inferred:
    strides = spec.dense().strides
    shape = tuple(spec.shape)
    return Inferred((None,), ((shape, spec.dtype, strides), (shape, d.int32, strides)))


def _frexp_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = [Sample((draw(rng, shape, dtype, -9, 9),)) for shape in SHAPES]
    if dtype.category == 2:
        tiny, largest = float(d.finfo(dtype).tiny), float(d.finfo(dtype).max)
        edge = np.array([0.0, -0.0, 0.5, 1.0, -2.0, 3.0, inf, -inf, nan, 1024.0, -largest])
        made.append(Sample((edge.astype(dtype.numpy),), name="edges"))
        smallest = np.array([tiny, tiny / 4]).astype(dtype.numpy)
        made.append(Sample((smallest,), name="smallest"))
    return made


FREXP = OpDef(
    "frexp",
    kind="elementwise",
    outputs=2,
    infer=_frexp_infer,
    accepts=d.FLOATING,
    decompose=_frexp,
    gradient={"input": lambda g, out1: g / 2.0 ** out1.to(g.dtype)},
    reference=np.frexp,
    samples=_frexp_samples,
    tolerance=Tolerance(0),
    errors=lambda: [
        ErrorInput((np.arange(3),), {}, RuntimeError, "only supports floating-point dtypes")
    ],
)


def frexp(input: Tensor, *, out: Any = None) -> Any:
    """``(mantissa, exponent)`` with ``input == mantissa * 2**exponent``, the mantissa in [0.5, 1).

    Raises:
        RuntimeError: the dtype is not a floating-point one.
    """
    from dovetail import return_types

    if input._spec.dtype.category != 2:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    return finish("frexp", return_types.frexp(*call(FREXP, (input,))), out)


attach(FREXP, frexp)
