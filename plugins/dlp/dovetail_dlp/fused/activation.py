"""The relu family and its like: one load, several vector instructions, one store."""

from __future__ import annotations

from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING, bool_, float32

__all__ = ["enter"]


def pointwise(name: str, compute: Any) -> Any:
    """A kernel of ``compute(out, *inputs, **constants)`` in float32; all of one shape."""

    def body(*arguments: Any, **constants: Any) -> None:
        *inputs, out = arguments
        kinds = [kind for x in arguments for kind in (x.dtype, float32)]
        for start, stop in dlp.parts(out.size, dlp.room(*kinds, float32)):
            tiles = [dlp.load_as(x.flat[start:stop], float32) for x in inputs]
            made = dlp.nram(stop - start, float32)
            compute(made, *tiles, **constants)
            dlp.store_as(out.flat[start:stop], made)

    body.__name__ = body.__qualname__ = name
    return dlp.kernel(body)


def relu(out: Any, x: Any) -> None:
    dlp.vector_relu(out, x)


def relu6(out: Any, x: Any) -> None:
    dlp.vector_relu(out, x)
    dlp.vector_minimum(out, out, 6.0)


def leaky_relu(out: Any, x: Any, *, negative_slope: float) -> None:
    is_negative = dlp.nram(x.shape, bool_)
    dlp.vector_mul(out, x, negative_slope)
    dlp.vector_le(is_negative, x, 0.0)
    dlp.vector_where(out, is_negative, out, x)


def leaky_relu_backward(out: Any, g: Any, x: Any, *, negative_slope: float) -> None:
    is_negative = dlp.nram(x.shape, bool_)
    dlp.vector_mul(out, g, negative_slope)
    dlp.vector_le(is_negative, x, 0.0)
    dlp.vector_where(out, is_negative, out, g)


def sigmoid(out: Any, x: Any) -> None:
    dlp.vector_sigmoid(out, x)


def silu(out: Any, x: Any) -> None:
    dlp.vector_sigmoid(out, x)
    dlp.vector_mul(out, out, x)


def gelu(out: Any, x: Any, *, approximate: str) -> None:
    dlp.vector_gelu(out, x)


KINDS = (*dlp.HALF, float32)


def enter(table: KernelTable) -> None:
    """Into a table, for floats."""
    for compute in (relu, relu6, leaky_relu, leaky_relu_backward, sigmoid, silu):
        kernel = pointwise(compute.__name__, compute)
        table.add(compute.__name__, kernel, dtypes=[d for d in FLOATING if d in KINDS])
    exact = lambda call: call.approximate == "none"
    table.add("gelu", pointwise("gelu", gelu), dtypes=KINDS, when=exact)
