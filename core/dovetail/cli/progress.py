"""How far a command is, on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any, Protocol

__all__ = ["Progress", "progress"]

SECONDS = 10.0
"""Between two lines where there is no terminal; what is over sooner writes none."""


class Progress(Protocol):
    """What :func:`progress` gives; a bar of tqdm's is one."""

    def update(self, n: float | None = 1) -> Any:
        """``n`` more are done."""

    def set_description(self, desc: str | None = None) -> Any:
        """What is going on, before the numbers."""

    def set_postfix(self, *, refresh: bool = True, **numbers: Any) -> Any:
        """What it has come to, behind them."""


@contextlib.contextmanager
def progress(total: int, unit: str, done: int = 0, description: str = "") -> Iterator[Progress]:
    """Show how many of ``total`` are done, and take that away at the end.

    Args:
        unit: what is counted, such as ``images``.
        done: what is done before it begins.
    """
    if not sys.stderr.isatty():
        yield _Lines(total, unit, done, description)
        return
    from tqdm import tqdm

    with tqdm(
        total=total, initial=done, unit=f" {unit}", desc=description or None, leave=False,
        dynamic_ncols=True, file=sys.stderr,
    ) as bar:  # fmt: skip
        yield bar


class _Lines:
    """Lines of a log."""

    def __init__(self, total: int, unit: str, done: int, description: str) -> None:
        self.total, self.unit, self.done = total, unit, done
        self.description, self.postfix = description, ""
        self.written = time.monotonic()

    def update(self, n: float | None = 1) -> None:
        self.done += int(n or 0)
        now = time.monotonic()
        if now - self.written < SECONDS or self.done >= self.total:
            return
        self.written = now
        counted = f"{self.done:,} of {self.total:,} {self.unit}"
        parts = (self.description, counted, self.postfix)
        print("  ".join(p for p in parts if p), file=sys.stderr, flush=True)

    def set_description(self, desc: str | None = None) -> None:
        self.description = desc or ""

    def set_postfix(self, *, refresh: bool = True, **numbers: Any) -> None:
        self.postfix = "  ".join(f"{name} {value}" for name, value in numbers.items())
