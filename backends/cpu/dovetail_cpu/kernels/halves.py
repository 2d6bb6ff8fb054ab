"""float16 and bfloat16 of many elements: by the kernels of float32, and rounded once.

What has one operand is looked up among the values of all 65536; else a block is computed in
float32. NumPy's own functions, and those of ``ml_dtypes``, go one element at a time, but for the
few that NumPy has in vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable, composable
from dovetail.dtypes import bfloat16, float16, float32
from dovetail_cpu.kernels.blocks import in_blocks, scratch
from dovetail_cpu.kernels.composed import enter_steps
from dovetail_cpu.kernels.elementwise import UFUNCS
from dovetail_cpu.kernels.lookup import enter_lookup
from dovetail_cpu.kernels.piecewise import passing

__all__ = ["SINGLY", "enter"]

_OF_ONE = (
    "relu", "sqrt", "rsqrt", "square", "reciprocal", "exp", "expm1", "exp2", "log", "log1p", "log2",
    "log10", "sin", "cos", "tan", "tanh", "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh",
    "atanh", "floor", "ceil", "trunc", "round", "erf", "lgamma", "digamma", "erfinv", "isnan",
    "isinf", "isfinite",
)  # fmt: skip
_OF_MORE = (
    "add", "sub", "mul", "div", "pow", "maximum", "minimum", "floor_divide", "remainder", "atan2",
    "tanh_backward", "hypot", "logaddexp", "eq", "ne", "lt", "le", "gt", "ge",
)  # fmt: skip
SINGLY = (*_OF_ONE, *_OF_MORE)

_VECTORS = "exp", "exp2", "expm1", "sin", "tan", "tanh", "sinh", "cosh", "atan", "asinh"
"""NumPy computes a million of these in 0.2 ms where the processor has AVX-512."""


def _has_vectors(name: str) -> bool:
    """Whether NumPy's function of float16 goes by vectors on this machine."""
    introspect = getattr(np.lib, "introspect", None)  # NumPy 2
    if name not in _VECTORS or introspect is None:
        return False
    found: Any = introspect.opt_func_info(f"^{UFUNCS[name].__name__}$", "float16")
    return any(
        not loop["current"].startswith("baseline") for f in found.values() for loop in f.values()
    )


_ALL_BUT_SIGN = {2: np.int16(0x7FFF), 4: np.int32(0x7FFFFFFF)}
_BITS = {2: np.int16, 4: np.int32}


def _absolute(input: np.ndarray, out: np.ndarray) -> None:
    np.bitwise_and(input.view(np.int16), _ALL_BUT_SIGN[2], out.view(np.int16))


def _negative(input: np.ndarray, out: np.ndarray) -> None:
    np.bitwise_xor(input.view(np.int16), ~_ALL_BUT_SIGN[2], out.view(np.int16))


def copysign(input: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    """The size of ``input`` and the sign of ``other``; of float32 too."""
    kind, size = _BITS[out.itemsize], _ALL_BUT_SIGN[out.itemsize]
    sign = scratch(kind, out.size).reshape(out.shape)
    np.bitwise_and(other.view(kind), ~size, out=sign)
    np.bitwise_and(input.view(kind), size, out=out.view(kind))
    np.bitwise_or(out.view(kind), sign, out=out.view(kind))


def _passes(input: np.ndarray) -> np.ndarray:
    """A mask: above 0, or NaN."""
    above, is_nan = (scratch(bool, input.size, i).reshape(input.shape) for i in range(2))
    endless = 0xFC00 if input.dtype == np.float16 else 0xFF80
    np.greater(input.view(np.int16), 0, out=above)
    np.greater(input.view(np.uint16), np.uint16(endless), out=is_nan)  # with the sign
    return np.logical_or(above, is_nan, out=above)


def relu(input: np.ndarray, out: np.ndarray) -> None:
    """max(x, 0), or NaN."""
    passing(_passes(input), input, out)


def threshold_backward(
    grad: np.ndarray, input: np.ndarray, out: np.ndarray, *, threshold: float
) -> None:
    """grad where input is above 0, or NaN, else 0."""
    passing(_passes(input), grad, out)


def _is_of_zero(facts: Any) -> bool:
    return not facts.attributes.get("threshold") and facts.outputs[0].numel > 0


def enter(table: KernelTable) -> None:
    """Put these kernels into a table, after those that serve few elements."""
    both = (float16, bfloat16)
    table.update({"abs": _absolute, "neg": _negative}, dtypes=both)
    for name in _OF_MORE:
        enter_steps(name, table, dtypes=both)
    for name in dict.fromkeys((*SINGLY, *composable(()))):
        enter_lookup(name, table, (bfloat16,) if _has_vectors(name) else both)
    for name, kernel in {"relu": relu, "threshold_backward": threshold_backward}.items():
        table.add(name, in_blocks(kernel), dtypes=both, when=_is_of_zero, specialize=True)
    table.add("copysign", in_blocks(copysign), dtypes=(*both, float32), specialize=True)
