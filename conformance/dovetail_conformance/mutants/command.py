"""``python -m dovetail_conformance --self-test``: break a good device in every way, and see."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from dovetail_conformance.mutants.device_test import self_test
from dovetail_conformance.mutants.source_test import source_test

__all__ = ["main"]


def main(options: Any) -> int:
    """Run the self-test as the command line asks, print its table, and return the exit code."""
    if options.source:
        made: Any = source_test(options.sample, options.jobs, options.op, _Progress())
    else:
        whole = options.kill_matrix
        made = self_test(options.sample, options.jobs, options.op, _Progress(), whole=whole)
    print(made.text())
    if options.kill_matrix:
        print(made.matrix_text())
    if options.json:
        Path(options.json).write_text(json.dumps(made.as_dict(), indent=1) + "\n", encoding="utf-8")
    return 1 if made.problems else 0


class _Progress:
    """A line on standard error, where that is a terminal."""

    def __init__(self) -> None:
        self.drawn = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if not sys.stderr.isatty() or (done < total and now - self.drawn < 0.2):
            return
        self.drawn = now
        end = "\n" if done == total else ""
        print(f"\r{what}: {done}/{total}   ", end=end, file=sys.stderr, flush=True)
