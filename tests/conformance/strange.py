"""Cases that workers must survive; a module of its own, because workers import it."""

from __future__ import annotations

import os
import signal
import time

from dovetail_conformance.model import Case, Mismatch, Trial


def _fine(trial: Trial) -> None:
    with trial.attempt():
        pass


def _wrong(trial: Trial) -> None:
    raise Mismatch("2 must be 3", "values", 7.0)


def _dies(trial: Trial) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hangs(trial: Trial) -> None:
    time.sleep(3600)


def _leaves(trial: Trial) -> None:
    os._exit(3)


RUNS = {"fine": _fine, "wrong": _wrong, "dies": _dies, "hangs": _hangs, "leaves": _leaves}


def collect(*names: str) -> list[Case]:
    """One case per name; a name may be followed by a number."""
    return [Case(0, "strange", name, run=RUNS[name.split("-")[0]]) for name in names]
