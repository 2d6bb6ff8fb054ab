"""How the lines of a tensor are shared out among work items; see ``src/team.cl``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dovetail.dtypes import FLOATING
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect, mathematics
from dovetail_kernels.arrays import NO_OFFSETS, joined
from dovetail_kernels.device import Device, Launch
from dovetail_kernels.source import program
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = ["FLOATS", "Team", "line_numbers"]

FLOATS = FLOATING
"""The dtypes of fused kernels. Halves are read and written as such, and computed in float32."""


class Team:
    """A tensor seen as (outer, n, inner), whose lines of n elements are folded and walked.

    Args:
        device: where.
        work: the dtype that is computed in.
        outer, n, inner: the sizes.
        each: how many such lines a team has to go through for one.
        least: work items that a team has at least, on a GPU.
        most: teams that there are at most, on a GPU; 0: what keeps it busy.
        alone: lines are never taken side by side.
        single: a team is one work item, for lines of which little is read.

    Attributes:
        lines: lines, or blocks of lines side by side.
        count: teams that are launched.
        groups: work groups that are launched.
        size: (global size, local size).
    """

    def __init__(
        self, device: Device, work: DType, outer: int, n: int, inner: int = 1, *,
        each: int = 1, least: int = 1, most: int = 0, alone: bool = False,
        single: bool = False,
    ) -> None:  # fmt: skip
        self.device, self.work, self.n, self.inner = device, work, n, inner
        lanes_of = min(16, 64 // work.itemsize)
        self.width, self.team, self.side = 1, 1, False
        if device.is_cpu:
            self.side = inner >= lanes_of and not alone
            self.width = lanes_of if self.side or inner == 1 else 1
        elif inner == 1 and n * each >= 32 and not single:
            self.team = min(device.group, 256, 1 << (max(n * each // 4, 31)).bit_length())
        self.team = max(self.team, 1 if device.is_cpu else min(least, device.group))
        if single:
            n, each = 1, 1
        self.blocks = -(-inner // self.width) if self.side else inner
        self.lines = outer * self.blocks
        each *= n * (self.width if self.side else 1)
        self.size: tuple[tuple[int, ...], tuple[int, ...]]
        if self.team > 1:
            groups = max(1, min(self.lines, most or device.units * 32))
            self.count = groups
            self.size = (groups * self.team,), (self.team,)
        else:
            self.size = device.workers(self.lines, max(1, 4096 // max(1, each)))
            if most and not device.is_cpu:
                groups = min(most, self.size[0][0] // self.size[1][0])
                self.size = ((groups * self.size[1][0],), self.size[1])
            self.count = self.size[0][0]
        self.groups = self.size[0][0] // self.size[1][0]

    def macros(self) -> dict[str, Any]:
        """What ``team.cl`` and the base of a line need."""
        kind = dialect.VALUES[self.work.name]
        base, at = "((line) * n)", "(k)"
        if self.side:
            base = (
                f"((line) / {self._blocks} * n * inner + min((line) % {self._blocks} * {self.width}"
                f", inner - {self.width}))"
            )
        elif self.inner != 1:
            base = "((line) / inner * n * inner + (line) % inner)"
        if self.inner != 1:
            at = "((ulong)(k) * inner)"
        width = 1 if self.side else self.width
        (single, several), _ = self._exp
        return {
            "EXP_S(x)": f"{several if self.side else single}(x)",
            "EXP_V(x)": f"{several}(x)",
            "IS_CPU": int(self.device.is_cpu),
            "IS_SIDE": int(self.side),
            "TEAM": self.team,
            "GROUP": self.size[1][0],
            "W": width,
            "T": f"{kind}{self.width}" if self.side else kind,
            "VECTOR": f"{kind}{width}" if width > 1 else kind,
            "STORE_LANES(v, p)": f"vstore{width}(v, 0, p)",
            "BASE(line)": base,
            "AT(k)": at,
        }

    @property
    def _exp(self) -> tuple[list[str], str]:
        """exp of one number and of several, and their text: ours on the host's cores, where a
        driver's is none of vectors."""
        calls, kind = (("exp", 1), ("exp", self.width)), dialect.VALUES[self.work.name]
        is_own = self.device.is_cpu and self.work in FLOATING  # else rows of words are moved
        return mathematics.taken(calls, kind, is_own=is_own)

    @property
    def _blocks(self) -> str:
        """Blocks of a row of lines, in C."""
        return f"((inner - 1) / {self.width} + 1)"

    def program(
        self, name: str, macros: dict[str, Any], before: tuple[str, ...] = (), text: str = "", /,
        **elements: DType,
    ) -> str:  # fmt: skip
        """The text of ``src/name.cl`` after ``src/team.cl``.

        Args:
            before: files that stand between.
            text: more helpers.
            elements: prefix and dtype of each kind of array.
        """
        made = self.macros()
        for prefix, dtype in elements.items():
            made |= lanes(self.device, prefix, dtype, self.width, side=self.side)
        kinds = tuple(elements.values())
        helpers = vector_helpers(kinds, self.width) + self._exp[1] + text
        files = ("fold", "team", *before)
        return program(self.device, name, made | macros, kinds, before=files, text=helpers)

    def launch(
        self, text: str, name: str, buffers: int, more: Any = (), label: str | None = None,
        sizes: Sequence[int] | None = None,
    ) -> Launch:  # fmt: skip
        """A kernel whose arguments are buffers, an offset for each, lines, n, inner and more.

        Args:
            sizes: whole numbers after inner. Where they are given (it may be none), all offsets
                (see :func:`joined_offsets`) are one argument, and all sizes another.
        """
        numbers = [*line_numbers(buffers, self.lines, self.n, self.inner, sizes), *more]
        return self.device.launch(text, name, buffers, numbers, self.size, label or name)


def line_numbers(
    buffers: int, lines: int, n: int, inner: int, sizes: Sequence[int] | None
) -> list[Any]:
    """An offset for each buffer, the sizes that all kernels of lines take, and others."""
    if sizes is not None:
        return [NO_OFFSETS, joined((lines, n, inner, *sizes), 8, np.int64)]
    return [*[np.uint64(0)] * buffers, np.uint64(lines), np.int32(n), np.uint64(inner)]
