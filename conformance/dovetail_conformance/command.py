"""The command ``python -m dovetail_conformance``, which is also ``dovetail conformance``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dovetail.cli import UsageError, columns, parser
from dovetail.errors import BackendUnavailable
from dovetail_conformance.expectations import ExpectationError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from dovetail_conformance.model import Outcome

__all__ = ["main"]

_EPILOG = """\
levels: 0 memory, copies, views, errors; 1 primitives; 2 composites; 3 gradients; 4 training;
5 stress. The grade is the highest level with no unexplained failure.

exit codes: 0 nothing counts against the device, 1 something does, 2 the command cannot be done.

also: dovetail conformance diff OLD.json NEW.json      what changed between two reports"""


def _parser() -> ArgumentParser:
    import argparse

    made = parser("conformance", "Ask a device whether it computes right, and grade it.")
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.epilog = _EPILOG
    add = made.add_argument
    add("--device", metavar="NAME[:N]", help="the device to ask, such as opencl:0")
    add("--level", type=int, choices=range(6), default=5, help="the highest level (default 5)")
    add("--op", metavar="PATTERN", help="operators only, such as 'conv*' or add,mul")
    add("--dtype", metavar="NAME", help="dtypes only, such as float32 or float16,bfloat16")
    add("--check", metavar="PATTERN", help="checks only, such as values or 'in-place'")
    add("--json", metavar="FILE", help="write the whole report as JSON")
    add("--html", metavar="FILE", help="write the report as one page for a browser")
    add("--expect", metavar="FILE", help="expected failures (default: the backend's own)")
    add("--fuzz", type=int, default=0, metavar="N", help="N random cases besides")
    add("--seed", type=int, default=0, metavar="S", help="where the random cases start (default 0)")
    add("--jobs", type=int, metavar="N", help="worker processes (default: cores; 0: none)")
    add("--timeout", type=float, metavar="S", help="seconds until a case has hung (default 180)")
    add("--list", action="store_true", help="print the cases' names and run nothing")
    add("--self-test", action="store_true", help="let the suite prove itself on faulty devices")
    add("--sample", type=int, metavar="N", help="with --self-test: N mutants of each kind")
    add("--source", action="store_true", help="with --self-test: mistakes in the core's source")
    add("--kill-matrix", action="store_true", help="with --self-test: which check found what")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; one sentence on standard error where it fails."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except (UsageError, ExpectationError, BackendUnavailable) as error:
        text = str(error)
        print(
            text if text.startswith("dovetail ") else f"dovetail conformance: {text}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; keep the interpreter from complaining at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _run(words: list[str]) -> int:
    if words[:1] == ["diff"]:
        from dovetail_conformance.diff import main as diff

        return int(diff(words[1:]))
    options = _parser().parse_args(words)
    if options.self_test:
        from dovetail_conformance.mutants import main as self_test

        return int(self_test(options))
    if options.device is None:
        raise UsageError("--device is missing; `dovetail devices` lists what there is")
    return _ask(options)


def _ask(options: Any) -> int:
    from dovetail_conformance.runner import Options, run, write
    from dovetail_conformance.workers import seldom_collected

    seldom_collected()
    asked = Options(
        options.device, options.level, options.op, options.dtype, options.check,
        options.fuzz, options.seed, options.expect, options.jobs,
        **({} if options.timeout is None else {"limit": options.timeout}),
    )  # fmt: skip
    try:
        if options.list:
            return _list(asked)
        report = run(asked, _Progress() if sys.stderr.isatty() else _Tenths())
    except (RuntimeError, ValueError) as error:
        if isinstance(error, (BackendUnavailable, ExpectationError)):
            raise
        raise UsageError(str(error)) from error
    print(report.text(columns()))
    write(report, options.json, options.html)
    return report.exit_code


def _list(asked: Any) -> int:
    from dovetail_conformance.runner import prepare, strictly

    with strictly():
        cases, _ = prepare(asked)
    for case in cases:
        print(case.id)
    print(f"{len(cases)} cases", file=sys.stderr)
    return 0 if cases else 1


class _Tenths:
    """A line for each tenth of a run, where nobody watches a terminal."""

    def __init__(self) -> None:
        self.told = self.against = 0

    def __call__(self, outcome: Outcome, done: int, total: int) -> None:
        self.against += outcome.is_against
        tenth = 10 * done // total
        if tenth > self.told:
            self.told = tenth
            print(f"{done}/{total}, {self.against} failed", file=sys.stderr, flush=True)


class _Progress:
    """One line on a terminal that says how far the run is."""

    def __init__(self) -> None:
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
        print(f"\r{line[:width]:<{width}}", end=end, file=sys.stderr, flush=True)
