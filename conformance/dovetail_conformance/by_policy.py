"""Optional operators that a device has no kernel of: refused, or run on the host, by the policy.

A record without a decomposition that no backend needs (``OpDef.is_optional``) is nobody's fault
where it is absent. Its cases are then asked with the policy ``allow``, under which everything must
be right; one case more asks that ``error`` refuses it.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from dataclasses import replace

from dovetail import dtypes as d
from dovetail.errors import HostFallbackError
from dovetail.ops.schema import REGISTRY, OpDef
from dovetail_conformance.calls import Call, Refused, samples_of, tensors_in
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["ask_by_policy", "policy", "policy_cases"]


@contextlib.contextmanager
def policy(value: str) -> Iterator[None]:
    """``DOVETAIL_FALLBACK`` inside the block."""
    old = os.environ.get("DOVETAIL_FALLBACK")
    os.environ["DOVETAIL_FALLBACK"] = value
    try:
        yield
    finally:
        if old is None:
            del os.environ["DOVETAIL_FALLBACK"]
        else:
            os.environ["DOVETAIL_FALLBACK"] = old


def _is_absent(op: OpDef | None, target: Target) -> bool:
    return op is not None and op.is_optional and not target.served(op.name)


def ask_by_policy(case: Case, target: Target) -> Case:
    """The case, with the policy ``allow`` where its operator is an absent optional one."""
    if not _is_absent(REGISTRY.get(case.op), target) or case.check == "fallback":
        return case
    return replace(case, run=functools.partial(_allowed, case))


def _allowed(case: Case, trial: Trial) -> None:
    with policy("allow"):
        case.run(trial)


def policy_cases(target: Target) -> Iterator[Case]:
    """One case per optional operator that the device has no kernel of."""
    for name, op in sorted(REGISTRY.items()):
        if _is_absent(op, target) and op.samples is not None and op.function is not None:
            yield Case(2, "fallback", name, "", "", functools.partial(_refused, op))


def _refused(op: OpDef, trial: Trial) -> None:
    """Each dtype: the policy ``error`` refuses what the table says would go to the host."""
    for dtype in Target.of(trial.device).dtypes:
        if dtype not in op.accepts:
            continue
        sample = samples_of(op, dtype)[0]
        call = Call.placed(op, sample, "contiguous", trial.device)
        try:
            ghosts = call.on_meta()
        except Refused:
            continue
        if not {x.dtype for x in tensors_in(ghosts or ())} <= set(Target.of(trial.device).dtypes):
            continue
        with trial.attempt(dtype=dtype.name), policy("error"):
            _check_refused(op, call, dtype)
    if not trial.attempts:
        trial.attempts = 1  # the device holds none of its dtypes


def _check_refused(op: OpDef, call: Call, dtype: d.dtype) -> None:
    try:
        call.run()
    except HostFallbackError as error:
        if op.name not in str(error):
            raise Mismatch(f"{op.name}: the error must name it, says {error}", "label") from error
        return
    raise Mismatch(
        f"{op.name} of {dtype}: the table has no kernel of it, so that DOVETAIL_FALLBACK=error "
        "must raise HostFallbackError; it gave a result",
        "label",
    )
