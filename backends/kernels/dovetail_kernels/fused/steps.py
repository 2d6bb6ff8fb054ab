"""Steps of optimizers, and of running statistics: many tensors in a launch. The core says what they
compute, in ``optim`` and ``batch_norm``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from operator import attrgetter
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.device import Device, Launch, Size, owner_of
from dovetail_kernels.source import program

__all__ = ["enter", "queue_step"]

CHUNK = 1 << 12
"""Elements that a work group of a GPU takes at once: what is read at a time lies close together."""

Pairs = tuple[tuple[int, bytes], ...]
"""Numbers of a launch, each with its position."""


def _many(device: Device, lists: int) -> int:
    """Tensors of a launch that takes so many arrays of each. Their buffers and where these begin, a
    size, a chunk and two rates of each must fit into the arguments, with the rule's numbers."""
    return min(device.tensors, (device.arguments - 128) // (16 * lists + 32))


def _launch(
    device: Device, kernel: str, macros: dict[str, Any], lists: int, dtype: DType, size: Size,
    numbers: list[Any], before: tuple[str, ...],
) -> Launch:  # fmt: skip
    """The kernel for as many tensors as its arguments hold, with numbers like these."""
    many = _many(device, lists)

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
        text = program(device, "steps", given, (dtype,), before)
        return device.launch(text, kernel, many * lists, numbers, size, f"{kernel}_step")

    key = ("steps", kernel, *macros.items(), dtype, size)
    made: Launch = device.keep(key, make)
    return made


_shape, _offset, _buffer = map(attrgetter, ("shape", "offset", "buffer"))


def queue_step(
    lists: Sequence[list[Any]], kernel: str, macros: dict[str, Any],
    numbers: Callable[[int, int, int], list[Any]], known: tuple[Any, ...] | None = None,
    before: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Queue a step.

    Args:
        lists: arrays, the parameters first.
        numbers: the kernel's own numbers for the tensors from the first index to the second, in
            lists of the third's length.
        known: what they follow from, so that those of the last call may serve; None: they don't.
        before: files that the rule is written in.
    """
    params = lists[0]
    device, dtype = owner_of(params[0].buffer), params[0].dtype
    rows = len(lists)
    many = _many(device, rows)
    for start in range(0, len(params), many):
        stop = min(len(params), start + many)
        here = [arrays[start:stop] for arrays in lists] if len(params) > many else lists
        arrays = [*chain.from_iterable(zip(*here, strict=True))]
        places = [*map(_offset, arrays)]
        shapes, lies = tuple(map(_shape, here[0])), tuple(places) if any(places) else ()
        key = ("steps", kernel, start, rows, *macros.values(), dtype, shapes, lies)
        found = device.kept.get(key)
        if found is None or known is None or found[2] != known:
            own = numbers(start, stop, many)
            if found is None:
                launch, common = _planned(device, here, kernel, macros, dtype, own, before)
            else:
                launch, given, _ = found
                common = given[: len(given) - len(own)]
            found = (launch, (*common, *_pairs(own, len(common))), known)
            device.remember(key, found)
        launch, given, _ = found
        if launch is None:
            continue
        buffers = [*map(_buffer, arrays)]
        if stop - start < many:
            buffers += buffers[:rows] * (many - stop + start)
        launch.with_numbers(buffers, given)


def _planned(
    device: Device, here: Sequence[Any], kernel: str, macros: dict[str, Any], dtype: DType,
    own: list[Any], before: tuple[str, ...],
) -> tuple[Launch | None, Pairs]:  # fmt: skip
    """The launch for tensors that lie so, with its own numbers last, and those before them."""
    many = _many(device, len(here))
    counts = [p.numel for p in here[0]]
    if not any(counts):
        return None, ()
    given = [_padded(counts, many)]
    given += [_padded([a.offset // a.dtype.itemsize for a in row], many) for row in here]
    if device.is_cpu:
        workers = device.workers(max(counts), 2048)
    else:
        *firsts, count = accumulate((-(-n // CHUNK) for n in counts), initial=0)
        given += [_padded(firsts, many, count), np.uint64(count)]
        workers = (min(count, device.units * 256) * device.group,), (device.group,)
    launch = _launch(device, kernel, macros, len(here), dtype, workers, [*given, *own], before)
    return launch, _pairs(given, 0)


def _pairs(numbers: Sequence[Any], first: int) -> Pairs:
    """Numbers as a launch takes them, by their positions."""
    return tuple((i, number.tobytes()) for i, number in enumerate(numbers, first))


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
    given = (lr, momentum, 1 - dampening, weight_decay)

    def numbers(start: int, stop: int, many: int) -> list[Any]:
        return [np.dtype(params[0].dtype.numpy).type(v) for v in given]

    lists = [params, grads, buffers] if momentum else [params, grads]
    queue_step(lists, "sgd", macros, numbers, given)


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
        known: dict[Any, tuple[float, float]] = {}  # most tensors have taken the same steps
        for i, step in enumerate(steps[start:stop]):
            pair = known.get(step)
            if pair is None:
                root = (1 - beta2**step) ** 0.5
                pair = known[step] = (lr * root / (1 - beta1**step), eps * root)
            rates[i], least[i] = pair
        return [rates.astype(kind), least.astype(kind), *same]

    lists = [params, grads, means, squares, *([largest] if largest else [])]
    if counted:
        lists.append(steps)
    queue_step(lists, "adam", macros, numbers)


def running_step(values: Any, batch: Any, *, keep: float, weights: list[float]) -> None:
    """Running statistics: ``keep`` of them, and the batch's by a weight each."""

    def numbers(start: int, stop: int, many: int) -> list[Any]:
        kind = np.dtype(values[0].dtype.numpy)
        padded = [*weights[start:stop], *[0] * (many - stop + start)]
        return [np.array(padded, kind), kind.type(keep)]

    queue_step([values, batch], "running", {"IS_RUNNING": 1}, numbers, (keep, *weights))


def enter(table: KernelTable) -> None:
    """Enter them."""
    for function in (sgd_step, adam_step, running_step):
        table.add(function.__name__, function, dtypes=(float32, float64))
    table.add("adam_step_counted", adam_step, dtypes=(float32, float64))
