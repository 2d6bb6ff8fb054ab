"""Steps of optimizers, and of running statistics: many tensors in a launch. The core says what they
compute, in ``optim`` and ``batch_norm``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.device import Device, Launch, Size, owner_of
from dovetail_kernels.source import program

__all__ = ["enter"]

CHUNK = 1 << 12
"""Elements that a work group of a GPU takes at once: what is read at a time lies close together."""


def _launch(
    device: Device, kernel: str, macros: dict[str, Any], lists: int, dtype: DType, size: Size,
    numbers: list[Any],
) -> Launch:  # fmt: skip
    """The kernel for as many tensors as the device takes, with numbers like these."""
    many = device.tensors

    def make() -> Launch:
        given = {
            "IS_CPU": int(device.is_cpu),
            "T": dialect.VALUES[dtype.name],
            "W": 16 // dtype.itemsize,
            "MANY": many,
            "CHUNK": CHUNK,
            "EACH_TENSOR(DO)": " ".join(f"DO({t})" for t in range(many)),
            "ARGUMENTS": ", ".join(f"BUFFERS({t})" for t in range(many)),
            **macros,
        }
        text = program(device, "steps", given, (dtype,))
        return device.launch(text, kernel, many * lists, numbers, size, f"{kernel}_step")

    key = ("steps", kernel, *macros.items(), dtype, size)
    made: Launch = device.keep(key, make)
    return made


def _run(
    lists: Sequence[list[Any]], kernel: str, macros: dict[str, Any],
    numbers: Callable[[int, int, int], list[Any]],
) -> None:  # fmt: skip
    """Queue a step.

    Args:
        lists: arrays, the parameters first.
        numbers: the kernel's own numbers for the tensors from the first index to the second, in
            lists of the third's length.
    """
    params = lists[0]
    device, dtype = owner_of(params[0].buffer), params[0].dtype
    many = device.tensors
    for start in range(0, len(params), many):
        stop = min(len(params), start + many)
        here = [arrays[start:stop] for arrays in lists]
        shapes = tuple([p.shape for p in here[0]])
        offsets = tuple([a.offset for row in here for a in row])
        key = ("steps", kernel, *macros.items(), dtype, shapes, offsets)
        own = numbers(start, stop, many)
        plan = device.keep(
            key,
            lambda: _Plan(*_planned(device, here, kernel, macros, dtype, own)),  # noqa: B023
        )
        if plan.launch is None:
            continue
        buffers = [a.buffer for row in zip(*here, strict=True) for a in row]
        buffers += buffers[: len(here)] * (many - stop + start)
        plan.launch.with_numbers(buffers, plan.numbers(own))


class _Plan:
    """A launch for tensors that lie so.

    Args:
        launch: None where there is nothing to do.
        given: its numbers that follow from how the tensors lie.
    """

    def __init__(self, launch: Launch | None, given: list[tuple[int, bytes]]) -> None:
        self.launch, self._given = launch, given
        self._last: tuple[Any, Any] = None, ()

    def numbers(self, own: list[Any]) -> Any:
        """All of them, the same object where the kernel's own are: a launch knows it again."""
        last, numbers = self._last
        if own is not last:
            numbers = (*self._given, *enumerate(own, len(self._given)))
            self._last = own, numbers
        return numbers


def _planned(
    device: Device, here: list[Any], kernel: str, macros: dict[str, Any], dtype: DType,
    own: list[Any],
) -> tuple[Launch | None, list[tuple[int, bytes]]]:  # fmt: skip
    """The launch for tensors that lie so, and its numbers that follow from that."""
    many = device.tensors
    counts = [p.numel for p in here[0]]
    if not any(counts):
        return None, []
    given = [_padded(counts, many)]
    given += [_padded([a.offset // a.dtype.itemsize for a in row], many) for row in here]
    if device.is_cpu:
        workers = device.workers(max(counts), 2048)
    else:
        *firsts, count = accumulate((-(-n // CHUNK) for n in counts), initial=0)
        given += [_padded(firsts, many, count), np.uint64(count)]
        workers = (min(count, device.units * 256) * device.group,), (device.group,)
    launch = _launch(device, kernel, macros, len(here), dtype, workers, [*given, *own])
    return launch, [(i, number.tobytes()) for i, number in enumerate(given)]


def _padded(values: Sequence[int], many: int, filler: int = 0) -> Any:
    return np.array([*values, *[filler] * (many - len(values))], np.uint64)


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
    _run(lists, "sgd", macros, lambda start, stop, many: own)


def adam_step(
    params: Any, grads: Any, means: Any, squares: Any, largest: Any, *, steps: list[Any],
    lr: float, beta1: float, beta2: float, eps: float, weight_decay: float, maximize: bool,
    decoupled: bool,
) -> None:  # fmt: skip
    """Adam and AdamW, with AMSGrad where ``largest`` has tensors; ``steps`` may be arrays."""
    kind, counted = np.dtype(params[0].dtype.numpy), hasattr(steps[0], "buffer")
    macros = {
        "IS_ADAM": 1,
        "HAS_LARGEST": int(bool(largest)),
        "IS_COUNTED": int(counted),
        "COUNT": dialect.VALUES[steps[0].dtype.name] if counted else "float",
        "HAS_DECAY": int(weight_decay != 0 and not decoupled),
        "MAXIMIZES": int(maximize),
    }
    shrink = 1 - lr * weight_decay if decoupled else 1.0
    same = [kind.type(v) for v in (beta1, 1 - beta1, beta2, 1 - beta2, shrink, weight_decay)]

    def numbers(start: int, stop: int, many: int) -> list[Any]:
        rates, least = np.zeros(many), np.zeros(many)
        if counted:
            with np.errstate(divide="ignore"):
                rates[:4] = lr, eps, np.log(beta1), np.log(beta2)
            return [rates.astype(kind), least.astype(kind), *same]
        for i, step in enumerate(steps[start:stop]):
            root = (1 - beta2**step) ** 0.5
            rates[i], least[i] = lr * root / (1 - beta1**step), eps * root
        return [rates.astype(kind), least.astype(kind), *same]

    lists = [params, grads, means, squares, *([largest] if largest else [])]
    if counted:
        lists.append(steps)
    _run(lists, "adam", macros, numbers)


def running_step(values: Any, batch: Any, *, keep: float, weights: list[float]) -> None:
    """Running statistics: ``keep`` of them, and the batch's by a weight each."""
    dtype = values[0].dtype

    def numbers(start: int, stop: int, many: int) -> list[Any]:
        here = tuple(weights[start:stop])

        def make() -> list[Any]:
            kind = np.dtype(dtype.numpy)
            padded = [*here, *[0] * (many - len(here))]
            return [np.array(padded, kind), kind.type(keep)]

        made: list[Any] = owner_of(values[0].buffer).keep(("running", dtype, keep, here), make)
        return made

    _run([values, batch], "running", {"IS_RUNNING": 1}, numbers)


def enter(table: KernelTable) -> None:
    """Enter them."""
    for function in (sgd_step, adam_step, running_step):
        table.add(function.__name__, function, dtypes=(float32, float64))
    table.add("adam_step_counted", adam_step, dtypes=(float32, float64))
