"""Matrix products and what is added to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import complex64, complex128, float32, float64
from dovetail_cpu.kernels.conversion import as_float32
from dovetail_cpu.kernels.matmul import matmul, quantized_matmul

__all__ = ["enter"]


_SMALL = 64**3
"""OpenBLAS computes a product of so few multiply-adds on the calling thread."""

_BLAS = (float32, float64, complex64, complex128)


def product(facts: Any) -> Any:
    """(*, M, K) by (*, K, N); a small product needs none of the choices of ``matmul``."""
    a, out = facts.inputs[0], facts.outputs[0]
    depth = a.shape[-1]
    work = out.shape[-1] * out.shape[-2] * depth
    if a.dtype in _BLAS and depth and work <= _SMALL:
        return np.matmul
    return matmul


def mv(input: np.ndarray, vec: np.ndarray, out: np.ndarray) -> None:
    """(*, M, K) by (K)."""
    matmul(input, vec[:, None], out[..., None])


def dot(facts: Any) -> Any:
    """(K) by (K)."""
    kind = facts.outputs[0].dtype
    if kind.category == 2 and kind.itemsize == 2:
        return _dot_wide
    return _dot


def _dot(input: np.ndarray, tensor: np.ndarray, out: np.ndarray) -> None:
    out[...] = np.dot(input, tensor)


def _dot_wide(input: np.ndarray, tensor: np.ndarray, out: np.ndarray) -> None:
    out[...] = np.dot(as_float32(input), as_float32(tensor))


def affine(
    input: np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray, *, beta: Any, alpha: Any
) -> None:
    """``beta * input + alpha * (a @ b)``; ``input`` broadcasts, and may be ``out`` itself."""
    if input is out:
        input = input.copy()
    matmul(a, b, out)
    if alpha != 1:
        np.multiply(out, out.dtype.type(alpha), out)
    if beta == 0:
        return
    np.add(out, input if beta == 1 else input * out.dtype.type(beta), out)


def linear(facts: Any) -> Any:
    """(*, K) by (N, K), plus (N)."""
    input, weight, bias = facts.inputs
    work = input.numel * weight.shape[0]
    small = input.ndim == 2 and input.dtype in _BLAS and 0 < work <= _SMALL
    multiply = np.matmul if small else matmul
    if input.ndim == 1:
        return _linear_vector
    if bias is None:
        return lambda input, weight, bias, out: multiply(input, weight.T, out)

    def run(input: np.ndarray, weight: np.ndarray, bias: np.ndarray, out: np.ndarray) -> None:
        multiply(input, weight.T, out)
        np.add(out, bias, out)

    return run


def _linear_vector(
    input: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, out: np.ndarray
) -> None:
    matmul(input[None], weight.T, out[None])
    if bias is not None:
        np.add(out, bias, out)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.update({"matmul": product, "mm": product, "bmm": product}, specialize=True)
    table.add("quantized_matmul", quantized_matmul)
    table.update({"mv": mv, "addmm": affine, "baddbmm": affine})
    table.add("linear", linear, specialize=True)
    table.add("dot", dot, specialize=True)
