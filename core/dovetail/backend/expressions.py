"""Elementwise operators as data: one C-like expression per operator and class of dtype.

A backend whose kernels are compiled from source makes all of them from this table and one template
(:func:`dovetail.backend.elementwise_source`); another may read it as the definition of what its
kernels compute. In an expression ``x0``, ``x1``, … are the operands, ``T`` is the type that is
computed in and ``U`` the unsigned type that wraps around as ``T`` must (of at least 32 bits).
Functions are C's, and those of :mod:`dovetail.backend.expression_helpers`. float16 and bfloat16 are
computed in float32. Complex numbers are pairs with the members ``x`` and ``y``.

Meanings follow PyTorch: integers wrap around, ``remainder`` has the divisor's sign, ``maximum``
hands on NaN, halves round to even, and a shift by the width or more leaves the sign only. What an
expression has no result for, an error on the host, is data too (:class:`Refusal`): a kernel that
can tell the host does (``Dialect.reports``), and computes something all the same. A whole number
divided by zero is -1 then, and the remainder is the dividend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dovetail.dtypes import ALL, bool_, dtype
from dovetail.errors import Unsupported

__all__ = ["EXPRESSIONS", "POWERS", "Expression", "Refusal", "class_of"]


def class_of(dtype: dtype) -> str:
    """``bool``, ``unsigned``, ``signed``, ``float`` or ``complex``: how a dtype is computed."""
    if dtype is bool_:
        return "bool"
    if dtype.category == 1:
        return "signed" if dtype.is_signed else "unsigned"
    return "float" if dtype.category == 2 else "complex"


_GROUPS = {
    "bool": ("bool", "any"),
    "unsigned": ("unsigned", "integer", "number", "real", "any"),
    "signed": ("signed", "integer", "number", "real", "any"),
    "float": ("float", "number", "real", "any"),
    "complex": ("complex", "any"),
}
"""Per class, the keys of ``variants`` that serve it, the first one found."""


class Refusal(NamedTuple):
    """Operands that an expression has no result for.

    Attributes:
        group: the class of dtypes, or group of classes, for which there are such.
        condition: what holds of them, in the expression's words.
        sentence: what is raised (RuntimeError), on every device.
        about: what more there is to say than the operator's name.
        error: the class of what is raised, where that is not RuntimeError.
    """

    group: str
    condition: str
    sentence: str
    about: str = ""
    error: type[Exception] = RuntimeError

    @property
    def text(self) -> str:
        """All that is raised where the host sees the values itself."""
        return f"{self.sentence} ({self.about})" if self.about else self.sentence


@dataclass(frozen=True)
class Expression:
    """What an elementwise operator computes.

    Attributes:
        inputs: how many operands there are.
        variants: text by class of dtype (see :func:`class_of`), or by a group of classes:
            ``integer`` (signed, unsigned), ``number`` (integer, float), ``any``.
        parameters: attributes that the text names; numbers of the type computed in.
        result: ``same`` (the type computed in), ``bool``, or ``real`` (a complex number's part).
        refuses: what it has no result for.
        helpers: functions that the text calls besides those of the table, by name.

    Example:
        >>> from dovetail.dtypes import float32, int32
        >>> EXPRESSIONS["abs"].text(float32), EXPRESSIONS["abs"].text(int32)
        ('fabs(x0)', 'x0 < 0 ? (T)(0 - (U)x0) : x0')
    """

    inputs: int
    variants: Mapping[str, str]
    parameters: tuple[str, ...] = ()
    result: str = "same"
    refuses: tuple[Refusal, ...] = ()
    helpers: Mapping[str, str] = field(default_factory=dict)

    def text(self, dtype: dtype) -> str:
        """The expression for operands of ``dtype`` (of ``where``: of the two chosen from).

        Raises:
            Unsupported: there is none.
        """
        for key in _GROUPS[class_of(dtype)]:
            if key in self.variants:
                return self.variants[key]
        have = ", ".join(d.name for d in self.dtypes)
        raise Unsupported(f"expression: must be for one of {have}, got {dtype.name}")

    def refused(self, dtype: dtype) -> tuple[Refusal, ...]:
        """What there is no result for, of operands of ``dtype``.

        Example:
            >>> from dovetail.dtypes import float32, int32
            >>> EXPRESSIONS["remainder"].refused(float32)
            ()
            >>> [refusal.condition for refusal in EXPRESSIONS["remainder"].refused(int32)]
            ['x1 == 0']
        """
        groups = _GROUPS[class_of(dtype)]
        return tuple(refusal for refusal in self.refuses if refusal.group in groups)

    @property
    def dtypes(self) -> tuple[dtype, ...]:
        """The dtypes that there is an expression for, as ``KernelTable.add`` takes them."""
        return tuple(d for d in ALL if any(key in self.variants for key in _GROUPS[class_of(d)]))


def _table(
    inputs: int, rows: Mapping[str, str | Mapping[str, str]], result: str = "same"
) -> dict[str, Expression]:
    return {
        name: Expression(inputs, {"any": row} if isinstance(row, str) else row, result=result)
        for name, row in rows.items()
    }


def _parametric(rows: Mapping[str, tuple[int, str, str, str]]) -> dict[str, Expression]:
    return {
        name: Expression(inputs, {key: text}, tuple(parameters.split()))
        for name, (inputs, parameters, key, text) in rows.items()
    }


def _function(name: str) -> dict[str, str]:
    """A function of C's, and its complex form among the helpers."""
    return {"float": f"{name}(x0)", "complex": f"complex_{name}(x0)"}


OF_FLOATS = (
    "exp2", "log2", "log10", "tan", "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh",
    "atanh", "erfc", "lgamma",
)  # fmt: skip
"""Functions of C's that have no form for complex numbers here."""

UNARY: dict[str, str | Mapping[str, str]] = {
    "copy": "x0",
    "neg": {"integer": "(T)(0 - (U)x0)", "float": "-x0", "complex": "pair(-x0.x, -x0.y)"},
    "abs": {
        "unsigned": "x0",
        "signed": "x0 < 0 ? (T)(0 - (U)x0) : x0",
        "float": "fabs(x0)",
    },
    "floor": {"integer": "x0", "float": "floor(x0)"},
    "ceil": {"integer": "x0", "float": "ceil(x0)"},
    "trunc": {"integer": "x0", "float": "trunc(x0)"},
    "round": {"integer": "x0", "float": "rint(x0)"},
    "sign": {
        "bool": "x0",
        "integer": "(T)((x0 > 0) - (x0 < 0))",
        "float": "x0 > 0.0 ? (T)1.0 : x0 < 0.0 ? (T)-1.0 : (T)0.0",
    },
    **{name: _function(name) for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos")},
    "tanh": _function("tanh"),
    "erf": {"float": "erf(x0)"},
    **{name: {"float": f"{name}(x0)"} for name in OF_FLOATS},
    "digamma": {"float": "digamma(x0)"},
    "erfinv": {"float": "inverse_erf(x0)"},
    "rsqrt": {"float": "1.0 / sqrt(x0)"},
    "reciprocal": {"float": "1.0 / x0", "complex": "complex_div(pair(1.0, 0.0), x0)"},
    "square": {
        "integer": "(T)((U)x0 * (U)x0)",
        "float": "x0 * x0",
        "complex": "complex_mul(x0, x0)",
    },
    "bitwise_not": {"bool": "!x0", "integer": "(T)~x0"},
}

BINARY: dict[str, str | Mapping[str, str]] = {
    "add": {
        "bool": "x0 | x1",
        "integer": "(T)((U)x0 + (U)x1)",
        "float": "x0 + x1",
        "complex": "pair(x0.x + x1.x, x0.y + x1.y)",
    },
    "sub": {
        "integer": "(T)((U)x0 - (U)x1)",
        "float": "x0 - x1",
        "complex": "pair(x0.x - x1.x, x0.y - x1.y)",
    },
    "mul": {
        "bool": "x0 & x1",
        "integer": "(T)((U)x0 * (U)x1)",
        "float": "x0 * x1",
        "complex": "complex_mul(x0, x1)",
    },
    "div": {"float": "x0 / x1", "complex": "complex_div(x0, x1)"},
    "floor_divide": {
        "integer": "whole_floor_divide(x0, x1)",
        "float": "float_floor_divide(x0, x1)",
    },
    "remainder": {
        "integer": "whole_remainder(x0, x1)",
        "float": "float_remainder(x0, x1)",
    },
    "pow": {
        "integer": "whole_pow(x0, x1)",
        "float": "pow(x0, x1)",
        "complex": "complex_pow(x0, x1)",
    },
    "maximum": {
        "bool": "x0 | x1",
        "integer": "x0 > x1 ? x0 : x1",
        "float": "x0 != x0 ? x0 : x1 != x1 ? x1 : x0 > x1 ? x0 : x1",
    },
    "minimum": {
        "bool": "x0 & x1",
        "integer": "x0 < x1 ? x0 : x1",
        "float": "x0 != x0 ? x0 : x1 != x1 ? x1 : x0 < x1 ? x0 : x1",
    },
    "fmax": {
        "bool": "x0 | x1",
        "integer": "x0 > x1 ? x0 : x1",
        "float": "fmax(x0, x1)",
    },
    "fmin": {
        "bool": "x0 & x1",
        "integer": "x0 < x1 ? x0 : x1",
        "float": "fmin(x0, x1)",
    },
    **{name: {"float": f"{name}(x0, x1)"} for name in ("atan2", "copysign", "fmod", "hypot")},
    "xlogy": {"float": "x1 != x1 ? x1 : x0 == 0.0 ? (T)0.0 : x0 * log(x1)"},
    "logaddexp": {
        "float": "x0 == x1 ? x0 + 0.69314718055994531 "
        ": (x0 > x1 ? x0 : x1) + log1p(exp(-fabs(x0 - x1)))",
    },
    "heaviside": {
        "bool": "x0 | x1",
        "integer": "x0 == 0 ? x1 : (T)(x0 > 0)",
        "float": "x0 == 0.0 ? x1 : x0 > 0.0 ? (T)1.0 : (T)0.0",
    },
    "gcd": {"integer": "whole_gcd(x0, x1)"},
    "lcm": {"integer": "whole_lcm(x0, x1)"},
    "bitwise_and": {"bool": "x0 & x1", "integer": "(T)(x0 & x1)"},
    "bitwise_or": {"bool": "x0 | x1", "integer": "(T)(x0 | x1)"},
    "bitwise_xor": {"bool": "x0 ^ x1", "integer": "(T)(x0 ^ x1)"},
    "shift_left": {
        "unsigned": "x1 >= BITS ? 0 : (T)((U)x0 << x1)",
        "signed": "x1 < 0 || x1 >= BITS ? 0 : (T)((U)x0 << x1)",
    },
    "shift_right": {
        "unsigned": "x1 >= BITS ? 0 : (T)(x0 >> x1)",
        "signed": "(T)(x0 >> (x1 < 0 || x1 >= BITS ? BITS - 1 : x1))",
    },
}

COMPARE: dict[str, str | Mapping[str, str]] = {
    "eq": {"bool": "x0 == x1", "number": "x0 == x1", "complex": "x0.x == x1.x && x0.y == x1.y"},
    "ne": {"bool": "x0 != x1", "number": "x0 != x1", "complex": "x0.x != x1.x || x0.y != x1.y"},
    **{
        name: {"bool": f"x0 {sign} x1", "number": f"x0 {sign} x1"}
        for name, sign in {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items()
    },
    **{
        name: {"bool": text, "number": text}
        for name, text in {
            "logical_and": "x0 != 0 && x1 != 0",
            "logical_or": "x0 != 0 || x1 != 0",
            "logical_xor": "(x0 != 0) != (x1 != 0)",
        }.items()
    },
}

PREDICATES: dict[str, str | Mapping[str, str]] = {
    "logical_not": {"bool": "x0 == 0", "number": "x0 == 0"},
    "isnan": {"bool": "0", "integer": "0", "float": "x0 != x0"},
    "isinf": {"bool": "0", "integer": "0", "float": "x0 == x0 && x0 - x0 != 0.0"},
    "isfinite": {"bool": "1", "integer": "1", "float": "x0 - x0 == 0.0"},
}

# Composites: a kernel of its own instead of a chain. (operands, parameters, class, text)
FUSED = {
    "relu": (1, "", "number", "x0 <= 0 ? 0 : x0"),
    "threshold_backward": (2, "threshold", "number", "x1 <= threshold ? 0 : x0"),
    "leaky_relu": (1, "negative_slope", "float", "x0 > 0 ? x0 : x0 * negative_slope"),
    "leaky_relu_backward": (2, "negative_slope", "float", "x1 > 0 ? x0 : x0 * negative_slope"),
    "elu": (
        1, "alpha scale input_scale", "float",
        "x0 > 0 ? x0 * scale : alpha * scale * expm1(x0 * input_scale)",
    ),
    "hardtanh": (
        1, "min_val max_val", "number", "x0 < min_val ? min_val : x0 > max_val ? max_val : x0",
    ),
    "threshold": (1, "threshold value", "number", "x0 <= threshold ? value : x0"),
    "hardshrink": (1, "lambd", "float", "x0 >= -lambd && x0 <= lambd ? 0 : x0"),
    "softshrink": (
        1, "lambd", "float", "x0 > lambd ? x0 - lambd : x0 < -lambd ? x0 + lambd : x0 * 0.0",
    ),
    "softsign": (1, "", "float", "x0 / (1.0 + fabs(x0))"),
    "hardsigmoid": (1, "", "float", "at_most(at_least(x0 + 3.0, 0.0), 6.0) * (1.0 / 6.0)"),
    "hardswish": (
        1, "", "float", "x0 * (at_most(at_least(x0 + 3.0, 0.0), 6.0) * (1.0 / 6.0))",
    ),
    "softplus": (
        1, "beta threshold", "float", "x0 * beta > threshold ? x0 : soft_plus(x0 * beta) / beta",
    ),
    "logsigmoid": (1, "", "float", "-soft_plus(-x0)"),
    "mish": (1, "", "float", "x0 * mish_gate(x0)"),
    "lerp": (3, "", "float", "x0 + x2 * (x1 - x0)"),
    "addcmul": (3, "value", "float", "x0 + value * (x1 * x2)"),
    "addcdiv": (3, "value", "float", "x0 + value * (x1 / x2)"),
    "binary_cross_entropy_terms": (
        2, "", "float",
        "(x1 - 1.0) * at_least(log(1.0 - x0), -100.0) - x1 * at_least(log(x0), -100.0)",
    ),
    "zero_point_within": (1, "low high", "integer", "x0"),
    "sigmoid": (1, "", "float", "1.0 / (1.0 + exp(-x0))"),
    "sigmoid_backward": (2, "", "float", "x0 * (1.0 - x1) * x1"),
    "tanh_backward": (2, "", "float", "x0 * (1.0 - x1 * x1)"),
    "silu": (1, "", "float", "x0 / (1.0 + exp(-x0))"),
    "silu_backward": (2, "", "float", "silu_slope(x1) * x0"),
    "gelu": (1, "", "float", "x0 * normal_cdf(x0)"),
    "gelu_tanh": (1, "", "float", "x0 * gelu_tanh_gate(x0)"),
    "gelu_backward": (2, "", "float", "gelu_slope(x1) * x0"),
    "gelu_tanh_backward": (2, "", "float", "gelu_tanh_slope(x1) * x0"),
}  # fmt: skip
"""``gelu`` is the exact form (``approximate="none"``), ``gelu_tanh`` the other."""

EXPRESSIONS: dict[str, Expression] = {
    "fill": Expression(0, {"any": "value"}, ("value",)),
    **_table(1, UNARY),
    **_table(2, BINARY),
    **_table(2, COMPARE, "bool"),
    **_table(1, PREDICATES, "bool"),
    "where": Expression(3, {"any": "x0 ? x1 : x2"}),
    "add_scaled": Expression(3, {"integer": "(T)((U)x0 + (U)x1 * (U)x2)", "float": "x0 + x1 * x2"}),
    **_parametric(FUSED),
}
"""Every elementwise operator that can be made from source, by name."""

_BASE = "x0 < 0.0 && x0 - x0 == 0.0 ? x0 : fabs(x0)"
"""What a root is taken of: -0 counts as 0 and minus infinity as infinity, finite numbers do not."""

POWERS = {
    2.0: ("square", "x0 * x0"),
    3.0: ("cube", "x0 * x0 * x0"),
    0.5: ("root", "sqrt(x0 + 0.0)"),
    -0.5: ("inverse_root", "1.0 / sqrt(x0 + 0.0)"),
    -1.0: ("inverse", "1.0 / x0"),
    4.0: ("fourth", "(x0 * x0) * (x0 * x0)"),
    -2.0: ("inverse_square", "(1.0 / x0) * (1.0 / x0)"),
    1.5: ("root_of_cube", f"fabs(x0) * sqrt({_BASE})"),
    2.5: ("root_of_fifth", f"x0 * x0 * sqrt({_BASE})"),
    0.25: ("fourth_root", f"sqrt(sqrt({_BASE}))"),
}
"""By exponent, a word and what is computed instead."""

EXPRESSIONS["abs"] = Expression(
    1, {**EXPRESSIONS["abs"].variants, "complex": "hypot(x0.x, x0.y)"}, result="real"
)

_BY_ZERO = Refusal("integer", "x1 == 0", "ZeroDivisionError")
_PROBABILITIES = (
    Refusal(
        "float",
        "!(x0 >= 0.0 && x0 <= 1.0)",
        "all elements of input should be between 0 and 1",
        "binary_cross_entropy: apply sigmoid first, or use binary_cross_entropy_with_logits",
    ),
    Refusal(
        "float",
        "!(x1 >= 0.0 && x1 <= 1.0)",
        "all elements of target should be between 0 and 1",
        "binary_cross_entropy",
    ),
)
_ZERO_POINTS = (
    Refusal(
        "integer",
        "x0 < low || x0 > high",
        "`zero_point` must be between `quant_min` and `quant_max`.",
        "fake_quantize_per_channel_affine",
    ),
)
for _name, _refuses in (
    ("floor_divide", (_BY_ZERO,)),
    ("remainder", (_BY_ZERO,)),
    ("binary_cross_entropy_terms", _PROBABILITIES),
    ("zero_point_within", _ZERO_POINTS),
):
    EXPRESSIONS[_name] = replace(EXPRESSIONS[_name], refuses=_refuses)
