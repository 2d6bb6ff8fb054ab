"""Steps of optimizers, and of running statistics: eight tensors in a launch. The core says what
they compute, in ``optim`` and ``batch_norm``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.device import Device, Launch, owner_of
from dovetail_kernels.source import program

__all__ = ["enter"]

MANY = 8
"""Tensors of one launch: what fits into a vector of OpenCL C."""

EACH = " ".join(f"DO({t})" for t in range(MANY))


def _launch(
    device: Device, kernel: str, macros: dict[str, Any], lists: int, dtype: DType, longest: int,
    numbers: list[Any],
) -> Launch:  # fmt: skip
    """The kernel for ``MANY`` tensors of up to ``longest`` elements, with numbers like these."""
    kind = dialect.VALUES[dtype.name]
    size = device.workers(longest, 2048)

    def make() -> Launch:
        given = {
            "IS_CPU": int(device.is_cpu),
            "T": kind,
            "T8": f"{kind}8",
            "EACH_TENSOR(DO)": EACH,
            "ARGUMENTS": ", ".join(f"BUFFERS({t})" for t in range(MANY)),
            **macros,
        }
        text = program(device, "steps", given, (dtype,))
        return device.launch(text, kernel, MANY * lists, numbers, size, f"{kernel}_step")

    key = ("steps", kernel, *macros.items(), dtype, size)
    made: Launch = device.keep(key, make)
    return made


def _run(
    lists: Sequence[list[Any]], kernel: str, macros: dict[str, Any],
    numbers: Callable[[int, int], list[Any]],
) -> None:  # fmt: skip
    """Queue a step.

    Args:
        lists: arrays, the parameters first.
        numbers: the kernel's own numbers for the tensors from the first index to the second.
    """
    params = lists[0]
    device, dtype = owner_of(params[0].buffer), params[0].dtype
    size = dtype.itemsize
    for start in range(0, len(params), MANY):
        stop = min(len(params), start + MANY)
        here = [arrays[start:stop] for arrays in lists]
        counts = [p.numel for p in here[0]]
        if not any(counts):
            continue
        missing = MANY - len(counts)
        buffers = [a.buffer for row in zip(*here, strict=True) for a in row]
        buffers += buffers[: len(here)] * missing
        given = [_eight(counts), *(_eight([a.offset // size for a in row]) for row in here)]
        given += numbers(start, stop)
        launch = _launch(device, kernel, macros, len(here), dtype, max(counts), given)
        launch.with_numbers(buffers, list(enumerate(given)))


def _eight(values: Sequence[int]) -> Any:
    return np.array([*values, *[0] * (MANY - len(values))], np.uint64)


def sgd_step(
    params: Any, grads: Any, buffers: Any, *, lr: float, momentum: float, dampening: float,
    weight_decay: float, nesterov: bool, maximize: bool, first: bool,
) -> None:  # fmt: skip
    """Stochastic gradient descent with momentum."""
    macros = {
        "IS_SGD": 1,
        "HAS_BUFFER": int(momentum != 0),
        "IS_FIRST": int(first),
        "IS_NESTEROV": int(nesterov),
        "HAS_DECAY": int(weight_decay != 0),
        "MAXIMIZES": int(maximize),
    }
    number = np.dtype(params[0].dtype.numpy).type
    own = [number(v) for v in (lr, momentum, 1 - dampening, weight_decay)]
    lists = [params, grads, buffers] if momentum else [params, grads]
    _run(lists, "sgd", macros, lambda start, stop: own)


def adam_step(
    params: Any, grads: Any, means: Any, squares: Any, largest: Any, *, steps: list[float],
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, maximize: bool,
    decoupled: bool,
) -> None:  # fmt: skip
    """Adam and AdamW, with AMSGrad where ``largest`` has tensors."""
    macros = {
        "IS_ADAM": 1,
        "HAS_LARGEST": int(bool(largest)),
        "HAS_DECAY": int(weight_decay != 0 and not decoupled),
        "MAXIMIZES": int(maximize),
    }
    kind = np.dtype(params[0].dtype.numpy)
    shrink = 1 - lr * weight_decay if decoupled else 1.0
    same = [kind.type(v) for v in (beta1, 1 - beta1, beta2, 1 - beta2, shrink, weight_decay)]

    def numbers(start: int, stop: int) -> list[Any]:
        rates, least = np.zeros(MANY), np.zeros(MANY)
        for i, step in enumerate(steps[start:stop]):
            root = (1 - beta2**step) ** 0.5
            rates[i], least[i] = lr * root / (1 - beta1**step), eps * root
        return [rates.astype(kind), least.astype(kind), *same]

    lists = [params, grads, means, squares, *([largest] if largest else [])]
    _run(lists, "adam", macros, numbers)


def running_step(values: Any, batch: Any, *, keep: float, weights: list[float]) -> None:
    """Running statistics: ``keep`` of them, and the batch's by a weight each."""
    kind = np.dtype(values[0].dtype.numpy)

    def numbers(start: int, stop: int) -> list[Any]:
        eight = [*weights[start:stop], *[0] * (MANY - (stop - start))]
        return [np.array(eight, kind), kind.type(keep)]

    _run([values, batch], "running", {"IS_RUNNING": 1}, numbers)


def enter(table: KernelTable) -> None:
    """Enter them."""
    for function in (sgd_step, adam_step, running_step):
        table.add(function.__name__, function, dtypes=(float32, float64))
