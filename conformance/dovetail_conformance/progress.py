"""How far a run is, on standard error: one line that changes on a terminal, a few in a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dovetail.cli import columns

if TYPE_CHECKING:
    from dovetail_conformance.model import Outcome

__all__ = ["progress_to"]

SECONDS = 5.0
"""Between two lines in a file; a run that is over sooner writes none."""


def progress_to(stream: Any) -> Callable[[Outcome, int, int], None]:
    """What :func:`~dovetail_conformance.runner.run` calls with every outcome."""
    return _Line(stream) if stream.isatty() else _Lines(stream)


class _Line:
    """One line on a terminal, drawn again ten times a second."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.drawn = 0.0
        self.against = 0

    def __call__(self, outcome: Outcome, done: int, total: int) -> None:
        self.against += outcome.is_against
        now = time.monotonic()
        if done < total and now - self.drawn < 0.1:
            return
        self.drawn = now
        line = f"{done}/{total}  level {outcome.level}  {self.against} failed  {outcome.id}"
        end = "\n" if done == total else ""
        width = columns() - 1
        print(f"\r{line[:width]:<{width}}", end=end, file=self.stream, flush=True)


class _Lines:
    """At most ten lines, a tenth of the cases each: all that a log has room for."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.began = self.written = time.monotonic()
        self.tenths = 0
        self.against = 0

    def __call__(self, outcome: Outcome, done: int, total: int) -> None:
        self.against += outcome.is_against
        tenths, now = 10 * done // total, time.monotonic()
        if tenths == self.tenths or now - self.written < SECONDS:
            return
        self.tenths, self.written = tenths, now
        print(
            f"{done} of {total} cases  level {outcome.level}  {self.against} failed  "
            f"{now - self.began:.0f} s",
            file=self.stream,
            flush=True,
        )
