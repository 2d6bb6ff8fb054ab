"""softmax and log_softmax along any dim, and their gradients, in one pass over GDRAM."""

from __future__ import annotations

from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.backend import KernelTable
from dovetail.dtypes import float32
from dovetail_dlp.machine import settings
from dovetail_dlp.machine.region import dense, sides

__all__ = ["enter"]


def rows(name: str, compute: Any) -> Any:
    """A kernel whose blocks have whole rows: ``compute(*tiles)`` (outer, n, inner) -> the
    result."""

    def body(*arguments: Any) -> None:
        *inputs, out = arguments
        outer, n, inner = out.shape
        kinds = [kind for x in arguments for kind in (x.dtype, float32)]
        room = dlp.room(*kinds, float32, float32, float32)
        for here, there in dlp.blocks((outer, inner), max(1, room // n)):
            part = (here, slice(0, n), there)
            dlp.store_as(out[part], compute(*[dlp.load_as(x[part], float32) for x in inputs]))

    body.__name__ = body.__qualname__ = name
    kernel = dlp.kernel(body)

    def run(*arguments: Any, dim: int) -> None:
        shape = sides(arguments[0].shape, dim % max(1, len(arguments[0].shape)))
        kernel(*(dense(x, shape) for x in arguments))

    return run


def _per_row(x: Any) -> Any:
    return dlp.nram((x.shape[0], 1, x.shape[2]), float32)


def softmax(x: Any) -> Any:
    e, one = _shifted(x)
    dlp.vector_exp(e, e)
    dlp.reduce_sum(one, e, 1)
    dlp.vector_div(e, e, one)
    return e


def log_softmax(x: Any) -> Any:
    made, one = _shifted(x)
    e = dlp.nram(x.shape, float32)
    dlp.vector_exp(e, made)
    dlp.reduce_sum(one, e, 1)
    dlp.vector_log(one, one)
    dlp.vector_sub(made, made, one)
    return made


def _shifted(x: Any) -> tuple[Any, Any]:
    """x less its largest element, and room for a number per row."""
    one, made = _per_row(x), dlp.nram(x.shape, float32)
    dlp.reduce_max(one, x, 1)
    dlp.vector_sub(made, x, one)
    return made, one


def softmax_backward(g: Any, y: Any) -> Any:
    made, one = dlp.nram(g.shape, float32), _per_row(g)
    dlp.vector_mul(made, g, y)
    dlp.reduce_sum(one, made, 1)
    dlp.vector_mul(y, y, one)
    dlp.vector_sub(made, made, y)
    return made


def log_softmax_backward(g: Any, y: Any) -> Any:
    one = _per_row(g)
    dlp.reduce_sum(one, g, 1)
    dlp.vector_exp(y, y)
    dlp.vector_mul(y, y, one)
    dlp.vector_sub(g, g, y)
    return g


def _fits(call: Any) -> bool:
    x = call.inputs[0]
    n = x.shape[call.dim] if x.ndim else 1
    return bool(0 < n * 64 <= settings.current().nram)  # several of its like must be on the chip


def enter(table: KernelTable) -> None:
    """Into a table, for rows that fit."""
    for compute in (softmax, log_softmax, softmax_backward, log_softmax_backward):
        name = compute.__name__
        table.add(name, rows(name, compute), dtypes=(*dlp.HALF, float32), when=_fits)
