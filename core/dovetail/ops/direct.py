"""In-place forms of operators whose kernel may be given its first input's array as its output.

``scatter_``, ``index_add_`` and their like change a few elements of a tensor that may be large:
their kernels copy the first input only when it is another array than the output. Of other
operators a table says of which kernels that holds (``Kernel.in_place``).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import observe, raw
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.inplace import check_writable
from dovetail.autograd.writes import note_write
from dovetail.backend.state import state_of
from dovetail.dispatch import facts_of, infer_by_running, lift
from dovetail.kernels import bind_kernel, select_kernel
from dovetail.ops import expose
from dovetail.ops.by_specs import Prepare, keep, method_by_specs, refuse
from dovetail.ops.schema import CallFacts, Inferred, OpDef
from dovetail.plans import _preparation
from dovetail.spec import Spec
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
        run = op.writes[key] = _writer(op, inputs, attributes) or refuse
    if run is refuse:
        return False
    storage = storage_of(target)
    rest = [
        raw.cast(x, raw.packed(x._spec)) if isinstance(x, Tensor) and x._storage is storage else x
        for x in inputs[1:]
    ]
    run(target, *rest)
    note_write(storage, label)
    return True


def _writer(
    op: OpDef, inputs: tuple[Any, ...], values: tuple[Any, ...]
) -> Callable[..., None] | None:
    facts = facts_of(inputs)
    spec = facts[0]
    attributes = dict(zip(op.attributes, values, strict=True))
    if any(getattr(f, "device", spec.device) is not spec.device for f in facts):
        return None
    if any(getattr(f, "batch", None) is not None for f in facts):
        return None
    state = state_of(spec.device)
    if not state.table.entries(op.name):
        return None
    if op.infer is None:
        made = infer_by_running(op, inputs, attributes, spec.device)[1]
        inferred = Inferred((None,) * len(facts), tuple((o.shape, o.dtype) for o in made))
    else:
        inferred = op.infer(*facts, **attributes)
    call = CallFacts(op, facts, (spec,), attributes)
    entry = select_kernel(op, call, (spec.dtype,), state)
    if entry is None or (entry.layout != "strided" and not spec.is_contiguous):
        return None
    if not entry.in_place and op.kind != "index":
        return None
    shape, kind = inferred.outs[0][:2]
    if kind is not spec.dtype or tuple(shape) != tuple(spec.shape) or kind not in op.accepts:
        return None
    if inferred.compute[0] not in (None, kind):
        return None
    kernel = bind_kernel(entry, call)
    elementwise = op.kind in ("elementwise", "compare", "select")
    prepared = [
        _preparation(fact, kind, entry, spec, elementwise, state)[0]
        for fact, kind in zip(facts[1:], inferred.compute[1:], strict=True)
    ]
    if not any(prepared) and not state.host_arrays:
        return _written(tuple([isinstance(fact, Spec) for fact in facts[1:]]))(kernel)

    is_quiet = state.host_arrays and elementwise  # others move what is there

    def run(target: Tensor, *rest: Any) -> None:
        # Kept until the kernel has been called: an array does not keep a device's memory.
        held = [x if p is None else p(x) for p, x in zip(prepared, rest, strict=True)]
        arrays = [x._materialize() if isinstance(x, Tensor) else x for x in held]
        array = target._materialize()
        if is_quiet:
            with np.errstate(all="ignore"):
                kernel(array, *arrays, array)
        else:
            kernel(array, *arrays, array)

    return run


@functools.cache
def _written(are_tensors: tuple[bool, ...]) -> Callable[[Any], Callable[..., None]]:
    """Makes the writer of a kernel that takes its inputs as they are."""
    names = [f"x{i}" for i in range(len(are_tensors))]
    lines = ["t = target._array", "if t is None: t = target._materialize()"]
    for x, is_tensor in zip(names, are_tensors, strict=True):
        if is_tensor:
            lines += [f"a{x} = {x}._array", f"if a{x} is None: a{x} = {x}._materialize()"]
    arrays = [f"a{x}" if t else x for x, t in zip(names, are_tensors, strict=True)]
    lines.append(f"kernel({', '.join(['t', *arrays, 't'])})")
    body = "".join(f"        {line}\n" for line in lines)
    source = f"def make(kernel):\n    def run(target, {', '.join(names)}):\n{body}    return run\n"
    space: dict[str, Any] = {}
    exec(compile(source, "<dovetail write>", "exec"), space)
    make: Callable[[Any], Callable[..., None]] = space["make"]
    return make


def in_place(
    op: OpDef,
    prepare: Prepare | None = None,
    label: str = "",
    *,
    on_host: bool = True,
    number: str = "",
) -> Callable[..., Tensor]:
    """Give Tensor the method ``op.name_``, which writes without a copy where nothing is recorded.

    Args:
        label: what a write is noted as, of a function that is to be no method.
        on_host: there may be a kernel for NumPy's arrays.
        number: the argument that, where it is a number, must fit the dtype written to.
        prepare: the operator's own arguments to (inputs, attributes), with all checks; None: they
            are these, in order.
    """
    function = op.function
    assert function is not None
    is_method, label = not label, label or f"{op.name}_"
    general = expose.inplace_method(op.name, function, label)
    signature = inspect.signature(function)
    taken = set(signature.parameters if prepare is None else inspect.signature(prepare).parameters)
    first, *rest = signature.parameters.values()
    kept = [p for p in rest if p.name in taken - {"out"}]
    signature = signature.replace(parameters=[first.replace(name="self"), *kept])
    count = len(op.inputs)

    def slow(key: Any, self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if key is None and op.kind != "index":  # it is recorded, or NumPy's arrays
            return general(self, *args, **kwargs)
        if key is None and prepare is not None:
            inputs, attributes = prepare(self, *args, **kwargs)
            if write(op, inputs, attributes, label):
                return self
            return general(self, *args, **kwargs)
        if key is not None and op.writes.get(key) is refuse:
            return general(self, *args, **kwargs)
        given = signature.bind(self, *args, **kwargs)
        given.apply_defaults()
        if prepare is None:
            values = tuple(given.arguments.values())
            inputs, attributes = values[:count], values[count:]
        else:
            inputs, attributes = prepare(self, *args, **kwargs)
        try:
            is_written = write(op, inputs, attributes, label)
        except (AttributeError, TypeError, ValueError):  # the function has the words
            return general(self, *args, **kwargs)
        if key is not None and (is_written or (*facts_of(inputs), attributes) in op.writes):
            known = {**given.arguments, op.inputs[0]: self}
            keep(op, op.writes, key, known, inputs, attributes)
        return self if is_written else general(self, *args, **kwargs)

    method = method_by_specs(op, signature, slow, label, looks_at_host=on_host, number=number)
    method.__annotations__ = {p.name: p.annotation for p in kept if p.annotation is not p.empty} | {
        "return": "Tensor"
    }
    method.__name__ = label
    method.__qualname__ = f"Tensor.{label}"
    method.__doc__ = f"In-place version of :func:`dovetail.{op.name}`."
    if not is_method:
        return method
    setattr(Tensor, label, method)
    if label in expose.FUNCTIONS:
        expose.FUNCTIONS[label] = method
    return method
