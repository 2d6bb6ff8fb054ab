"""Values of every operator against its reference: each dtype, each layout, inputs left alone.

Each call is made twice over memory that held something else before, so that a result which is not
written completely, or is an older call's, shows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail.errors import Unsupported
from dovetail.ops.schema import OpDef, Sample
from dovetail.tensor import storage_of
from dovetail_conformance.calls import (
    Call,
    Refused,
    facts_of,
    host,
    judge,
    names_absent_dtype,
    operators,
    outputs,
    reference,
    samples_of,
    tensors_in,
)
from dovetail_conformance.labels import watched
from dovetail_conformance.layouts import LAYOUTS, filler
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["ask", "cases", "level_of"]


def level_of(op: OpDef) -> int:
    """Primitives are of level 1, everything on top of them of level 2."""
    return 1 if op.required else 2


def cases(target: Target) -> Iterator[Case]:
    """Operator by operator, dtype by dtype, layout by layout."""
    for op in operators():
        if op.kind == "random":
            continue
        for dtype in target.dtypes:
            if dtype not in op.accepts:
                continue
            is_thorough = op.required or dtype in _thorough(op)
            layouts = LAYOUTS if is_thorough else ("contiguous", "mixed")
            for layout in layouts:
                run = functools.partial(_values, op, dtype, layout)
                yield Case(level_of(op), "values", op.name, dtype.name, layout, run)


def _thorough(op: OpDef) -> tuple[d.dtype, ...]:
    """The dtypes that every layout is asked of; complex64 where an operator takes neither."""
    found = (d.float32, d.int64)
    return found if any(dtype in op.accepts for dtype in found) else (d.complex64,)


def _values(op: OpDef, dtype: d.dtype, layout: str, trial: Trial) -> None:
    refused = []
    for i, sample in enumerate(samples_of(op, dtype)):
        if not ask(trial, op, sample, layout, sample.name or i, traced=i == 0):
            refused.append(sample.name or i)
    if refused and (len(refused) <= i or dtype.category >= 2):
        raise Mismatch(
            f"{op.name}, {layout}: the core must take every sample of {dtype}, or of integers none "
            f"at all; it refuses {refused}",
            "refused",
        )


def ask(
    trial: Trial,
    op: OpDef,
    sample: Sample,
    layout: str,
    name: Any,
    traced: bool = False,
    wanted: Callable[[d.dtype], tuple[Any, ...]] | None = None,
) -> bool:
    """One attempt: the sample in a layout, judged in every way that applies to any call.

    Args:
        wanted: ``wanted(dtype) -> values`` that must come where the first output has that dtype;
            None: the reference's.

    Returns:
        Whether the core takes the call; one that it refuses on every device is right to fail.
    """
    try:
        call = Call.placed(op, sample, layout, trial.device)
    except Unsupported as error:
        if not names_absent_dtype(error, trial.device):
            raise
        return True  # an input of another dtype than the one asked for, which the device has not
    facts = facts_of(call, layout, name)
    what = f"{op.name}, {layout}, shapes {' '.join(str(tuple(s)) for s in facts['shape'])}"
    with trial.attempt(**facts):
        try:
            ghosts = call.on_meta()
        except Refused as refused:
            _check_refusal(call, refused.error, what)
            return False
        before = call.inputs()
        if ghosts is not None:
            _soil(ghosts, trial.device)
        try:
            result = call.run()
        except Unsupported as error:
            _check_unsupported(trial, call, ghosts, error)
            return True
        first = outputs(result)[0]
        kind = first.dtype if isinstance(first, dt.Tensor) else d.float64
        if wanted is not None:
            expected = wanted(kind)
        else:
            expected = reference(op, call.values, call.keywords, kind)
        judge(trial, call, result, expected, ghosts, what)
        _check_apart(call, result, ghosts, what)
        if first.dtype is d.bool_ and isinstance(first, dt.Tensor):
            _opposite(result)
            judge(trial, call, call.run(), expected, ghosts, what)
        _check_unchanged(call, before, what)
        if traced:
            _check_labels(trial, call, expected, ghosts, what)
    return True


def _soil(ghosts: tuple[Any, ...], device: str) -> None:
    """Leave memory of the results' sizes behind that holds what no result should."""
    for ghost in ghosts:
        if isinstance(ghost, dt.Tensor) and ghost.numel():
            dirty = [
                dt.full(tuple(ghost.shape), filler(ghost.dtype), dtype=ghost.dtype, device=device)
                for _ in range(2)
            ]
            del dirty


def _opposite(result: Any) -> None:
    """Leave memory behind that holds False for True and True for False."""
    dirty = [x.logical_not() for x in outputs(result) for _ in range(2)]
    del dirty


def _check_refusal(call: Call, error: Exception, what: str) -> None:
    """What the core refuses without data it must refuse in the same words on the device."""
    try:
        call.run()
    except type(error) as ours:
        mine, theirs = str(ours), str(error)
        if mine != theirs and _without_device(mine) != _without_device(theirs):
            raise Mismatch(f"{what}: must say {theirs!r}, says {mine!r}", "error") from ours
        return
    except Exception as ours:
        raise Mismatch(
            f"{what}: must raise {type(error).__name__}, raised {type(ours).__name__}: {ours}",
            "error",
        ) from ours
    raise Mismatch(f"{what}: must raise {type(error).__name__} ({error}), raised nothing", "error")


def _without_device(text: str) -> str:
    import re

    return re.sub(r"\b(meta|cpu|[a-z_]+:\d+)\b", "DEVICE", text)


def _check_unsupported(
    trial: Trial, call: Call, ghosts: tuple[Any, ...] | None, error: Unsupported
) -> None:
    """A device may refuse only what needs a dtype that it does not hold."""
    held = Target.of(trial.device).dtypes
    kinds = {x.dtype for x in (*(ghosts or ()), *tensors_in(call.args)) if hasattr(x, "dtype")}
    asked = {v for v in call.keywords.values() if isinstance(v, d.dtype)}
    needs_another = ghosts is not None and not (kinds | asked) <= set(held)
    if not needs_another and not names_absent_dtype(error, trial.device):
        raise error


def _check_apart(call: Call, result: Any, ghosts: Any, what: str) -> None:
    """Only a view may share memory with what it was made from: the rest is free to be written.

    Nor may what is made of contiguous tensors be a part of something larger; it is contiguous too,
    unless the record's rule gives it another order.
    """
    if call.op.kind == "view":
        return
    given = list(tensors_in([call.args, call.kwargs]))
    theirs = [storage_of(x) for x in given]
    made = outputs(result)
    ruled = ghosts if ghosts is not None and call.op.infer is not None else (None,) * len(made)
    for x, ghost in zip(made, ruled, strict=True):
        if not isinstance(x, dt.Tensor):
            continue
        if any(storage_of(x) is storage for storage in theirs):
            raise Mismatch(f"{what}: the result must be new memory, it is an input's", "aliases")
        is_ruled = ghost is not None and x._spec.is_dense and x.stride() == ghost.stride()
        if not x.is_contiguous() and not is_ruled and all(y.is_contiguous() for y in given):
            raise Mismatch(
                f"{what}: the result must be contiguous as all inputs are, has strides "
                f"{x.stride()} for the shape {tuple(x.shape)}",
                "strides",
            )


def _check_unchanged(call: Call, before: list[np.ndarray], what: str) -> None:
    for i, (old, x) in enumerate(zip(before, tensors_in([call.args, call.kwargs]), strict=True)):
        if old.tobytes() != host(x).tobytes():
            raise Mismatch(f"{what}: input {i} was changed by the call", "inputs-unchanged")


def _check_labels(
    trial: Trial, call: Call, expected: tuple[Any, ...], ghosts: Any, what: str
) -> None:
    """Watched, the call gives the same, and every dispatch is served as the table says."""
    with watched(trial, what):
        result = call.run()
    judge(trial, call, result, expected, ghosts, f"{what}, watched")
