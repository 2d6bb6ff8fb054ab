"""Where the cycles go: per kernel, per unit, against the roofline, and as a timeline."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dovetail_dlp.machine import link, settings
from dovetail_dlp.machine.compiler import Compiled
from dovetail_dlp.machine.settings import Machine
from dovetail_dlp.machine.timing import UNITS

__all__ = ["Bar", "Line", "Profile", "profile"]


@dataclass
class Line:
    """One kernel's share of a profile.

    Attributes:
        name: the kernel's.
        launches: how many.
        cycles: of all launches together.
        nbytes: moved between GDRAM and the chip.
        operations: arithmetic (a multiply-accumulate is two).
        busy: share of the time that each unit works, averaged over the device's cores.
    """

    name: str
    launches: int = 0
    cycles: float = 0.0
    nbytes: int = 0
    operations: int = 0
    busy: dict[str, float] | None = None

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.operations / self.nbytes if self.nbytes else 0.0


class Bar(NamedTuple):
    """Something on the timeline; microseconds of the machine."""

    device: int
    thread: str
    name: str
    start: float
    length: float


class Profile:
    """What the devices did while it was entered; ``print`` it.

    Example:
        >>> import dovetail as dt, dovetail_dlp
        >>> with dovetail_dlp.profile() as found:
        ...     x = dt.ones(1000, device="dlp") + 1
        >>> [line.name for line in found.lines()]
        ['add', 'fill']
    """

    def __init__(self) -> None:
        self.machine: Machine = settings.current()
        self.launches: list[tuple[int, int, Compiled]] = []
        self.copies: list[tuple[int, int, str, int]] = []
        self._order: list[Any] = []

    def __enter__(self) -> Profile:
        self.machine = settings.current()
        link.RECORDERS.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        link.RECORDERS.remove(self)

    def launched(self, device: int, queue: int, program: Compiled) -> None:
        """Called for every launch."""
        self.launches.append((device, queue, program))
        self._order.append((device, queue, program.program.name, program.cost.cycles, program.cost))

    def copied(self, device: int, queue: int, direction: str, nbytes: int) -> None:
        """Called for every copy between host and device."""
        self.copies.append((device, queue, direction, nbytes))
        cycles = nbytes / self.machine.link * self.machine.clock
        self._order.append((device, queue, direction, cycles, None))

    def lines(self) -> list[Line]:
        """One line per kernel, the one with the most cycles first."""
        found: dict[str, Line] = {}
        busy: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(UNITS, 0.0))
        for _, _, program in self.launches:
            name, cost = program.program.name, program.cost
            line = found.setdefault(name, Line(name))
            line.launches += 1
            line.cycles += cost.cycles
            line.nbytes += cost.nbytes
            line.operations += cost.operations
            for unit, cycles in cost.busy.items():
                busy[name][unit] += cycles
        for name, line in found.items():
            whole = line.cycles * self.machine.tasks
            line.busy = {unit: cycles / whole for unit, cycles in busy[name].items()}
        return sorted(found.values(), key=lambda line: (-line.cycles, line.name))

    @property
    def cycles(self) -> float:
        """Cycles of all kernels, one after another."""
        return sum(program.cost.cycles for _, _, program in self.launches)

    def roof(self, intensity: float) -> float:
        """The most operations per cycle that the machine can do at so many operations per byte."""
        return min(self.peak, intensity * self.machine.bandwidth)

    @property
    def peak(self) -> float:
        """Operations per cycle of all matrix units in float32."""
        return 2 * self.machine.macs / 8 * self.machine.tasks

    def __str__(self) -> str:
        machine, lines = self.machine, self.lines()
        total = self.cycles or 1.0
        rows = [
            f"{machine.name}: {machine.clusters} clusters of {machine.cores} cores, "
            f"{machine.clock / 1e9:g} GHz, GDRAM {machine.bandwidth * machine.clock / 1e9:g} GB/s; "
            f"{len(self.launches)} launches, {total:,.0f} cycles = "
            f"{total / machine.clock * 1e3:.3f} ms",
            f"{'kernel':20}{'launches':>9}{'cycles':>13}{'%':>6}{'KiB':>10}{'dma':>6}{'vector':>7}"
            f"{'matrix':>7}{'op/B':>8}{'op/cycle':>10}{'of roof':>8}",
        ]
        for line in lines:
            busy = line.busy or {}
            rate = line.operations / line.cycles if line.cycles else 0.0
            roof = self.roof(line.intensity)
            rows.append(
                f"{line.name:20}{line.launches:9,}{line.cycles:13,.0f}{line.cycles / total:6.0%}"
                f"{line.nbytes / 1024:10,.0f}{busy['dma']:6.0%}{busy['vector']:7.0%}"
                f"{busy['matrix']:7.0%}{line.intensity:8.2f}{rate:10.1f}"
                f"{(f'{rate / roof:8.0%}' if roof else '       -')}"
            )
        for way in ("h2d", "d2h"):
            sizes = [n for _, _, name, n in self.copies if name == way]
            if sizes:
                milliseconds = sum(sizes) / machine.link * 1e3
                rows.append(
                    f"{way:20}{len(sizes):9,}{'':19}{sum(sizes) / 1024:10,.0f}   "
                    f"{milliseconds:.3f} ms"
                )
        return "\n".join([*rows, "", *self._chart(lines)])

    def _chart(self, lines: list[Line]) -> list[str]:
        """The roofline in letters: intensity to the right, operations per cycle upwards."""
        points = [
            (line, line.operations / line.cycles)
            for line in lines
            if line.operations and line.nbytes
        ]
        if not points:
            return []
        columns, height = 60, 12
        ridge = self.peak / self.machine.bandwidth
        low, high = -6, max(6, int(ridge).bit_length() + 1)  # powers of two of the intensity
        top = max(1, int(self.peak).bit_length())
        cells = [[" "] * columns for _ in range(height)]

        def place(intensity: float, rate: float) -> tuple[int, int]:
            from math import log2

            x = (log2(max(intensity, 2.0**low)) - low) / (high - low)
            y = (log2(max(rate, 2.0 ** (top - 16))) - (top - 16)) / 16
            return min(columns - 1, int(x * columns)), min(height - 1, int(y * height))

        for column in range(columns):
            intensity = 2.0 ** (low + (high - low) * column / columns)
            _, y = place(intensity, self.roof(intensity))
            cells[height - 1 - y][column] = "-" if intensity > ridge else "/"
        legend = []
        for mark, (line, rate) in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", points, strict=False):
            x, y = place(line.intensity, rate)
            cells[height - 1 - y][x] = mark
            legend.append(f"{mark} {line.name}")
        head = (
            f"roofline: {self.peak:,.0f} op/cycle (float32), ridge at {ridge:.1f} op/B; "
            f"op/B from 2^{low} to 2^{high}, op/cycle from 2^{top - 16} to 2^{top}"
        )
        return [
            head,
            *("|" + "".join(row) for row in cells),
            "+" + "-" * columns,
            "  ".join(legend),
        ]

    def bars(self) -> list[Bar]:
        """What ran where and when, launch by launch: queues, and the units of the cores."""
        found: list[Bar] = []
        clocks: dict[tuple[int, int], float] = defaultdict(float)
        scale = 1e6 / self.machine.clock  # cycles to microseconds
        for device, queue, name, cycles, cost in self._order:
            start = clocks[device, queue]
            clocks[device, queue] += cycles
            found.append(Bar(device, f"queue {queue}", name, start * scale, cycles * scale))
            for task, unit, step, begin, end in cost.timeline if cost else ():
                thread = f"core {task % self.machine.tasks:02} {unit}"
                at, length = (start + begin) * scale, (end - begin) * scale
                found.append(Bar(device, thread, step, at, length))
        return found

    def timeline(self) -> list[dict[str, Any]]:
        """Chrome trace events: a process per device, a thread per queue and per core's unit."""
        bars = self.bars()
        threads = sorted({(bar.device, bar.thread) for bar in bars})
        numbers = {thread: number for number, thread in enumerate(threads, 1)}
        events: list[dict[str, Any]] = [
            {"name": "process_name", "ph": "M", "pid": device, "args": {"name": f"dlp:{device}"}}
            for device in sorted({device for device, _ in threads})
        ]
        events += [
            {"name": "thread_name", "ph": "M", "pid": thread[0], "tid": number,
             "args": {"name": thread[1]}}
            for thread, number in numbers.items()
        ]  # fmt: skip
        events += [
            {"name": bar.name, "ph": "X", "pid": bar.device, "tid": numbers[bar.device, bar.thread],
             "ts": bar.start, "dur": bar.length}
            for bar in bars
        ]  # fmt: skip
        return events

    def save_trace(self, path: Any) -> Path:
        """Write the timeline for chrome://tracing or ui.perfetto.dev; returns the path."""
        path = Path(path)
        path.write_text(json.dumps({"traceEvents": self.timeline(), "displayTimeUnit": "ns"}))
        return path

    def save_picture(self, path: Any, *others: Profile) -> Path:
        """Write roofline and timeline as a picture, those of others beside; needs matplotlib.

        Raises:
            RuntimeError: matplotlib is not installed.
        """
        try:
            from dovetail_dlp.picture import draw
        except ImportError as error:
            raise RuntimeError(
                "profile: a picture needs matplotlib; pip install 'dovetail-dlp[picture]'"
            ) from error
        return draw([self, *others], Path(path))


def profile() -> Profile:
    """``with dovetail_dlp.profile() as found: …; print(found)``; times are the machine's, not the
    host's."""
    return Profile()
