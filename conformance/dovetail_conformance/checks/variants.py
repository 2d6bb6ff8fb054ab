"""The other ways to call an operator: in place, ``out=``, one tensor twice, a number, twice.

Memory around what may be written is filled, and must be as it was afterwards.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail.errors import Unsupported
from dovetail.ops.schema import OpDef, Sample
from dovetail_conformance.calls import (
    Call,
    Refused,
    facts_of,
    host,
    in_place_of,
    judge,
    names_absent_dtype,
    operators,
    outputs,
    reference,
    samples_of,
)
from dovetail_conformance.checks.values import level_of
from dovetail_conformance.layouts import filler, place
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]

KINDS = (d.float32, d.float16, d.bfloat16, d.int64, d.uint8, d.bool_, d.complex64)
WRITTEN = ("contiguous", "mixed")


def cases(target: Target) -> Iterator[Case]:
    """Every variant that an operator has, in a few dtypes."""
    for op in operators():
        if op.kind in ("random", "view"):
            continue
        for dtype in target.dtypes:
            if dtype not in op.accepts or dtype not in KINDS or not _applies(op, dtype):
                continue
            for check, is_there, run in _VARIANTS:
                if is_there(op) and (check != "repeat" or dtype in _repeated(op)):
                    ask = functools.partial(run, op, dtype)
                    yield Case(level_of(op), check, op.name, dtype.name, "", ask)


def _repeated(op: OpDef) -> tuple[d.dtype, ...]:
    """The dtypes of calls that are made again: complex ones where an operator takes no others."""
    return (d.float32, d.int64) if d.float32 in op.accepts else (d.int64, d.complex64)


def _applies(op: OpDef, dtype: d.dtype) -> bool:
    """Whether the operator takes some sample of this dtype at all."""
    for sample in samples_of(op, dtype):
        try:
            Call.placed(op, sample, "contiguous", "meta").on_meta()
        except Refused:
            continue
        return True
    return False


def _accepted(op: OpDef, dtype: d.dtype) -> Iterator[tuple[Any, Sample, Any]]:
    """(name, sample, outputs without data or None) of the calls that are not refused.

    A sample without a name has its number for one.
    """
    for i, sample in enumerate(samples_of(op, dtype)):
        try:
            ghosts = Call.placed(op, sample, "contiguous", "meta").on_meta()
        except Refused:
            continue
        yield sample.name or i, sample, ghosts


def _expected(call: Call, result: Any) -> tuple[Any, ...]:
    first = outputs(result)[0]
    return reference(call.op, call.values, call.keywords, first.dtype)


# In place


class Guarded:
    """A view into filled memory, and a check that nothing but the view was written."""

    def __init__(self, values: np.ndarray, layout: str, device: str) -> None:
        self.view, _ = place(values, layout, device)
        base = self.view._base
        self._whole = self.view if base is None else base
        self._before = host(self._whole).copy()

    def check(self, what: str) -> None:
        """Raise Mismatch if memory outside of the view has changed."""
        if self._whole is self.view:
            return
        after, places = host(self._whole).reshape(-1), np.arange(self._before.size)
        strides = tuple(s * places.itemsize for s in self.view.stride())
        start = places[self.view.storage_offset() :]
        mine = np.lib.stride_tricks.as_strided(start, tuple(self.view.shape), strides)
        around = np.setdiff1d(places, mine)
        old, size = self._before.reshape(-1)[around], self._before.itemsize
        new = np.ascontiguousarray(after[around])
        differs = old.view(np.uint8).reshape(-1, size) != new.view(np.uint8).reshape(-1, size)
        wrong = around[differs.any(axis=1)]
        if len(wrong):
            raise Mismatch(
                f"{what}: memory outside of the tensor was written (at element {wrong[0]} of the "
                f"storage, and {len(wrong) - 1} more)",
                "around-unchanged",
            )


def _in_place(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    for name, sample, ghosts in _accepted(op, dtype):
        target = sample.args[0] if sample.args else None
        if not isinstance(target, np.ndarray) or not ghosts:
            continue
        shape, kind = tuple(ghosts[0].shape), d.from_numpy_dtype(target.dtype)
        if shape != target.shape or not dt.can_cast(ghosts[0].dtype, kind):
            continue
        for layout in WRITTEN:
            _in_place_once(op, sample, name, layout, kind, trial)
    if not trial.attempts:
        trial.attempts = 1  # every sample grows or changes dtype: nothing fits in place


def _in_place_once(
    op: OpDef, sample: Sample, name: Any, layout: str, kind: d.dtype, trial: Trial
) -> None:
    call = Call.placed(op, sample, "contiguous", trial.device)
    guarded = Guarded(sample.args[0], layout, trial.device)
    what = f"{op.name}_, {layout}, shape {tuple(sample.args[0].shape)}"
    with trial.attempt(**facts_of(call, layout, name)):
        pure = call.run()
        expected = _expected(call, pure)
        call_in_place = in_place_of(op)
        assert call_in_place is not None
        made = call_in_place(guarded.view, *call.args[1:], **call.kwargs)
        if made is not guarded.view:
            raise Mismatch(f"{what}: must return the tensor itself", "returns-self")
        if pure.dtype is kind:
            judge(trial, call, made, expected, None, what)
        elif host(made).tobytes() != host(pure.to(kind)).tobytes():
            raise Mismatch(f"{what}: differs from the result converted to {kind}")
        guarded.check(what)


# out=


def _takes_out(op: OpDef) -> bool:
    assert op.function is not None
    return "out" in inspect.signature(op.function).parameters and not op.needs_data


def _out(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    for name, sample, ghosts in _accepted(op, dtype):
        if ghosts is None:
            continue
        for layout in WRITTEN:
            call = Call.placed(op, sample, layout, trial.device)
            what = f"{op.name}, out= {layout}"
            blanks = [
                Guarded(_filled(tuple(g.shape), g.dtype), layout, trial.device) for g in ghosts
            ]
            with trial.attempt(**facts_of(call, layout, name)):
                out = tuple(b.view for b in blanks)
                assert op.function is not None
                with warnings.catch_warnings():
                    warnings.filterwarnings("error", "An output .* was resized")
                    made = op.function(
                        *call.args, **call.kwargs, out=out if len(out) > 1 else out[0]
                    )
                if any(a is not b for a, b in zip(outputs(made), out, strict=True)):
                    raise Mismatch(f"{what}: must return out itself", "returns-out")
                judge(trial, call, out, _expected(call, out), ghosts, what)
                for blank in blanks:
                    blank.check(what)


def _filled(shape: tuple[int, ...], dtype: d.dtype) -> np.ndarray:
    return np.full(shape, np.asarray(filler(dtype)).astype(dtype.numpy))


# One tensor in two places


def _is_binary(op: OpDef) -> bool:
    return len(op.inputs) >= 2 and op.kind in ("elementwise", "compare", "select", "contract")


def _twice(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    """``op(x, x)``; in place also ``x.op_(x)`` and overlapping parts of one storage."""
    values = _plain(op, dtype)
    arguments = _same(op, values)
    for layout in WRITTEN:
        call = Call.placed(op, Sample(arguments), "contiguous", trial.device)
        x, _ = place(values, layout, trial.device)
        call.args = tuple(
            x if a is values else b for a, b in zip(arguments, call.args, strict=True)
        )
        what = f"{op.name} of one tensor twice, {layout}"
        with trial.attempt(layout=layout, numel=values.size, stage="same tensor twice"):
            try:
                ghosts = call.on_meta()
            except Refused:
                continue
            result = call.run()
            judge(trial, call, result, _expected(call, result), ghosts, what)
    if op.inplace and len(op.inputs) == 2 and op.kind == "elementwise":
        _overlapping(op, dtype, trial)


def _same(op: OpDef, values: np.ndarray) -> tuple[Any, ...]:
    if op.name == "where":
        return (values != 0, values, values)
    return (values,) * len(op.inputs)


def _plain(op: OpDef, dtype: d.dtype) -> np.ndarray:
    """Values that the operator takes, as a square, so that products fit too."""
    found = [s.args[-1 if _divides(op) else 0] for s in samples_of(op, dtype) if s.args]
    first = [a for a in found if np.size(a) >= 4]
    flat = np.concatenate([np.asarray(a).reshape(-1) for a in first])
    return np.ascontiguousarray(np.resize(flat.astype(dtype.numpy), (3, 3)))


def _divides(op: OpDef) -> bool:
    """Whether the last operand may not hold every value that the first one may."""
    return op.inputs[-1] == "other"


def _overlapping(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    values = np.resize(_plain(op, dtype).reshape(-1), 9)
    method = op.name + "_"
    for stage, mine, other in (
        ("x.op_(x)", slice(0, 9), slice(0, 9)),
        ("x[1:].op_(x[:-1])", slice(1, 9), slice(0, 8)),
        ("x[:-1].op_(x[1:])", slice(0, 8), slice(1, 9)),
    ):
        call = Call.placed(op, Sample((values[mine], values[other])), "contiguous", trial.device)
        with trial.attempt(layout="offset", numel=8, stage=stage):
            try:
                ghosts = call.on_meta()
            except Refused:
                continue
            if not ghosts or not dt.can_cast(ghosts[0].dtype, dtype):
                continue
            x = dt.tensor(values, device=trial.device)
            expected = host(call.run().to(dtype))
            getattr(x[mine], method)(x[other])
            made = host(x[mine])
            if made.tobytes() != expected.tobytes():
                raise Mismatch(
                    f"{op.name}: {stage} must give {expected.tolist()}, gave {made.tolist()}: the "
                    "old values must be read before they are overwritten",
                    "overlap",
                )


# A Python number


def _is_of_two(op: OpDef) -> bool:
    return len(op.inputs) == 2 and op.kind in ("elementwise", "compare")


def _number(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    assert op.function is not None
    values = _plain(op, dtype)
    second = samples_of(op, dtype)[0].args[1].reshape(-1)[0]
    number = second.item() if dtype.category else bool(second)
    for layout in ("contiguous", "mixed", "expanded"):
        x, shown = place(values, layout, trial.device)
        many = _array(number, shown)
        stages: list[tuple[str, tuple[Any, ...], tuple[Any, ...]]] = [
            ("number second", (x, number), (shown, many)),
            ("number first", (number, x), (many, shown)),
        ]
        if op.kind == "select":
            first = values.reshape(-1)[-1].item()
            stages.append(("two numbers", (first, number), (_array(first, shown), many)))
            condition, held = place(np.eye(len(values)) != 0, layout, trial.device)
            stages = [(s, (condition, *args), (held, *wide)) for s, args, wide in stages]
        for stage, args, wide in stages:
            with trial.attempt(layout=layout, numel=values.size, stage=stage):
                try:
                    ghost = op.function(*[_ghost(a) for a in args])
                except (RuntimeError, TypeError):
                    continue
                call = Call(op, args, {}, wide, {})
                result = call.run()
                judge(trial, call, result, _expected(call, result), (ghost,), f"{op.name}, {stage}")


def _array(number: Any, like: np.ndarray) -> np.ndarray:
    return np.full(like.shape, number).astype(like.dtype)


def _ghost(value: Any) -> Any:
    return value.to("meta") if isinstance(value, dt.Tensor) else value


# The same call twice


def _repeat(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    """Equal calls give equal bits; the same shapes with other values give other results."""
    for i, (sample, other) in enumerate(
        zip(samples_of(op, dtype), samples_of(op, dtype, seed=11), strict=False)
    ):
        try:
            call = Call.placed(op, sample, "contiguous", trial.device)
            then = Call.placed(op, other, "contiguous", trial.device)
        except Unsupported as error:
            if not names_absent_dtype(error, trial.device):
                raise
            continue
        with trial.attempt(**facts_of(call, "contiguous", sample.name or i), stage="again"):
            try:
                call.on_meta()
                ghosts = then.on_meta()
            except Refused:
                continue
            try:
                first = [host(x) for x in outputs(call.run()) if isinstance(x, dt.Tensor)]
            except Unsupported as error:  # a dtype that data decides, as of bincount's result
                if ghosts is not None or not names_absent_dtype(error, trial.device):
                    raise
                continue
            result = then.run()
            judge(trial, then, result, _expected(then, result), ghosts, f"{op.name}, again")
            again = [host(x) for x in outputs(call.run()) if isinstance(x, dt.Tensor)]
            if any(a.tobytes() != b.tobytes() for a, b in zip(first, again, strict=True)):
                raise Mismatch(
                    f"{op.name}: the same call gave other values the second time", "repeatable"
                )


_VARIANTS: tuple[tuple[str, Callable[[OpDef], bool], Callable[..., None]], ...] = (
    ("in-place", lambda op: in_place_of(op) is not None, _in_place),
    ("out", _takes_out, _out),
    ("aliasing", _is_binary, _twice),
    (
        "number",
        lambda op: op.public and (_is_of_two(op) or op.kind == "select"),
        _number,
    ),
    ("repeat", lambda op: True, _repeat),
)
