"""Lines of neighbours on a GPU, read by packs and once where they fit; see ``src/lines.cl``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.device import Device, Launch
from dovetail_kernels.fused.team import line_numbers
from dovetail_kernels.source import element, program

__all__ = ["Lines"]

KEPT = 32
"""Elements that a work item keeps in registers."""

WARP = 32
"""Work items that fold without memory, where a device can."""


LONGEST = 512
"""Members of a team that keeps nothing: several teams at once hide each other's waiting."""


class Lines:
    """``lines`` lines of ``n`` neighbours, each walked by a team.

    Args:
        device: where; not a CPU.
        work: the dtype that is computed in.
        lines, n: the sizes.
        elements: prefix and dtype of each kind of array that is read or written along lines.
        kept: elements of a line that are kept for each that is read, in all arrays together.
        most: work items that a compute unit has at most, but for four teams; 0: each line has a
            team.
        alone: a work group is one team.

    Attributes:
        width: elements of a pack.
        team: work items of a team.
        held: packs that each keeps; 0: lines are too long for that.
        count: teams that are launched.
        groups: work groups that are launched.
    """

    def __init__(
        self, device: Device, work: DType, lines: int, n: int, elements: dict[str, DType], *,
        kept: int = 1, most: int = 0, alone: bool = False,
    ) -> None:  # fmt: skip
        self.device, self.work, self.lines, self.n = device, work, lines, n
        self.elements = elements
        width = 16 // max(d.itemsize for d in elements.values())
        largest = 1 << (device.largest_group.bit_length() - 1)
        room = max(1, KEPT * 4 // work.itemsize // kept)
        fits = n <= room * largest
        self.width = width if not fits or n % width == 0 else 1
        self.team = min(WARP, largest)
        while self.team < largest and self.team * room < n:
            self.team *= 2
        if not fits:
            self.team = min(self.team, LONGEST)
        self.held = -(-n // (self.team * self.width)) if fits else 0
        group = self.team
        if device.has_shuffles and group == WARP and not alone:
            group = 128
        count = min(lines, device.units * (max(4, most // self.team) if most else 1024))
        self.groups = -(-count * self.team // group)
        self.group, self.count = group, self.groups * group // self.team
        self.size = (self.groups * group,), (group,)

    @staticmethod
    def fit(device: Device, n: int, inner: int = 1) -> bool:
        """Whether these lines are for a team of a GPU."""
        return not device.is_cpu and inner == 1 and n >= WARP

    def accepts(self, *arrays: Any) -> bool:
        """Whether the arrays, of which lines are taken, begin where packs do."""
        return all(a.offset % (self.width * a.dtype.itemsize) == 0 for a in arrays)

    def program(
        self, name: str, macros: dict[str, Any], before: tuple[str, ...] = (), **singles: DType
    ) -> str:
        """The text of ``src/name.cl`` after ``src/lines.cl``.

        Args:
            before: files that stand between.
            singles: prefix and dtype of arrays that are not read by packs.
        """
        device, width = self.device, self.width
        made: dict[str, Any] = {
            "T": dialect.VALUES[self.work.name],
            "W": width,
            "TEAM": self.team,
            "GROUP": self.group,
            "HELD": self.held,
        }
        for prefix, dtype in singles.items():
            made |= self._single(prefix, dtype)
        for prefix, dtype in self.elements.items():
            made |= self._single(prefix, dtype)
            made |= {
                f"{prefix}_R(p, i)": "p##_pack[j_]" if prefix in PASSING else "p##_held[SLOT]",
                f"{prefix}_PACK(p, k, to)": self._read(prefix, dtype),
                f"{prefix}_SET_PACK(p, k, of)": self._written(prefix, dtype),
            }
        kinds = tuple({**singles, **self.elements}.values())
        packs = (device.dialect.pack_of(d, width)[1] for d in self.elements.values())
        text = "\n".join(dict.fromkeys(packs))
        return program(device, name, made | macros, kinds, ("fold", "lines", *before), text)

    def _single(self, prefix: str, dtype: DType) -> dict[str, str]:
        made = element(self.device, prefix, dtype)
        return {
            f"{prefix}_MEMORY": made[f"{prefix}_MEMORY"],
            f"{prefix}_S(p, i)": made[f"{prefix}_LOAD(p, i)"],
            f"{prefix}_R(p, i)": made[f"{prefix}_LOAD(p, i)"],
            f"{prefix}_SET_S(p, i, v)": made[f"{prefix}_STORE(p, i, v)"],
        }

    def _read(self, prefix: str, dtype: DType) -> str:
        spelled = self.device.dialect
        kind = spelled.pack_of(dtype, self.width)[0]
        value = spelled.load_of(dtype, spelled.in_pack(dtype, "read_"), "i_")
        return (
            f"{{ const {kind} read_ = *({spelled.pointer}const {kind} *)((p) + (k)); "
            f"UNROLLED for (int i_ = 0; i_ < W; i_++) (to)[i_] = {value}; }}"
        )

    def _written(self, prefix: str, dtype: DType) -> str:
        spelled = self.device.dialect
        kind = spelled.pack_of(dtype, self.width)[0]
        store = spelled.store_of(dtype, spelled.in_pack(dtype, "made_"), "i_", "(of)[i_]")
        return (
            f"{{ {kind} made_; UNROLLED for (int i_ = 0; i_ < W; i_++) {{ {store}; }} "
            f"STORE_PACK(({spelled.pointer}{kind} *)((p) + (k)), made_); }}"
        )

    def launch(
        self, text: str, name: str, buffers: int, more: Any = (), label: str | None = None,
        sizes: Sequence[int] | None = None,
    ) -> Launch:  # fmt: skip
        """As :meth:`Team.launch`, inner being 1."""
        numbers = [*line_numbers(buffers, self.lines, self.n, 1, sizes), *more]
        return self.device.launch(text, name, buffers, numbers, self.size, label or name)


PASSING = ("WEIGHT", "BIAS")
"""Prefixes of arrays that are read when they are needed, and never kept."""
