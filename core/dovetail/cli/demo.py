"""``dovetail demo``: train a network on handwritten digits, on a device of your choice."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from dovetail.demo import DemoError
from dovetail.demo.job import (
    DEFAULT_SEED,
    DEFAULTS,
    DIGITS_EPOCHS,
    MNIST_EPOCHS,
    Interrupted,
    Settings,
)

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the arguments after ``dovetail demo``; None: those of the process.

    Returns:
        0; 2 after a mistake that the person can mend, told in one sentence on standard error; 130
        after Ctrl-C.
    """
    from dovetail.demo.job import run_job

    try:
        options = _parser().parse_args(argv)
        json_wanted = options.__dict__.pop("json")
        settings = Settings(**vars(options))
        summary = run_job(settings, _to_stderr if json_wanted else _to_stdout)
    except DemoError as error:
        return _complain(" ".join(str(error).split()), 2)
    except Interrupted as error:
        return _complain(f"{error}; continue with: {settings.resume_command()}", 130)
    except KeyboardInterrupt:
        return _complain("stopped before training began", 130)
    if json_wanted:
        print(json.dumps(summary), flush=True)
    return 0


class _Parser(argparse.ArgumentParser):
    """Reports a mistake as the demo reports its others, in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise DemoError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="dovetail demo",
        description="Train a small convolutional network on handwritten digits.",
    )
    add = parser.add_argument
    add(
        "--device",
        default=DEFAULTS["device"],
        help=f"one that `dovetail devices` calls available (default: {DEFAULTS['device']})",
    )
    add(
        "--epochs",
        type=_number(1),
        metavar="N",
        help=f"times through the data (default: {DIGITS_EPOCHS}, with --data {MNIST_EPOCHS})",
    )
    add(
        "--seed",
        type=_number(0),
        metavar="S",
        help=f"of everything random (default: {DEFAULT_SEED})",
    )
    add(
        "--out",
        type=Path,
        default=DEFAULTS["out"],
        metavar="DIR",
        help=f"where weights, log, picture and checkpoint go (default: {DEFAULTS['out']})",
    )
    add("--data", type=Path, metavar="DIR", help="a folder with MNIST's idx files, .gz or not")
    add("--resume", action="store_true", help="continue from the checkpoint in --out")
    add("--json", action="store_true", help="end with one JSON object on standard output")
    return parser


def _number(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) < 2**32:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {least} to {2**32 - 1}, got {text!r}"
            )
        return int(text)

    return parse


def _complain(sentence: str, code: int) -> int:
    print(f"dovetail demo: {sentence}", file=sys.stderr)
    return code


def _to_stdout(line: str) -> None:
    from tqdm import tqdm

    # Through the progress bar, which steps aside for the line.
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def _to_stderr(line: str) -> None:
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
