"""Which cases there are for a device, and which of them were asked for."""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Sequence

from dovetail_conformance.checks import SUBJECTS
from dovetail_conformance.model import Case
from dovetail_conformance.target import Target

__all__ = ["collect"]


def collect(
    device: str,
    level: int = 5,
    op: str | None = None,
    dtype: str | None = None,
    check: str | None = None,
    fuzz: int = 0,
    seed: int = 0,
) -> list[Case]:
    """The cases for a device up to a level, in the order of levels.

    Args:
        op: a shell pattern of operator names, or several with commas between.
        dtype: names of dtypes, with commas between.
        check: a shell pattern of checks, or several with commas between.
        fuzz, seed: how many random cases besides, and from which seed.

    Raises:
        BackendUnavailable, RuntimeError: the device cannot be used.
        ValueError: two cases have the same name.
    """
    target = Target.of(device)
    found: list[Case] = []
    for subject in SUBJECTS:
        module = importlib.import_module(f"dovetail_conformance.checks.{subject}")
        found.extend(module.cases(target))
    _ask_plugins(found, target)
    if fuzz:
        from dovetail_conformance.fuzz import fuzz_cases

        found.extend(fuzz_cases(target, fuzz, seed))
    _refuse_twins(found)
    kept = [
        case
        for case in found
        if case.level <= level
        and _fits(case.op, op)
        and _fits(case.check, check)
        and (dtype is None or case.dtype in dtype.split(","))
    ]
    return sorted(kept, key=lambda case: case.level)


def _ask_plugins(cases: list[Case], target: Target) -> None:
    """Let plugins add to, order or drop cases (hook ``dovetail_conformance_items``)."""
    from dovetail.backend import registry

    registry.hook.dovetail_conformance_items(config=target, items=cases)


def _fits(name: str, patterns: str | None) -> bool:
    return patterns is None or any(fnmatch.fnmatch(name, p) for p in patterns.split(","))


def _refuse_twins(cases: Sequence[Case]) -> None:
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise ValueError(f"two conformance cases are named {case.id}")
        seen.add(case.id)
