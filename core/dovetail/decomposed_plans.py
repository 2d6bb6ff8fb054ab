"""Plans of operators that run through their decomposition."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dovetail.autograd.mode import mode
from dovetail.autograd.record import Recorder
from dovetail.backend.state import DeviceState
from dovetail.dtypes import bfloat16, dtype, float16
from dovetail.ops.schema import OpDef
from dovetail.promotion import promote_types
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["decomposed_plan", "decomposition", "either_plan"]

Run = Callable[..., Any]


def either_plan(fast: Run, differentiable: Run) -> Run:
    """A fused kernel where nothing is recorded; otherwise what autograd can see through."""

    def run(*inputs: Any) -> Any:
        if mode.grad:
            for x in inputs:
                if isinstance(x, Tensor) and x._node is not None:
                    return differentiable(*inputs)
        return fast(*inputs)

    run.served_by = "fused"  # type: ignore[attr-defined]
    return run


def decomposed_plan(
    op: OpDef,
    facts: tuple[Any, ...],
    attributes: dict[str, Any],
    state: DeviceState,
    outs: tuple[Spec, ...] = (),
    promoted: tuple[Any, ...] = (),
) -> Run:
    """The plan that runs the operator's decomposition.

    Args:
        promoted: per input, the dtype that it is computed in; None: its own.
    """
    decompose = decomposition(op, facts, promoted, tuple([o.dtype for o in outs]))
    if op.gradient is None:

        def through(*inputs: Any) -> Any:
            return _as_inferred(decompose(*inputs, **attributes), outs)

        through.served_by = "decomposed"  # type: ignore[attr-defined]
        return through

    recorder: Recorder | None = None
    function = functools.partial(decompose, **attributes) if attributes else decompose

    def run(*inputs: Any) -> Any:
        nonlocal recorder
        outer = mode.grad
        mode.grad = False
        try:
            result = _as_inferred(function(*inputs), outs)
        finally:
            mode.grad = outer
        many = isinstance(result, tuple)
        made = tuple(result) if many else (result,)
        if _has_part(made, inputs):
            made = tuple(o._alias() for o in made)
        if outer:
            for x in inputs:
                if isinstance(x, Tensor) and x._node is not None:
                    if recorder is None:
                        specs = tuple(o._spec for o in made)
                        recorder = Recorder(op, facts, attributes, specs)
                    recorder.record(inputs, made)
                    break
        return made if many else made[0]

    run.served_by = "decomposed"  # type: ignore[attr-defined]
    return run


def _has_part(made: tuple[Any, ...], inputs: tuple[Any, ...]) -> bool:
    """Whether a result is one of the inputs, or a view."""
    for o in made:
        if o._base is not None:
            return True
        for x in inputs:
            if o is x:
                return True
    return False


def decomposition(
    op: OpDef, facts: tuple[Any, ...], promoted: tuple[Any, ...], kinds: tuple[dtype, ...] = ()
) -> Run:
    """The operator's decomposition, in the dtypes that this call is to be computed in.

    Args:
        kinds: the dtypes that the record's rule gives its results; empty: there is no rule.
    """
    decompose = op.decompose
    assert decompose is not None
    if op.compute is not None and any(
        isinstance(f, Spec) and f.dtype in (float16, bfloat16) for f in facts
    ):
        decompose = _in_compute_dtype(op, kinds or (_promoted(facts),) * op.outputs)
    if any(
        isinstance(f, Spec) and k and f.dtype is not k
        for f, k in zip(facts, promoted, strict=False)
    ):
        decompose = _in_promoted_dtypes(decompose, promoted)
    return decompose


def _promoted(facts: tuple[Any, ...]) -> dtype:
    """What the operands of floats are promoted to: the dtype of a result that no rule gives."""
    kinds = [f.dtype for f in facts if isinstance(f, Spec) and f.dtype.category > 1]
    return functools.reduce(promote_types, kinds)


def _as_inferred(made: Any, outs: tuple[Spec, ...]) -> Any:
    """A decomposition's results with the strides that the record's rule gives them.

    A kernel of the operator writes into those, so that strides are the same on every device.
    """
    if not outs:
        return made
    if isinstance(made, tuple):
        return tuple(map(_with_strides, made, outs))
    return _with_strides(made, outs[0])


def _with_strides(x: Any, wanted: Spec) -> Any:
    have = x._spec
    if have is wanted or have.strides == wanted.strides or have.numel < 2:
        return x
    if have.shape != wanted.shape or have.dtype is not wanted.dtype:
        return x  # the record contradicts itself; that must show
    steps = zip(have.shape, have.strides, wanted.strides, strict=True)
    if all(n == 1 or a == b for n, a, b in steps):
        return x
    return x._laid_out_as(wanted)


def _in_promoted_dtypes(decompose: Run, promoted: tuple[Any, ...]) -> Run:
    def cast(*inputs: Any, **attributes: Any) -> Any:
        pairs = zip(inputs, promoted, strict=True)
        same = [x.to(k) if isinstance(x, Tensor) and k is not None else x for x, k in pairs]
        return decompose(*same, **attributes)

    return cast


def _in_compute_dtype(op: OpDef, kinds: tuple[dtype, ...]) -> Run:
    """The decomposition computed in the record's wider dtype, its results narrowed to ``kinds``."""
    decompose, compute = op.decompose, op.compute
    assert decompose is not None
    low = (float16, bfloat16)

    def widened(*inputs: Any, **attributes: Any) -> Any:
        is_low = [isinstance(x, Tensor) and x._spec.dtype in low for x in inputs]
        if not any(is_low):  # beside a wider operand they have been promoted already
            return decompose(*inputs, **attributes)
        wide = [x.to(compute) if flag else x for x, flag in zip(inputs, is_low, strict=True)]
        result = decompose(*wide, **attributes)
        narrow = lambda o, kind: o.to(kind) if o._spec.dtype is compute else o
        if isinstance(result, tuple):
            return tuple(map(narrow, result, kinds))
        return narrow(result, kinds[0])

    return widened
