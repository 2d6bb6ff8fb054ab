"""More elementwise functions: lerp, addcmul, fmod, hypot, xlogy, logaddexp, nan_to_num, …"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.dispatch import call
from dovetail.ops.direct import in_place
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import (
    draw,
    elementwise,
    elementwise_infer,
    level,
    pairs,
    same,
    to_bool,
    to_float,
    uniform,
)
from dovetail.ops.linear_algebra.operands import C_NAMES, need_tensors
from dovetail.ops.pointwise.arithmetic import conjugate
from dovetail.ops.schema import REGISTRY, Facts, Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = [
    "addcdiv", "addcmul", "isneginf", "isposinf", "nan_to_num",
]  # fmt: skip

inf, nan = float("inf"), float("nan")
SPECIAL = (0.0, -0.0, 1.0, -1.0, inf, -inf, nan)
TWO = ("input", "other")
REAL = (*d.INTEGRAL, *d.FLOATING, d.bool_)
CONTINUOUS = (*d.FLOATING, *d.COMPLEX)


def _where(condition: Any, input: Any, other: Any) -> Any:
    from dovetail import ops

    return ops.where(condition, input, other)


# ------------------------------------------------- lerp, addcmul, addcdiv


def _lerp_rule(operands: tuple[Facts, ...]) -> tuple[d.dtype, d.dtype]:
    first = operands[0]
    assert isinstance(first, Spec)
    for label, fact in zip(("end", "weight"), operands[1:], strict=True):
        if (
            isinstance(fact, Spec)
            and fact.dtype is not first.dtype
            and not (label == "weight" and not fact.ndim)
        ):
            raise RuntimeError(
                f"expected dtype {C_NAMES[first.dtype.name]} for `{label}` but got dtype "
                f"{C_NAMES[fact.dtype.name]}"
            )
    return first.dtype, first.dtype


def _lerp_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    shapes: tuple[tuple[tuple[int, ...], ...], ...] = (
        ((5,), (5,), (5,)), ((2, 1), (3,), ()), ((0, 3), (3,), (1,)),
        ((), (), ()),
    )  # fmt: skip
    tensors = [Sample(tuple(draw(rng, s, dtype, -2, 2) for s in each)) for each in shapes]
    return tensors + [
        Sample((*s.args[:2], w)) for s, w in zip(tensors, (0.25, 0.75, 2.0, 0.5), strict=True)
    ]


elementwise(
    "lerp",
    inputs=("input", "end", "weight"),
    rule=_lerp_rule,
    accepts=CONTINUOUS,
    decompose=lambda input, end, weight: input + weight * (end - input),
    compute=d.float32,
    gradient={
        "input": lambda g, weight: g * conjugate(1 - weight),
        "end": lambda g, weight: g * conjugate(weight),
        "weight": lambda g, input, end: g * conjugate(end - input),
    },
    reference=lambda a, b, w: a + w * (b - a),
    samples=_lerp_samples,
    doc="``input + weight * (end - input)``; ``weight`` is a number or a tensor.",
)


def _three(op: str, rule: Callable[..., Any]) -> Callable[..., Inferred]:
    infer = elementwise_infer(op, rule)
    return lambda input, tensor1, tensor2, value: infer(input, tensor1, tensor2)


def _three_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    shapes: tuple[tuple[tuple[int, ...], ...], ...] = (
        ((5,), (5,), (5,)), ((2, 3), (3,), (2, 1)), ((), (3,), ()), ((0, 3), (3,), (1,)),
        ((), (), ()),
    )  # fmt: skip
    found = [
        Sample((draw(rng, a, dtype, -3, 3), draw(rng, b, dtype, -3, 3), draw(rng, c, dtype, 1, 4)))
        for a, b, c in shapes
    ]
    return found + [Sample(s.args, {"value": 2}) for s in found[:2]]


def _scaled(x: Any, value: Any) -> Any:
    return x if value == 1 else x * value


ADDCMUL = OpDef(
    "addcmul",
    kind="elementwise",
    inputs=("input", "tensor1", "tensor2"),
    attributes=("value",),
    infer=_three("addcmul", same),
    accepts=d.NUMBER,
    decompose=lambda input, tensor1, tensor2, value: input + _scaled(tensor1 * tensor2, value),
    compute=d.float32,
    gradient={
        "input": lambda g: g,
        "tensor1": lambda g, tensor2, value: g * conjugate(_scaled(tensor2, value)),
        "tensor2": lambda g, tensor1, value: g * conjugate(_scaled(tensor1, value)),
    },
    reference=lambda x, a, b, value=1: x + value * a * b,
    samples=_three_samples,
    tolerance=Tolerance(against="inputs"),
    inplace=True,
)


def _factor(tensors: tuple[Tensor, ...], value: Any) -> Any:
    is_whole = all(x._spec.dtype.category < 2 for x in tensors)
    return int(value) if is_whole else value


def _addcmul_inputs(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    need_tensors("addcmul", input=input, tensor1=tensor1, tensor2=tensor2)
    tensors = (input, tensor1, tensor2)
    return tensors, (_factor(tensors, value),)


@operator(ADDCMUL, out=True)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``, broadcast."""
    return call(ADDCMUL, *_addcmul_inputs(input, tensor1, tensor2, value=value))


in_place(ADDCMUL, _addcmul_inputs)


ADDCDIV = OpDef(
    "addcdiv",
    kind="elementwise",
    inputs=("input", "tensor1", "tensor2"),
    attributes=("value",),
    infer=_three("addcdiv", same),
    accepts=d.NUMBER,
    decompose=lambda input, tensor1, tensor2, value: input + _scaled(tensor1 / tensor2, value),
    compute=d.float32,
    gradient={
        "input": lambda g: g,
        "tensor1": lambda g, tensor2, value: g * conjugate(value / tensor2),
        "tensor2": lambda g, tensor1, tensor2, value: (
            -g * conjugate(_scaled(tensor1, value) / (tensor2 * tensor2))
        ),
    },
    reference=lambda x, a, b, value=1: x + value * a / b,
    samples=_three_samples,
    tolerance=Tolerance(against="inputs"),
    inplace=True,
)


def _addcdiv_inputs(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    need_tensors("addcdiv", input=input, tensor1=tensor1, tensor2=tensor2)
    if tensor1._spec.dtype.category < 2 and tensor2._spec.dtype.category < 2:
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release "
            "addcdiv will perform a true division of tensor1 and tensor2. Convert one of them "
            "with .float() first."
        )
    return (input, tensor1, tensor2), (value,)


@operator(ADDCDIV, out=True)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``, broadcast.

    Raises:
        RuntimeError: both divided tensors hold integers.
    """
    return call(ADDCDIV, *_addcdiv_inputs(input, tensor1, tensor2, value=value))


in_place(ADDCDIV, _addcdiv_inputs)


# -------------------------------------------------------- two real operands


_REST = REGISTRY["remainder"].part_of("fmod")


def _fmod(input: Any, other: Any) -> Any:
    if not isinstance(input, Tensor):
        input = other.new_full((), input)
    if input._spec.dtype.category < 2:  # the smallest integer has no absolute value
        rest = call(_REST, (input, other))
        is_wrong = rest.ne(0).bitwise_and((rest < 0).ne(input < 0))
        return _where(is_wrong, rest - other, rest)
    return _with_sign(input.abs().remainder(abs(other)), input)


elementwise(
    "fmod",
    inputs=TWO,
    accepts=(*d.INTEGRAL, *d.FLOATING),
    decompose=_fmod,
    gradient={
        "input": lambda g: g,
        "other": lambda g, input, other: -g * (input / other).trunc(),
    },
    reference=np.fmod,
    samples=pairs(-9, 9, 1, 4),
    special=(0.0, -0.0, 1.0, -1.5, inf, -inf, nan),
    doc="What is left of ``input`` after division rounded towards zero; it has input's sign.",
)


def _hypot(input: Any, other: Any) -> Any:
    a, b = input.abs(), other.abs()
    large, small = a.maximum(b), a.minimum(b)
    ratio = _where(large.eq(small), 1.0, small / large)
    size = _where(large.eq(0), large, large * (ratio * ratio + 1.0).sqrt())
    return _where(a.eq(inf) | b.eq(inf), inf, size)  # beside NaN, too


elementwise(
    "hypot",
    tensors_only=True,
    inputs=TWO,
    accepts=d.FLOATING,
    decompose=_hypot,
    compute=d.float32,
    gradient={
        "input": lambda g, input, out: g * (input / out),
        "other": lambda g, other, out: g * (other / out),
    },
    reference=np.hypot,
    samples=pairs(-5, 5),
    special=(0.0, 1.0, -1.0, inf, -inf, nan),
    doc="``sqrt(input**2 + other**2)`` without overflow.",
)


def _is_negative(x: Any) -> Any:
    """The sign bit, that of -0.0 included."""
    if not isinstance(x, Tensor):
        return math.copysign(1.0, x) < 0
    if x._spec.dtype.category < 2:
        return (
            x.lt(0) if x._spec.dtype is not d.bool_ else x.new_zeros(tuple(x.shape), dtype=d.bool_)
        )
    return x.lt(0) | (x.eq(0) & x.reciprocal().lt(0))


elementwise(
    "copysign",
    inputs=TWO,
    rule=to_float,
    accepts=REAL,
    decompose=lambda input, other: _with_sign(input, other),
    gradient={
        "input": lambda g, input, out: g * _where(input == 0, 0.0, out / input),
        "other": level,
    },
    reference=np.copysign,
    samples=pairs(-5, 5),
    special=(0.0, -0.0, 1.0, -1.0, inf, -inf),
    ulp=0,
    doc="``input`` with the sign of ``other``, that of a zero included.",
)


def _with_sign(input: Any, other: Any) -> Any:
    negative = _is_negative(other)
    if not isinstance(input, Tensor):
        input = other.new_full((), abs(input))
    size = input.abs()
    if size._spec.dtype.category < 2:
        size = size.to(d.get_default_dtype())
    if isinstance(negative, bool):
        return -size if negative else size
    return _where(negative, -size, size)


def _log_of(number: float) -> float:
    return math.log(number) if number > 0 else -math.inf if number == 0 else math.nan


def _xlogy(input: Any, other: Any) -> Any:
    log = other.log() if isinstance(other, Tensor) else _log_of(other)
    if isinstance(input, Tensor):
        product = _where(input == 0, 0.0, input * log)
    else:
        product = log.new_zeros(()) if input == 0 else log * input
    if isinstance(other, Tensor):
        return _where(other.isnan(), nan, product)
    return product


elementwise(
    "xlogy",
    inputs=TWO,
    rule=to_float,
    accepts=REAL,
    decompose=_xlogy,
    compute=d.float32,
    gradient={
        "input": lambda g, input, other: _xlogy(g, other).masked_fill(
            (input == 0) & (other <= 0), 0.0
        ),
        "other": lambda g, input, other: g * (input / other),
    },
    reference=lambda x, y: np.where(
        np.isnan(y), np.nan, np.where(x == 0, 0.0, x * np.log(np.where(x == 0, 1, y)))
    ),
    samples=pairs(0, 4, 0.5, 4),
    doc="``input * log(other)``, 0 where ``input`` is 0 and NaN where ``other`` is.",
)


def _log_sum(name: str, base: float, doc: str) -> None:
    power = "exp" if base == math.e else "exp2"
    scale = math.log(base)

    def forward(input: Any, other: Any) -> Any:
        gap = getattr((input - other).abs().neg(), power)().log1p() / scale
        return _where(input.eq(other), input + math.log(2) / scale, input.maximum(other) + gap)

    def share(g: Any, mine: Any, theirs: Any) -> Any:
        return g / (getattr(theirs - mine, power)() + 1)

    elementwise(
        name,
        tensors_only=True,
        inputs=TWO,
        accepts=d.FLOATING,
        decompose=forward,
        compute=d.float32,
        gradient={
            "input": lambda g, input, other: share(g, input, other),
            "other": lambda g, input, other: share(g, other, input),
        },
        reference=getattr(np, name),
        samples=pairs(-5, 5),
        special=(0.0, 1.0, -1.0, inf, -inf),
        ulp=16,
        inplace=False,
        doc=doc,
    )


_log_sum("logaddexp", math.e, "``log(exp(input) + exp(other))`` without overflow.")
_log_sum("logaddexp2", 2.0, "``log2(2**input + 2**other)`` without overflow.")


def _heaviside_rule(operands: tuple[Facts, ...]) -> tuple[d.dtype, d.dtype]:
    kinds = {f.dtype for f in operands if isinstance(f, Spec)}
    if len(kinds) > 1:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return same(operands)


elementwise(
    "heaviside",
    tensors_only=True,
    inputs=("input", "values"),
    rule=_heaviside_rule,
    accepts=REAL,
    decompose=lambda input, values: _where(input.eq(0), values, input.gt(0)),
    reference=lambda x, v: np.where(np.isnan(x), 0, np.heaviside(x, v)),
    samples=pairs(-2, 2),
    special=(0.0, -0.0, 1.0, -1.0, inf, -inf),
    ulp=0,
    doc="0 below zero, ``values`` at zero, 1 above.",
)


# ---------------------------------------------------------------- one operand


def _times(name: str, factor: float, reference: Any, doc: str) -> None:
    elementwise(
        name,
        rule=to_float,
        accepts=REAL,
        decompose=lambda input: input * factor,
        compute=d.float32,
        gradient=lambda g: g * factor,
        reference=reference,
        samples=uniform(-5, 5),
        special=SPECIAL,
        doc=doc,
    )


_times("deg2rad", math.pi / 180, np.deg2rad, "Degrees in radians.")
_times("rad2deg", 180 / math.pi, np.rad2deg, "Radians in degrees.")

elementwise(
    "signbit",
    kind="compare",
    rule=to_bool,
    accepts=REAL,
    decompose=lambda input: _is_negative(input),
    reference=np.signbit,
    samples=uniform(-2, 2),
    special=(0.0, -0.0, 1.0, -1.0, inf, -inf),
    inplace=False,
    ulp=0,
    doc="Whether the sign is minus, that of -0.0 included.",
)


def _infinite(name: str, value: float, doc: str) -> Any:
    def function(input: Tensor) -> Tensor:
        if input._spec.dtype.is_complex:
            raise RuntimeError(f"{name} does not support complex inputs.")
        return input.eq(value)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return publish(out=True)(function)


isposinf = _infinite("isposinf", inf, "Whether plus infinity.")
isneginf = _infinite("isneginf", -inf, "Whether minus infinity.")


def _nan_to_num(input: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    if input._spec.dtype.category < 2:
        return input.clone()
    if input._spec.dtype.is_complex:
        from dovetail import ops

        parts = (ops.nan_to_num(x, nan, posinf, neginf) for x in (input.real, input.imag))
        return ops.complex(*parts)
    limits = d.finfo(input._spec.dtype)
    nan = 0.0 if nan is None else nan
    posinf = limits.max if posinf is None else posinf
    neginf = limits.min if neginf is None else neginf
    made = _where(input.isnan(), nan, input)
    made = _where(input.eq(inf), posinf, made)
    return _where(input.eq(-inf), neginf, made)


def _not_of_complex(g: Any) -> Any:
    raise RuntimeError(
        "nan_to_num does not support automatic differentiation for outputs with complex dtype."
    )


def _nan_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for shape, kwargs in (
        ((7,), {"posinf": 6.0, "neginf": -6.0}),
        ((2, 3), {"nan": 1.0, "posinf": 2.0, "neginf": -3.0}),
    ):
        values = draw(rng, shape, dtype, -5, 5)
        if dtype.category == 2:
            flat = values.reshape(-1)
            flat[0], flat[1], flat[2] = nan, inf, -inf
        found.append(Sample((values,), kwargs))
    return found


NAN_TO_NUM = OpDef(
    "nan_to_num",
    kind="elementwise",
    attributes=("nan", "posinf", "neginf"),
    infer=lambda spec, **_: elementwise_infer("nan_to_num", same)(spec),
    accepts=d.ALL,
    decompose=_nan_to_num,
    gradient={"input": lambda g, input: g * input.isfinite()},
    complex_gradient={"input": _not_of_complex},
    reference=lambda x, nan=None, posinf=None, neginf=None: np.nan_to_num(
        x, nan=nan or 0.0, posinf=posinf, neginf=neginf
    ),
    samples=_nan_samples,
    inplace=True,
)


@operator(NAN_TO_NUM, out=True)
def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:  # fmt: skip
    """NaN and infinities replaced: by 0 and the dtype's extreme numbers, or as given.

    Of complex numbers, in both parts.
    """
    return call(NAN_TO_NUM, (input,), (nan, posinf, neginf))
