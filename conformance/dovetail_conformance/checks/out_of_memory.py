"""No memory left: the error says so with numbers, and afterwards the device works as before."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail.errors import OutOfMemoryError
from dovetail_conformance.calls import host
from dovetail_conformance.compare import check_equal
from dovetail_conformance.device_bytes import (
    GIBIBYTE,
    memory_of,
    memory_without_plans,
    module_of,
    options,
    settle,
)
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases", "check_works"]

ABSURD = 1 << 52
"""Bytes that no device has."""


def cases(target: Target) -> Iterator[Case]:
    """Both alone: they count memory, or take all of it."""
    for op, run in _CASES.items():
        yield Case(5, "stress", op, "", "", functools.partial(run, target), alone=True)


def check_works(trial: Trial, after: str) -> None:
    """The device computes, and differentiates, after something went wrong."""
    made = host((dt.arange(1000, dtype=dt.int32, **options(trial)) * 2).sum())
    check_equal(made, np.array(999_000), f"the sum of 2 arange(1000) after {after}")
    x = dt.ones(5, 5, **options(trial), requires_grad=True)
    (x @ x).sum().backward()
    check_equal(host(x.grad), np.full((5, 5), 10), f"a gradient after {after}")


def _out_of_memory(target: Target, trial: Trial) -> None:
    """The error has the numbers, is counted, and changes nothing else."""
    module = module_of(trial.device)
    kept = dt.arange(70_000, dtype=dt.int32, **options(trial))
    memory_without_plans(trial.device)
    before = module.memory_stats(trial.device)
    with trial.attempt(stage="error"):
        try:
            dt.empty(ABSURD, dtype=dt.uint8, **options(trial))
        except OutOfMemoryError as error:
            for word in (trial.device, str(ABSURD), "allocated", "reserved"):
                if word not in str(error):
                    raise Mismatch(
                        f"out of memory: the text must have {word}: {error}", "error"
                    ) from error
        except Exception as error:
            raise Mismatch(
                f"empty of {ABSURD} bytes: must raise OutOfMemoryError, raised "
                f"{type(error).__name__}: {error}. Runtime.alloc translates the driver's error",
                "error",
            ) from error
        else:
            raise Mismatch(f"empty of {ABSURD} bytes: must raise OutOfMemoryError", "error")
    with trial.attempt(stage="after out of memory"):
        memory_without_plans(trial.device)
        after = module.memory_stats(trial.device)
        if after["num_ooms"] != before["num_ooms"] + 1:
            raise Mismatch("num_ooms: must count the error", "statistics")
        key = "allocated_bytes.all.current"
        if after[key] != before[key]:
            raise Mismatch(f"{key}: was {before[key]}, is {after[key]} after the error", "leak")
        check_equal(host(kept), np.arange(70_000), "a tensor that was in use, after the error")
        check_works(trial, "out of memory")


def _full(target: Target, trial: Trial) -> None:
    """A small device is filled; then cached blocks of other sizes are given up for a new one."""
    module = module_of(trial.device)
    free, total = memory_of(trial.device)
    if total is None or total >= 2 * GIBIBYTE:
        trial.attempts += 1  # too large to be filled, or it does not say
        return
    settle(trial.device)
    module.empty_cache()
    size = max(total // 16, 4096)
    kept: list[Any] = []
    with trial.attempt(stage="filled"):
        try:
            for _ in range(64):
                kept.append(dt.full((size,), 3, dtype=dt.uint8, **options(trial)))
        except OutOfMemoryError:
            pass
        else:
            raise Mismatch(f"64 tensors of {size} bytes fit in {total} bytes", "statistics")
        if len(kept) < 8:
            raise Mismatch(
                f"only {len(kept)} tensors of {size} bytes fit in {total} bytes, of which {free} "
                "were free: is freed memory given back?",
                "leak",
            )
        for i, x in enumerate(kept):
            # Dense ends, which are read without memory to pack them in.
            if (host(x[:9]) != 3).any() or (host(x[-9:]) != 3).any():
                raise Mismatch(f"tensor {i} of {len(kept)} on a full device changed", "values")
    count = len(kept)
    kept.clear()
    with trial.attempt(stage="after out of memory, from the cache"):
        # All of it lies idle, in blocks that are too small: they must go back and be joined.
        x = dt.full((size * (count // 2),), 5, dtype=dt.uint8, **options(trial))
        check_equal(host(x[-3:]), np.full(3, 5), "a tensor over half of the device")
        del x
    with trial.attempt(stage="after out of memory, in a cycle"):
        for _ in range(3):
            cycle: list[Any] = [
                dt.full((size * (count // 2),), 6, dtype=dt.uint8, **options(trial))
            ]
            cycle.append(cycle)
            del cycle  # only a collection of garbage frees it
        check_works(trial, "tensors in cycles filled the device")
    with trial.attempt(stage="after out of memory"):
        settle(trial.device)
        module.empty_cache()
        check_works(trial, "the device was full")


_CASES: dict[str, Callable[[Target, Trial], None]] = {
    "out of memory": _out_of_memory,
    "full device": _full,
}
