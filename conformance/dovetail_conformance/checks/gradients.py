"""Gradients of every operator against differences of its reference, in float64 and float32.

The inputs lie in memory with gaps and an offset; in the variant ``expanded`` they repeat a row, and
the gradient must be summed over what was repeated. Then: adding up, one input at a time, in place.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail.ops.schema import OpDef
from dovetail_conformance.calls import host, in_place_of, on_meta, outputs, tensors_in
from dovetail_conformance.compare import EPS
from dovetail_conformance.derivatives import Problem, differentiable_operators, inner
from dovetail_conformance.layouts import place
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.slopes import (
    CONSTANT,
    NO_COMPLEX_GRADIENT,
    NOT_OF_EQUALS,
    Expected,
    Placed,
    allowed_error,
    chosen,
    differentiated,
    expected_of,
    placed,
)
from dovetail_conformance.target import Target

__all__ = ["cases", "check_facts", "judge"]


def cases(target: Target) -> Iterator[Case]:
    """Operator by operator: its dtypes, then the layouts."""
    for op in differentiable_operators():
        for dtype, layout in _asked(target):
            if dtype not in op.accepts or not _has_leaves(op, dtype):
                continue
            if layout == "expanded" and op.name in NOT_OF_EQUALS:
                continue
            ask = _gradient
            if dtype.is_complex and op.name in NO_COMPLEX_GRADIENT:
                ask = _refused
            run = functools.partial(ask, op, dtype, layout)
            yield Case(3, "gradient", op.name, dtype.name, layout, run)
        if op.inplace and op.gradient is not None and op.public:
            run = functools.partial(_in_place, op)
            yield Case(3, "gradient", op.name, d.float32.name, "in place", run)


def _asked(target: Target) -> Iterator[tuple[d.dtype, str]]:
    if d.float64 in target.dtypes:
        yield d.float64, "mixed"
    if d.float32 in target.dtypes:
        yield d.float32, "mixed"
        yield d.float32, "expanded"
    for dtype in (d.complex128, d.complex64):
        if dtype in target.dtypes:
            yield dtype, "mixed"
            break


def _has_leaves(op: OpDef, dtype: d.dtype) -> bool:
    constant = CONSTANT.get(op.name, ())
    problems = (Problem(op, s) for _, s in chosen(op, dtype.is_complex))
    return any(name not in constant for problem in problems for name in problem.names)


def _send(outs: dict[int, Any], vectors: Sequence[np.ndarray], layout: str, device: str) -> None:
    """Backward, the graph kept."""
    pairs = [(o, v) for o, v in zip(outs.values(), vectors, strict=True) if o.requires_grad]
    if not pairs:
        return
    if layout == "expanded" and not any(o.dtype.is_complex for o, _ in pairs):
        total = pairs[0][0].sum()
        for o, _ in pairs[1:]:
            total = total + o.sum()
        total.backward(retain_graph=True)
        return
    sent = [place(v.astype(o.dtype.numpy), "mixed", device)[0] for o, v in pairs]
    dt.autograd.backward([o for o, _ in pairs], sent, retain_graph=True)


def _gradient(op: OpDef, dtype: d.dtype, layout: str, trial: Trial) -> None:
    judged = skipped = 0
    for index, (name, sample) in enumerate(chosen(op, dtype.is_complex)):
        shapes = [list(x.shape) for x in Problem(op, sample).leaves]
        facts = {"layout": layout, "sample": name, "shape": shapes}
        with trial.attempt(**facts):
            a, b = _ask(op, dtype, layout, index, trial)
            judged, skipped = judged + a, skipped + b
    if layout == "mixed" and skipped > 2 * judged and not trial.failures:
        raise Mismatch(
            f"{op.name}: its reference has a derivative at {judged} of {judged + skipped} places "
            "that were tried; the samples must be away from kinks",
            "skipped",
        )


def _ask(op: OpDef, dtype: d.dtype, layout: str, index: int, trial: Trial) -> tuple[int, int]:
    sample = chosen(op, dtype.is_complex)[index][1]
    problem = Problem(op, sample, layout == "expanded")
    if not problem.leaves:
        return 0, 0
    what = f"{op.name}, {dtype}, {layout}, shapes {' '.join(str(s) for s in problem.shapes)}"
    there = placed(problem, dtype, layout, trial.device)
    before = [host(x).tobytes() for x in tensors_in([there.args, there.kwargs])]
    assert op.function is not None
    outs = differentiated(op, op.function(*there.args, **there.kwargs))
    expected = expected_of(op.name, index, dtype.is_complex, layout, tuple(outs))
    _send(outs, expected.vectors, layout, trial.device)
    counts = judge(trial, expected, dtype, [x.grad for x in there.leaves], what)
    for x in there.leaves:
        check_facts(x, what)
    _check_untouched(there, before, what)
    _check_sum(op, there, outs, expected, layout, trial, what)
    if index == 0 and layout == "mixed" and len(problem.leaves) > 1:
        _check_alone(op, dtype, expected, outs, trial, what)
    if layout == "mixed" and len(outs) > 1:
        for position in outs:
            _check_one_output(op, dtype, index, position, trial, what)
    return counts


def judge(
    trial: Trial, expected: Expected, dtype: d.dtype, grads: Sequence[Any], what: str
) -> tuple[int, int]:
    """Compare gradients with slopes; returns how many were judged and how many have none.

    Raises:
        Mismatch: the first slope that is off by more than rounding explains.
    """
    problem, judged, skipped = expected.problem, 0, 0
    constant = CONSTANT.get(problem.op.name, ())
    size, values = expected.largest(), (*problem.sample.args,)
    arrays = [None if g is None else host(g) for g in grads]
    for leaf, name, u, found in expected.slopes:
        if found is None:
            skipped += 1
            continue
        if problem.names[leaf] in constant:
            continue
        g = arrays[leaf]
        if g is not None and g.shape != u.shape:
            raise Mismatch(
                f"{what}: the gradient of {problem.names[leaf]} must have shape {u.shape}, has "
                f"{g.shape}",
                "shape",
            )
        came = 0.0 if g is None else _came(g, u)
        allowed = allowed_error(problem.op, dtype, max(size, abs(found.value)), found, u, values)
        ratio = abs(came - found.value) / allowed if math.isfinite(came) else math.inf
        judged += 1
        if ratio > 1:
            raise Mismatch(
                f"{what}: the gradient of {problem.names[leaf]}, {name}, must be "
                f"{found.value:.9g} (differences of the reference), is {came:.9g}; it is off by "
                f"{ratio:.3g} tolerances",
                "gradient",
                min(ratio, 1e30),
            )
        trial.saw_ratio(ratio)
    return judged, skipped


def _came(g: np.ndarray, u: np.ndarray) -> float:
    """The slope of the gradient along ``u``; what ``u`` does not touch may be anything."""
    at = u != 0
    return inner(g.astype(u.dtype if u.dtype.kind == "c" else np.float64)[at], u[at])


def check_facts(x: Any, what: str) -> None:
    """A gradient has its tensor's shape, dtype and device.

    Raises:
        Mismatch: it has not.
    """
    g = x.grad
    if g is None:
        return
    for name in ("shape", "dtype", "device"):
        mine, wanted = getattr(g, name), getattr(x, name)
        if mine != wanted:
            raise Mismatch(f"{what}: the gradient must have {name} {wanted}, has {mine}", name)
    if g.requires_grad:
        raise Mismatch(f"{what}: the gradient must not require a gradient itself", "gradient")


def _check_untouched(there: Placed, before: list[bytes], what: str) -> None:
    for i, (old, x) in enumerate(zip(before, tensors_in([there.args, there.kwargs]), strict=True)):
        if host(x).tobytes() != old:
            raise Mismatch(f"{what}: input {i} was changed by backward", "inputs-unchanged")


def _check_sum(
    op: OpDef, there: Placed, outs: dict[int, Any], expected: Expected, layout: str, trial: Trial,
    what: str,
) -> None:  # fmt: skip
    """A second backward through the kept graph adds the same once more."""
    once = [None if x.grad is None else host(x.grad) for x in there.leaves]
    _send(outs, expected.vectors, layout, trial.device)
    for i, (old, x) in enumerate(zip(once, there.leaves, strict=True)):
        if old is None:
            continue
        _check_near(host(x.grad), 2 * old, expected, f"{what}: argument {i} after two backwards")


def _check_near(made: np.ndarray, wanted: np.ndarray, expected: Expected, what: str) -> None:
    """Two ways to the same gradient differ by rounding at most."""
    eps = EPS[d.from_numpy_dtype(made.dtype).name]
    terms = expected.problem.op.tolerance.terms(
        expected.problem.op.kind, expected.problem.sample.args
    )
    size = max(float(np.nan_to_num(np.abs(wanted), posinf=0).max(initial=0)), 1e-30)
    same = (made == wanted) | (np.isnan(made) & np.isnan(wanted))
    with np.errstate(all="ignore"):
        off = np.where(same, 0, np.abs(made - wanted)) / (16 * eps * size * math.sqrt(terms))
    if not np.all(off <= 1):
        at = tuple(int(i) for i in np.unravel_index(int(np.argmax(off)), off.shape))
        raise Mismatch(
            f"{what}: the gradient's element {list(at)} must be {wanted[at]}, is {made[at]}",
            "accumulate" if "two backwards" in what else "gradient",
        )


def _check_alone(
    op: OpDef, dtype: d.dtype, expected: Expected, outs: dict[int, Any], trial: Trial, what: str
) -> None:
    """Each input alone gets the same gradient, and the others none."""
    assert op.function is not None
    for i in range(len(expected.problem.leaves)):
        there = placed(expected.problem, dtype, "mixed", trial.device, only=i)
        again = differentiated(op, op.function(*there.args, **there.kwargs))
        _send(again, expected.vectors, "mixed", trial.device)
        judge(
            trial,
            Expected(
                expected.problem, expected.vectors, tuple(s for s in expected.slopes if s[0] == i)
            ),
            dtype,
            [x.grad for x in there.leaves],
            f"{what}, only argument {i} requires a gradient",
        )
        for j, x in enumerate(there.leaves):
            if j != i and x.grad is not None:
                raise Mismatch(
                    f"{what}: argument {j} does not require a gradient and got one", "not-needed"
                )


def _check_one_output(
    op: OpDef, dtype: d.dtype, index: int, position: int, trial: Trial, what: str
) -> None:
    """A gradient that comes in at one output, where the others send none."""
    assert op.function is not None
    expected = expected_of(op.name, index, dtype.is_complex, "mixed", (position,))
    there = placed(expected.problem, dtype, "mixed", trial.device)
    outs = differentiated(op, op.function(*there.args, **there.kwargs))
    _send({position: outs[position]}, expected.vectors, "mixed", trial.device)
    grads = [x.grad for x in there.leaves]
    judge(trial, expected, dtype, grads, f"{what}, of output {position} alone")


def _refused(op: OpDef, dtype: d.dtype, layout: str, trial: Trial) -> None:
    """An operator without a gradient of complex numbers says so and gives none."""
    for index, (name, _) in enumerate(chosen(op, is_complex=True)):
        with trial.attempt(layout=layout, sample=name):
            there = placed(Problem(op, chosen(op, True)[index][1]), dtype, layout, trial.device)
            assert op.function is not None
            try:
                made = op.function(*there.args, **there.kwargs)
                dt.autograd.backward(made, dt.ones_like(made))
            except RuntimeError:
                continue
            raise Mismatch(f"{op.name} of {dtype}: backward must raise, gave a gradient", "claims")


def _in_place(op: OpDef, trial: Trial) -> None:
    """``(x * 1).op_(…)`` sends back what ``(x * 1).op(…)`` does."""
    assert op.function is not None
    tried = 0
    for index, (name, sample) in enumerate(chosen(op)):
        problem = Problem(op, sample)
        if not problem.leaves or tried >= 3 or not isinstance(sample.args[0], np.ndarray):
            continue
        ghosts = on_meta(op, sample.args, sample.kwargs)
        if not ghosts or tuple(ghosts[0].shape) != sample.args[0].shape:
            continue
        tried += 1
        with trial.attempt(layout="mixed", sample=name, numel=sample.args[0].size):
            expected = expected_of(op.name, index, False, "mixed", (0,))
            found = []
            for inplace in (False, True):
                there = placed(problem, d.float32, "mixed", trial.device)
                first, rest = there.args[0] * 1, there.args[1:]
                call = in_place_of(op) if inplace else op.function
                assert call is not None
                made = call(first, *rest, **there.kwargs)
                _send({0: outputs(made)[0]}, expected.vectors, "mixed", trial.device)
                found.append([None if x.grad is None else host(x.grad) for x in there.leaves])
            for i, (pure, written) in enumerate(zip(*found, strict=True)):
                if pure is None and written is None:
                    continue
                if pure is None or written is None:
                    raise Mismatch(
                        f"{op.name}_: argument {i} must have a gradient as {op.name} has"
                    )
                _check_near(written, pure, expected, f"{op.name}_ in place, argument {i}")
    if not tried:
        trial.attempts = 1  # every sample grows: nothing fits in place
