"""float_power, ldexp and rsub: functions that put powers, products and differences together."""

from __future__ import annotations

from typing import Any

import dovetail.dtypes as d
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import inplace_method, publish
from dovetail.ops.schema import REGISTRY
from dovetail.tensor import Tensor

__all__ = ["float_power", "ldexp", "rsub"]


@publish()
def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``other - alpha * input``."""
    return REGISTRY["sub"].function(other, input, alpha=alpha)  # type: ignore[no-any-return, misc]


@publish(out=True)
def float_power(input: Any, exponent: Any) -> Tensor:
    """``input`` to the power of ``exponent``, in float64 (complex128 for complex operands)."""
    operands = (input, exponent)
    is_complex = any(
        x._spec.dtype.is_complex if isinstance(x, Tensor) else isinstance(x, complex)
        for x in operands
    )
    kind = d.complex128 if is_complex else d.float64
    wide = [x.to(kind) if isinstance(x, Tensor) else x for x in operands]
    return call(REGISTRY["pow"], tuple(wide))


_raised = inplace_method("float_power", float_power)


def _float_power_(self: Tensor, exponent: Any) -> Tensor:
    is_complex = isinstance(exponent, complex) or (
        isinstance(exponent, Tensor) and exponent._spec.dtype.is_complex
    )
    kind = d.complex128 if is_complex or self._spec.dtype.is_complex else d.float64
    if self._spec.dtype is not kind:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {type_name(self._spec.dtype)} but the "
            f"operation's result requires dtype {type_name(kind)}"
        )
    return _raised(self, exponent)  # type: ignore[no-any-return]


_float_power_.__name__, _float_power_.__qualname__ = "float_power_", "Tensor.float_power_"
_float_power_.__doc__ = "In-place version of :func:`dovetail.float_power`, of float64 alone."
Tensor.float_power_ = _float_power_  # type: ignore[attr-defined]


@publish(inplace=True, out=True)
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """``input * 2**other``; whole exponents may be beyond those of the input's dtype."""
    if not isinstance(other, Tensor):
        raise TypeError(
            f"ldexp(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}"
        )
    kind = input._spec.dtype
    if kind.category != 2 or other._spec.dtype.category != 1:
        return input * 2.0**other
    wide = d.float32 if kind.itemsize == 2 else kind
    reach, largest = _EXPONENTS[kind.name]
    rest, powers = other.to(wide).clamp(-reach, reach), []
    for left in range(reach, 0, -largest):
        step = rest.clamp(1 - largest, largest) if left > largest else rest
        powers.append(2.0**step)
        rest = rest - step if left > largest else None
    made = input.to(wide)
    for power in reversed(powers):
        made = made * power
    return made.to(kind)  # type: ignore[no-any-return]


_EXPONENTS = {"float16": (64, 127), "bfloat16": (280, 127), "float32": (280, 127),
              "float64": (2200, 1023)}  # fmt: skip
"""From which exponent every number but 0 is infinite or 0, and the largest of a normal number.

A power of two goes in as up to three normal ones, the largest last: what is rounded before it, as a
subnormal number, is 0 behind it (as in musl's ``scalbn``), so nothing is rounded twice.
"""
