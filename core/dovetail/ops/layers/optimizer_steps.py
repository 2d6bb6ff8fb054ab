"""The step of an optimizer as one kernel over many tensors, where a device has such a kernel.

``optim`` states what a step does, in tensor operations; this is its override point. So it is for
the running statistics of ``batch_norm``, where its own kernel (``batch_norm_step.py``) does not
serve. The kernels are

    sgd_step(params, grads, buffers, *, lr, momentum, dampening, weight_decay, nesterov, maximize,
             first)
    adam_step(params, grads, means, squares, largest, *, steps, lr, beta1, beta2, eps,
              weight_decay, maximize, decoupled)
    adam_step_counted, the same, where ``steps`` are arrays of one element on the device
    adamax_step(params, grads, means, norms, *, rates, beta1, beta2, eps, …)
    nadam_step(params, grads, means, squares, *, gradient_rates, mean_rates, corrections, beta1,
               beta2, eps, shrink, …)
    radam_step(params, grads, means, squares, *, rates, rectified, beta1, beta2, eps, shrink, …)
    adagrad_step(params, grads, sums, *, rates, eps, …)
    adadelta_step(params, grads, squares, moved, *, lr, rho, eps, …)
    rmsprop_step(params, grads, squares, buffers, means, *, lr, alpha, eps, momentum, …)
    rprop_step(params, grads, befores, sizes, *, less, more, smallest, largest, maximize)
    asgd_step(params, grads, averages, *, rates, weights, lambd, …)
    lerp_step(averages, values, *, weight)    averages += weight * (values - averages)
    running_step(values, batch, *, keep, weights)    values = keep * values + weights * batch

where … is ``weight_decay`` and ``maximize``, to be applied to the gradient first, and plurals among
the keywords are lists of one number per parameter.

Each list of tensors holds arrays, the i-th of every list with the same shape and the same dense
strides; an empty list is state that this optimizer does not keep. Everything but ``grads`` is
written in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dovetail.autograd.grad_mode import mode
from dovetail.autograd.writes import note_writes
from dovetail.backend.api import Kernel
from dovetail.backend.state import state_of
from dovetail.spec import Spec
from dovetail.tensor import Tensor, storage_of

__all__ = ["STEPS", "fused_step", "has_step", "running_step"]

STEPS = (
    "sgd_step", "adam_step", "adam_step_counted", "adamax_step", "nadam_step", "radam_step",
    "adagrad_step", "adadelta_step", "rmsprop_step", "rprop_step", "asgd_step", "lerp_step",
    "running_step", "batch_norm_step", "dropout_step", "attention_step", "attention_backward_step",
    "norm_step", "norm_scale_step", "norm_clip_step", "bound_step", "unscale_step",
    "instance_norm_step", "feature_dropout_step", "alpha_dropout_step",
    "feature_alpha_dropout_step", "rrelu_step", "bernoulli_of_step", "multinomial_ordered_step",
    "multinomial_reached_step", "spectral_norm_step",
)  # fmt: skip
"""The kernels' names: a table may have them, though they are no operators; the last are as
``batch_norm_step.py``, ``dropout_step.py``, ``attention_step.py``, ``gradient_norms.py``,
``instance_norm_step.py``, ``drawn_step.py`` and ``spectral_norm_step.py`` say."""


def fused_step(name: str, lists: Sequence[list[Tensor]], attributes: Mapping[str, Any]) -> bool:
    """Run the device's kernel ``name`` in place; False, with nothing done, where there is none.

    Args:
        lists: parameters, gradients, then the optimizer's state.
        attributes: numbers, or lists of them or of tensors of the device; a learning rate that is a
            tensor is read if it is in host memory.
    """
    if mode.grad or not lists[0]:
        return False
    numbers = dict(attributes)
    for key, value in attributes.items():
        if isinstance(value, Tensor):
            numbers[key] = _number(value)
            if numbers[key] is None:
                return False
        elif value.__class__ is list and value and isinstance(value[0], Tensor):
            numbers[key] = [t._materialize() for t in value]
    entry = _kernel(name, lists[0][0]._spec)
    if entry is None or not _alike(lists, entry):
        return False
    arrays = [[*map(_array, tensors)] for tensors in lists]
    if state_of(lists[0][0]._spec.device).host_arrays:
        with np.errstate(all="ignore"):
            entry.function(*arrays, **numbers)
    else:
        entry.function(*arrays, **numbers)
    written = [storage_of(t) for i, tensors in enumerate(lists) if i != 1 for t in tensors]
    note_writes(written, name)
    return True


_array = Tensor._materialize


def running_step(values: list[Tensor], batch: list[Tensor]) -> Callable[..., None] | None:
    """The kernel ``running_step`` on these tensors, to be called with its numbers; None where there
    is none, or they do not fit. As :func:`fused_step`, which looks at more, for a call of each
    layer."""
    spec = values[0]._spec
    for t in (*values, *batch):
        if t._spec is not spec:
            return None
    function = spec.memo.get("running_step")
    if function is None:
        entry = None if spec.batch is not None else _kernel("running_step", spec)
        fits = entry is not None and _alike([values, batch], entry)
        function = spec.memo["running_step"] = entry.function if entry and fits else False
    if not function:
        return None
    arrays = [*map(_array, values)], [*map(_array, batch)]

    def step(*, keep: float, weights: list[float]) -> None:
        function(*arrays, keep=keep, weights=weights)
        note_writes([*map(storage_of, values)], "running_step")

    return step


def _number(value: Tensor) -> Any:
    """A tensor's number; None where reading it would wait for a device."""
    return value.item() if state_of(value._spec.device).host_arrays else None


def has_step(name: str, param: Tensor) -> bool:
    """Whether a parameter's device has the kernel for its dtype."""
    return _kernel(name, param._spec) is not None


def _kernel(name: str, spec: Spec) -> Kernel | None:
    for entry in state_of(spec.device).table.entries(name):
        if entry.dtypes is None or spec.dtype in entry.dtypes:
            return entry
    return None


def _alike(lists: Sequence[list[Tensor]], entry: Kernel) -> bool:
    """Whether all tensors have one dtype and device, and fit each other and the kernel."""
    first = lists[0][0]._spec
    specs = [param._spec for param in lists[0]]
    is_packed = entry.layout == "contiguous"
    for spec in specs:
        if spec.dtype is not first.dtype or spec.device is not first.device:
            return False
        if not (spec.is_contiguous if is_packed else spec.is_dense):
            return False
    for tensors in lists[1:]:
        for tensor, spec in zip(tensors, specs, strict=False):
            if tensor._spec is not spec:
                return False
    return True
