"""Fourier transforms: a launch for each dim, or for all of them where there is little to do."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail.dtypes import complex64, complex128, float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, Array, packed, part, placing
from dovetail_kernels.device import Device, device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.fused.fourier_steps import COMPLEX, HALF, MACROS, REAL, Plan, Side, lines_of
from dovetail_kernels.shuffle import transposed
from dovetail_kernels.source import MOST, program

__all__ = ["enter"]

LITTLE = 1 << 12
"""Points of all steps together that one work item or group goes through in a launch."""

SIDE = 32
"""Lines that a work group takes at most."""


def _macros(device: Device, kind: str, itemsize: int) -> dict[str, Any]:
    width = 64 // itemsize if device.is_cpu else 1
    made: dict[str, Any] = {
        **MACROS, "IS_CPU": int(device.is_cpu), "T": kind, "V": kind, "W": width,
        "GROUP": min(device.group, 128), "ROOM": _points(device, itemsize) * 2,
        "MOST_SIDE": SIDE,
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
        }
    return made


def _points(device: Device, itemsize: int) -> int:
    """Numbers of a line, or of lines side by side, that a step has room for."""
    return (1 << 13) if device.is_cpu else (4160 // itemsize)


def _most(device: Device, itemsize: int, lines: int) -> int:
    """Points of the longest line that is taken in one step."""
    if not device.is_cpu:
        return 4096 // itemsize
    return 1 << 12 if lines >= 64 // itemsize else 1 << 11


class _Transform:
    """What a call comes to: a plan made of its specs."""

    def __init__(self, facts: Any) -> None:
        options, self.name = facts.attributes, facts.op.name
        self.input, self.out = ghost(facts.inputs[0]), ghost(facts.outputs[0])
        self.dims = tuple(options["dim"])
        if not self.dims:  # a copy: along a dim of one
            self.input, self.out = _longer(self.input), _longer(self.out)
            self.dims = (self.input.ndim - 1,)
        self.device = device_of(facts.outputs[0].device)
        self.real = self.out.dtype.to_real() if self.out.dtype.is_complex else self.out.dtype
        is_back = self.name == "fft_c2r"
        signal = self.out if is_back else self.input
        sizes = [signal.shape[i] for i in self.dims]
        self.scale = (1.0, prod(sizes) ** -0.5, 1 / prod(sizes))[options["normalization"]]
        itemsize = self.real.itemsize
        lines = signal.numel // max(sizes)
        self.plan = Plan(_most(self.device, itemsize, lines), _points(self.device, itemsize))
        {"fft_c2c": self._c2c, "fft_r2c": self._r2c, "fft_c2r": self._c2r}[self.name](options)

    def _side(self, which: int, array: Array, kind: int, begin: int = 0) -> Any:
        unit = 2 if array.dtype.is_complex else 1
        return lambda strides, dim: Side(
            which, strides, array.element_strides[dim] * unit, kind, begin, unit
        )

    def _add(
        self, dim: int, n: int, source: tuple[Any, Array], target: tuple[Any, Array],
        makes: int, inverse: bool, is_last: bool,
    ) -> None:  # fmt: skip
        (make_source, input), (make_target, out) = source, target
        others = [i for i in range(out.ndim) if i != dim]
        units = tuple(2 if a.dtype.is_complex else 1 for a in (out, input))
        shape, to, of = lines_of(collapse(part(out, others), part(input, others)), units)
        self.plan.transform(
            shape, n, make_source(of, dim), make_target(to, dim),
            inverse=inverse, makes=makes, scaled=is_last and self.scale != 1,
        )  # fmt: skip

    def _c2c(self, options: Any) -> None:
        source = self._side(0, self.input, COMPLEX), self.input
        target = self._side(1, self.out, COMPLEX), self.out
        self._in_place(self.dims, source, target, not options["forward"], True)

    def _in_place(self, dims: Any, source: Any, target: Any, inverse: bool, ends: bool) -> None:
        """Complex numbers along several dims: into the target, then in place."""
        for i, dim in enumerate(dims):
            n = target[1].shape[dim]
            self._add(dim, n, source, target, n, inverse, ends and i == len(dims) - 1)
            source = target

    def _r2c(self, options: Any) -> None:
        source = self._side(0, self.input, REAL), self.input
        target = self._side(1, self.out, COMPLEX), self.out
        *others, last = self.dims
        n, makes = self.input.shape[last], self.out.shape[last]
        self._add(last, n, source, target, makes, False, not others)
        self._in_place(others, target, target, False, True)

    def _c2r(self, options: Any) -> None:
        *others, last = self.dims
        target = self._side(1, self.out, REAL), self.out
        halved = self.input
        begin, which = 0, 0
        if others:
            source = self._side(0, self.input, COMPLEX), self.input
            halved = packed(self.input)
            begin, which = self.plan.borrow(halved.numel), 2
            between = self._side(2, halved, COMPLEX, begin), halved
            self._in_place(others, source, between, True, False)
        n = self.out.shape[last]
        source = self._side(which, halved, HALF, begin), halved
        self._add(last, n, source, target, n, True, True)


def _longer(array: Array) -> Array:
    return Array(None, 0, (*array.shape, 1), (*array.strides, array.itemsize), array.dtype)


def _made(facts: Any) -> Callable[..., None]:
    if not facts.outputs[0].numel:
        return lambda *arrays: None
    made = _Transform(facts)
    device, plan, real = made.device, made.plan, made.real
    kind, itemsize = dialect.VALUES[real.name], real.itemsize
    macros = _macros(device, kind, itemsize)
    text = program(device, "fourier", macros, (real,))
    table = device.keep(
        ("fourier", real.name, tuple(plan.table.parts)),
        lambda: device.constant(plan.table.values(real.numpy)),
    )
    width, group = macros["W"], macros["GROUP"]
    room = 0
    for step in plan.steps:
        numbers = max(step["POINTS"] + 1, step["MAKES"], 80)
        room = max(room, numbers)
        step["SIDE"] = max(1, min(SIDE, macros["ROOM"] // (2 * numbers), step["LINES"]))
    work = sum(s["LINES"] * s["POINTS"] for s in plan.steps)
    is_one = work <= LITTLE or len(plan.steps) == 1
    launches, most = [], 1
    steps = device.constant(plan.packed(plan.steps))
    begin = 2 * plan.memory
    begin = -(-begin // width) * width
    for i, step in enumerate(plan.steps):
        first, last = (0, len(plan.steps)) if is_one else (i, i + 1)
        if device.is_cpu:
            blocks = -(-step["LINES"] // width)
            size = device.workers(blocks, max(1, 512 // step["POINTS"]))
        else:
            blocks = -(-step["LINES"] // step["SIDE"])
            size = (min(blocks, device.units * 32) * group,), (group,)
        if last - first > 1:
            size = ((group,), (group,)) if not device.is_cpu else ((1,), (1,))
        most = max(most, size[0][0])
        numbers_of = [
            NO_OFFSETS,
            np.array([first, last, room, begin // width], np.uint32),
            real.numpy.type(made.scale),
        ]
        launches.append(
            device.launch(text, "fourier", 5, numbers_of, size, made.name).with_numbers
        )
        if is_one:
            break
    scratch = 4 * room * width * most if device.is_cpu else 0
    take, give = device.room((begin + scratch) * itemsize)
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
    """32 bits count the points of a line, there are up to eight loops, and memory for it."""
    return True


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name, dtypes in (
        ("fft_c2c", (complex64, complex128)),
        ("fft_r2c", (float32, float64)),
        ("fft_c2r", (complex64, complex128)),
    ):
        table.add(name, _made, dtypes=dtypes, layout="strided", specialize=True, when=_fits)
