"""Small matrices side by side: a matrix in each lane of a vector, or one for each work group.

On the host's cores a work item takes as many matrices as a vector has numbers, and what is written
for one (see ``src/lanes.cl``) is done to all of them; a lane without a matrix of its own has the
last one again. Elsewhere a group has a matrix, and its members take the columns. Sizes are
arguments: there is one program for each kernel and dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, joined, placing
from dovetail_kernels.device import Device, device_of, known
from dovetail_kernels.folds import accumulated
from dovetail_kernels.source import element, program

__all__ = ["Beside", "planned"]

MEMBERS = 64
"""Work items that a group has at most."""

LEAST = 1 << 14
"""Operations that a work item of the host's cores has at least."""

COST = 0.5
"""Nanoseconds that an operation takes on the host's cores, measured where they are 2 (PoCL)."""

MOVED = 3
"""Nanoseconds for an element of a matrix that is brought and put back there."""

MOST_ROOM = 5 << 20
"""Bytes that a work item or group has room for, at most; more is memory's time."""

ALL_ROOM = 1 << 28
"""Bytes that all groups of a GPU have room for, at most."""

SMALL = 32
"""Columns of matrices that never leave a GPU."""

GPU_COST = 25
"""As many times as much for a group's member elsewhere; a guess."""

EXPONENTS = {"float": "0x7f800000u", "double": "0x7ff0000000000000ul"}
"""The bits of a number that say how large it is."""


def width_of(device: Device, dtype: DType) -> int:
    """Matrices that a work item has side by side."""
    return 64 // accumulated(dtype).to_real().itemsize if device.is_cpu else 1


def count_of(spec: Any) -> int:
    """Matrices of a batch, (*, M, N)."""
    return int(np.prod(spec.shape[:-2], dtype=np.int64))


def _macros(device: Device, dtype: DType) -> dict[str, Any]:
    work = accumulated(dtype).to_real()
    kind, w = dialect.VALUES[work.name], width_of(device, dtype)
    bits = "uint" if work is float32 else "ulong"
    many = str(w) if w > 1 else ""
    limits = np.finfo(work.numpy)
    return {
        "IS_CPU": int(device.is_cpu), "IS_COMPLEX": int(dtype.is_complex), "W": w, "T": kind,
        "V": f"{kind}{many}", "AS_V": f"as_{kind}{many}", "AS_BITS": f"as_{bits}{many}",
        "EXPONENT": EXPONENTS[kind], "TINY": float(limits.tiny) * 16, "CLOSE": 8 * limits.eps,
        "NOTHING": 1e-30 if work is float32 else 1e-280, "SWEEPS": 40,
        "ANY(c)": "any(c)" if w > 1 else "(c)",
        **element(device, "E", accumulated(dtype).to_real() if dtype.is_complex else dtype),
    }  # fmt: skip


@dataclass(frozen=True)
class Beside:
    """A kernel of matrices beside each other, for one call.

    Attributes:
        name: the file in ``src`` and the kernel in it.
        rows, columns: of what is factorized.
        areas: (rows, columns) of the matrices that it needs room for, those first whose size it has
            to know, of which there are three at most.
        more: numbers that it needs room for besides them.
        work: operations on numbers for a matrix, about.
        order: its arrays, as places among the call's inputs and outputs.
        numbers: its own, after its sizes.
        before: files that it is written in terms of, besides those of every such kernel.
        reports: it reports what has no result, by the last of its numbers.
    """

    name: str
    rows: int
    columns: int
    areas: tuple[tuple[int, int], ...]
    more: int
    work: int
    order: tuple[int, ...]
    numbers: tuple[Any, ...] = ()
    before: tuple[str, ...] = ()
    reports: bool = False

    def lead(self, is_cpu: bool) -> int:
        """From one column to the next; elsewhere than on the host's cores from row to row."""
        return max(area[not is_cpu] for area in self.areas)

    def sizes(self, is_cpu: bool) -> list[int]:
        """Numbers of each area."""
        return [self.lead(is_cpu) * area[is_cpu] for area in self.areas]

    def room(self, device: Device, dtype: DType) -> int:
        """Bytes that a work item or group needs, but for what its members need."""
        numbers = sum(self.sizes(device.is_cpu)) + self.more
        return numbers * width_of(device, dtype) * accumulated(dtype).itemsize

    def is_worth_it(self, facts: Any, base: float, each: float) -> bool:
        """Whether it takes no longer than what the core does without it.

        Args:
            base, each: nanoseconds that this takes for a call, and for every element of square
                matrices; of others most is made of what remains after a QR factorization.
        """
        source = facts.inputs[0]
        device, count = known(source.device), count_of(source)
        if device is None:
            return True
        if self.room(device, source.dtype) > MOST_ROOM:
            return False
        parts = 2 if source.dtype.is_complex else 1
        taken = self.work * COST * parts**2
        if device.is_cpu:
            width = width_of(device, source.dtype)
            rounds = -(-count // (width * device.units))
            taken += MOVED * width * parts * self.rows * self.columns
        elif self.columns <= SMALL and self.rows <= SMALL * SMALL:
            return True
        else:
            rounds = -(-count // (device.units * 8))
            taken *= GPU_COST / self.columns
        least, most = sorted(source.shape[-2:])
        other = base + each * parts * count * least * (least + (most - least) / 16)
        return bool(rounds * taken <= other)


def planned(facts: Any, kernel: Beside) -> Callable[..., None]:
    """``run(*inputs, *outputs)``: queues it for all matrices of the first input."""
    if not any(out.numel for out in facts.outputs):
        return lambda *arrays: None
    source, name, arrays = facts.inputs[0], kernel.name, len(kernel.order)
    device, dtype, count = device_of(source.device), source.dtype, count_of(source)
    width = width_of(device, dtype)
    files = ("members", "lanes", *kernel.before)
    macros = _macros(device, dtype)
    text = program(device, name, macros, (dtype,), ("fault", *files) if kernel.reports else files)
    groups = -(-count // width)
    if device.is_cpu:
        size = device.workers(groups, LEAST // (kernel.work + 1) + 1)
        groups, members = size[0][0], 1
    else:
        members = min(device.group, max(32, min(MEMBERS, 1 << (kernel.columns - 1).bit_length())))
        most = ALL_ROOM // (kernel.room(device, dtype) + 1)
        groups = min(groups, device.units * 16, most)
        size = (groups * members,), (members,)
    areas = kernel.sizes(device.is_cpu)
    room, lead = sum(areas) + kernel.more + members, kernel.lead(device.is_cpu)
    sizes = joined([count, room, kernel.rows, kernel.columns, lead, *areas[:3]], 8, np.uint64)
    numbers = [NO_OFFSETS, sizes, *kernel.numbers]
    label, buffers = facts.op.name, arrays + 1 + kernel.reports
    launch = device.launch(text, name, buffers, numbers, size, label)
    take, give = device.room(groups * room * width * accumulated(dtype).itemsize)
    place, queue, faults = placing(arrays), launch.with_numbers, device.faults
    pick = itemgetter(*kernel.order)

    def run(*given: Any) -> None:
        held, begins = place(*pick(given))
        memory = take()
        try:
            queue((*held, memory), begins)
        finally:
            give(memory)

    def run_reporting(*given: Any) -> None:
        held, begins = place(*pick(given))
        memory = take()
        try:
            queue((*held, memory, faults), begins)
        finally:
            give(memory)
        device.suspect = True

    return run_reporting if kernel.reports else run
