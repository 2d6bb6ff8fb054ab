"""Training: four small networks for 20 steps, their losses against PyTorch's in float64.

Weights and data are numbers of single precision, so a device without float64 starts from the same.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail_conformance.device_bytes import memory_without_plans, settle
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.networks import NETWORKS, STEPS, Training, golden
from dovetail_conformance.target import Target

__all__ = ["TOLERANCE", "cases"]

TOLERANCE = {"float64": (1e-12, 1e-11), "float32": (1e-6, 1e-6), "bfloat16": (5e-3, 4e-3)}
"""Relative error allowed of the first loss, and how much more with each step.

About ten times (twice for bfloat16) what rounding does on the cpu, whose kernels accumulate in
another order than PyTorch's.
"""

BFLOAT16 = ("mlp", "lstm", "transformer")
"""Networks that are stable enough in bfloat16: a normalisation of few numbers is not."""


def cases(target: Target) -> Iterator[Case]:
    """Every network in every dtype of the table that the device has."""
    for name in NETWORKS:
        for dtype in (d.float64, d.float32, d.bfloat16):
            if dtype in target.dtypes and (dtype is not d.bfloat16 or name in BFLOAT16):
                run = functools.partial(_training, name, dtype)
                yield Case(4, "training", name, dtype.name, "", run)
    for name in NETWORKS:
        run = functools.partial(_memory, name)
        yield Case(4, "training", name, "", "memory", run, alone=True)


def _training(name: str, dtype: d.dtype, trial: Trial) -> None:
    run: Training | None = None
    with trial.attempt(stage="losses"):
        run = Training(dt, name, dtype, trial.device)
        for _ in range(STEPS):
            run.step()
        losses, norm = golden(name)
        first, more = TOLERANCE[dtype.name]
        for i, (made, wanted) in enumerate(zip(run.losses, losses, strict=True)):
            what = f"{name}, {dtype}: the loss of step {i}"
            _check_near(trial, made, wanted, first + more * i, what)
        what = f"{name}, {dtype}: the norm of the parameters after {STEPS} steps"
        _check_near(trial, run.norm(), norm, first + 10 * more * STEPS, what)
    if run is None or len(run.losses) < STEPS:
        return  # it raised, which is recorded
    with trial.attempt(stage="again"):
        again = Training(dt, name, dtype, trial.device)
        for wanted in run.losses:
            made = again.step()
            if made != wanted:
                raise Mismatch(
                    f"{name}, {dtype}: a second run must give the same losses; step "
                    f"{len(again.losses) - 1} gave {wanted!r} first, then {made!r}. Which kernel "
                    "adds in an order that changes, or reads what was not written?",
                    "deterministic",
                )
    with trial.attempt(stage="state_dict"):
        _check_state(name, dtype, run, trial)
    with trial.attempt(stage="watched"):
        _check_labels(name, run, trial)


def _check_near(trial: Trial, made: float, wanted: float, allowed: float, what: str) -> None:
    ratio = abs(made - wanted) / (allowed * abs(wanted))
    if not ratio <= 1:
        raise Mismatch(
            f"{what} must be {wanted:.12g} (PyTorch's in float64), is {made:.12g}: off by "
            f"{ratio:.3g} tolerances. Levels 1 to 3 ask the operators one by one",
            "losses",
            min(ratio, 1e30) if ratio == ratio else 1e30,
        )
    trial.saw_ratio(ratio)


def _check_state(name: str, dtype: d.dtype, run: Training, trial: Trial) -> None:
    """States taken to the host and loaded into another network go on as the first one does."""
    half = Training(dt, name, dtype, trial.device)
    for _ in range(STEPS // 2):
        half.step()
    saved = _on_host(half.model.state_dict()), _on_host(half.optimizer.state_dict())
    other = Training(dt, name, dtype, trial.device)
    with dt.no_grad():
        for p in other.model.parameters():
            p.zero_()
    other.model.load_state_dict(saved[0])
    other.optimizer.load_state_dict(saved[1])
    other.losses = list(half.losses)
    for i in range(STEPS // 2, STEPS):
        made, wanted = other.step(), run.losses[i]
        if made != wanted:
            raise Mismatch(
                f"{name}, {dtype}: after loading the states of step {STEPS // 2}, step {i} must "
                f"give the loss {wanted!r}, gave {made!r}",
                "state_dict",
            )


def _on_host(value: Any) -> Any:
    if isinstance(value, dt.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return type(value)((k, _on_host(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(_on_host(v) for v in value)
    return value


def _check_labels(name: str, run: Training, trial: Trial) -> None:
    """No operator of a step runs on the host in the device's place."""
    with dt.trace() as events:
        run.step()
    for event in events:
        if event.device == trial.device:
            trial.saw_label(event.served_by)
            if event.served_by == "host":
                raise Mismatch(
                    f"{name}: {event.op} ran on the host in a step of training; the table must "
                    "have a kernel of it",
                    "label",
                )


def _memory(name: str, trial: Trial) -> None:
    """A step leaves no more memory in use than the step before."""
    dtype = d.float32
    with trial.attempt(stage="memory"):
        run = Training(dt, name, dtype, trial.device)
        used = []
        for i in range(STEPS):
            run.step()
            if i % 5 == 4:
                settle(trial.device, again=i > 4)
                used.append(memory_without_plans(trial.device))
        if max(used) != min(used):
            raise Mismatch(
                f"{name}: steps must leave as much memory in use as those before, but after 5, 10, "
                f"15 and 20 of them {used} bytes are in use",
                "leak",
            )
        if not np.isfinite(run.losses).all():
            raise Mismatch(f"{name}: the losses must be finite, are {run.losses}", "losses")
