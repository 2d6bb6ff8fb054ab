"""The life of one call: find the plan for these inputs, or resolve one, and run it.

A plan is a closure ``run(*inputs)`` made once per combination of specs and attributes; finding it
is one dictionary lookup. What can be decided from specs alone (checks, promotion, shapes, which
kernel, packing) is decided when the plan is made and never again.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import observe
from dovetail.autocast_rules import cast_inputs, cast_to, casts_of, without
from dovetail.autograd.grad_mode import mode
from dovetail.backend.state import state_of
from dovetail.decomposed_plans import decomposed_plan, either_plan
from dovetail.device import device as Device
from dovetail.divisors import checked, divisor_bits
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.from_data import tensor
from dovetail.kernels import select_kernel
from dovetail.late_binding import BATCHED, MODULES, PLANS, QUANTIZED
from dovetail.ops.schema import PARTS, REGISTRY, CallFacts, Inferred, OpDef
from dovetail.plans import host_plan, kernel_plan
from dovetail.raw import on_meta
from dovetail.spec import Spec, clear_views, spec_of
from dovetail.tensor import Tensor

__all__ = [
    "call",
    "call_cast",
    "clear_plans",
    "facts_of",
    "infer_by_running",
    "join_devices",
    "lift",
    "resolve",
]

NUMBERS = frozenset((int, float, bool, complex))
active = observe.active
_LIMIT = 1 << 14


def call(op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...] = ()) -> Any:
    """Run ``op`` on tensors, Python numbers or None; ``attributes`` are in the record's order."""
    if active and mode.autocast is not None:
        return _call_cast(op, inputs, attributes)
    try:
        key = (
            *[
                x if x is None else x.__class__ if x.__class__ in NUMBERS else x._spec
                for x in inputs
            ],
            attributes,
        )
    except AttributeError:
        inputs = tuple(lift(op, x) for x in inputs)
        return call(op, inputs, attributes)
    run = op.plans.get(key)
    if run is None:
        inputs = join_devices(op, inputs)
        key = (*facts_of(inputs), attributes)
        run = op.plans.get(key)
        if run is None:
            run = resolve(op, inputs, attributes)
            if len(op.plans) > _LIMIT:
                op.plans.clear()
            op.plans[key] = run
    if active and observe.is_watched():
        return observe.run(op, run, inputs, attributes)
    return run(*inputs)


def _call_cast(op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...]) -> Any:
    """A call where autocast is on: inputs cast as its lists say, and autocast off inside."""
    state = mode.autocast
    try:
        facts = facts_of(inputs)
        key = (id(state), *facts, attributes)
    except AttributeError:  # a list, or what is no tensor yet
        named = dict(zip(op.attributes, attributes, strict=False))
        return without(call, op, cast_inputs(op.name, inputs, named, state), attributes)
    wanted = op.plans.get(key)
    if wanted is None:
        named = dict(zip(op.attributes, attributes, strict=False))
        wanted = op.plans[key] = casts_of(op.name, inputs, named, state)
    run = None if wanted else op.plans.get((*facts, attributes))
    if run is None or observe.is_watched():
        return call_cast(op, inputs, attributes, wanted)
    mode.autocast = None
    try:
        return run(*inputs)
    finally:
        mode.autocast = state


def call_cast(
    op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...], wanted: tuple[Any, ...]
) -> Any:
    """A call where autocast is on, whose inputs are cast to ``wanted`` (None: not cast; () if none
    is)."""
    state = mode.autocast
    mode.autocast = None
    try:
        if wanted:
            pairs = zip(inputs, wanted, strict=True)
            inputs = tuple([x if kind is None else cast_to(x, kind) for x, kind in pairs])
        return call(op, inputs, attributes)
    finally:
        mode.autocast = state


def facts_of(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Spec, number type or None per input."""
    return tuple(
        [x if x is None else x.__class__ if x.__class__ in NUMBERS else x._spec for x in inputs]
    )


def lift(op: OpDef, x: Any) -> Any:
    """A tensor or Python number from whatever the caller gave.

    Raises:
        TypeError: neither a tensor nor a number.
    """
    if x is None or isinstance(x, Tensor) or x.__class__ in NUMBERS:
        return x
    if isinstance(x, (np.generic, np.ndarray)):
        if x.ndim == 0 and not isinstance(x, np.ndarray) and x.dtype.kind in "biufc":
            return x.item()
        return tensor(x)
    if isinstance(x, numbers.Number):
        for kind in (bool, int, float, complex):
            if isinstance(x, kind):
                return kind(x)
        return float(x)  # type: ignore[arg-type]
    expected = ", ".join(op.inputs)
    raise TypeError(
        f"{op.name}(): argument ({expected}) must be Tensor or a number, not {type(x).__name__}"
    )


def join_devices(op: OpDef, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Check that all tensors are on one device; 0-d tensors in host memory may join any.

    Raises:
        RuntimeError: two devices, in PyTorch's words.
    """
    devices: list[Device] = []
    for x in inputs:
        if isinstance(x, Tensor) and x._spec.device not in devices:
            devices.append(x._spec.device)
    if len(devices) <= 1:
        return inputs
    real = [d for d in devices if any(_stays(x, d) for x in inputs)]
    if len(real) == 1 and op.kind in ("elementwise", "compare", "select"):
        target = real[0]
        return tuple(
            x.to(target) if isinstance(x, Tensor) and x._spec.device is not target else x
            for x in inputs
        )
    why = MODULES.unmoved(inputs) or "move them with .to(device) first"
    raise RuntimeError(
        "Expected all tensors to be on the same device, but found at least two devices, "
        f"{devices[0]} and {devices[1]}! ({op.name}: {why})"
    )


def _stays(x: Any, device: Device) -> bool:
    if not isinstance(x, Tensor) or x._spec.device is not device:
        return False
    return bool(x._spec.ndim) or not state_of(device).host_arrays


def resolve(op: OpDef, inputs: tuple[Any, ...], values: tuple[Any, ...]) -> Callable[..., Any]:
    """Make the plan for calls like this one: kernel, fused, decomposed or host.

    Raises:
        Unsupported: the operator has no meaning for these dtypes, or nothing can run it here.
    """
    facts = facts_of(inputs)
    attributes = dict(zip(op.attributes, values, strict=True))
    if any(isinstance(f, Spec) and f.batch is not None for f in facts):
        return BATCHED.plan(op, facts, attributes)
    if any(isinstance(f, Spec) and f.dtype.category < 0 for f in facts):
        return QUANTIZED.plan(op, values)
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    device = tensors[0]._spec.device if tensors else attributes.get("device")
    if device is None:
        raise TypeError(f"{op.name}(): at least one argument must be a Tensor")
    # Where several operands are promoted, what they are computed in must be accepted.
    several = len(facts) if op.kind in ("elementwise", "compare") else len(tensors)
    promotes = op.infer is not None and several > 1
    if tensors and not promotes and tensors[0]._spec.dtype not in op.accepts:
        raise Unsupported(_not_implemented(op.name, tensors[0]._spec.dtype))
    if any(f is None for f in facts):
        _need_inputs(op, facts)
    state = state_of(device)
    if op.infer is None:
        if state.table.entries(op.name):
            inferred, outs = infer_by_running(op, inputs, attributes, device)
        else:
            return decomposed_plan(op, facts, attributes, state)
    else:
        inferred = op.infer(*facts, **attributes)
        outs = tuple(
            spec_of(tuple(o[0]), o[1], device, o[2] if len(o) > 2 else None) for o in inferred.outs
        )
    call_facts = CallFacts(op, facts, outs, attributes)
    dtypes = tuple(
        c if c is not None else f.dtype if isinstance(f, Spec) else None
        for c, f in zip(inferred.compute, facts, strict=True)
    )
    wanted = dtypes if op.kind in ("elementwise", "compare") else dtypes[:1] if promotes else ()
    for kind in wanted:
        if kind is not None and kind not in op.accepts:
            raise Unsupported(_not_implemented(op.name, kind))
    for kind in (*dtypes, *(o.dtype for o in outs)):
        if kind is not None:
            state.check_dtype(op.name, kind)
    entry = select_kernel(op, call_facts, dtypes, state)
    if entry is not None:
        run = kernel_plan(op, call_facts, inferred.compute, entry, state)
        run = checked(run, divisor_bits(call_facts, inferred.compute, state))
        if (
            op.decompose is not None
            and op.gradient is None
            and any(o.dtype.category >= 2 for o in outs)
        ):
            through = _recorded_plan(op, inputs, values)
            if through is None:
                through = decomposed_plan(op, facts, attributes, state, outs, inferred.compute)
            return either_plan(run, through)
        return run
    if op.decompose is not None:
        return decomposed_plan(op, facts, attributes, state, outs, inferred.compute)
    return host_plan(op, call_facts, state, resolve)


def _recorded_plan(
    op: OpDef, inputs: tuple[Any, ...], values: tuple[Any, ...]
) -> Callable[..., Any] | None:
    """The plan of the operator that stands for ``op`` where a gradient is recorded, if a kernel
    runs it."""
    if not op.recorded:
        return None
    run = resolve(REGISTRY[op.recorded], inputs, values)
    is_kernel = run.served_by == "fused"  # type: ignore[attr-defined]
    return run.first if is_kernel else None  # type: ignore[attr-defined]


_REFUSALS = {
    ("neg", "bool"): "Negation, the `-` operator, on a bool tensor is not supported. If you are "
    "trying to invert a mask, use the `~` or `logical_not()` operator instead.",
}
"""(operator, dtype) -> PyTorch's sentence, where it says more than that there is no such thing."""


def _not_implemented(operator: str, kind: Any) -> str:
    plain = f"\"{operator}\" not implemented for '{type_name(kind)}'"
    return _REFUSALS.get((operator, kind.name), plain)


def _need_inputs(op: OpDef, facts: tuple[Any, ...]) -> None:
    """Refuse None where the function has no default.

    Raises:
        TypeError: in PyTorch's words.
    """
    if op.variadic or op.function is None or not op.public:
        return
    parameters = inspect.signature(op.function).parameters
    for position, (name, fact) in enumerate(zip(op.inputs, facts, strict=True), 1):
        if fact is None and name in parameters and parameters[name].default is inspect._empty:
            raise TypeError(
                f"{op.name}(): argument '{name}' (position {position}) must be Tensor, not NoneType"
            )


def infer_by_running(
    op: OpDef, inputs: tuple[Any, ...], attributes: dict[str, Any], device: Device
) -> tuple[Inferred, tuple[Spec, ...]]:
    """Shapes and dtypes of a composite: its decomposition run on tensors without data."""
    assert op.decompose is not None
    ghosts = [on_meta(x._spec) if isinstance(x, Tensor) else x for x in inputs]
    made = op.decompose(*ghosts, **attributes)
    outs = made if isinstance(made, tuple) else (made,)
    specs = tuple(o._spec.to(device=device) for o in outs)
    return Inferred((None,) * len(inputs), ()), specs


def clear_plans() -> None:
    """Forget every plan; called when something that plans depend on has changed."""
    for op in (*REGISTRY.values(), *PARTS):
        op.plans.clear()
        op.writes.clear()
    clear_views()


PLANS.bind(clear=clear_plans)
