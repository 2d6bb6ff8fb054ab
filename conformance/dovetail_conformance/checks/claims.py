"""What a device claims, both ways: claimed dtypes work, others are refused and never computed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail.backend.state import state_of
from dovetail.capability_text import markdown
from dovetail.errors import Unsupported
from dovetail.factories import SPACED
from dovetail.ops.layers.optimizer_steps import STEPS
from dovetail.ops.schema import REGISTRY
from dovetail_conformance.calls import Call, Refused, operators, samples_of
from dovetail_conformance.checks.values import level_of
from dovetail_conformance.expectations import find_beside
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]


def cases(target: Target) -> Iterator[Case]:
    """The table's names, every dtype of the device, and every dtype that it does not have."""
    yield Case(1, "claims", "table", run=functools.partial(_table, target))
    path = find_beside(target.device, "CAPABILITIES.md")
    if path is not None:
        yield Case(2, "claims", "CAPABILITIES.md", run=functools.partial(_committed, path))
    for dtype in target.dtypes:
        run = functools.partial(_held, dtype)
        yield Case(0, "claims", "dtypes", dtype.name, "", run)
    for dtype in target.absent:
        run = functools.partial(_absent, dtype)
        yield Case(0, "claims", "dtypes", dtype.name, "absent", run)
    for op in operators():
        for dtype in d.ALL:
            if dtype not in op.accepts and dtype in target.dtypes and op.kind != "random":
                run = functools.partial(_refused, op.name, dtype)
                yield Case(level_of(op), "claims", op.name, dtype.name, "refused", run)


def _table(target: Target, trial: Trial) -> None:
    table = state_of(dt.device(trial.device)).table
    for op in REGISTRY.values():
        if op.required:
            with trial.attempt(op=op.name):
                if op.name not in table:
                    raise Mismatch(
                        f"the table has no {op.name}, which every backend needs", "required"
                    )
    for name in table:
        with trial.attempt(op=name):
            if name not in REGISTRY and name not in (*STEPS, *SPACED):
                raise Mismatch(
                    f"the table has a kernel of {name!r}, which is no operator", "unknown"
                )
            for entry in table.entries(name):
                foreign = set(entry.dtypes or ()) - set(target.dtypes)
                if foreign:
                    names = ", ".join(sorted(k.name for k in foreign))
                    raise Mismatch(
                        f"{name} claims {names}, which DeviceInfo.dtypes does not have", "foreign"
                    )


def _committed(path: Path, trial: Trial) -> None:
    """The table of capabilities that the backend's package holds is that of the device."""
    with trial.attempt(stage="committed table"):
        made = markdown(dt.capabilities(trial.device))
        lines = zip_longest(made.splitlines(), path.read_text(encoding="utf-8").splitlines())
        for number, (new, old) in enumerate(lines, 1):
            if new != old:
                raise Mismatch(
                    f"{path} is stale from line {number} on: it says {old!r}, the device is "
                    f"{new!r}; write it again with `dovetail capabilities {trial.device} "
                    f"--markdown --output {path}`",
                    "stale",
                )


def _held(dtype: d.dtype, trial: Trial) -> None:
    values = np.array([0, 1, 3]).astype(dtype.numpy)
    with trial.attempt(dtype=dtype.name):
        made = dt.tensor(values, device=trial.device).cpu()
        if made.dtype is not dtype or np.array(dt.raw.to_host(made)).tobytes() != values.tobytes():
            raise Mismatch(f"{dtype} does not survive the way to the device and back", "copies")


def _absent(dtype: d.dtype, trial: Trial) -> None:
    for stage, make in (
        ("empty", lambda: dt.empty((2,), dtype=dtype, device=trial.device)),
        ("tensor", lambda: dt.tensor([1], dtype=dtype, device=trial.device)),
        ("to", lambda: dt.ones(2, dtype=dtype).to(trial.device)),
    ):
        with trial.attempt(stage=stage):
            _must_refuse(make, f"{stage} of {dtype}, which the device does not have")


def _refused(name: str, dtype: d.dtype, trial: Trial) -> None:
    op = REGISTRY[name]
    usual = d.float32 if d.float32 in op.accepts else d.int64
    for sample in samples_of(op, usual):
        first = sample.args[0] if sample.args else None
        if not isinstance(first, np.ndarray):
            continue
        with np.errstate(all="ignore"):
            real = first.real if not dtype.is_complex else first
            changed = sample._replace(args=(real.astype(dtype.numpy), *sample.args[1:]))
        call = Call.placed(op, changed, "contiguous", trial.device)
        with trial.attempt(dtype=dtype.name):
            try:
                call.on_meta()
            except Refused as refused:
                _must_raise(call, type(refused.error), name, dtype)
            else:  # the core takes it by another way (a promoted dtype): then it must work
                call.run()
        return
    trial.attempts = 1


def _must_raise(call: Call, kind: type[Exception], name: str, dtype: d.dtype) -> None:
    try:
        call.run()
    except kind:
        return
    raise Mismatch(f"{name} of {dtype} must raise {kind.__name__}, gave a result", "claims")


def _must_refuse(make: object, what: str) -> None:
    assert callable(make)
    try:
        make()
    except Unsupported:
        return
    raise Mismatch(f"{what}: must raise Unsupported, gave a tensor", "claims")
