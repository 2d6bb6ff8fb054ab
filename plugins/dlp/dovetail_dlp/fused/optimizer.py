"""adam_step: all parameters of a model in one launch."""

from __future__ import annotations

from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.backend import KernelTable
from dovetail.dtypes import float32

__all__ = ["enter"]


@dlp.kernel
def adam(
    params: Any, grads: Any, means: Any, squares: Any, largest: Any, roots: Any, rates: Any,
    shrink: Any, eps: Any, *, beta1: float, beta2: float, weight_decay: float, maximize: bool,
    decoupled: bool,
) -> None:  # fmt: skip
    """Adam and AdamW, with AMSGrad where ``largest`` has tensors; numbers that change are
    arguments."""
    room = dlp.room(*[float32] * 7)
    for i, param in enumerate(params):
        for start, stop in dlp.parts(param.size, room):
            here = slice(start, stop)
            p, g, m, v = (
                dlp.load_as(x[i].flat[here], float32) for x in (params, grads, means, squares)
            )
            spare = dlp.nram(p.shape, float32)
            if decoupled and weight_decay:
                dlp.vector_mul(p, p, shrink)
            if maximize:
                dlp.vector_neg(g, g)
            if weight_decay and not decoupled:
                dlp.vector_mul(spare, p, weight_decay)
                dlp.vector_add(g, g, spare)
            dlp.vector_sub(spare, g, m)
            dlp.vector_mul(spare, spare, 1 - beta1)
            dlp.vector_add(m, m, spare)
            dlp.vector_mul(spare, g, g)
            dlp.vector_mul(spare, spare, 1 - beta2)
            dlp.vector_mul(v, v, beta2)
            dlp.vector_add(v, v, spare)
            dlp.store(means[i].flat[here], m)
            dlp.store(squares[i].flat[here], v)
            if largest:
                top = dlp.load_as(largest[i].flat[here], float32)
                dlp.vector_maximum(v, top, v)
                dlp.store(largest[i].flat[here], v)
            # m / (sqrt(v) / root + eps), with root taken to the other side
            dlp.vector_sqrt(spare, v)
            dlp.vector_add(spare, spare, eps[i])
            dlp.vector_div(spare, m, spare)
            dlp.vector_mul(spare, spare, rates[i])
            dlp.vector_sub(p, p, spare)
            dlp.store(params[i].flat[here], p)


adam.name = "adam_step"


def adam_step(
    params: Any, grads: Any, means: Any, squares: Any, largest: Any, *, steps: list[float],
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, maximize: bool,
    decoupled: bool,
) -> None:  # fmt: skip
    """See ``dovetail.optim.Adam``; the numbers of this step are computed on the host."""
    roots = [(1 - beta2**step) ** 0.5 for step in steps]
    rates = [root * lr / (1 - beta1**step) for root, step in zip(roots, steps, strict=True)]
    adam(
        params, grads, means, squares, largest, roots, rates, float(1 - lr * weight_decay),
        [eps * root for root in roots],
        beta1=beta1, beta2=beta2, weight_decay=weight_decay, maximize=maximize, decoupled=decoupled,
    )  # fmt: skip


def enter(table: KernelTable) -> None:
    """Into a table."""
    table.add("adam_step", adam_step, dtypes=(float32,))
