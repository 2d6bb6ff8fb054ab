"""Images at other sizes, and their gradient: a launch each, for all modes."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.backend.taps import is_same, spread_taps, taps_of
from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32
from dovetail_kernels import dialect
from dovetail_kernels.arrays import offsets
from dovetail_kernels.device import device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import element, program
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = ["enter"]

LEAST = 1 << 12
"""Elements of the output that a work item has, at least."""


class _Taps:
    """Along one dim: how many inputs each output has, where they are and their weights, both
    (K, out)."""

    def __init__(self, facts: Any, dim: int, work: DType) -> None:
        (given,), (made,) = facts.inputs, facts.outputs
        options, is_spread = facts.attributes, facts.op.name == "resample_backward"
        size, out = given.shape[2 + dim], made.shape[2 + dim]
        if is_spread:
            size, out = out, size
        mode, factor = options["mode"], options["factors"][dim]
        align, antialias = options["align"], options["antialias"]
        index, weight = np.arange(out)[None], None
        if not is_same(mode, size, out, factor, antialias):
            index, weight = taps_of(mode, work.numpy.type, size, out, factor, align, antialias)
        if is_spread:
            index, weight = spread_taps((index, weight), size)
        self.weight = np.ones(index.shape) if weight is None else weight
        self.count = (self.weight != 0).sum(0) if is_spread else np.full(index.shape[1], len(index))
        self.index = index

    @classmethod
    def of_one(cls) -> _Taps:
        """Of a dim that is not there."""
        made = cls.__new__(cls)
        made.index, made.weight = np.zeros((1, 1), np.int64), np.ones((1, 1))
        made.count = np.ones(1, np.int64)
        return made

    def places(self) -> np.ndarray:
        """The numbers, and then where inputs are."""
        return np.concatenate([self.count[None], self.index]).reshape(-1)

    def by_vectors(self, width: int, reach: int) -> tuple[np.ndarray, np.ndarray, int]:
        """(where the places of each vector begin and then the places; weights; columns), for
        vectors of which those that are within ``reach`` count from their begin."""
        taps, out = self.index.shape
        columns = -(-out // width) * width
        index = np.pad(self.index, ((0, 0), (0, columns - out)), mode="edge")
        index = index.reshape(taps, columns // width, width)
        first = index.min(2)
        first[index.max(2) - first >= reach] = -1
        index = index - np.maximum(first, 0)[..., None]
        weight = np.pad(self.weight, ((0, 0), (0, columns - out)))
        return np.concatenate([first.reshape(-1), index.reshape(-1)]), weight.reshape(-1), columns


def _four(*numbers: int) -> Any:
    return np.array([*numbers, *[0] * (4 - len(numbers))], np.int32)


def _resample(facts: Any) -> Any:
    (given,), (made,) = facts.inputs, facts.outputs
    device, dtype, name = device_of(made.device), made.dtype, facts.op.name
    work = accumulated(dtype)
    ndim, planes = len(made.shape) - 2, made.shape[0] * made.shape[1]
    none = 3 - ndim
    z, y, x = [*[_Taps.of_one()] * none, *(_Taps(facts, i, work) for i in range(ndim))]
    sizes, outs = ((*[1] * none, *shape[2:]) for shape in (given.shape, made.shape))
    places, weights = [z.places(), y.places()], [z.weight.reshape(-1), y.weight.reshape(-1)]
    width, kind = 64 // work.itemsize, dialect.VALUES[work.name]
    columns = room = 0
    if device.is_cpu:
        reach = 2 * width if work is float32 else 0
        more, weight, columns = x.by_vectors(width, reach)
        places.append(more)
        weights.append(weight)
        room = -(-sizes[2] // width) * width + 2 * width
    else:
        places.append(x.places())
        weights.append(x.weight.reshape(-1))
    at = [sum(map(len, places[:i])) for i in range(3)]
    of = [sum(map(len, weights[:i])) for i in range(3)]
    macros = {
        "IS_LINES": int(device.is_cpu),
        "IS_SPARSE": int(name == "resample_backward"),
        "T": kind,
        **element(device, "OUT", dtype),
    }
    helpers = ""
    if device.is_cpu:
        macros |= {
            "W": width,
            "WIDE": f"{kind}{width}",
            "PUT_WIDE(p, v)": f"STORE_{kind}{width}(p, v)",
            "vloadW": f"vload{width}",
            "vstoreW": f"vstore{width}",
            **lanes(device, "OUT", dtype, width, side=False),
        }
        helpers = vector_helpers((dtype, work), width)
    text = program(device, "resample", macros, (dtype, work), text=helpers)
    numbers = [
        *[np.uint64(0)] * 2, np.uint64(planes), _four(*sizes), _four(*outs), _four(*of),
        _four(*at, len(x.index)), _four(columns, room),
    ]  # fmt: skip
    tables = (
        device.constant(np.concatenate(places).astype(np.int32)),
        device.constant(np.concatenate(weights).astype(work.numpy)),
    )
    if not device.is_cpu:
        size = device.workers(made.numel)
        launch = device.launch(text, "resample", 4, numbers, size, name)

        def run(x: Any, y: Any) -> None:
            launch.with_numbers((y.buffer, x.buffer, *tables), offsets(y, x))

        return run
    rows = planes * outs[0] * outs[1]
    size = device.workers(rows, max(1, LEAST // outs[2]))
    launch = device.launch(text, "resample_lines", 5, numbers, size, name)
    take, give = device.room(size[0][0] * room * work.itemsize)

    def run_lines(x: Any, y: Any) -> None:
        memory = take()
        try:
            launch.with_numbers((y.buffer, x.buffer, *tables, memory), offsets(y, x))
        finally:
            give(memory)

    return run_lines


def _fits(facts: Any) -> bool:
    """There is something, of at most three dims, and 32 bits count the elements of a plane."""
    tensors = (*facts.inputs, *facts.outputs)
    return all(t.numel and t.ndim <= 5 and t.numel < 1 << 31 for t in tensors)


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("resample", "resample_backward"):
        table.add(name, _resample, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits)
