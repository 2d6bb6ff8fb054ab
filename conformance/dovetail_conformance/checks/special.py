"""Special values: zeros of both signs, infinities, NaN, the extremes of integers, subnormals."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.ops.schema import REGISTRY, OpDef, Sample
from dovetail_conformance.calls import Call, Refused, host, judge, operators, reference
from dovetail_conformance.checks.values import level_of
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases", "check_zeros", "special_values"]

inf, nan = float("inf"), float("nan")


def cases(target: Target) -> Iterator[Case]:
    """What the records name as special, and what any kernel may trip over."""
    for op in operators():
        for dtype in target.floats():
            if op.special and dtype in op.accepts:
                run = functools.partial(_special, op, dtype)
                yield Case(level_of(op), "special", op.name, dtype.name, "", run)
            if op.name in _ROWS and dtype in op.accepts:
                run = functools.partial(_in_rows, op, dtype)
                yield Case(level_of(op), "special", op.name, dtype.name, "", run)
        for dtype in target.dtypes:
            if dtype.category == 1 and op.name in _WHOLE and dtype in op.accepts:
                run = functools.partial(_extremes, op, dtype)
                yield Case(level_of(op), "special", op.name, dtype.name, "", run)


def _special(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    arguments = special_values(op, dtype)
    for layout in ("contiguous", "mixed"):
        call = Call.placed(op, Sample(arguments), layout, trial.device)
        with trial.attempt(layout=layout, numel=arguments[0].size, stage="special values"):
            result = call.run()
            expected = reference(op, call.values, {}, result.dtype)
            judge(trial, call, result, expected, call.on_meta(), f"{op.name} of special values")
            check_zeros(op, result, np.asarray(expected[0]), call)


def special_values(op: OpDef, dtype: d.dtype) -> tuple[np.ndarray, ...]:
    """Per input an array; together they hold every set of the record's special values."""
    grids = np.meshgrid(*[np.array(op.special)] * len(op.inputs), indexing="ij")
    with np.errstate(over="ignore"):  # what a dtype does not reach is infinite in it
        return tuple(np.ascontiguousarray(g).astype(dtype.numpy) for g in grids)


def check_zeros(op: OpDef, result: Any, expected: np.ndarray, call: Call) -> None:
    """A zero has the reference's sign."""
    if result.dtype.category != 2 or op.name in _EITHER_ZERO:
        return
    made = host(result).astype(np.float64)
    zero = (expected == 0) & (made == 0)
    wrong = zero & (np.signbit(made) != np.signbit(expected))
    if wrong.any():
        at = tuple(np.argwhere(wrong)[0])
        given = ", ".join(str(v[at]) for v in call.values)
        raise Mismatch(
            f"{op.name}({given}): must be {expected[at]}, got {made[at]} (the sign of zero)",
            "sign-of-zero",
        )


def _in_rows(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    rows = [[1, nan, 3], [inf, 1, 2], [-inf, inf, 0], [0.0, -0.0, 1], [nan, -inf, nan], [2, 2, 2]]
    values = np.array(rows).astype(dtype.numpy)
    for args in _ROWS[op.name]:
        call = Call.placed(op, Sample((values, *args)), "mixed", trial.device)
        with trial.attempt(layout="mixed", numel=values.size, stage="special values"):
            result = call.run()
            expected = reference(op, call.values, {}, dtype)
            what = f"{op.name}{args} of rows with NaN and infinities"
            judge(trial, call, result, expected, call.on_meta(), what)


def _extremes(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    """Integers wrap around, divide towards minus infinity and keep all their bits."""
    info = d.iinfo(dtype)
    ends = [info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 7, info.max // 2 + 1]
    if dtype.is_signed:
        ends += [-1, -2, -3, -7]
    if dtype is d.int64:
        ends += [2**53 + 1, -(2**53) - 1, 2**31, 2**32 + 1, 2**24 + 1]
    if dtype is d.int32:
        ends += [2**24 + 1, -(2**24) - 1, 2**16]
    values = np.array(ends, dtype.numpy)
    grids = np.meshgrid(*[values] * len(op.inputs), indexing="ij")
    keep = _WHOLE[op.name](*grids, info)
    arguments = tuple(np.ascontiguousarray(g[keep]) for g in grids)
    call = Call.placed(op, Sample(arguments), "offset", trial.device)
    with trial.attempt(layout="offset", numel=arguments[0].size, stage="extreme integers"):
        try:
            ghosts = call.on_meta()
        except Refused:
            return
        result = call.run()
        expected = reference(op, call.values, {}, result.dtype)
        if result.dtype.category == 2:
            with np.errstate(all="ignore"):
                wide = [np.asarray(v, np.float64) for v in call.values]
                expected = (op.reference(*wide),) if op.reference else expected
        judge(trial, call, result, expected, ghosts, f"{op.name} of extreme integers")


_EITHER_ZERO = {"maximum", "minimum", "relu", "logsigmoid"}
"""Operators that may take either of two zeros (IEEE 754-2008, section 5.3.1)."""


def _any(*values: Any) -> np.ndarray:
    return np.ones(values[0].shape, bool)


def _divides(a: np.ndarray, b: np.ndarray, info: Any) -> np.ndarray:
    """Division by 0 and min // -1 are the hardware's own business."""
    return np.asarray((b != 0) & ~((a == info.min) & (b == -1 if info.min else False)))


def _shifts(a: np.ndarray, b: np.ndarray, info: Any) -> np.ndarray:
    return np.asarray((b >= 0) & (b < info.bits))


_WHOLE: dict[str, Any] = {
    **dict.fromkeys(
        ("add", "sub", "mul", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor",
         "eq", "lt", "le", "ne", "gt", "ge", "neg", "abs", "bitwise_not", "sign"),
        _any,
    ),
    "floor_divide": _divides,
    "remainder": _divides,
    "fmod": _divides,
    "shift_left": _shifts,
    "shift_right": _shifts,
}  # fmt: skip

_ROWS: dict[str, tuple[tuple[Any, ...], ...]] = {
    "amax": ((1,), (0,)),
    "amin": ((1,), (0,)),
    "argmax": ((1,), (0,)),
    "argmin": ((1,), (0,)),
    "sum": ((1,), (0,)),
    "prod": ((1,), (0,)),
    "cumsum": ((1,),),
    "cumprod": ((1,),),
    "sort": ((1,), (1, True), (0,)),
}
assert set(_WHOLE) | set(_ROWS) <= set(REGISTRY)
