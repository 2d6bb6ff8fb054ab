"""Dropout and what else multiplies by noise in one launch, where a device has a kernel for it.

A table may have, specialised for a call of ``mul`` by noise whose attributes are those of
``random_noise``, ``p`` and ``scale``,

    dropout_step(input, seed, offset, out, noise)

which draws what ``random_noise`` draws and multiplies the input by it. ``alpha_dropout_step`` adds
the noise times ``slope``, and ``shift``, to the product; ``rrelu_step`` draws what
``random_between`` draws, ``low``, ``high`` and ``most`` being its attributes, and its noise is 1
where the input is not below 0. ``feature_dropout_step`` and ``feature_alpha_dropout_step`` have one
number for each feature, and ``noise`` is (N, C, 1, …). The gradient is that of the product. They
serve where the input is dense and real, as its noise is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail import observe
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import Node, next_sequence
from dovetail.autograd.record import Recorder
from dovetail.backend.state import state_of
from dovetail.dtypes import float64
from dovetail.kernels import bind_kernel, find_kernel
from dovetail.ops.randomness.draws import stream_of
from dovetail.ops.schema import REGISTRY, CallFacts
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["dropout_step"]

NAME = "dropout_step"

_NODES = {
    "alpha_dropout_step": "add",
    "feature_alpha_dropout_step": "add",
    "rrelu_step": "rrelu_with_noise",
}
"""What nodes are called that are not the product's."""

new = object.__new__

_KEPT = 64
"""Plans of a spec: a chance may be another in every call."""


def dropout_step(
    input: Tensor, generator: Any, name: str = NAME, wide: Spec | None = None, **attributes: float
) -> Tensor | None:
    """The input times noise: for dropout ``scale`` with chance ``p``, else 0.

    Args:
        wide: of the noise, where that is of features.

    None, and nothing done, where there is no such kernel, or it does not fit.
    """
    spec = input._spec
    plans = spec.memo.get(name)
    if plans is None:
        plans = spec.memo[name] = {} if _fits(spec, name) else False
    if plans is False or mode.maps or (observe.active and observe.is_watched()):
        return None
    key = tuple(attributes.values())
    plan = plans.get(key)
    if plan is None:
        if len(plans) >= _KEPT:
            plans.clear()
        plan = plans[key] = _plan(spec, name, wide or spec, attributes) or _nothing
    made: Tensor | None = plan(input, generator)
    return made


def _fits(spec: Spec, name: str) -> bool:
    if spec.batch is not None or not spec.is_contiguous or spec.dtype.category != 2:
        return False
    state = state_of(spec.device)
    return bool(spec.numel and not state.host_arrays and state.table.entries(name))


def _nothing(input: Tensor, generator: Any) -> None:
    """The plan where no kernel takes the call."""


def _plan(
    spec: Spec, name: str, wide: Spec, attributes: dict[str, float]
) -> Callable[[Tensor, Any], Tensor] | None:
    state, op = state_of(spec.device), REGISTRY["mul"]
    facts = CallFacts(op, (spec, wide), (spec,), attributes)
    entry = find_kernel(name, facts, spec.dtype, state)
    if entry is None:
        return None
    kernel, make, make_noise = bind_kernel(entry, facts), state.maker(spec), state.maker(wide)
    info = Recorder(op, facts.inputs, {}, (spec,)).info((True, False))
    info.name = _NODES.get(name, info.name)
    device, keep = spec.device, info.keep
    # Noise compares with float32 numbers; others are drawn in float64 for float64.
    count = wide.numel * (2 if spec.dtype is float64 and "p" not in attributes else 1)
    assert keep is not None

    def run(input: Tensor, generator: Any) -> Tensor:
        seed, offset = stream_of(device, generator, count)
        noise, out = make_noise(), make()
        kernel(input._materialize(), seed, offset, out._array, noise._array)
        edge = input._node
        if edge is not None and mode.grad:  # as Recorder.record() does for any call
            node = new(Node)
            node.info, node.sequence, node.next = info, next_sequence(), (edge, None)
            node.saved = keep(info, input, noise, out)
            out._node = node
        return out

    return run
