"""Steps of optimizers over many tensors, a block at a time so that each block stays in the cache.

Every tensor is seen flat. A block is read once from memory and passed over several times, in
scratch memory that each thread keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.blocks import KEPT, flat, scratch

__all__ = ["Arrays", "adam_step", "blocks", "enter", "regularised", "sgd_step"]

Arrays = list[np.ndarray]


def blocks(lists: tuple[Arrays, ...]) -> Iterator[tuple[int, list[Any]]]:
    """(index of the tensor, the same block of each list; None for a list that is empty)."""
    for i, param in enumerate(lists[0]):
        long = [flat(tensors[i]) if tensors else None for tensors in lists]
        for start in range(0, param.size, KEPT):
            part = slice(start, start + KEPT)
            yield i, [None if f is None else f[part] for f in long]


def regularised(
    g: np.ndarray, p: np.ndarray, weight_decay: float, maximize: bool, scratch: np.ndarray
) -> np.ndarray:
    """The gradient, negated where asked, plus the L2 penalty's; in ``scratch`` if it differs."""
    if not weight_decay:
        return np.negative(g, out=scratch) if maximize else g
    np.multiply(p, weight_decay, out=scratch)
    return (np.subtract if maximize else np.add)(scratch, g, out=scratch)


def sgd_step(
    params: Arrays,
    grads: Arrays,
    buffers: Arrays,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
    first: bool,
) -> None:
    """Stochastic gradient descent with momentum; see ``dovetail.optim.SGD``."""
    for _, (p, g, buffer) in blocks((params, grads, buffers)):
        own, spare = scratch(p.dtype, p.size), scratch(p.dtype, p.size, 1)
        update = regularised(g, p, weight_decay, maximize, own)
        if momentum:
            if first:
                np.copyto(buffer, update)
            else:
                np.multiply(buffer, momentum, out=buffer)
                kept = update
                if dampening:
                    kept = np.multiply(update, 1 - dampening, out=spare)
                np.add(buffer, kept, out=buffer)
            if nesterov:
                np.multiply(buffer, momentum, out=spare)
                update = np.add(update, spare, out=own)
            else:
                update = buffer
        np.multiply(update, lr, out=spare)
        np.subtract(p, spare, out=p)


def adam_step(
    params: Arrays,
    grads: Arrays,
    means: Arrays,
    squares: Arrays,
    largest: Arrays,
    *,
    steps: list[float],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    decoupled: bool,
) -> None:
    """Adam and AdamW, with AMSGrad; see ``dovetail.optim.Adam``."""
    shrink = 1 - lr * weight_decay if decoupled and weight_decay else None
    penalty = 0.0 if decoupled else weight_decay
    for i, (p, g, m, v, top) in blocks((params, grads, means, squares, largest)):
        own, spare = scratch(p.dtype, p.size), scratch(p.dtype, p.size, 1)
        if shrink is not None:
            np.multiply(p, shrink, out=p)
        update = regularised(g, p, penalty, maximize, own)
        np.subtract(update, m, out=spare)
        np.multiply(spare, 1 - beta1, out=spare)
        np.add(m, spare, out=m)
        np.multiply(update, update, out=spare)
        np.multiply(spare, 1 - beta2, out=spare)
        np.multiply(v, beta2, out=v)
        np.add(v, spare, out=v)
        if top is not None:
            v = np.maximum(top, v, out=top)
        # m / (sqrt(v) / root + eps), with root taken to the other side
        root = (1 - beta2 ** steps[i]) ** 0.5
        np.sqrt(v, out=spare)
        np.add(spare, eps * root, out=spare)
        np.divide(m, spare, out=spare)
        np.multiply(spare, root * lr / (1 - beta1 ** steps[i]), out=spare)
        np.subtract(p, spare, out=p)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    for name, function in (("sgd_step", sgd_step), ("adam_step", adam_step)):
        table.add(name, function, dtypes=(float32, float64))
