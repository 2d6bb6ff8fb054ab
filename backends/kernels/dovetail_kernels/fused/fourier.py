"""Fourier transforms: a launch for each step, or one for all where there is little to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail.dtypes import complex64, complex128, float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, Array, packed, part, placing
from dovetail_kernels.device import Device, Size, device_of, known
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.fused.fourier_steps import COMPLEX, HALF, MACROS, REAL, Plan, Side
from dovetail_kernels.shuffle import transposed
from dovetail_kernels.source import MOST, program

__all__ = ["enter"]

LITTLE = 1 << 12
"""Points of all steps together that one work item or group goes through in a launch."""

SIDE = 32
"""Lines that a work group takes at most."""

LEAST = 80
"""Numbers that a half of a work item's memory holds at least: roots are put there too."""


@dataclass(frozen=True)
class _Tensor:
    """A tensor whose lines are read or written: what, where it is (:class:`Side`), and how."""

    array: Array
    which: int
    kind: int
    begin: int = 0

    @property
    def unit(self) -> int:
        return 2 if self.array.dtype.is_complex else 1

    def side(self, dim: int, strides: Sequence[int]) -> Side:
        step, *others = (s * self.unit for s in (self.array.element_strides[dim], *strides))
        return Side(self.which, tuple(others), step, self.kind, self.begin, self.unit)


class _Transform:
    """A call's dims as the steps of a plan."""

    def __init__(self, plan: Plan, facts: Any, input: Array, out: Array, dims: Any) -> None:
        self.plan, self.dims = plan, dims
        self.input, self.out = input, out
        options = facts.attributes
        signal = out if facts.op.name == "fft_c2r" else input
        self.points = prod(signal.shape[i] for i in dims)
        self.scale = (1.0, self.points**-0.5, 1 / self.points)[options["normalization"]]
        getattr(self, f"_{facts.op.name[4:]}")(options)

    def _c2c(self, options: Any) -> None:
        source, target = _Tensor(self.input, 0, COMPLEX), _Tensor(self.out, 1, COMPLEX)
        self._several(self.dims, source, target, not options["forward"], scaled=True)

    def _r2c(self, options: Any) -> None:
        source, target = _Tensor(self.input, 0, REAL), _Tensor(self.out, 1, COMPLEX)
        *others, last = self.dims
        self._add(last, self.input.shape[last], source, target, False, scaled=not others)
        self._several(others, target, target, False, scaled=True)

    def _c2r(self, options: Any) -> None:
        *others, last = self.dims
        half = _Tensor(self.input, 0, HALF)
        if others:
            made = packed(self.input)
            begin = self.plan.borrow(made.numel)
            source, between = _Tensor(self.input, 0, COMPLEX), _Tensor(made, 2, COMPLEX, begin)
            self._several(others, source, between, True, scaled=False)
            half = _Tensor(made, 2, HALF, begin)
        self._add(last, self.out.shape[last], half, _Tensor(self.out, 1, REAL), True, scaled=True)

    def _several(
        self, dims: Any, source: _Tensor, target: _Tensor, inverse: bool, scaled: bool
    ) -> None:
        """Complex numbers along several dims: into the target, then in place."""
        for i, dim in enumerate(dims):
            n, is_last = target.array.shape[dim], i == len(dims) - 1
            self._add(dim, n, source, target, inverse, scaled=scaled and is_last)
            source = target

    def _add(
        self, dim: int, n: int, source: _Tensor, target: _Tensor, inverse: bool, scaled: bool
    ) -> None:
        others = [i for i in range(target.array.ndim) if i != dim]
        loops = collapse(part(target.array, others), part(source.array, others))
        self.plan.transform(
            loops.shape, n, source.side(dim, loops.strides[1]), target.side(dim, loops.strides[0]),
            inverse=inverse, makes=target.array.shape[dim], scaled=scaled and self.scale != 1,
        )  # fmt: skip


def _arrays(facts: Any) -> tuple[Array, Array, tuple[int, ...]]:
    """(Input, output, dims); without dims it is a copy, along a dim of one."""
    input, out, dims = ghost(facts.inputs[0]), ghost(facts.outputs[0]), facts.attributes["dim"]
    if dims:
        return input, out, tuple(dims)
    longer = [
        Array(None, 0, (*a.shape, 1), (*a.strides, a.itemsize), a.dtype) for a in (input, out)
    ]
    return longer[0], longer[1], (input.ndim,)


def _plan(device: Device, itemsize: int, lines: int) -> Plan:
    """An empty plan for so many lines of real numbers of so many bytes."""
    if device.is_cpu:
        return Plan(1 << 12 if lines >= 64 // itemsize else 1 << 11, 1 << 13)
    most, more = 4096 // itemsize, 16
    while 4 * (most + more) * itemsize + 64 * SIDE > device.local_memory:
        most //= 2
    return Plan(most, most + more)


def _macros(device: Device, kind: str, itemsize: int, room: int) -> dict[str, Any]:
    width = 64 // itemsize if device.is_cpu else 1
    made: dict[str, Any] = {
        **MACROS, "IS_CPU": int(device.is_cpu), "T": kind, "V": kind, "W": width,
        "GROUP": min(device.group, 128), "ROOM": 2 * room, "MOST_SIDE": SIDE,
    }  # fmt: skip
    if width > 1:
        names = [f"row{i}" for i in range(width)]
        statements, turned = transposed(names, width, kind)
        made |= {
            "V": f"{kind}{width}",
            "vloadW": f"vload{width}",
            "vstoreW": f"vstore{width}",
            "TILE(ROW)": " ".join(f"const V {name} = ROW({i});" for i, name in enumerate(names)),
            "TURN_TILE": statements,
            "TURNED(PUT)": " ".join(f"PUT({i}, {name})" for i, name in enumerate(turned)),
            "REVERSED(v)": f"(v).s{'fedcba9876543210'[16 - width :]}",
        }
    return made


def _size(device: Device, step: Any, width: int, group: int, is_alone: bool) -> Size:
    """Work items of a step, or of one work item or group that takes all steps."""
    if device.is_cpu:
        blocks = -(-step["LINES"] // width)
        least = max(1, LITTLE // (width * step["POINTS"]))
        return ((1,), (1,)) if is_alone else device.workers(blocks, least)
    groups = 1 if is_alone else min(-(-step["LINES"] // step["SIDE"]), device.units * 32)
    return (groups * group,), (group,)


def _made(facts: Any) -> Callable[..., None]:
    if not facts.outputs[0].numel:
        return lambda *arrays: None
    device, name = device_of(facts.outputs[0].device), facts.op.name
    input, out, dims = _arrays(facts)
    real = out.dtype.to_real() if out.dtype.is_complex else out.dtype
    signal = max(input, out, key=lambda a: a.numel)
    plan = _plan(device, real.itemsize, signal.numel // max(signal.shape[i] for i in dims))
    scale = real.numpy.type(_Transform(plan, facts, input, out, dims).scale)

    macros = _macros(device, dialect.VALUES[real.name], real.itemsize, plan.room)
    width, group = macros["W"], macros["GROUP"]
    text = program(device, "fourier", macros, (real,))
    for step in plan.steps:
        fits = plan.room // max(step["POINTS"] + 1, step["MAKES"])
        step["SIDE"] = max(1, min(SIDE, fits, step["LINES"]))
    count = len(plan.steps)
    is_alone = count > 1 and sum(s["LINES"] * s["POINTS"] for s in plan.steps) <= LITTLE
    sizes = [_size(device, step, width, group, is_alone) for step in plan.steps]
    room = max(LEAST, *(max(s["POINTS"] + 1, s["LOADS"], s["MAKES"]) for s in plan.steps))
    own = -(-plan.peak // width)
    scratch = 4 * room * max(size[0][0] for size in sizes) if device.is_cpu else 0
    launches = []
    for i, size in enumerate(sizes[:1] if is_alone else sizes):
        ends = (0, count) if is_alone else (i, i + 1)
        numbers = [NO_OFFSETS, np.array([*ends, room, own], np.uint32), scale]
        launches.append(device.launch(text, "fourier", 5, numbers, size, name).with_numbers)
    table = device.keep(
        ("fourier", real.name, tuple(plan.table.parts)),
        lambda: device.constant(plan.table.values(real.numpy)),
    )
    steps = device.constant(plan.packed())
    take, give = device.room((own + scratch) * width * real.itemsize)
    place = placing(2)

    def run(input: Any, out: Any) -> None:
        (to, of), begins = place(out, input)
        memory = take()
        try:
            for queue in launches:
                queue((to, of, memory, table, steps), begins)
        finally:
            give(memory)

    return run


def _fits(facts: Any) -> bool:
    """There are lengths that steps serve, and not too many loops over lines."""
    out = facts.outputs[0]
    if not out.numel:
        return True
    device, (input, made, dims) = known(out.device), _arrays(facts)
    if device is None:
        return True
    plan = _plan(device, out.dtype.itemsize // (2 if out.dtype.is_complex else 1), 1)
    lengths = {max(input.shape[i], made.shape[i]) for i in dims}
    return made.ndim <= MOST and all(map(plan.can, lengths))


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name, dtypes in (
        ("fft_c2c", (complex64, complex128)),
        ("fft_r2c", (float32, float64)),
        ("fft_c2r", (complex64, complex128)),
    ):
        table.add(name, _made, dtypes=dtypes, layout="strided", specialize=True, when=_fits)
