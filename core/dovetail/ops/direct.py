"""In-place forms of operators whose kernel may be given its first input's array as its output.

``scatter_``, ``index_add_`` and their like change a few elements of a tensor that may be large:
their kernels copy the first input only when it is another array than the output.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail import observe, raw
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.inplace import check_writable
from dovetail.autograd.writes import note_write
from dovetail.backend.state import state_of
from dovetail.dispatch import facts_of, lift
from dovetail.kernels import bind_kernel, select_kernel
from dovetail.ops import expose
from dovetail.ops.schema import CallFacts, OpDef
from dovetail.plans import _preparation
from dovetail.tensor import Tensor, storage_of

__all__ = ["in_place", "write"]


def write(op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...], label: str) -> bool:
    """Run op's kernel with ``inputs[0]`` as its output; False, and nothing done, where none may."""
    is_watched = observe.active and observe.is_watched()
    if is_watched or (mode.grad and any(getattr(x, "_node", None) is not None for x in inputs)):
        return False
    target = inputs[0]
    check_writable(target, label)
    inputs = tuple([lift(op, x) for x in inputs])
    facts = facts_of(inputs)
    key = (*facts, attributes)
    run = op.writes.get(key)
    if run is None:
        run = op.writes[key] = _writer(op, facts, attributes) or _refuse
    if run is _refuse:
        return False
    storage = storage_of(target)
    rest = [
        raw.cast(x, raw.packed(x._spec)) if isinstance(x, Tensor) and x._storage is storage else x
        for x in inputs[1:]
    ]
    run(target, *rest)
    note_write(storage, label)
    return True


def _refuse(*_: Any) -> None:
    raise AssertionError("no kernel")


def _writer(
    op: OpDef, facts: tuple[Any, ...], values: tuple[Any, ...]
) -> Callable[..., None] | None:
    spec = facts[0]
    attributes = dict(zip(op.attributes, values, strict=True))
    assert op.infer is not None
    if any(getattr(f, "device", spec.device) is not spec.device for f in facts):
        return None
    if any(getattr(f, "batch", None) is not None for f in facts):
        return None
    inferred = op.infer(*facts, **attributes)
    state = state_of(spec.device)
    call = CallFacts(op, facts, (spec,), attributes)
    entry = select_kernel(op, call, (spec.dtype,), state)
    if entry is None or (entry.layout != "strided" and not spec.is_contiguous):
        return None
    if inferred.outs[0][1] is not spec.dtype:
        return None
    kernel = bind_kernel(entry, call)
    prepared = [
        _preparation(fact, kind, entry, None, False, state)[0]
        for fact, kind in zip(facts[1:], inferred.compute[1:], strict=True)
    ]

    def run(target: Tensor, *rest: Any) -> None:
        # Kept until the kernel has been called: an array does not keep a device's memory.
        held = [x if p is None else p(x) for p, x in zip(prepared, rest, strict=True)]
        arrays = [x._materialize() if isinstance(x, Tensor) else x for x in held]
        array = target._materialize()
        kernel(array, *arrays, array)

    return run


def in_place(
    op: OpDef, prepare: Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]]
) -> Callable[..., Tensor]:
    """Give Tensor the method ``op.name_``, which writes without a copy where nothing is recorded.

    Args:
        prepare: the operator's own arguments to (inputs, attributes), with all checks.
    """
    assert op.function is not None
    label = op.name + "_"
    general = expose.inplace_method(op.name, op.function)

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        inputs, attributes = prepare(self, *args, **kwargs)
        if write(op, inputs, attributes, label):
            return self
        return general(self, *args, **kwargs)

    method.__name__ = label
    method.__qualname__ = f"Tensor.{label}"
    method.__doc__ = f"In-place version of :func:`dovetail.{op.name}`."
    setattr(Tensor, label, method)
    return method
