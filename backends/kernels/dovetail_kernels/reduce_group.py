"""Reductions on GPUs: neighbouring work items read neighbouring elements; see :mod:`.reduce`.

Where the outer elements are neighbours, a work group takes a slice of them; elsewhere a team of
work items, as large as the inner elements are many, shares out those of one outer element.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable, Loops
from dovetail.dtypes import dtype as DType
from dovetail_kernels.device import Device, Launch, known
from dovetail_kernels.folds import FOLDS, fold_macros
from dovetail_kernels.reduce import Reduction, enter_as
from dovetail_kernels.sides import Split, is_by_columns
from dovetail_kernels.source import element, loop_numbers, places, program

__all__ = ["enter", "reduction_of"]

SIDE = 32
"""Neighbouring outer elements of a slice, and members of a team for as many elements."""

SEVERAL = 8
"""Elements that a member of a team folds at least, before the team is larger."""

BUSY = 8
"""Work groups that a compute unit should have."""


class Grouped(Reduction):
    """A reduction by work groups."""

    def _kernel(self, outer: Loops, inner: Loops) -> str:
        """Which kernel suits loops like these."""
        if is_by_columns(outer, inner) and outer.shape[-1] >= SIDE // 2 and inner.numel > 1:
            return "slices"
        return "team"

    def _parts(self, split: Split) -> int:
        outer, inner = split.first
        kernel, device, count = self._kernel(outer, inner), self.device, self.inner_count
        groups, least = self.outer_count, SEVERAL * 2 * device.group
        if kernel == "slices":
            width = outer.shape[-1]
            groups = groups // width * -(-width // SIDE)
            least //= SIDE
        return max(1, min(-(-device.units * BUSY // groups), count // least))

    def _step(
        self, dtypes: tuple[DType, DType], split: Split, parts: int = 1, chunk: int = 0, *,
        is_part: bool = False, is_rest: bool = False,
    ) -> Launch:  # fmt: skip
        outer, inner = split.first
        kernel = self._kernel(outer, inner)
        device, fold, work = self.device, FOLDS[self.name], self.work
        source, out = dtypes
        walked = outer
        if kernel == "slices":
            walked = Loops(outer.shape[:-1], tuple(row[:-1] for row in outer.strides))
        each = chunk or inner.numel
        team = (
            _power(each) if each < SIDE else max(SIDE, min(device.group, _power(each // SEVERAL)))
        )
        macros = {
            f"IS_{kernel.upper()}": 1,
            **fold_macros(fold, work, dtypes, is_part=is_part, is_rest=is_rest),
            "SIDE": SIDE,
            "GROUP": device.group,
            **element(device, "IN", source),
            **element(device, "OUT", out),
            **places("OUTER", walked, "o", ("to", "from")),
            **places("INNER", inner, "i", ("along",)),
        }
        numbers = [np.uint64(n) for n in (0, 0, outer.numel, inner.numel, parts, each)]
        numbers += [np.int32(is_part), np.int32(is_rest), np.int32(team)]
        numbers += self._fold_numbers()
        numbers += loop_numbers(walked) + loop_numbers(inner)
        groups = outer.numel * parts
        if kernel == "slices":
            numbers += [np.uint64(outer.shape[-1]), np.uint64(outer.strides[0][-1])]
            groups = groups // outer.shape[-1] * -(-outer.shape[-1] // SIDE)
        else:
            groups = -(-groups * team // device.group)
        groups = max(1, min(groups, device.units * 64))
        size = ((groups * device.group,), (device.group,))
        text = program(device, "reduce_group", macros, (source, out, work))
        return device.launch(text, kernel, 3, numbers, size, self.name)


def _power(count: int) -> int:
    """The largest power of two that is no more."""
    return 1 << max(0, count.bit_length() - 1)


def _suits(call: Any) -> bool:
    """On a GPU whose work groups are large enough."""
    device = known(call.outputs[0].device)
    return device is not None and reduction_of(device) is Grouped


def reduction_of(device: Device) -> type[Reduction]:
    """The class whose reductions suit a device."""
    return Grouped if not device.is_cpu and device.group >= SIDE else Reduction


def enter(table: KernelTable) -> None:
    """Enter them, before the reductions that are there."""
    enter_as(Grouped, table, _suits)
