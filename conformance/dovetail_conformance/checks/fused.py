"""Composites that the device's table overrides: the fused kernel against the decomposition.

Both run on the device. The decomposition runs as it would if the table had no kernel of the
operator. Operators without a public function (those that gradients and layers call) are asked with
the calls that are seen while public ones run forwards and backwards.

``derived``: where a composite has a gradient of its own, that of its decomposition is the same.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail import observe
from dovetail.backend.state import state_of
from dovetail.dispatch import call as dispatch
from dovetail.errors import Unsupported
from dovetail.ops.schema import REGISTRY, OpDef
from dovetail_conformance.calls import (
    Call,
    Refused,
    host,
    on_meta,
    outputs,
    samples_of,
)
from dovetail_conformance.compare import check_close, check_equal, tolerance_of
from dovetail_conformance.layouts import place
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.slopes import CONSTANT
from dovetail_conformance.target import Target

__all__ = ["Seen", "cases", "seen_calls", "without_kernel"]

LAYOUTS = ("contiguous", "mixed")
KINDS = (d.float32, d.float64, d.float16, d.bfloat16, d.int64, d.bool_, d.complex64)


def cases(target: Target) -> Iterator[Case]:
    """Every overridden composite in its dtypes; every composite with a gradient of its own."""
    for _, op in sorted(REGISTRY.items()):
        if op.decompose is None or op.kind in ("random", "view"):
            continue
        if target.served(op.name):
            for dtype in KINDS:
                if dtype in target.dtypes and dtype in op.accepts and _is_asked(op, dtype):
                    run = functools.partial(_fused, op, dtype)
                    yield Case(2, "fused", op.name, dtype.name, "", run)
        dtype = target.widest()
        if op.name in NOT_DERIVED:
            continue
        if op.gradient and dtype in op.accepts and _has_samples(op):
            run = functools.partial(_derived, op, dtype)
            yield Case(3, "derived", op.name, dtype.name, "", run)


def _has_samples(op: OpDef) -> bool:
    return op.samples is not None and op.function is not None


def _is_asked(op: OpDef, dtype: d.dtype) -> bool:
    """Whether the operator takes this dtype somewhere: in a sample, or in a call that was seen."""
    if _has_samples(op):
        for sample in samples_of(op, dtype):
            with contextlib.suppress(Refused):
                on_meta(op, sample.args, sample.kwargs)
                return True
        return False
    if op.name not in CALLERS:
        return dtype is d.float32  # nothing is known to call it: the case says so by failing
    return dtype in (d.float32, d.float64, d.float16, d.bfloat16)


CALLERS: dict[str, tuple[str, ...]] = {
    "tanh_backward": ("tanh",),
    "gather_backward": ("gather",),
    "index_select_backward": ("index_select",),
    "embedding_backward": ("embedding",),
    "max_dim": ("max",),
    "min_dim": ("min",),
}
"""Operators without samples of their own -> the operators whose gradients call them."""


NOT_DERIVED = {
    "cat": "writes its result part by part",
    "complex": "writes the real and the imaginary part",
    "pad": "writes its result into a filled one",
    "frexp": "sees the mantissa as bits",
    "nextafter": "sees its operand as bits",
    "clamp": "shares the gradient between value and bound where they are equal",
}
"""Composites whose decomposition has no gradient, or another one at ties."""


@contextlib.contextmanager
def without_kernel(device: str, name: str) -> Iterator[None]:
    """As if the device's table had no entry for one operator."""
    state, op = state_of(dt.device(device)), REGISTRY[name]
    whole = state.table
    bare = whole.copy()
    bare.remove(name)
    state.table = bare
    op.plans.clear()
    op.writes.clear()
    try:
        yield
    finally:
        state.table = whole
        op.plans.clear()
        op.writes.clear()


class Seen(observe.Watcher):
    """Collects the calls of one operator.

    Attributes:
        calls: (inputs, attributes) of each, inputs as they were.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = []

    def enter(self, op: OpDef, plan: Any, inputs: tuple[Any, ...], attributes: Any) -> None:
        """Keep a call of the operator."""
        if op.name == self.name:
            held = tuple(x.detach() if isinstance(x, dt.Tensor) else x for x in inputs)
            self.calls.append((held, tuple(attributes)))


@contextlib.contextmanager
def seen_calls(name: str) -> Iterator[Seen]:
    """Watch for the calls of one operator inside the block."""
    seen = Seen(name)
    observe.active.append(seen)
    try:
        yield seen
    finally:
        observe.active[:] = [w for w in observe.active if w is not seen]


def _fused(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    """Every call twice: as the table serves it, and with the entry away."""
    calls = list(_calls(op, dtype, trial.device))
    made = [_result(op, *c[2:]) for c in calls]
    with without_kernel(trial.device, op.name):
        wanted = [_result(op, *c[2:]) for c in calls]
    for (name, layout, inputs, _), fused, decomposed in zip(calls, made, wanted, strict=True):
        shapes = [list(x.shape) for x in inputs if isinstance(x, dt.Tensor)]
        with trial.attempt(layout=layout, sample=name, shape=shapes):
            what = f"{op.name}, fused, {dtype}, {layout}, shapes {shapes}"
            _compare(op, inputs, fused, decomposed, what, trial)


def _result(op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...]) -> Any:
    """Results, or the error where the operator refuses."""
    try:
        return outputs(dispatch(op, inputs, attributes))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        return error


def _calls(
    op: OpDef, dtype: d.dtype, device: str
) -> Iterator[tuple[Any, str, tuple[Any, ...], tuple[Any, ...]]]:
    """(sample, layout, inputs, attributes) as they reach the dispatcher."""
    callers = [op] if _has_samples(op) else [REGISTRY[c] for c in CALLERS.get(op.name, ())]
    for caller in callers:
        for i, sample in enumerate(samples_of(caller, dtype)):
            try:
                on_meta(caller, sample.args, sample.kwargs)
            except Refused:
                continue
            for layout in LAYOUTS:
                call = Call.placed(caller, sample, layout, device)
                with seen_calls(op.name) as seen:
                    try:
                        _run(call, backward=caller is not op)
                    except Unsupported:
                        continue  # a dtype that this device does not hold
                for inputs, attributes in seen.calls[:1]:
                    yield sample.name or i, layout, inputs, attributes


def _run(call: Call, backward: bool) -> None:
    if not backward:
        call.run()
        return
    leaf = next(
        a for a in call.args if isinstance(a, dt.Tensor) and a.dtype.category >= 2
    ).requires_grad_()
    assert leaf.requires_grad
    out = outputs(call.run())[0]
    if out.requires_grad:
        v, _ = place(
            np.random.default_rng(2).standard_normal(tuple(out.shape)), "mixed", out.device
        )
        out.backward(v.to(out.dtype))


def _compare(
    op: OpDef, inputs: tuple[Any, ...], made: Any, wanted: Any, what: str, trial: Trial
) -> None:
    if isinstance(wanted, Exception) or isinstance(made, Exception):
        if type(made) is not type(wanted):
            raise Mismatch(f"{what}: gives {made!r}, its decomposition gives {wanted!r}", "fused")
        return
    arguments = [_wide(host(x)) for x in inputs if isinstance(x, dt.Tensor)]
    for j, (a, b) in enumerate(zip(made, wanted, strict=True)):
        label = what if len(made) == 1 else f"{what}, output {j}"
        for fact in ("shape", "dtype", "device"):
            if getattr(a, fact) != getattr(b, fact):
                raise Mismatch(
                    f"{label}: must have {fact} {getattr(b, fact)} as the decomposition has, got "
                    f"{getattr(a, fact)}",
                    fact,
                )
        if a.dtype.category >= 2:
            expected = _wide(host(b))
            # Both are rounded, and each may be as far from the reference as the record says.
            allowed = 2 * tolerance_of(op, a.dtype, expected, arguments)
            trial.saw_ratio(check_close(host(a), expected, a.dtype, allowed, label))
        else:
            check_equal(host(a), host(b), label)


def _wide(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "biu":
        return values
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)


# Gradients


def _derived(op: OpDef, dtype: d.dtype, trial: Trial) -> None:
    """The record's gradient and the one that comes through the decomposition."""
    tried = 0
    for i, sample in enumerate(samples_of(op, dtype)):
        if tried >= 4:
            break
        try:
            on_meta(op, sample.args, sample.kwargs)
        except Refused:
            continue
        call = Call.placed(op, sample, "mixed", trial.device)
        with seen_calls(op.name) as seen:
            call.run()
        if not seen.calls:
            continue
        inputs, attributes = seen.calls[0]
        if not any(_is_real(x) and x.numel() for x in inputs):
            continue
        tried += 1
        with trial.attempt(layout="mixed", sample=sample.name or i):
            named = dict(zip(op.attributes, attributes, strict=True))
            assert op.decompose is not None
            own = _gradients(op, inputs, functools.partial(_served, op, attributes))
            derived = _gradients(op, inputs, functools.partial(op.decompose, **named))
            shapes = [tuple(x.shape) for x in inputs if isinstance(x, dt.Tensor)]
            what = f"{op.name}, {dtype}, shapes {shapes}"
            arguments = [_wide(host(x)) for x in inputs if isinstance(x, dt.Tensor)]
            names = [n for n, x in _by_name(op, inputs) if _is_real(x)]
            for name, a, b in zip(names, own, derived, strict=True):
                if name in CONSTANT.get(op.name, ()):
                    continue
                if a is None or b is None:
                    _check_zero(a if b is None else b, f"{what}: the gradient of {name}")
                    continue
                # Where a formula that is not taken overflows, the way through it gives NaN. Calls
                # take the record's gradient, so nobody meets it.
                expected, mine = _wide(host(b)), host(a)
                is_clear = ~np.isnan(expected)
                expected = np.where(is_clear, expected, 0)
                mine = np.where(is_clear, mine, 0).astype(mine.dtype)
                allowed = 16 * tolerance_of(op, dtype, expected, arguments)
                allowed = np.maximum(allowed, 1e-13 * float(np.abs(expected).max(initial=1)))
                label = f"{what}: the gradient of {name}, against the decomposition's"
                trial.saw_ratio(check_close(mine, expected, a.dtype, allowed, label))
    if not tried:
        trial.attempts = 1  # the sample's call never reaches the record


def _by_name(op: OpDef, inputs: tuple[Any, ...]) -> list[tuple[str, Any]]:
    names = op.inputs if not op.variadic else op.inputs * len(inputs)
    return list(zip(names, inputs, strict=True))


def _served(op: OpDef, attributes: tuple[Any, ...], *inputs: Any) -> Any:
    return dispatch(op, inputs, attributes)


def _check_zero(g: Any, what: str) -> None:
    if g is not None and np.any(host(g) != 0):
        raise Mismatch(f"{what}: one way gives a gradient and the other none", "derived")


def _is_real(x: Any) -> bool:
    return isinstance(x, dt.Tensor) and x.dtype.category >= 2


def _gradients(op: OpDef, inputs: tuple[Any, ...], function: Any) -> list[Any]:
    constant = CONSTANT.get(op.name, ())
    leaves = [
        x.detach().requires_grad_(name not in constant) if _is_real(x) else x
        for name, x in _by_name(op, inputs)
    ]
    made = outputs(function(*leaves))
    outs = [
        o
        for j, o in enumerate(made)
        if j in op.differentiable and isinstance(o, dt.Tensor) and o.requires_grad
    ]
    wanted = [x for x in leaves if _is_real(x)]
    if not outs:
        return [None] * len(wanted)
    rng = np.random.default_rng(4)
    sent = [
        dt.tensor(rng.standard_normal(tuple(o.shape)), dtype=o.dtype, device=o.device) for o in outs
    ]
    asked = [x for x in wanted if x.requires_grad]
    found = iter(dt.autograd.grad(outs, asked, sent, allow_unused=True))
    return [next(found) if x.requires_grad else None for x in wanted]


assert set(CALLERS) | set(NOT_DERIVED) <= set(REGISTRY)
