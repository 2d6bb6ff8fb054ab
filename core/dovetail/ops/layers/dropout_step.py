"""Dropout in one launch, where a device has a kernel for it.

A table may have, specialised for a call of ``mul`` by noise whose attributes are those of
``random_noise``, ``p`` and ``scale``,

    dropout_step(input, seed, offset, out, noise)

which draws what ``random_noise`` draws and multiplies the input by it. Its gradient is that of the
product. It serves where the input is dense and real, as its noise is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail import observe
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import Node, next_sequence
from dovetail.autograd.record import Recorder
from dovetail.backend.state import state_of
from dovetail.kernels import bind_kernel, find_kernel
from dovetail.ops.randomness.draws import stream_of
from dovetail.ops.schema import REGISTRY, CallFacts
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["dropout_step"]

NAME = "dropout_step"

new = object.__new__

_KEPT = 64
"""Plans of a spec: a chance may be another in every call."""


def dropout_step(input: Tensor, p: float, scale: float, generator: Any) -> Tensor | None:
    """The input times noise: ``scale`` with chance ``p``, else 0.

    None, and nothing done, where there is no such kernel, or it does not fit.
    """
    spec = input._spec
    plans = spec.memo.get(NAME)
    if plans is None:
        plans = spec.memo[NAME] = {} if _fits(spec) else False
    if plans is False or mode.maps or (observe.active and observe.is_watched()):
        return None
    plan = plans.get((p, scale))
    if plan is None:
        if len(plans) >= _KEPT:
            plans.clear()
        plan = plans[p, scale] = _plan(spec, p, scale) or _nothing
    made: Tensor | None = plan(input, generator)
    return made


def _fits(spec: Spec) -> bool:
    if spec.batch is not None or not spec.is_contiguous or spec.dtype.category != 2:
        return False
    state = state_of(spec.device)
    return bool(spec.numel and not state.host_arrays and state.table.entries(NAME))


def _nothing(input: Tensor, generator: Any) -> None:
    """The plan where no kernel takes the call."""


def _plan(spec: Spec, p: float, scale: float) -> Callable[[Tensor, Any], Tensor] | None:
    state, op = state_of(spec.device), REGISTRY["mul"]
    facts = CallFacts(op, (spec, spec), (spec,), {"p": p, "scale": scale})
    entry = find_kernel(NAME, facts, spec.dtype, state)
    if entry is None:
        return None
    kernel, make = bind_kernel(entry, facts), state.maker(spec)
    info = Recorder(op, facts.inputs, {}, (spec,)).info((True, False))
    device, count, keep = spec.device, spec.numel, info.keep
    assert keep is not None

    def run(input: Tensor, generator: Any) -> Tensor:
        seed, offset = stream_of(device, generator, count)
        noise, out = make(), make()
        kernel(input._materialize(), seed, offset, out._array, noise._array)
        edge = input._node
        if edge is not None and mode.grad:  # as Recorder.record() does for any call
            node = new(Node)
            node.info, node.sequence, node.next = info, next_sequence(), (edge, None)
            node.saved = keep(info, input, noise, out)
            out._node = node
        return out

    return run
