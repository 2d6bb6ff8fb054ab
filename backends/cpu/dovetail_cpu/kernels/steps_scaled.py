"""More steps of optimizers over many tensors, a block at a time; see ``steps``.

``rates`` and other lists have one number per tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.blocks import scratch
from dovetail_cpu.kernels.steps import Arrays, blocks, regularised

__all__ = ["enter"]


def _two(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return scratch(p.dtype, p.size), scratch(p.dtype, p.size, 1)


def _lerp(mean: np.ndarray, value: np.ndarray, weight: float, spare: np.ndarray) -> None:
    np.subtract(value, mean, out=spare)
    np.multiply(spare, weight, out=spare)
    np.add(mean, spare, out=mean)


def _mean_square(square: np.ndarray, value: np.ndarray, keep: float, spare: np.ndarray) -> None:
    np.multiply(value, value, out=spare)
    np.multiply(spare, 1 - keep, out=spare)
    np.multiply(square, keep, out=square)
    np.add(square, spare, out=square)


def _divided(p: np.ndarray, top: np.ndarray, divisor: np.ndarray, rate: float) -> None:
    """p -= rate · top / divisor; ``divisor`` is overwritten."""
    np.divide(top, divisor, out=divisor)
    np.multiply(divisor, rate, out=divisor)
    np.subtract(p, divisor, out=p)


def adamax_step(
    params: Arrays, grads: Arrays, means: Arrays, norms: Arrays, *, rates: list[float],
    beta1: float, beta2: float, eps: float, weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    """See ``dovetail.optim.Adamax``."""
    for i, (p, g, mean, norm) in blocks((params, grads, means, norms)):
        own, spare = _two(p)
        g = regularised(g, p, weight_decay, maximize, own)
        _lerp(mean, g, 1 - beta1, spare)
        np.abs(g, out=spare)
        np.add(spare, eps, out=spare)
        np.multiply(norm, beta2, out=norm)
        np.maximum(norm, spare, out=norm)
        np.copyto(spare, norm)
        _divided(p, mean, spare, rates[i])


def nadam_step(
    params: Arrays, grads: Arrays, means: Arrays, squares: Arrays, *,
    gradient_rates: list[float], mean_rates: list[float], corrections: list[float],
    beta1: float, beta2: float, eps: float, shrink: float, weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    """See ``dovetail.optim.NAdam``."""
    for i, (p, g, mean, square) in blocks((params, grads, means, squares)):
        own, spare = _two(p)
        if shrink != 1.0:
            np.multiply(p, shrink, out=p)
        g = regularised(g, p, weight_decay, maximize, own)
        _lerp(mean, g, 1 - beta1, spare)
        _mean_square(square, g, beta2, spare)
        np.multiply(g, gradient_rates[i], out=own)
        np.multiply(mean, mean_rates[i], out=spare)
        np.add(own, spare, out=own)
        np.divide(square, corrections[i], out=spare)
        np.sqrt(spare, out=spare)
        np.add(spare, eps, out=spare)
        _divided(p, own, spare, 1.0)


def radam_step(
    params: Arrays, grads: Arrays, means: Arrays, squares: Arrays, *, rates: list[float],
    rectified: list[bool], beta1: float, beta2: float, eps: float, shrink: float,
    weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    """See ``dovetail.optim.RAdam``."""
    for i, (p, g, mean, square) in blocks((params, grads, means, squares)):
        own, spare = _two(p)
        if shrink != 1.0:
            np.multiply(p, shrink, out=p)
        g = regularised(g, p, weight_decay, maximize, own)
        _lerp(mean, g, 1 - beta1, spare)
        _mean_square(square, g, beta2, spare)
        if rectified[i]:
            np.sqrt(square, out=spare)
            np.add(spare, eps, out=spare)
            _divided(p, mean, spare, rates[i])
        else:
            np.multiply(mean, rates[i], out=spare)
            np.subtract(p, spare, out=p)


def adagrad_step(
    params: Arrays, grads: Arrays, sums: Arrays, *, rates: list[float], eps: float,
    weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    """See ``dovetail.optim.Adagrad``."""
    for i, (p, g, total) in blocks((params, grads, sums)):
        own, spare = _two(p)
        g = regularised(g, p, weight_decay, maximize, own)
        np.multiply(g, g, out=spare)
        np.add(total, spare, out=total)
        np.sqrt(total, out=spare)
        np.add(spare, eps, out=spare)
        _divided(p, g, spare, rates[i])


def adadelta_step(
    params: Arrays, grads: Arrays, squares: Arrays, moved: Arrays, *, lr: float, rho: float,
    eps: float, weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    """See ``dovetail.optim.Adadelta``."""
    for _, (p, g, square, delta) in blocks((params, grads, squares, moved)):
        own, spare = _two(p)
        third = scratch(p.dtype, p.size, 2)
        g = regularised(g, p, weight_decay, maximize, own)
        _mean_square(square, g, rho, spare)
        np.sqrt(np.add(delta, eps, out=spare), out=spare)
        np.sqrt(np.add(square, eps, out=third), out=third)
        np.divide(spare, third, out=spare)
        np.multiply(spare, g, out=spare)
        _mean_square(delta, spare, rho, third)
        np.multiply(spare, lr, out=spare)
        np.subtract(p, spare, out=p)


def rmsprop_step(
    params: Arrays, grads: Arrays, squares: Arrays, buffers: Arrays, means: Arrays, *, lr: float,
    alpha: float, eps: float, momentum: float, weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    """See ``dovetail.optim.RMSprop``."""
    for _, (p, g, square, buffer, mean) in blocks((params, grads, squares, buffers, means)):
        own, spare = _two(p)
        g = regularised(g, p, weight_decay, maximize, own)
        _mean_square(square, g, alpha, spare)
        if mean is None:
            np.sqrt(square, out=spare)
        else:
            _lerp(mean, g, 1 - alpha, spare)
            np.multiply(mean, mean, out=spare)
            np.subtract(square, spare, out=spare)
            np.sqrt(spare, out=spare)
        np.add(spare, eps, out=spare)
        if buffer is None:
            _divided(p, g, spare, lr)
        else:
            np.divide(g, spare, out=spare)
            np.multiply(buffer, momentum, out=buffer)
            np.add(buffer, spare, out=buffer)
            np.multiply(buffer, lr, out=spare)
            np.subtract(p, spare, out=p)


def rprop_step(
    params: Arrays, grads: Arrays, befores: Arrays, sizes: Arrays, *, less: float, more: float,
    smallest: float, largest: float, maximize: bool,
) -> None:  # fmt: skip
    """See ``dovetail.optim.Rprop``."""
    for _, (p, g, before, size) in blocks((params, grads, befores, sizes)):
        own, spare = _two(p)
        g = regularised(g, p, 0.0, maximize, own)
        np.multiply(g, before, out=spare)
        np.copyto(before, g)
        before[spare < 0] = 0
        factor = np.where(spare < 0, less, np.where(spare > 0, more, 1.0)).astype(p.dtype)
        np.multiply(size, factor, out=size)
        np.clip(size, smallest, largest, out=size)
        np.sign(before, out=spare)
        spare[np.isnan(spare)] = 0
        np.multiply(spare, size, out=spare)
        np.subtract(p, spare, out=p)


def asgd_step(
    params: Arrays, grads: Arrays, averages: Arrays, *, rates: list[float], weights: list[float],
    lambd: float, weight_decay: float, maximize: bool,
) -> None:  # fmt: skip
    """See ``dovetail.optim.ASGD``."""
    for i, (p, g, average) in blocks((params, grads, averages)):
        own, spare = _two(p)
        g = regularised(g, p, weight_decay, maximize, own)
        np.multiply(g, rates[i], out=spare)
        np.multiply(p, 1 - lambd * rates[i], out=p)
        np.subtract(p, spare, out=p)
        if weights[i] == 1:
            np.copyto(average, p)
        else:
            _lerp(average, p, weights[i], spare)


STEPS: tuple[Any, ...] = (
    adamax_step, nadam_step, radam_step, adagrad_step, adadelta_step, rmsprop_step, rprop_step,
    asgd_step,
)  # fmt: skip


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    for function in STEPS:
        table.add(function.__name__, function, dtypes=(float32, float64))
