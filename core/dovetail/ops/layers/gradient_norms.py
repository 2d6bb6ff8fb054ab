"""The norm of many tensors together, and what scales or bounds them in place: few launches for all,
where a device has such kernels.

``nn.utils.clip_grad`` states what they compute, in tensor operations; this is its override point.
The kernels are

    norm_step(tensors, outs, *, order)          outs[0], a new tensor of one element, is their norm
    norm_scale_step(tensors, totals, *, most)   tensors *= min(1, most / (totals[0] + 1e-6))
    norm_clip_step(tensors, outs, *, order, most)       the first, and the second by that
    bound_step(tensors, *, most)                tensors = min(max(tensors, -most), most)
    unscale_step(tensors, founds, factors)      tensors *= factors[0], a float32 of one element;
                                                founds[0], another, 1 where one was not finite

where ``tensors`` are dense arrays of one dtype, with something in each, and ``order`` is 1, 2 or
infinity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dovetail import observe
from dovetail.autograd.mode import mode
from dovetail.autograd.writes import note_writes
from dovetail.backend.state import state_of
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, storage_of

__all__ = ["bound_all", "clip_all", "norm_of_all", "scale_all", "unscale_all"]

ORDERS = (1.0, 2.0, math.inf)


def norm_of_all(tensors: list[Tensor], order: float) -> Tensor | None:
    """Their norm, 0-d; None where no kernel serves them."""
    kernel = _kernel("norm_step", tensors) if order in ORDERS else None
    if kernel is None:
        return None
    function, make = kernel
    made: Tensor = make()
    function([*map(_array, tensors)], [made._array], order=order)
    return made


def scale_all(tensors: list[Tensor], total: Tensor, most: float) -> bool:
    """Scale them by what brings their norm, which is ``total``, to ``most`` at most; False, with
    nothing done, where no kernel serves them."""
    spec = tensors[0]._spec
    if total._spec.dtype is not spec.dtype or total._spec.device is not spec.device:
        return False
    if total._spec.numel != 1 or total._spec.batch is not None:
        return False
    return _write("norm_scale_step", tensors, [[total._materialize()]], most=most)


def clip_all(tensors: list[Tensor], order: float, most: float) -> Tensor | None:
    """:func:`norm_of_all`, and :func:`scale_all` by that; None, with nothing done, where no kernel
    serves them."""
    kernel = _kernel("norm_clip_step", tensors) if order in ORDERS else None
    if kernel is None:
        return None
    for t in tensors:
        if t._inference:  # to be refused, or not
            return None
    function, make = kernel
    made: Tensor = make()
    function([*map(_array, tensors)], [made._array], order=order, most=most)
    note_writes([*map(storage_of, tensors)], "clip_grad_norm_", 1)
    return made


def bound_all(tensors: list[Tensor], most: float) -> bool:
    """Bring their elements into [-most, most]; False, with nothing done, where no kernel serves
    them."""
    return _write("bound_step", tensors, [], most=most)


def unscale_all(tensors: list[Tensor], found: Tensor, factor: Tensor) -> bool:
    """Multiply them by a factor, and set ``found``, which is 0, to 1 where an element was not
    finite; False, with nothing done, where no kernel serves them. Both are float32, of one element,
    on their device."""
    others = [[found._materialize()], [factor._materialize()]]
    if not _write("unscale_step", tensors, others):
        return False
    note_writes([storage_of(found)], "unscale_step")
    return True


_array = Tensor._materialize


def _write(name: str, tensors: list[Tensor], others: list[Any], **numbers: float) -> bool:
    kernel = _kernel(name, tensors)
    if kernel is None:
        return False
    for t in tensors:
        if t._inference:  # to be refused, or not
            return False
    kernel[0]([*map(_array, tensors)], *others, **numbers)
    note_writes([*map(storage_of, tensors)], name, 1)
    return True


def _kernel(name: str, tensors: list[Tensor]) -> tuple[Any, Callable[[], Tensor]] | None:
    """(the kernel, what makes a tensor of one element), where nothing is to be recorded."""
    if mode.grad or (observe.active and observe.is_watched()):
        return None
    first = tensors[0]._spec
    found = first.memo.get(name)
    if found is None:
        found = first.memo[name] = _found(name, first) or False
    if found is False:
        return None
    dtype, device = first.dtype, first.device
    for t in tensors:
        spec = t._spec
        if spec is not first and (
            spec.dtype is not dtype or spec.device is not device or not _fits(spec)
        ):
            return None
    return found  # type: ignore[no-any-return]


def _fits(spec: Spec) -> bool:
    return bool(spec.is_dense and spec.numel and spec.batch is None)


def _found(name: str, spec: Spec) -> tuple[Any, Callable[[], Tensor]] | None:
    if not _fits(spec):
        return None
    state = state_of(spec.device)
    for entry in state.table.entries(name):
        if entry.dtypes is None or spec.dtype in entry.dtypes:
            return entry.function, state.maker(spec_of((), spec.dtype, spec.device))
    return None
