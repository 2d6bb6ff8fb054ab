"""The roofline and the timeline of profiles as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["draw"]

COLOURS = {"dma": "#4477aa", "vector": "#228833", "matrix": "#ee6677", "queue": "#cccccc"}
ROWS = ("queue 0", "core 00 dma", "core 00 vector", "core 00 matrix")
DOTS = 110
"""Per inch."""


def draw(profiles: Sequence[Any], path: Path) -> Path:
    """Save a picture of ``profiles`` side by side; the upper half is the roofline, the lower the
    units of core 0."""
    figure = Figure(figsize=(10 if len(profiles) == 1 else 6 * len(profiles), 8), dpi=DOTS)
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(profiles), squeeze=False)
    figure.subplots_adjust(1.2 / figure.get_figwidth(), 0.07, 0.99, 0.95, 0.3, 0.2)
    for (above, below), profile in zip(axes.T, profiles, strict=True):
        _roofline(above, profile)
        _timeline(below, profile)
    figure.savefig(path, dpi=DOTS)
    return path


def _roofline(axes: Any, profile: Any) -> None:
    lines = [line for line in profile.lines() if line.operations and line.nbytes]
    ridge = profile.peak / profile.machine.bandwidth
    least = min([2.0**-5, *(line.intensity / 2 for line in lines)])
    reach = [least, ridge, max(1024.0, 8 * ridge)]
    axes.loglog(reach, [profile.roof(x) for x in reach], color="black", base=2)
    points = [(line.intensity, line.operations / line.cycles) for line in lines]
    for point in points:
        axes.plot(*point, "o", markersize=5)
    axes.margins(y=0.1)
    _labels(axes, points, [line.name for line in lines])
    axes.set_xlabel("operations per byte of GDRAM")
    axes.set_ylabel("operations per cycle")
    axes.set_title(f"{profile.machine.name}: roofline (float32), {profile.cycles:,.0f} cycles")


def _labels(axes: Any, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Names beside their points, the costliest kernel's first; one without room is left out."""
    axes.get_xlim(), axes.get_ylim()  # which settles the scales
    places = [tuple(axes.transData.transform(point)) for point in points]
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    for (x, y), name in zip(places, names, strict=True):
        width, height = 7.0 * len(name), 13
        for left, low in ((6, -3), (6, -14), (-6 - width, -3), (-6 - width, -14), (6, 8)):
            box = (x + left, y + low, x + left + width, y + low + height)
            own = (x - 4, y - 4, x + 4, y + 4)
            if not any(_overlap(box, other) for other in taken if other != own):
                axes.annotate(
                    name, (x + left, y + low), xycoords="figure pixels", fontsize=8,
                    verticalalignment="bottom",
                )  # fmt: skip
                taken.append(box)
                break


def _overlap(a: Any, b: Any) -> bool:
    return bool(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


def _timeline(axes: Any, profile: Any) -> None:
    bars = [bar for bar in profile.bars() if bar.device == 0 and bar.thread in ROWS]
    end = max((bar.start + bar.length for bar in bars), default=1.0)
    pixel = end / axes.get_window_extent().width
    for bar in bars:
        row = ROWS.index(bar.thread)
        colour = COLOURS[bar.thread.split()[-1] if row else "queue"]
        # What is narrower than a pixel is still seen; what is wide has a rim.
        axes.broken_barh(
            [(bar.start, bar.length)], (row - 0.4, 0.8), facecolors=colour,
            edgecolor="white" if bar.length > 4 * pixel else colour, linewidth=0.4,
        )  # fmt: skip
        wide = bar.length / pixel
        if not row and wide > 9:
            lies = wide > 6 * len(bar.name)
            text = bar.name if lies or len(bar.name) < 14 else f"{bar.name[:12]}…"
            axes.text(
                bar.start + bar.length / 2, row, text, fontsize=6, rotation=0 if lies else 90,
                horizontalalignment="center", verticalalignment="center",
            )  # fmt: skip
    axes.set_xlim(0, end)
    axes.set_yticks(range(len(ROWS)), ROWS)
    axes.invert_yaxis()
    axes.set_xlabel("microseconds of the simulated machine")
