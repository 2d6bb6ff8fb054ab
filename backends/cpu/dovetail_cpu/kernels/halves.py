"""bfloat16 of many elements: a block in float32, by the kernels of float32, and rounded.

The functions of ``ml_dtypes`` compute the same, in float32 and rounded once, one element at a time.
(Those of float16 are NumPy's own, and some are of vectors; conversion takes longer than they do.)
"""

from __future__ import annotations

from dovetail.backend import KernelTable
from dovetail.dtypes import bfloat16
from dovetail_cpu.kernels.composed import enter_steps

__all__ = ["SINGLY", "enter"]

SINGLY = (
    "add", "sub", "mul", "div", "pow", "maximum", "minimum", "floor_divide", "remainder", "atan2",
    "relu", "sqrt", "rsqrt", "square", "reciprocal", "exp", "expm1", "exp2", "log", "log1p", "log2",
    "log10", "sin", "cos", "tan", "tanh", "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh",
    "atanh", "floor", "ceil", "trunc", "round", "erf", "abs", "neg", "tanh_backward", "hypot",
    "logaddexp",
)  # fmt: skip


def enter(table: KernelTable) -> None:
    """Put these kernels into a table, after those that serve few elements."""
    for name in SINGLY:
        enter_steps(name, table, dtypes=(bfloat16,))
