"""``dovetail run SCRIPT``: a program written for PyTorch, with dovetail in torch's place."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dovetail.cli import UsageError, parser

__all__ = ["main"]


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
    try:
        run_program(chosen.program, chosen.module)
    except FileNotFoundError as error:
        if "there is no script" not in str(error):
            raise
        raise UsageError(f"dovetail run: {error}") from error
    return 0


def _where_from(error: RuntimeError) -> str:
    """How a device that nothing offers comes in."""
    if not str(error).startswith("Expected one of "):
        return ""
    return "; other devices come in with their plugins: install one, then see `dovetail devices`"
