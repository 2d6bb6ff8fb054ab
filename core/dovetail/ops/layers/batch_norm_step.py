"""batch_norm in training with its running statistics: one kernel, where a device has such a kernel.

A table may have, specialised for calls of ``batch_norm_train``,

    batch_norm_step(input, weight, bias, running_mean, running_var, counter, momentum, out, mean,
                    var)

which does what that operator does, and writes to the running statistics: mean and variance take in
the batch's (the unbiased variance) by a share of ``momentum``, and the counter (int64, of one
element, or None) becomes one more. It serves where all tensors are dense and the running statistics
are of the dtype in which the batch's are computed. ``mean`` and ``var`` lie in one buffer.
"""

from __future__ import annotations

from collections.abc import Callable

import dovetail.dtypes as d
from dovetail import observe
from dovetail.autograd.record import Recorder
from dovetail.autograd.writes import note_writes
from dovetail.backend.state import state_of
from dovetail.kernels import bind_kernel, find_kernel
from dovetail.ops.schema import REGISTRY, CallFacts
from dovetail.spec import Spec, spec_of
from dovetail.straight_plans import straight
from dovetail.tensor import Tensor

__all__ = ["batch_norm_step"]

NAME = "batch_norm_step"


def batch_norm_step(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    counter: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor | None:
    """The normalised input, with the running mean, variance and counter written to.

    None, and nothing done, where there is no such kernel, or it does not fit.
    """
    spec = input._spec
    plans = spec.memo.get(NAME)
    if plans is None:
        has_kernel = spec.batch is None and state_of(spec.device).table.entries(NAME)
        plans = spec.memo[NAME] = {} if has_kernel else False
    if plans is False or (observe.active and observe.is_watched()):
        return None
    key = (
        None if weight is None else weight._spec,
        None if bias is None else bias._spec,
        mean._spec,
        var._spec,
        None if counter is None else counter._spec,
        eps,
    )
    plan = plans.get(key)
    if plan is None:
        plan = plans[key] = _resolve(spec, *key) or False
    if plan is False:
        return None
    # Written out, for a loop over three takes as long again.
    if mean._node is not None or var._node is not None or mean._inference or var._inference:
        return None  # to be recorded, or refused
    mean_array, var_array, counter_array = mean._array, var._array, None
    if mean_array is None:
        mean_array = mean._materialize()
    if var_array is None:
        var_array = var._materialize()
    if counter is None:
        written = (mean._storage, var._storage)
    elif counter._node is not None or counter._inference:
        return None
    else:
        counter_array = counter._array
        if counter_array is None:
            counter_array = counter._materialize()
        written = (mean._storage, var._storage, counter._storage)
    made: Tensor = plan(input, weight, bias, mean_array, var_array, counter_array, momentum)
    note_writes(written, "batch_norm", 2)  # this and who called it
    return made


def _resolve(
    input: Spec,
    weight: Spec | None,
    bias: Spec | None,
    mean: Spec,
    var: Spec,
    counter: Spec | None,
    eps: float,
) -> Callable[..., Tensor] | None:
    """The plan for tensors of these specs: none where ``nn.functional`` would refuse them."""
    affine = (weight, bias)
    op = REGISTRY["batch_norm_train"]
    state = state_of(input.device)
    if state.host_arrays or input.ndim < 2 or input.dtype not in op.accepts:
        return None
    channels = input.shape[1]
    if input.numel <= channels:
        return None
    for spec in (input, *affine, mean, var, counter):
        if spec is not None and (
            spec.device is not input.device or spec.batch is not None or not spec.is_contiguous
        ):
            return None
    if any(s is not None and (s.shape != (channels,) or s.dtype not in op.accepts) for s in affine):
        return None
    if counter is not None and (counter.dtype is not d.int64 or counter.numel != 1):
        return None
    assert op.infer is not None
    inferred = op.infer(input, *affine, eps=eps).outs
    outs = tuple([spec_of(tuple(shape), kind, input.device) for shape, kind in inferred])
    if mean is not outs[1] or var is not outs[2]:
        return None
    facts = CallFacts(op, (input, *affine), outs, {"eps": eps})
    entry = find_kernel(NAME, facts, input.dtype, state)
    if entry is None:
        return None
    are_tensors = tuple([f is not None for f in facts.inputs])
    recorder = Recorder(op, facts.inputs, facts.attributes, outs)
    makers = [state.maker(o) for o in outs]
    kernel, rest = bind_kernel(entry, facts), state.joint_maker(outs[1:])
    plan = straight(kernel, makers, are_tensors, recorder, more=4, rest=rest)
    first: Callable[..., Tensor] = plan.first  # type: ignore[attr-defined]
    return first
