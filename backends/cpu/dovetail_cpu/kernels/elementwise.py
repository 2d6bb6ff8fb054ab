"""Elementwise kernels: NumPy's ufuncs are table entries as they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING, INTEGRAL, bfloat16, bool_, float16, float32, float64
from dovetail_cpu.kernels.conversion import as_float32, convert

__all__ = ["enter", "no_zero"]

UFUNCS = {
    "neg": np.negative, "abs": np.absolute, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    "round": np.rint, "exp": np.exp, "expm1": np.expm1, "exp2": np.exp2, "log": np.log,
    "log1p": np.log1p, "log2": np.log2, "log10": np.log10, "sqrt": np.sqrt, "sin": np.sin,
    "cos": np.cos, "tan": np.tan, "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh,
    "bitwise_not": np.invert, "logical_not": np.logical_not, "isnan": np.isnan,
    "isinf": np.isinf, "isfinite": np.isfinite, "add": np.add, "sub": np.subtract,
    "mul": np.multiply, "div": np.true_divide, "pow": np.power, "atan2": np.arctan2,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor, "shift_left": np.left_shift,
    "shift_right": np.right_shift, "eq": np.equal, "ne": np.not_equal, "lt": np.less,
    "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "logical_and": np.logical_and,
    "logical_or": np.logical_or, "logical_xor": np.logical_xor,
}  # fmt: skip


def maximum(input: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    """The larger value; NaN if either is. (NumPy takes this ufunc's output by keyword only.)"""
    if other.size == 1 and input.dtype.kind == "f":  # three times as fast
        np.clip(input, other, np.inf, out=out)
    else:
        np.maximum(input, other, out=out)


def minimum(input: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    """The smaller value; NaN if either is."""
    if other.size == 1 and input.dtype.kind == "f":
        np.clip(input, -np.inf, other, out=out)
    else:
        np.minimum(input, other, out=out)


def _whole(input: np.ndarray, out: np.ndarray) -> None:
    """Rounding a whole number."""
    np.copyto(out, input)


def where(condition: Any, input: Any, other: Any, out: np.ndarray) -> None:
    """``input`` where ``condition`` holds, else ``other``."""
    np.copyto(out, other)
    np.copyto(out, input, where=condition)


def no_zero(other: np.ndarray, out: np.ndarray) -> None:
    """Refuse whole numbers divided by zero, where there are any.

    Raises:
        RuntimeError: in PyTorch's words.
    """
    if out.size and np.any(other == 0):
        raise RuntimeError("ZeroDivisionError")


def floordiv_integers(input: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    """Floor division of integers; dividing by zero is an error, as in PyTorch."""
    no_zero(other, out)
    np.floor_divide(input, other, out)


def remainder_integers(input: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    """Remainder of integers; dividing by zero is an error, as in PyTorch."""
    no_zero(other, out)
    np.remainder(input, other, out)


def pow_integers(input: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    """Integer powers; a negative exponent gives the truncated reciprocal, as in PyTorch."""
    if out.dtype.kind == "i" and np.any(other < 0):
        one, minus = input == 1, input == -1
        reciprocal = np.where(one, 1, np.where(minus, np.where(other % 2 == 0, 1, -1), 0))
        power = np.power(input, np.maximum(other, 0))
        np.copyto(out, np.where(other < 0, reciprocal, power), casting="unsafe")
        return
    np.power(input, other, out)


# Rational approximations of erf in float64: W. J. Cody, "Rational Chebyshev approximations for the
# error function", Math. Comp. 23 (1969), 631-637.
_ERF_A = (3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02,
          3.20937758913846947e03, 1.85777706184603153e-1)  # fmt: skip
_ERF_B = (2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03,
          2.84423683343917062e03)  # fmt: skip
_ERF_C = (5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e01,
          2.98635138197400131e02, 8.81952221241769090e02, 1.71204761263407058e03,
          2.05107837782607147e03, 1.23033935479799725e03, 2.15311535474403846e-8)  # fmt: skip
_ERF_D = (1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02,
          1.62138957456669019e03, 3.29079923573345963e03, 4.36261909014324716e03,
          3.43936767414372164e03, 1.23033935480374942e03)  # fmt: skip
_ERF_P = (3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
          1.60837851487422766e-2, 6.58749161529837803e-4, 1.63153871373020978e-2)  # fmt: skip
_ERF_Q = (2.56852019228982242e00, 1.87295284992346725e00, 5.27905102951428412e-1,
          6.05183413124413191e-2, 2.33520497626869185e-3)  # fmt: skip


def _erf64(x: np.ndarray) -> np.ndarray:
    y = np.abs(x)
    z = np.where(y <= 0.46875, x * x, 0.0)
    top = _ERF_A[4] * z
    bottom = z
    for a, b in zip(_ERF_A[:3], _ERF_B[:3], strict=True):
        top, bottom = (top + a) * z, (bottom + b) * z
    small = x * (top + _ERF_A[3]) / (bottom + _ERF_B[3])
    m = np.clip(y, 0.46875, 4.0)
    top, bottom = _ERF_C[8] * m, m
    for c, d in zip(_ERF_C[:7], _ERF_D[:7], strict=True):
        top, bottom = (top + c) * m, (bottom + d) * m
    middle = np.exp(-m * m) * (top + _ERF_C[7]) / (bottom + _ERF_D[7])
    large = np.clip(y, 4.0, 30.0)
    w = 1.0 / (large * large)
    top, bottom = _ERF_P[5] * w, w
    for p, q in zip(_ERF_P[:4], _ERF_Q[:4], strict=True):
        top, bottom = (top + p) * w, (bottom + q) * w
    ratio = w * (top + _ERF_P[4]) / (bottom + _ERF_Q[4])
    tail = np.exp(-large * large) * ((1 / math.sqrt(math.pi) - ratio) / large)
    outer = np.sign(x) * (1.0 - np.where(y <= 4.0, middle, tail))
    return np.where(np.isnan(x), x, np.where(y <= 0.46875, small, outer))


def erf(input: np.ndarray, out: np.ndarray) -> None:
    """The error function, computed in float64."""
    np.copyto(out, _erf64(input.astype(np.float64)), casting="unsafe")


def rsqrt(input: np.ndarray, out: np.ndarray) -> None:
    """``1 / sqrt(input)``."""
    np.sqrt(input, out)
    np.true_divide(1, out, out)


def tanh_backward(grad_output: np.ndarray, output: np.ndarray, out: np.ndarray) -> None:
    """``grad_output * (1 - output ** 2)``."""
    np.multiply(output, output, out)
    np.subtract(_ONE, out, out)
    np.multiply(grad_output, out, out)


_ONE = np.array(1, np.int8)  # casts to any dtype without a rounding of its own


def _through_float32(ufunc: Any) -> Any:
    def kernel(*arrays: np.ndarray) -> None:
        *inputs, out = arrays
        wide = ufunc(*[as_float32(x) for x in inputs])
        convert(wide, out)

    return kernel


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.update(UFUNCS)
    table.update({"maximum": maximum, "minimum": minimum})
    for name in ("floor", "ceil", "trunc", "round"):
        table.add(name, _whole, dtypes=(*INTEGRAL, bool_))
    table.add("reciprocal", lambda x, out: np.true_divide(1, x, out))
    table.add("square", np.square)
    table.add("rsqrt", rsqrt)
    table.add("tanh_backward", tanh_backward, dtypes=(float32, float64))
    table.add("where", where)
    table.add("erf", erf)
    table.add("floor_divide", np.floor_divide)
    table.add("floor_divide", floordiv_integers, dtypes=INTEGRAL)
    table.add("remainder", np.remainder, dtypes=FLOATING)
    table.add("remainder", remainder_integers, dtypes=INTEGRAL)
    table.add("pow", pow_integers, dtypes=INTEGRAL)
    table.add("bitwise_not", np.logical_not, dtypes=(bool_,))
    for name in ("pow", "floor_divide", "remainder", "atan2"):
        ufunc = table.entries(name)[-1].function
        table.add(name, _through_float32(ufunc), dtypes=(float16, bfloat16))
