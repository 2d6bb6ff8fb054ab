"""Arithmetic: add sub mul div floor_divide remainder pow, and what follows from them."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import observe
from dovetail.autograd.graph import unchanged
from dovetail.dispatch import call
from dovetail.ops import expose
from dovetail.ops.families import draw, elementwise, level, pairs, same, to_float, uniform
from dovetail.ops.schema import REGISTRY, Facts, Sample
from dovetail.promotion import result_type
from dovetail.tensor import Tensor

__all__ = ["PLAIN", "check_exponent", "conjugate"]

PLAIN: dict[str, tuple[Any, Any]] = {}
"""The two-operand function and in-place method of operators whose own do or take more."""

inf, nan = float("inf"), float("nan")
SPECIAL = (0.0, -0.0, 1.0, -1.0, inf, -inf, nan)
TWO = ("input", "other")


def _distance(x: Any, y: Any) -> Any:
    """``x * x + y * y``, and 1 where that is 0: atan2 has no slope there, as in PyTorch."""
    size = x * x + y * y
    return size.masked_fill(size == 0, 1)


def conjugate(x: Any) -> Any:
    """The conjugate of a tensor or Python number; a real one itself."""
    if isinstance(x, complex):
        return x.conjugate()
    return x.conj() if hasattr(x, "_spec") and x._spec.dtype.is_complex else x


add = elementwise(
    "add",
    inputs=TWO,
    gradient={"input": unchanged, "other": unchanged},
    reference=np.add,
    samples=pairs(-5, 5),
    special=SPECIAL,
    ulp=1,
    required=True,
    doc="Sum of two tensors, broadcast: ``input + alpha * other``.",
)


def _sub_rule(operands: tuple[Facts, ...]) -> tuple[d.dtype, d.dtype]:
    kinds = [f if isinstance(f, type) else f.dtype for f in operands if f is not None]
    if kinds.count(d.bool_) + kinds.count(bool) == 2:
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
            "`logical_xor()` operator instead."
        )
    if d.bool_ in kinds or bool in kinds:
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying "
            "to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return same(operands)


sub = elementwise(
    "sub",
    inputs=TWO,
    rule=_sub_rule,
    gradient={"input": unchanged, "other": lambda g: -g},
    reference=np.subtract,
    samples=pairs(-5, 5),
    special=SPECIAL,
    ulp=1,
    required=True,
    doc="Difference of two tensors, broadcast: ``input - alpha * other``.",
)
elementwise(
    "mul",
    inputs=TWO,
    gradient={"input": lambda g, other: g * other, "other": lambda g, input: g * input},
    complex_gradient={
        "input": lambda g, other: g * conjugate(other),
        "other": lambda g, input: g * conjugate(input),
    },
    reference=np.multiply,
    samples=pairs(-5, 5),
    special=SPECIAL,
    ulp=1,
    required=True,
    doc="Product of two tensors, elementwise, broadcast.",
    aliases=("multiply",),
)


def _divisions(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    """True quotients, and rounded ones of both signs."""
    made = pairs(-5, 5, 1, 4)(rng, dtype)
    if dtype in (*d.INTEGRAL, *d.FLOATING):
        some = draw(rng, (3, 4), dtype, -9, 9), draw(rng, (4,), dtype, 1, 4)
        for mode in ("floor", "trunc"):
            made += [Sample(pair, {"rounding_mode": mode}) for pair in (some, (some[0], -some[1]))]
    if dtype in d.FLOATING:
        ends = np.array([inf, -inf, 7, -7]).astype(dtype.numpy)
        made.append(Sample((ends, np.array(2, dtype.numpy)), {"rounding_mode": "trunc"}))
    return made


def _quotient(x: Any, y: Any, rounding_mode: str | None = None) -> Any:
    if rounding_mode == "floor":
        return np.floor_divide(x, y)
    if rounding_mode is None or np.asarray(x).dtype.kind == "f":
        return np.true_divide(x, y) if rounding_mode is None else np.trunc(x / y)
    return np.sign(x) * np.sign(y) * (abs(x) // abs(y))


elementwise(
    "div",
    inputs=TWO,
    rule=to_float,
    gradient={
        "input": lambda g, other: g / conjugate(other),
        "other": lambda g, input, other: -g * conjugate((input / other) / other),
    },
    reference=_quotient,
    samples=_divisions,
    special=SPECIAL,
    ulp=1,
    required=True,
    doc="True quotient of two tensors, broadcast; integers become the default float.",
)


def _quotients(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    """Among them quotients that a narrower dtype would round up to the next whole number."""
    made = pairs(-9, 9, 1, 4)(rng, dtype)
    near = np.array([3 - 2.0**-13, 3 - 2.0**-30, -(2.0**-30), 2 - 2.0**-14]).astype(dtype.numpy)
    return [*made, Sample((near, np.ones(4, dtype.numpy)), name="below a whole number")]


elementwise(
    "floor_divide",
    inputs=TWO,
    gradient=None,
    accepts=(*d.INTEGRAL, *d.FLOATING),
    reference=np.floor_divide,
    samples=_quotients,
    required=True,
    doc="Quotient rounded towards minus infinity.",
)
elementwise(
    "remainder",
    inputs=TWO,
    gradient={
        "input": lambda g: g,
        "other": lambda g, input, other: -g * (input / other).floor(),
    },
    accepts=(*d.INTEGRAL, *d.FLOATING),
    reference=np.remainder,
    samples=pairs(-9, 9, 1, 4),
    required=True,
    doc="What is left of ``input`` after ``floor_divide``; it has the divisor's sign.",
)


def _pow_base_gradient(g: Any, input: Any, other: Any) -> Any:
    if not hasattr(other, "_spec"):
        if other == 0:
            return level(g)
        if other == 1:
            return g
        return g * (other * input ** (other - 1))
    slope = other * input ** (other - 1)
    return (g * conjugate(slope)).masked_fill(other == 0, 0)


def _log(x: complex) -> complex:
    """The logarithm of a number; as of a tensor, minus infinity of 0 and NaN below."""
    if isinstance(x, complex):
        return cmath.log(x) if x else -inf
    return math.log(x) if x > 0 else -inf if x == 0 else nan


def _pow_exponent_gradient(g: Any, input: Any, other: Any, out: Any) -> Any:
    from dovetail import ops

    slope = out * (input.log() if hasattr(input, "_spec") else _log(input))
    if slope.dtype.is_complex:
        return g * slope.conj()
    return g * ops.where(((input == 0) & (other >= 0)), 0.0, slope)


power = elementwise(
    "pow",
    inputs=TWO,
    gradient={"input": _pow_base_gradient, "other": _pow_exponent_gradient},
    accepts=d.NUMBER,
    reference=np.power,
    samples=pairs(0.5, 3, 0.5, 3),
    ulp=16,
    required=True,
    doc="``input`` to the power of ``other``.",
)
elementwise(
    "neg",
    accepts=d.NUMBER,
    gradient=lambda g: -g,
    reference=np.negative,
    samples=uniform(-5, 5),
    special=SPECIAL,
    ulp=0,
    required=True,
    doc="``-input``.",
    aliases=("negative",),
)
elementwise(
    "atan2",
    inputs=TWO,
    rule=to_float,
    accepts=(*d.INTEGRAL, *d.FLOATING, d.bool_),
    gradient={
        "input": lambda g, input, other: g * other / _distance(input, other),
        "other": lambda g, input, other: -g * input / _distance(input, other),
    },
    reference=np.arctan2,
    samples=pairs(-5, 5, 1, 4),
    special=SPECIAL,
    required=True,
    doc="The angle of the point (other, input), in radians.",
    aliases=("arctan2",),
)


def _abs_rule(operands: tuple[Facts, ...]) -> tuple[d.dtype, d.dtype]:
    kind, _ = same(operands)
    return kind, kind.to_real()


elementwise(
    "abs",
    rule=_abs_rule,
    accepts=d.NUMBER,
    gradient=lambda g, input: g * input.sgn(),
    reference=np.abs,
    samples=uniform(-5, 5),
    special=SPECIAL,
    ulp=1,
    required=True,
    doc="Absolute value; its gradient at 0 is 0.",
    aliases=("absolute",),
)
elementwise(
    "sign",
    accepts=(*d.INTEGRAL, *d.FLOATING, d.bool_),
    gradient=level,
    decompose=lambda input: (
        input.clone()
        if input.dtype is d.bool_
        else (input > 0).to(input.dtype) - (input < 0).to(input.dtype)
    ),
    reference=lambda x: x if x.dtype == np.bool_ else np.sign(x),
    samples=uniform(-5, 5),
    special=(0.0, 1.0, -1.0, inf, -inf),
    doc="-1, 0 or 1; 0 for NaN.",
)


def _with_a_zero(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = uniform(-5, 5)(rng, dtype)
    for sample in made:
        sample.args[0].reshape(-1)[1::3] = 0
    return made


elementwise(
    "sgn",
    gradient=None,
    decompose=lambda input: (
        # Divided by 1 at 0, for what is masked afterwards still has a gradient.
        (input / input.abs().masked_fill(input == 0, 1)).masked_fill(input == 0, 0)
        if input.dtype.is_complex
        else input.sign()
    ),
    reference=lambda x: x if x.dtype == np.bool_ else np.sign(x),
    samples=_with_a_zero,
    doc="As ``sign``; for complex numbers, the unit number of the same angle.",
)


def _whole_if_bool(operands: tuple[Facts, ...]) -> tuple[d.dtype, d.dtype]:
    kind, _ = same(operands)
    return (d.int64, d.int64) if kind is d.bool_ else (kind, kind)


elementwise(
    "square",
    rule=_whole_if_bool,
    gradient=lambda g, input: g * (conjugate(input) * 2),
    decompose=lambda input: input * input,
    reference=np.square,
    samples=uniform(-5, 5),
    special=SPECIAL,
    doc="``input * input``.",
)
elementwise(
    "reciprocal",
    rule=to_float,
    gradient=lambda g, out: -g * conjugate(out * out),
    decompose=lambda input: 1.0 / input,
    reference=lambda x: 1.0 / x,
    samples=uniform(0.5, 4),
    special=SPECIAL,
    doc="``1 / input``.",
)


ADD_SCALED = elementwise(
    "add_scaled",
    inputs=("input", "other", "alpha"),
    accepts=d.NUMBER,
    decompose=lambda input, other, alpha: input + other * alpha,
    gradient={
        "input": unchanged,
        "other": lambda g, alpha: g * conjugate(alpha),
        "alpha": lambda g, other: g * conjugate(other),
    },
    reference=lambda x, y, alpha: x + y * alpha,
    samples=lambda rng, dtype: [
        Sample((*sample.args, alpha))
        for sample, alpha in zip(pairs(-5, 5)(rng, dtype), (2, 1, 3, 2, 5, 0, 1), strict=True)
    ],
    inplace=False,
    method=False,
    public=False,
    doc="``input + alpha * other``.",
)


def _with_alpha(op: Any, sign: int) -> None:
    """``add(input, other, *, alpha=1)`` as PyTorch has it, on top of the two-operand function."""
    plain = expose.binary_function(op)
    write_scaled = expose.inplace_elementwise(ADD_SCALED, ADD_SCALED.function, f"{op.name}_")

    def is_one_step(input: Any, other: Any, alpha: Any) -> bool:
        """Whether two tensors of one dtype, of numbers, and an alpha that leaves it so.

        NumPy has no function of three operands, and two calls of its own are the quickest; but who
        watches calls shall see the same ones on every device.
        """
        if alpha.__class__ not in (float, int) or not isinstance(other, Tensor):
            return False
        if not isinstance(input, Tensor):
            return False
        is_watched = observe.active and observe.is_watched()
        if input._array.__class__ is np.ndarray and not is_watched:
            return False
        kind = input._spec.dtype
        least = 2 if alpha.__class__ is float else 1
        return other._spec.dtype is kind and kind.category >= least

    def scaled(input: Any, other: Any, alpha: Any) -> Any:
        """``other * alpha`` in the result's dtype, which must hold alpha."""
        kind = result_type(input, other)
        if isinstance(alpha, (float, complex)) and kind.category < 2:
            raise RuntimeError(
                f"{op.name}: For integral input tensors, argument alpha must not be a floating "
                f"point number, got {alpha}"
            )
        if isinstance(alpha, complex) and not kind.is_complex:
            raise RuntimeError(
                f"{op.name}: For non-complex input tensors, argument alpha must not be a complex "
                f"number, got {alpha}"
            )
        if isinstance(other, Tensor) and kind is not d.bool_:
            other = other.to(kind)  # its own may hold neither the product nor the digits
        return other * alpha

    def function(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
        if alpha != 1:
            if out is None and is_one_step(input, other, alpha):
                return call(ADD_SCALED, (input, other, alpha * sign))
            other = scaled(input, other, alpha)
        return plain(input, other, out=out)

    function.__doc__ = op.function.__doc__ if op.function else None
    in_place = expose.inplace_elementwise(op, plain)

    def method(self: Any, other: Any, *, alpha: Any = 1) -> Any:
        if alpha != 1:
            if is_one_step(self, other, alpha):
                return write_scaled(self, other, alpha * sign)
            other = scaled(self, other, alpha)
        return in_place(self, other)

    method.__doc__ = in_place.__doc__
    extra = {"add": (), "sub": ("subtract",)}[op.name]
    expose.attach(op, function, aliases=extra)
    for name in (op.name, *extra):
        setattr(Tensor, name + "_", method)
    PLAIN[op.name] = (plain, in_place)


def check_exponent(base: Any, exponent: Any) -> None:
    """Refuse a negative Python int as the exponent of whole numbers.

    Raises:
        RuntimeError: in PyTorch's words.
    """
    if exponent.__class__ is not int or exponent >= 0 or not isinstance(base, Tensor):
        return
    if base._spec.dtype.category < 2:
        raise RuntimeError(
            "Integers to negative integer powers are not allowed. (pow: exponent is "
            f"{exponent}; write {float(exponent)} for a quotient)"
        )


def _with_exponent(op: Any) -> None:
    """``pow(input, exponent)``: PyTorch's name of the second operand, and its check."""
    plain = expose.binary_function(op)
    in_place = expose.inplace_elementwise(op, plain)

    def function(input: Any, exponent: Any, *, out: Any = None) -> Any:
        check_exponent(input, exponent)
        return plain(input, exponent, out=out)

    def method(self: Any, exponent: Any) -> Any:
        check_exponent(self, exponent)
        return in_place(self, exponent)

    function.__doc__, method.__doc__ = op.function.__doc__, in_place.__doc__
    expose.attach(op, function)
    Tensor.pow_ = method  # type: ignore[attr-defined]
    PLAIN["pow"] = (function, method)


_with_alpha(add, 1)
_with_alpha(sub, -1)
_with_exponent(REGISTRY["pow"])


@expose.publish()
def positive(input: Tensor) -> Tensor:
    """``+input``: the tensor itself.

    Raises:
        RuntimeError: the dtype is bool.
    """
    if input._spec.dtype is d.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input
