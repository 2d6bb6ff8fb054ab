"""One run: collect, ask, compare with what is expected, report."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dovetail_conformance.collect import collect
from dovetail_conformance.expectations import Expectations, find_file
from dovetail_conformance.model import Case, Outcome, run_case
from dovetail_conformance.report import Report
from dovetail_conformance.target import Target
from dovetail_conformance.workers import LIMIT, run_in_workers

__all__ = ["Options", "environment", "grade", "prepare", "run", "strictly", "write"]


@dataclass(frozen=True)
class Options:
    """What is asked of a run.

    Attributes:
        device: the device's name, such as ``loop:0``.
        level: the highest level, 0 to 5.
        op, dtype, check: which cases (see :func:`dovetail_conformance.collect.collect`).
        fuzz, seed: how many random cases besides, and from which seed.
        expect: a file of expectations; None: the backend's own, if there is one.
        jobs: worker processes; 0: run in this process; None: one per core.
        limit: seconds after which a case has hung (with workers).
    """

    device: str
    level: int = 5
    op: str | None = None
    dtype: str | None = None
    check: str | None = None
    fuzz: int = 0
    seed: int = 0
    expect: str | None = None
    jobs: int | None = None
    limit: float = LIMIT

    @property
    def selection(self) -> str:
        """The filters in words; empty where everything is asked."""
        pairs = (("--op", self.op), ("--dtype", self.dtype), ("--check", self.check))
        return " ".join(f"{name} {value}" for name, value in pairs if value)

    def collected(self) -> tuple[Any, ...]:
        """The arguments of :func:`collect`."""
        return (
            self.device, self.level, self.op, self.dtype, self.check, self.fuzz, self.seed,
        )  # fmt: skip

    def numbered(self) -> Options:
        """The same with the device's full name: ``loop:0`` for ``loop``.

        Raises:
            BackendUnavailable, RuntimeError: the device cannot be used.
        """
        return replace(self, device=Target.of(self.device).device)


@contextlib.contextmanager
def strictly() -> Iterator[None]:
    """Host fallback is an error inside: a kernel that the device has not must show."""
    old = os.environ.get("DOVETAIL_FALLBACK")
    os.environ["DOVETAIL_FALLBACK"] = "error"
    try:
        yield
    finally:
        if old is None:
            del os.environ["DOVETAIL_FALLBACK"]
        else:
            os.environ["DOVETAIL_FALLBACK"] = old


def prepare(options: Options) -> tuple[list[Case], Expectations]:
    """The cases of a run and the backend's expectations.

    Raises:
        ExpectationError: the file of expectations cannot be used.
        BackendUnavailable, RuntimeError: the device cannot be used.
    """
    path = options.expect or find_file(options.device)
    expectations = Expectations.read(path) if path else Expectations()
    return collect(*options.collected()), expectations


def run(options: Options, progress: Callable[[Outcome, int, int], None] | None = None) -> Report:
    """Ask a device and report.

    Args:
        progress: called with each outcome, how many are done, and how many there are.

    Raises:
        ExpectationError, BackendUnavailable, RuntimeError: see :func:`prepare`.
    """
    start = time.perf_counter()
    with strictly():
        options = options.numbered()
        cases, expectations = prepare(options)
        asked, listed = expectations.split(cases)
        outcomes = []
        for outcome in _outcomes(asked, options):
            outcomes.append(expectations.apply(outcome))
            if progress is not None:
                progress(outcomes[-1], len(outcomes), len(asked))
        everything = collect(options.device) if expectations.entries else []
    return Report(
        device=options.device,
        asked=options.level,
        collected=Counter(c.level for c in cases),
        outcomes=outcomes,
        listed=listed,
        stale=expectations.stale(c.id for c in everything),
        environment=environment(options.device),
        capabilities=capabilities(options.device, options.op),
        filtered=options.selection,
        seconds=time.perf_counter() - start,
    )


def _outcomes(cases: list[Case], options: Options) -> Iterator[Outcome]:
    jobs = options.jobs
    if jobs is None:
        jobs = 0 if _is_of_this_process(options.device) or len(cases) < 200 else os.cpu_count() or 1
    if jobs:
        arguments = options.collected()
        yield from run_in_workers(cases, options.device, jobs, collect, arguments, options.limit)
    else:
        for case in cases:
            yield run_case(case, options.device)


def _is_of_this_process(device: str) -> bool:
    """Whether the backend was registered by hand, so that another process has not got it."""
    from dovetail.backend import registry

    return registry.is_registered_here(device.split(":")[0])


def grade(device: str, level: int = 5, **options: Any) -> Report:
    """Ask a device everything up to a level.

    Example:
        >>> report = grade("cpu", level=0, jobs=0)
        >>> report.level, report.failed
        (0, 0)
    """
    return run(Options(device, level, **options))


def environment(device: str) -> dict[str, str]:
    """Names and versions of what takes part, for the head of a report."""
    import numpy

    import dovetail as dt
    from dovetail.backend import registry

    name = device.split(":")[0]
    loaded = registry.get(name)
    index = dt.empty((1,), dtype=dt.uint8, device=device).device.index or 0
    info = loaded.runtime.info(index)
    facts = {
        "dovetail": dt.__version__,
        "device": info.name,
        "driver": info.version,
        "backend": f"{loaded.distribution} {loaded.version}".strip(),
        "devices": str(loaded.count),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
    }
    lines = [line for line in registry.hook.dovetail_report_header() if line]
    if lines:
        facts["backends say"] = "; ".join(lines)
    return {key: value for key, value in facts.items() if value}


def capabilities(device: str, op: str | None = None) -> dict[str, dict[str, str]]:
    """Operator -> dtype -> label, from a dry run: of all operators, or of those asked for."""
    import dovetail as dt

    patterns = (op or "*").split(",")
    made: dict[str, dict[str, str]] = {}
    for pattern in patterns if len(patterns) < _FEW else ("*",):
        for row in dt.capabilities(device, pattern):
            made.setdefault(row.op, {})[row.dtype.name] = row.label
    return made


_FEW = 12
"""So many patterns of operators are tried one by one; for more the whole table is as quick."""


def write(report: Report, json_path: str | None, html_path: str | None) -> None:
    """Write the report's files."""
    if json_path:
        report.write_json(json_path)
        print(f"wrote {json_path}", file=sys.stderr)
    if html_path:
        from dovetail_conformance.page import write_page

        write_page(report, Path(html_path))
        print(f"wrote {html_path}", file=sys.stderr)
