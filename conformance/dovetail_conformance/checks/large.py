"""Operators of single elements, of so many that a kernel for large calls serves.

A backend may have another kernel from some size on: one that goes block by block, or in vectors,
or with several threads. Whatever is asked of few elements is asked here of more than 2**15. The
elements are those of the record's samples, again and again, so that the reference is of a few.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail.ops.schema import REGISTRY, OpDef, Sample
from dovetail_conformance.calls import (
    Call,
    Refused,
    in_place_of,
    judge,
    operators,
    outputs,
    reference,
)
from dovetail_conformance.checks.special import check_zeros, special_values
from dovetail_conformance.checks.values import ask, level_of
from dovetail_conformance.checks.variants import Guarded
from dovetail_conformance.columns import Columns, columns_of
from dovetail_conformance.model import Case, Trial
from dovetail_conformance.target import Target

__all__ = ["SHAPE", "cases"]

SHAPE = (3, 10943)
"""2**15 + 61 elements: no multiple of anything, in rows that are none either."""

KINDS = (d.float32, d.float64, d.float16, d.bfloat16, d.int32)
SETS = 4
"""So many sets of numbers and keywords, the first in all layouts."""

_LAYOUTS = ("contiguous", "offset", "transposed", "mixed", "expanded")

_COMPOSITES = (
    "angle", "celu", "clamp", "clamp_max", "clamp_min", "masked_fill", "relu6", "selu", "softsign",
    "binary_cross_entropy", "binary_cross_entropy_backward", "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
    "gaussian_nll_loss", "gaussian_nll_loss_backward", "hinge_embedding_loss",
    "hinge_embedding_loss_backward", "huber_loss", "huber_loss_backward", "kl_div",
    "kl_div_backward", "l1_loss", "l1_loss_backward", "margin_ranking_loss",
    "margin_ranking_loss_backward", "mse_loss", "mse_loss_backward", "poisson_nll_loss",
    "poisson_nll_loss_backward", "smooth_l1_loss", "smooth_l1_loss_backward", "soft_margin_loss",
    "soft_margin_loss_backward",
)  # fmt: skip
"""Composites that are of single elements, at least by some of their keywords."""
assert set(_COMPOSITES) <= set(REGISTRY)

Wanted = Callable[[d.dtype], tuple[Any, ...]]


def cases(target: Target) -> Iterator[Case]:
    """Elementwise operators in a few dtypes."""
    for op in operators():
        if op.kind not in ("elementwise", "compare", "select") and op.name not in _COMPOSITES:
            continue
        for dtype in target.dtypes:
            if dtype in _kinds(op) and dtype in op.accepts and columns_of(op, dtype):
                run = functools.partial(_large, op, dtype)
                yield Case(level_of(op), "large", op.name, dtype.name, "", run)


def _kinds(op: OpDef) -> tuple[d.dtype, ...]:
    """The dtypes that are asked; others where an operator takes none of them."""
    return KINDS if any(k in op.accepts for k in KINDS) else (d.bool_, d.complex64)


def _large(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    """Everything in float32; in another dtype one set in two layouts."""
    thorough = dtype in _thorough(op)
    fitting = (c for c in columns_of(op, dtype) if _is_of_elements(op, c, trial))
    sets = list(itertools.islice(fitting, SETS if thorough else 1))
    for k, columns in enumerate(sets):
        layouts = _LAYOUTS if thorough else ("contiguous", "mixed")
        for turn, layout in enumerate(layouts[: 1 if k else None]):
            _in_layout(op, columns, layout, turn, f"set {k}", trial)
    if not sets:
        return
    if op.special and dtype in d.FLOATING:
        _special(op, dtype, trial)
    if not thorough:
        return
    if len(sets[0].places) > 1:
        _broadcast(op, sets[0], trial)
        _one_of_all(op, sets[0], trial)
    if in_place_of(op) is not None and sets[0].places[0] == 0:
        _in_place(op, sets[0], dtype, trial)


def _thorough(op: OpDef) -> tuple[d.dtype, ...]:
    """The dtype that everything is asked of: float32 where an operator takes it."""
    return (d.float32,) if d.float32 in op.accepts else (d.int32, d.complex64)


def _is_of_elements(op: OpDef, columns: Columns, trial: Trial) -> bool:
    """Whether the core takes such a call, and twice the elements have each result twice."""
    n = len(columns.arrays[0])
    one = columns.sized(n)
    with trial.attempt(numel=n, stage="without data"):
        try:
            ghosts = on_meta_of(op, one)
        except Refused:
            return False
        if ghosts is None or any(x.shape != (n,) for x in ghosts):
            return False
        if op.kind != "composite":
            return True
        once, twice = (
            reference(op, s.args, s.kwargs, ghosts[0].dtype) for s in (one, columns.sized(2 * n))
        )
        return all(
            np.array_equal(np.resize(a, 2 * n), b, equal_nan=True)
            for a, b in zip(once, twice, strict=True)
        )
    return False


def on_meta_of(op: OpDef, sample: Sample) -> tuple[Any, ...] | None:
    """The outputs of a sample, without data."""
    return Call.placed(op, sample, "contiguous", "meta").on_meta()


def _of_few(op: OpDef, few: Sample, index: np.ndarray) -> Wanted:
    """What must come of elements of which each is one of a few, and ``index`` says which."""

    def wanted(kind: d.dtype) -> tuple[Any, ...]:
        return tuple(np.asarray(x)[index] for x in reference(op, few.args, few.kwargs, kind))

    return wanted


def _in_layout(
    op: OpDef, columns: Columns, layout: str, turn: int, name: str, trial: Trial
) -> None:
    """All operands of one shape, with other values in every layout."""
    if layout == "expanded" and op.kind == "composite":  # whose whole numbers stay as they are
        return
    n = len(columns.arrays[0])
    index = np.resize(np.roll(np.arange(n), turn), SHAPE)
    sample = columns.sample([a[index] for a in columns.arrays])
    if layout == "expanded":
        index = np.broadcast_to(index[:1], SHAPE)
    ask(trial, op, sample, layout, name, wanted=_of_few(op, columns.sized(n), index))


def _broadcast(op: OpDef, columns: Columns, trial: Trial) -> None:
    """The last operand is one row of the others; the first has others in every row."""
    n = len(columns.arrays[0])
    row = np.resize(np.arange(n), SHAPE[1])
    turned = [np.roll(np.arange(n), 7 * r) for r in range(SHAPE[0])]
    first, *rest = columns.arrays
    args = [first[np.stack([t[row] for t in turned])], *(a[np.stack([row] * 3)] for a in rest)]
    args[-1] = rest[-1][row]
    few = [first[np.concatenate(turned)], *(np.tile(a, SHAPE[0]) for a in rest)]
    index = np.stack([row + n * r for r in range(SHAPE[0])])
    wanted = _of_few(op, columns.sample(few), index)
    ask(trial, op, columns.sample(args), "contiguous", "a row for all", wanted=wanted)


def _one_of_all(op: OpDef, columns: Columns, trial: Trial) -> None:
    """The last operand is one 0-d tensor."""
    *most, last = columns.arrays
    n = len(last)
    index = np.resize(np.arange(n), SHAPE)
    one = np.array(last[n // 2])
    few = [*most, np.full(n, one)]
    sample = columns.sample([*(a[index] for a in most), one])
    wanted = _of_few(op, columns.sample(few), index)
    ask(trial, op, sample, "contiguous", "a number for all", wanted=wanted)


def _in_place(op: OpDef, columns: Columns, dtype: d.dtype, trial: Trial) -> None:
    n = len(columns.arrays[0])
    index = np.resize(np.arange(n)[::-1], SHAPE)
    call_in_place = in_place_of(op)
    assert call_in_place is not None
    call = Call.placed(
        op, columns.sample([a[index] for a in columns.arrays]), "contiguous", trial.device
    )
    ghosts = call.on_meta()
    if ghosts is None or ghosts[0].dtype is not dtype:
        return
    what = f"{op.name}_, {SHAPE}"
    with trial.attempt(layout="offset", numel=index.size, stage="in place"):
        guarded = Guarded(call.values[0], "offset", trial.device)
        made = call_in_place(guarded.view, *call.args[1:], **call.kwargs)
        judge(trial, call, made, _of_few(op, columns.sized(n), index)(dtype), None, what)
        guarded.check(what)


def _special(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    """Zeros, infinities and NaN, as the check of that name asks them of few elements."""
    few = tuple(a.reshape(-1) for a in special_values(op, dtype))
    index = np.resize(np.arange(few[0].size), SHAPE)
    call = Call.placed(op, Sample(tuple(a[index] for a in few)), "contiguous", trial.device)
    with trial.attempt(layout="contiguous", numel=index.size, stage="special values"):
        result = call.run()
        kind = outputs(result)[0].dtype
        expected = _of_few(op, Sample(few), index)(kind)
        judge(trial, call, result, expected, call.on_meta(), f"{op.name} of special values")
        if isinstance(result, dt.Tensor):
            check_zeros(op, result, expected[0], call)
