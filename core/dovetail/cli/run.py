"""``dovetail run SCRIPT``: a program written for PyTorch, with dovetail in torch's place."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from dovetail.cli import UsageError, parser

__all__ = ["main"]

_RUNNERS = (__name__, "dovetail.standing_in", "runpy")
"""Modules whose frames come before the program's."""


def main(argv: Sequence[str] = ()) -> int:
    """Run the program; what it raises is shown as Python shows it."""
    from dovetail.standing_in import choose_device, run_program

    options = parser("run", "Run a program that says `import torch`, with dovetail in its place.")
    options.add_argument(
        "--device",
        metavar="D",
        help="where new tensors go; other names for an accelerator mean it too",
    )
    options.add_argument(
        "--accelerator",
        metavar="D",
        help="what the program means by names of accelerators; other tensors stay on the cpu",
    )
    options.add_argument("-m", dest="module", action="store_true", help="it is a module's name")
    options.add_argument(
        "program", nargs=argparse.REMAINDER, help="a script, or with -m a module, and its arguments"
    )
    chosen = options.parse_args(list(argv))
    if not chosen.program:
        raise UsageError("dovetail run: there is no program to run; see `dovetail run --help`")
    if chosen.device is not None and chosen.accelerator is not None:
        raise UsageError("dovetail run: give --device or --accelerator, not both")
    if chosen.device is not None or chosen.accelerator is not None:
        try:
            told = choose_device(
                chosen.device or chosen.accelerator, only_names=chosen.accelerator is not None
            )
        except RuntimeError as error:
            raise UsageError(f"dovetail run: {error}{_where_from(error)}") from error
        if told:
            print(f"dovetail run: {told}", file=sys.stderr)
    if not chosen.module and not Path(chosen.program[0]).exists():
        raise UsageError(f"dovetail run: there is no script {chosen.program[0]!r}")
    try:
        run_program(chosen.program, chosen.module)
    except SystemExit as error:
        return _exit_code(error.code)
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except BaseException as error:
        error.__traceback__ = _of_program(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def _exit_code(code: object) -> int:
    """As Python exits: what is no number is printed, and means 1."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


def _of_program(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of who runs the program."""
    while traceback is not None and traceback.tb_frame.f_globals.get("__name__") in _RUNNERS:
        traceback = traceback.tb_next
    return traceback


def _where_from(error: RuntimeError) -> str:
    """How a device that nothing offers comes in."""
    if not str(error).startswith("Expected one of "):
        return ""
    return "; other devices come in with their plugins: install one, then see `dovetail devices`"
