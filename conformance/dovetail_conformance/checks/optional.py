"""Kernels that a device need not have: without one, the host's runs as the policy says.

With ``error`` the call is refused, with ``warn`` it is announced, and with either nothing else is
done in its place. The values are judged where all values are.
"""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator
from typing import Any

import dovetail as dt
from dovetail import dtypes as d
from dovetail.capability_rule import expected_label
from dovetail.errors import HostFallbackError, HostFallbackWarning, Unsupported
from dovetail.fallback import ledger, permitted
from dovetail.ops.schema import REGISTRY, OpDef
from dovetail_conformance.calls import Call, on_meta, outputs, samples_of
from dovetail_conformance.checks.fused import seen_calls
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]


def cases(target: Target) -> Iterator[Case]:
    """Every optional kernel in each of its dtypes that the device holds."""
    for name, op in sorted(REGISTRY.items()):
        if not op.is_optional or op.samples is None or op.function is None:
            continue
        for dtype in target.dtypes:
            if dtype in op.accepts:
                run = functools.partial(_optional, op, dtype)
                yield Case(2, "optional", name, dtype.name, "", run)


@contextlib.contextmanager
def _policy(name: str) -> Iterator[None]:
    old = os.environ.get("DOVETAIL_FALLBACK")
    os.environ["DOVETAIL_FALLBACK"] = name
    try:
        with permitted(()):
            yield
    finally:
        if old is None:
            del os.environ["DOVETAIL_FALLBACK"]
        else:
            os.environ["DOVETAIL_FALLBACK"] = old


def _optional(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    sample = samples_of(op, dtype)[0]
    call = Call.placed(op, sample, "contiguous", trial.device)
    ghosts = on_meta(op, sample.args, sample.kwargs)
    with seen_calls(op.name) as seen:
        try:
            made = outputs(call.run())
        except Unsupported:
            trial.attempts = 1  # a result of a dtype that the device does not hold
            return
    inputs, attributes = seen.calls[0]
    label = expected_label(op.name, trial.device, inputs, attributes)
    with trial.attempt(stage="error"), _policy("error"):
        _refused(op, call, label)
    with trial.attempt(stage="warn"), _policy("warn"):
        _announced(op, call, label, trial.device)
    with trial.attempt(stage="place"):
        for x, ghost in zip(made, ghosts or made, strict=True):
            if isinstance(x, dt.Tensor) and str(x.device) != str(inputs[0].device):
                raise Mismatch(f"{op.name}: must come back to the device, is on {x.device}")
            if isinstance(x, dt.Tensor) and x.dtype is not ghost.dtype:
                raise Mismatch(f"{op.name}: must have dtype {ghost.dtype}, has {x.dtype}")


def _refused(op: OpDef, call: Call, label: str) -> None:
    try:
        call.run()
    except HostFallbackError as error:
        if label != "host":
            raise Mismatch(f"{op.name} is in the table and was refused: {error}") from error
        if not any(o.is_optional and str(error).startswith(o.name) for o in REGISTRY.values()):
            raise Mismatch(f"{op.name}: the refusal must begin with its name: {error}") from error
        return
    if label == "host":
        raise Mismatch(f"{op.name}: with the policy error the host must not run it", "optional")


def _announced(op: OpDef, call: Call, label: str, device: Any) -> None:
    kept = {key: row for key, row in ledger.items() if key[1] == str(device)}
    for key in kept:
        del ledger[key]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call.run()
        said = [str(w.message) for w in caught if w.category is HostFallbackWarning]
        if bool(said) != (label == "host"):
            raise Mismatch(
                f"{op.name}, served as {label}: with the policy warn the warnings are {said}",
                "optional",
            )
    finally:
        ledger.update(kept)
