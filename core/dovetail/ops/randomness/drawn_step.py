"""What uniform numbers choose, drawn in the launch that chooses, where a device has a kernel of it.

A table may have, specialised for a call of an operator whose last input is the uniform numbers,

    NAME_step(*other inputs, seed, offset, out)

which draws what ``random_uniform`` draws and does what NAME does with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail import observe, raw
from dovetail.autograd.grad_mode import mode
from dovetail.backend.state import state_of
from dovetail.dtypes import float64
from dovetail.kernels import bind_kernel, find_kernel
from dovetail.ops.randomness.draws import stream_of
from dovetail.ops.schema import CallFacts, OpDef
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__ = ["drawn_step"]

Plan = Callable[[Tensor, Any], Tensor]


def drawn_step(
    op: OpDef, input: Tensor, uniform: Spec, generator: Any, **attributes: Any
) -> Tensor | None:
    """``op(input, numbers)`` of uniform numbers of a spec; nothing is recorded.

    None, and nothing done, where there is no such kernel, or it does not fit.
    """
    spec = input._spec
    if mode.maps or (observe.active and observe.is_watched()):
        return None
    key = "drawn step", op.name, uniform, *attributes.values()
    plan: Plan | bool | None = spec.memo.get(key)
    if plan is None:
        plan = spec.memo[key] = _plan(op, spec, uniform, attributes) or False
    return plan(input, generator) if callable(plan) else None


def _plan(op: OpDef, spec: Spec, uniform: Spec, attributes: dict[str, Any]) -> Plan | None:
    state, name = state_of(spec.device), f"{op.name}_step"
    if spec.batch is not None or not spec.is_contiguous or not state.table.entries(name):
        return None
    assert op.infer is not None
    inputs = (spec, *[None] * (len(op.inputs) - 2), uniform)
    shape, kind = op.infer(*inputs, **attributes).outs[0][:2]
    out = spec_of(tuple(shape), kind, spec.device)
    facts = CallFacts(op, inputs, (out,), attributes)
    entry = find_kernel(name, facts, spec.dtype, state)
    if entry is None or not out.numel:
        return None
    kernel, device = bind_kernel(entry, facts), spec.device
    count = uniform.numel * (2 if uniform.dtype is float64 else 1)

    def run(input: Tensor, generator: Any) -> Tensor:
        seed, offset = stream_of(device, generator, count)
        made = raw.empty(out)
        kernel(input._materialize(), seed, offset, made._materialize())
        return made

    return run
