"""Two libraries on one GPU, timed in turn by CUDA events: what the other ``cuda_*`` files share.

A :class:`Side` is a library with its device. :func:`compare` calls both in turn, on several sets of
inputs, so that neither finds them in a cache, and gives the median of each and of their ratio.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cuda_suite import NOT_DONE

__all__ = ["Row", "Side", "Table", "compare", "gathered", "guarded", "sets_of"]

Call = Callable[[], Any]

CACHE = 256 << 20
"""Bytes of inputs that no cache of a GPU holds."""


class Side:
    """One library.

    Attributes:
        torch: the module, PyTorch's or dovetail's.
        device: where it works.
    """

    def __init__(self, torch: Any, device: str) -> None:
        self.torch, self.device = torch, device
        self.module = getattr(torch, device.split(":")[0])
        self.has_events = device.split(":")[0] == "cuda"
        self._together = 0

    def synchronize(self) -> None:
        """Wait for the device."""
        if hasattr(self.module, "synchronize"):
            self.module.synchronize()

    def timed(self, calls: Sequence[Call], count: int, first: int = 0) -> float:
        """Milliseconds of one of ``count`` calls, the device's own time between two events."""
        self.synchronize()
        if not self.has_events:
            begin = time.perf_counter()
            for i in range(count):
                calls[(first + i) % len(calls)]()
            self.synchronize()
            return (time.perf_counter() - begin) * 1e3 / count
        start, end = (self.module.Event(enable_timing=True) for _ in range(2))
        start.record()
        for i in range(count):
            calls[(first + i) % len(calls)]()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / count

    def take(self, tensor: Any) -> Any:
        """The numbers of a tensor of PyTorch's as a tensor of this side's, of the same dtype."""
        if self.torch.__name__ == "torch":
            return tensor.to(self.device)
        name = str(tensor.dtype).removeprefix("torch.")
        narrow = name in ("bfloat16", "float16")
        values = (tensor.float() if narrow else tensor).detach().cpu().numpy()
        made = self.torch.from_numpy(values).to(self.device)
        return made.to(getattr(self.torch, name)) if narrow else made

    def forget(self) -> None:
        """Give unused memory back, and start the peak again."""
        if hasattr(self.module, "empty_cache"):
            self.synchronize()
            self.module.empty_cache()
            self.module.reset_peak_memory_stats()
            self._watch_scratch()

    def peak(self) -> int:
        """The most bytes that tensors and kernels' scratch memory took at a time since then."""
        if not hasattr(self.module, "max_memory_allocated"):
            return 0
        return max(int(self.module.max_memory_allocated()), self._together)

    def reserved(self) -> int:
        """The most bytes that were taken from the device, in use or kept for the next tensor."""
        if not hasattr(self.module, "max_memory_reserved"):
            return 0
        scratch = self._scratch()
        beside = 0 if scratch is None else scratch.peak_reserved
        return int(self.module.max_memory_reserved()) + beside

    def _scratch(self) -> Any:
        """The pool of memory that our kernels take while they run; PyTorch counts its own."""
        if self.torch.__name__ == "torch":
            return None
        from dovetail_kernels import device

        where = self.torch.empty(1, device=self.device).device
        return device.device_of(where)._pool if where.type in device._finders else None

    def _watch_scratch(self) -> None:
        """Notice what tensors and scratch memory take at the same time."""
        scratch, self._together = self._scratch(), 0
        if scratch is None:
            return
        scratch.empty_cache()
        scratch.reset_peak()
        take = type(scratch).take

        def watched(nbytes: int) -> Any:
            found = take(scratch, nbytes)
            now = int(self.module.memory_allocated()) + scratch.allocated
            self._together = max(self._together, now)
            return found

        scratch.take = watched


@dataclasses.dataclass
class Row:
    """One comparison: milliseconds, ours over theirs, the goal, and what the work amounts to.

    Attributes:
        work: floating-point operations, or bytes.
        unit: ``FLOP`` or ``B``.
        difference: the largest difference of the results, relative to the largest number.
        error: why there is no figure.
        share, least: of the bandwidth of a copy, ours; and what it must be at least.
        measure: what ``ours`` and ``theirs`` are in, in two letters.
    """

    name: str
    goal: float = math.nan
    ours: float = math.nan
    theirs: float = math.nan
    ratio: float = math.nan
    work: float = 0.0
    unit: str = "FLOP"
    difference: float = math.nan
    error: str = ""
    share: float = math.nan
    least: float = 0.0
    measure: str = "ms"
    more: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached; without a goal, whether there is a figure."""
        if self.error:
            return False
        if self.least and not self.share >= self.least:
            return False
        return math.isnan(self.goal) or self.ratio <= self.goal

    def text(self) -> str:
        """One line."""
        if self.error:
            return f"{self.name:46s} ERROR {self.error}"
        line = f"{self.name:46s}{self.ours:10.3f} {self.measure}{self.theirs:10.3f} {self.measure}"
        line += f"  {self.ratio:6.3f}"
        line += "" if math.isnan(self.goal) else f" (goal {self.goal:g}) {self.mark()}"
        if self.work:
            rates = (self.work / t / 1e9 for t in (self.ours, self.theirs))
            line += "  T" + self.unit + "/s" + "".join(f"{rate:8.2f}" for rate in rates)
        if not math.isnan(self.share):
            line += f"  share {100 * self.share:.1f} %"
            line += f" (goal {100 * self.least:g})" if self.least else ""
        if not math.isnan(self.difference):
            line += f"  diff {self.difference:.1e}"
        return line + "".join(f"  {key} {value}" for key, value in self.more.items())

    def mark(self) -> str:
        """Whether it is met, in three letters."""
        return "yes" if self.is_met else "NO"


class Table:
    """Rows by part, printed as they come.

    Attributes:
        end: when the part that runs must end, by ``time.monotonic()``: rows that come later are
            noted as not done.
    """

    def __init__(self) -> None:
        self.parts: dict[str, list[Row]] = {}
        self.facts: dict[str, Any] = {}
        self.end = math.inf

    def begin(self, part: str) -> None:
        """A part begins."""
        self.parts.setdefault(part, [])
        head = f"{'':46s}{'dovetail':>13s}{'PyTorch':>13s}   ratio"
        print(f"\n== {part}\n{head}", flush=True)

    def add(self, part: str, row: Row) -> None:
        """Print a row and keep it."""
        self.parts.setdefault(part, []).append(row)
        print(row.text(), flush=True)

    def fact(self, name: str, value: Any) -> None:
        """Print a figure that is no comparison, and keep it."""
        self.facts[name] = value
        print(f"{name}: {value}", flush=True)

    def data(self) -> dict[str, Any]:
        """For JSON."""
        rows = {
            part: [dataclasses.asdict(row) | {"met": row.is_met} for row in rows]
            for part, rows in self.parts.items()
        }
        return {"facts": self.facts, "parts": rows}

    def summary(self) -> str:
        """How many goals were met, and which were not."""
        rows = [row for part in self.parts.values() for row in part]
        with_goal = [row for row in rows if not math.isnan(row.goal) or row.error]
        missed = [row for row in with_goal if not row.is_met]
        lines = [f"{len(with_goal) - len(missed)} of {len(with_goal)} goals met"]
        lines += [
            f"  missed: {row.name}: "
            + (row.error or f"{row.ratio:.3f}, goal {row.goal:g}")
            + (f"; share {row.share:.2f}, goal {row.least:g}" if row.least else "")
            for row in missed
        ]
        lines += [
            f"  not run: {name}: {value}"
            for name, value in self.facts.items()
            if str(value).startswith(NOT_DONE)
        ]
        return "\n".join(lines)


def gathered(calls: Sequence[dict[str, Any]], expected: Sequence[str]) -> str:
    """One table of what several calls wrote, the later over the earlier; and of what is expected,
    what none of them ran."""
    facts: dict[str, Any] = {}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for call in calls:
        facts |= {
            name: value
            for name, value in call["facts"].items()
            if name not in facts or not str(value).startswith(NOT_DONE)
        }
        rows |= {(part, r["name"]): r for part, some in call["parts"].items() for r in some}
    lines = [f"{'':46s}{'dovetail':>13s}{'PyTorch':>13s}   ratio"]
    lines += [Row(**{k: v for k, v in row.items() if k != "met"}).text() for row in rows.values()]
    whole = "conformance: all" in facts
    lines += [f"{name}: {value}" for name, value in facts.items() if name in expected]
    missing = [name for name in expected if str(facts.get(name, NOT_DONE)).startswith(NOT_DONE)]
    missing = [n for n in missing if not (whole and n.startswith("conformance"))]
    ran = {f"{part}: {name.strip()}" for part, name in rows}
    missing += [
        name for name, value in facts.items()
        if str(value).startswith(NOT_DONE) and name not in ran and name not in expected
    ]  # fmt: skip
    goals = [row for row in rows.values() if row["error"] or row["goal"] == row["goal"]]
    lines.append(f"\n{sum(row['met'] for row in goals)} of {len(goals)} goals met")
    return "\n".join([*lines, *(f"  not run: {name}" for name in missing)])


def sets_of(nbytes: int) -> int:
    """How many sets of inputs of so many bytes a cache does not hold, from 2 to 8."""
    return min(8, max(2, math.ceil(CACHE / max(nbytes, 1))))


def compare(
    row: Row, ours: tuple[Side, Sequence[Call]], theirs: tuple[Side, Sequence[Call]], *,
    seconds: float = 1.0, warm: int = 12, least: float = 4.0,
) -> Row:  # fmt: skip
    """Fill a row: both called in turn for some seconds, ``least`` milliseconds at a time."""
    sides = (ours, theirs)
    counts = []
    for side, calls in sides:
        side.timed(calls, max(warm, len(calls)))
        once = side.timed(calls, 3)
        counts.append(max(1, min(200, math.ceil(least / max(once, 1e-3)))))
    rounds: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < 5 or (time.perf_counter() < end and len(rounds) < 101):
        at = len(rounds)
        first, second = (0, 1) if at % 2 else (1, 0)
        taken = [0.0, 0.0]
        for which in (first, second):
            side, calls = sides[which]
            taken[which] = side.timed(calls, counts[which], at)
        rounds.append((taken[0], taken[1]))
        if time.perf_counter() > end + 2 * seconds:
            break
    row.ours, row.theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    row.ratio = statistics.median(a / b for a, b in rounds)
    row.more["rounds"] = len(rounds)
    return row


def differences(ours: Any, theirs: Any) -> float:
    """The largest difference of two results, relative to the largest number of theirs."""
    import numpy as np

    ours, theirs = (t if isinstance(t, (tuple, list)) else (t,) for t in (ours, theirs))
    worst = 0.0
    for mine, other in zip(ours, theirs, strict=True):
        a, b = (np.asarray(t.detach().float().cpu().numpy(), np.float64) for t in (mine, other))
        worst = max(worst, float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)))
    return worst


def guarded(table: Table, part: str, cases: Iterable[tuple[Row, Callable[[Row], Any]]]) -> None:
    """Run cases one by one; one that fails is a row with its error and does not end the part."""
    for row, run in cases:
        if time.monotonic() > table.end:
            table.fact(f"{part}: {row.name.strip()}", f"{NOT_DONE}: no time left")
            continue
        try:
            run(row)
        except Exception as error:
            row.error = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
            print(traceback.format_exc()[-3000:])
        table.add(part, row)
