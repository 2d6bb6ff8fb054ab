"""float16 and bfloat16 of many elements: by the kernels of float32, and rounded once.

What has one operand is looked up among the values of all 65536; else a block is computed in
float32. NumPy's own functions, and those of ``ml_dtypes``, go one element at a time, but for the
few that NumPy has in vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable, composable
from dovetail.dtypes import bfloat16, float16
from dovetail_cpu.kernels.composed import enter_steps
from dovetail_cpu.kernels.elementwise import UFUNCS
from dovetail_cpu.kernels.lookup import enter_lookup

__all__ = ["SINGLY", "enter"]

_OF_ONE = (
    "relu", "sqrt", "rsqrt", "square", "reciprocal", "exp", "expm1", "exp2", "log", "log1p", "log2",
    "log10", "sin", "cos", "tan", "tanh", "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh",
    "atanh", "floor", "ceil", "trunc", "round", "erf", "lgamma", "digamma", "erfinv",
)  # fmt: skip
_OF_MORE = (
    "add", "sub", "mul", "div", "pow", "maximum", "minimum", "floor_divide", "remainder", "atan2",
    "tanh_backward", "hypot", "logaddexp", "eq", "ne", "lt", "le", "gt", "ge",
)  # fmt: skip
SINGLY = (*_OF_ONE, *_OF_MORE)

_VECTORS = (
    "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sin", "tan", "tanh", "sinh", "cosh",
    "asin", "acos", "atan", "asinh",
)  # fmt: skip
"""NumPy computes a million float16 of these in 0.2 ms where the processor has AVX-512."""

_BRIEF = (
    "floor", "ceil", "trunc", "round", "reciprocal", "square", "exp2", "log2", "tanh", "hardtanh",
    "leaky_relu",
)  # fmt: skip
"""What takes less time in float32, from and to bfloat16, than to look it up."""


def _has_vectors(name: str) -> bool:
    """Whether NumPy's function of float16 goes by vectors on this machine."""
    introspect = getattr(np.lib, "introspect", None)  # NumPy 2
    if name not in _VECTORS or introspect is None:
        return False
    found: Any = introspect.opt_func_info(f"^{UFUNCS[name].__name__}$", "float16")
    return any(
        not loop["current"].startswith("baseline") for f in found.values() for loop in f.values()
    )


def enter(table: KernelTable) -> None:
    """Put these kernels into a table, after those that serve few elements."""
    for name in dict.fromkeys((*SINGLY, *composable(()))):
        kinds = (bfloat16,) if _has_vectors(name) else (float16, bfloat16)
        if name in SINGLY:  # the others have their steps
            enter_steps(name, table, dtypes=kinds)
        enter_lookup(name, table, [k for k in kinds if k is float16 or name not in _BRIEF])
