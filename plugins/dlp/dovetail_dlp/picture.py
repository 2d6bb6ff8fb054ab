"""The roofline and the timeline of a profile as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["draw"]

COLOURS = {"dma": "#4477aa", "vector": "#228833", "matrix": "#ee6677", "queue": "#bbbbbb"}


def draw(profile: Any, path: Path) -> Path:
    """Save a picture of ``profile``; the upper half is the roofline, the lower the units of core
    0."""
    figure = Figure(figsize=(10, 8), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1)
    _roofline(above, profile)
    _timeline(below, profile)
    figure.savefig(path, dpi=110)
    return path


def _roofline(axes: Any, profile: Any) -> None:
    lines = [line for line in profile.lines() if line.operations and line.nbytes]
    ridge = profile.peak / profile.machine.bandwidth
    reach = [2.0**e for e in range(-5, max(10, int(ridge).bit_length() + 3))]
    axes.loglog(reach, [profile.roof(x) for x in reach], color="black", base=2)
    for line in lines:
        axes.plot(line.intensity, line.operations / line.cycles, "o")
        axes.annotate(line.name, (line.intensity, line.operations / line.cycles), fontsize=8)
    axes.set_xlabel("operations per byte of GDRAM")
    axes.set_ylabel("operations per cycle")
    axes.set_title(f"{profile.machine.name}: roofline (float32)")


def _timeline(axes: Any, profile: Any) -> None:
    events = [e for e in profile.timeline() if e["ph"] == "X"]
    names = ["queue 0", "core 00 dma", "core 00 vector", "core 00 matrix"]
    for row, name in enumerate(names):
        bars = [(e["ts"], e["dur"]) for e in events if e["tid"] == name and e["pid"] == 0]
        kind = name.split()[-1] if "core" in name else "queue"
        axes.broken_barh(
            bars, (row - 0.4, 0.8), facecolors=COLOURS[kind], edgecolor="white", linewidth=0.2
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("microseconds of the simulated machine")
