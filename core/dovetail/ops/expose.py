"""From a record to what users call: the function, the method, the in-place method, ``out=``.

Elementwise operators of one and two operands get hand-shaped functions, because a call of ten
elements must cost no more than PyTorch's. All others go through :func:`operator`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import observe, raw
from dovetail.autocast_lists import BY_FUNCTION, CASTS
from dovetail.autocast_rules import covered, without
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.inplace import check_writable, rebase
from dovetail.autograd.memory import can_take_over, saved_in_place
from dovetail.autograd.writes import note_write
from dovetail.backend.state import state_of
from dovetail.dispatch import NUMBERS, call, facts_of
from dovetail.divisors import checked, divisor_bits
from dovetail.dtypes import type_name
from dovetail.kernels import bind_kernel, select_kernel
from dovetail.ops.calling import guarded, told
from dovetail.ops.out import finish, with_out
from dovetail.ops.schema import REGISTRY, CallFacts, OpDef
from dovetail.plans import _preparation
from dovetail.promotion import can_cast
from dovetail.spec import Spec
from dovetail.tensor import Tensor, storage_of

__all__ = [
    "FUNCTIONS",
    "attach",
    "binary_function",
    "check_inference",
    "inplace_elementwise",
    "inplace_method",
    "operator",
    "publish",
    "unary_function",
    "write_back",
    "writer",
]

FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""Public functions by name; ``dovetail`` takes its namespace from here."""

active = observe.active


def unary_function(op: OpDef) -> Callable[..., Any]:
    """``function(input, *, out=None)``."""
    get = op.plans.get

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if out is None and (not active or observe.is_bystander()):
            try:
                run = get(input._spec)
            except AttributeError:
                run = None
            if run is not None:
                return run(input)
            result = call(op, (input,))
            run = op.plans.get((input._spec, ())) if isinstance(input, Tensor) else None
            if run is not None:
                op.plans[input._spec] = run
            return result
        return finish(op.name, _called(op, (input,), out), out)

    function.is_guarded = True  # type: ignore[attr-defined]
    return function


def binary_function(op: OpDef) -> Callable[..., Any]:
    """``function(input, other, *, out=None)``; either may be a Python number."""
    get = op.plans.get

    def function(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        if out is None and (not active or observe.is_bystander()):
            kind = other.__class__
            try:
                run = get((input._spec, kind if kind in NUMBERS else other._spec))
            except AttributeError:
                run = None
            if run is not None:
                return run(input, other)
            result = call(op, (input, other))
            _remember(op, input, other)
            return result
        return finish(op.name, _called(op, (input, other), out), out)

    function.is_guarded = True  # type: ignore[attr-defined]
    return function


def _called(op: OpDef, inputs: tuple[Any, ...], out: Any) -> Any:
    """A call whose result may have to fit an ``out=``, which autocast leaves alone."""
    if out is not None and mode.autocast is not None:
        return without(call, op, inputs)
    return call(op, inputs)


def _remember(op: OpDef, input: Any, other: Any) -> None:
    if not isinstance(input, Tensor):
        return
    second = other.__class__ if other.__class__ in NUMBERS else getattr(other, "_spec", None)
    run = op.plans.get((input._spec, second, ()))
    if run is not None:
        op.plans[input._spec, second] = run


def inplace_method(name: str, function: Callable[..., Any], label: str = "") -> Callable[..., Any]:
    """``x.name_(…)``: the function's result written into ``x``."""
    label = label or f"{name}_"
    op = REGISTRY.get(name)
    saves_input = op is None or _saves_first(op)

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_writable(self, label)
        recording = mode.grad and (
            self._node is not None
            or (bool(args) and any(map(_is_recorded, args)))
            or (bool(kwargs) and any(map(_is_recorded, kwargs.values())))
        )
        source = self
        if recording or self._spec.batch is not None:  # outside of a vmap it may be recorded
            # What backward needs of the old values must not be overwritten.
            source = raw.cast(self, self._spec.dense()) if saves_input else self._alias()
            source._node = self._node
        if mode.autocast is None:
            result = function(source, *args, **kwargs)
        else:  # which is not for writes
            result = without(function, source, *args, **kwargs)
        del source  # which may be a second tensor over the memory that is to be written
        write_back(self, result, label, recording)
        return self

    method.__name__ = label
    method.__qualname__ = f"Tensor.{label}"
    method.__doc__ = f"In-place version of :func:`dovetail.{name}`."
    return method


def _is_recorded(value: Any) -> bool:
    return isinstance(value, Tensor) and value._node is not None


def _saves_first(op: OpDef) -> bool:
    """Whether the graph may hold the first input: a gradient asks for it, or none is given."""
    gradient = op.gradient
    if gradient is None:
        return op.decompose is not None
    functions = gradient.values() if isinstance(gradient, dict) else (gradient,)
    return any(op.inputs[0] in op.parameter_names(f) for f in functions if f is not None)


def write_back(target: Tensor, result: Tensor, label: str, recording: bool) -> None:
    """Write ``result`` into ``target``'s memory and give it result's history.

    Raises:
        RuntimeError: the shape would have to grow, or the dtype's category would be lost.
    """
    there, here = target._spec, result._spec
    if there.dtype.category < 0:
        target.copy_(result)  # type: ignore[attr-defined]
        return
    if here.shape != there.shape:
        raise RuntimeError(
            f"output with shape {list(there.shape)} doesn't match the broadcast shape "
            f"{list(here.shape)} ({label} cannot change the shape of its target)"
        )
    if here.dtype is not there.dtype and not can_cast(here.dtype, there.dtype):
        raise RuntimeError(
            f"result type {type_name(here.dtype)} can't be cast to the desired output type "
            f"{type_name(there.dtype)}"
        )
    node = result._node if recording else None
    if node is not None and here.dtype is not there.dtype:
        node = result.to(there.dtype)._node
    version = target._version + 1
    if node is not None and node is result._node and can_take_over(target, result):
        target._storage, target._array = result._storage, result._array
        target._storage.version = version - 1
        note_write(target._storage, label)
    else:
        storage = storage_of(target)
        raw.copy(result, target)
        note_write(storage, label)
    if node is not None and target._base is None:
        saved_in_place(node, result, target)
    if recording:
        rebase(target, node)


def inplace_elementwise(
    op: OpDef, function: Callable[..., Any], label: str = ""
) -> Callable[..., Any]:
    """As :func:`inplace_method`, but the kernel writes straight into ``x`` where it may.

    Args:
        label: what a write is noted as; empty: the operator's name with its underscore.
    """
    label = label or f"{op.name}_"
    general = inplace_method(op.name, function, label)
    get = op.writes.get

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        is_watched = active and observe.is_watched()
        if (self._node is None or not mode.grad) and not kwargs and not is_watched:
            try:
                key = (
                    self._spec,
                    *[a.__class__ if a.__class__ in NUMBERS else a._spec for a in args],
                )
            except AttributeError:
                return general(self, *args)
            write = get(key)
            if write is None:
                write = op.writes[key] = writer(op, self, args) or False
            if write:
                for a in args:
                    if a.__class__ not in NUMBERS and (
                        (a._node is not None and mode.grad) or _overlaps(self, a)
                    ):
                        return general(self, *args)
                check_inference(self, label)
                storage = storage_of(self)
                write(self, *args)
                note_write(storage, label)
                return self
        return general(self, *args, **kwargs)

    method.__name__ = label
    method.__qualname__ = f"Tensor.{label}"
    method.__doc__ = f"In-place version of :func:`dovetail.{op.name}`."
    return method


def check_inference(x: Tensor, label: str) -> None:
    """Refuse writes to inference tensors outside inference mode."""
    if x._inference:
        check_writable(x, label)


def _overlaps(x: Tensor, a: Tensor) -> bool:
    storage = a._storage
    if storage is None or storage is not x._storage:
        return False
    return not (a._offset == x._offset and a._spec is x._spec)


def writer(op: OpDef, x: Tensor, args: tuple[Any, ...]) -> Callable[..., Any] | None:
    """A function that runs op's kernel with x as first input and output; None where none may."""
    facts = facts_of((x, *args))
    if op.infer is None or op.attributes or any(f is None for f in facts):
        return None
    if any(isinstance(f, Spec) and f.batch is not None for f in facts):
        return None
    if x._spec.dtype not in op.accepts:
        return None
    spec = x._spec
    if any(isinstance(f, Spec) and f.device is not spec.device for f in facts):
        return None
    if 0 in spec.strides:
        return None
    inferred = op.infer(*facts)
    (out,) = inferred.outs
    if tuple(out[0]) != tuple(spec.shape) or out[1] is not spec.dtype:
        return None
    if inferred.compute[0] is not spec.dtype:
        return None
    state = state_of(spec.device)
    call_facts = CallFacts(op, facts, (spec,), {})
    entry = select_kernel(op, call_facts, inferred.compute, state)
    if entry is None or (entry.layout != "strided" and not spec.is_contiguous):
        return None
    prepared = [
        _preparation(f, c, entry, spec, True, state)[0]
        for f, c in zip(facts[1:], inferred.compute[1:], strict=True)
    ]
    kernel = bind_kernel(entry, call_facts)
    host = state.host_arrays
    if host and isinstance(kernel, np.ufunc) and len(args) == 1:
        if isinstance(facts[1], type):
            return _ufunc_number_writer(kernel, prepared[0])
        if prepared[0] is None:
            return _ufunc_writer(kernel)
    if op.decompose is not None and not entry.in_place and not isinstance(kernel, np.ufunc):
        return None  # a fused kernel of several steps may read its input after it wrote its output
    if not host and len(args) == 1 and prepared[0] is None:
        if isinstance(facts[1], Spec):
            return _tensor_writer(kernel)
        return checked(_number_writer(kernel), divisor_bits(call_facts, inferred.compute, state))

    def write(x: Tensor, *args: Any) -> None:
        target = x._materialize()
        held = [a if p is None else p(a) for p, a in zip(prepared, args, strict=True)]
        rest = [a._materialize() if isinstance(a, Tensor) else a for a in held]
        if host:
            with np.errstate(all="ignore"):
                kernel(target, *rest, target)
        else:
            kernel(target, *rest, target)

    return checked(write, divisor_bits(call_facts, inferred.compute, state))


def _tensor_writer(kernel: Any) -> Callable[..., Any]:
    def write(x: Tensor, a: Tensor) -> None:
        target = x._array
        if target is None:
            target = x._materialize()
        other = a._array
        kernel(target, a._materialize() if other is None else other, target)

    return write


def _number_writer(kernel: Any) -> Callable[..., Any]:
    def write(x: Tensor, a: Any) -> None:
        target = x._array
        if target is None:
            target = x._materialize()
        kernel(target, a, target)

    return write


def _ufunc_writer(kernel: Any) -> Callable[..., Any]:
    def write(x: Tensor, a: Tensor) -> None:
        target = x._array
        if target is None:
            target = x._materialize()
        other = a._array
        if other is None:
            other = a._materialize()
        # A ufunc reports overflow and the like after it has written everything.
        try:
            kernel(target, other, target)
        except (RuntimeWarning, FloatingPointError):
            return

    return write


def _ufunc_number_writer(kernel: Any, constant: Any) -> Callable[..., Any]:
    def write(x: Tensor, a: Any) -> None:
        target = x._array
        if target is None:
            target = x._materialize()
        other = a if constant is None else constant(a)
        try:  # as above
            kernel(target, other, target)
        except (RuntimeWarning, FloatingPointError):
            return

    return write


def attach(
    op: OpDef,
    function: Callable[..., Any],
    *,
    doc: str = "",
    out: bool = False,
    aliases: tuple[str, ...] = (),
) -> Callable[..., Any]:
    """Publish an operator's function under its name and aliases: function, method, in-place."""
    if not function.__doc__:
        function.__doc__ = doc
    function = guarded(op.name, op.inputs, function)
    if op.name in BY_FUNCTION:
        function = covered(op.name, function)
    function.__name__ = function.__qualname__ = op.name
    op.function = function
    public = with_out(op.name, function) if out else function
    elementwise = op.kind in ("elementwise", "compare", "select")
    for name in (op.name, *aliases):
        if op.public:
            FUNCTIONS[name] = public
        if op.method:
            setattr(Tensor, name, function)
        if op.inplace:
            make = inplace_elementwise(op, function) if elementwise else None
            method = make or inplace_method(op.name, function)
            if op.method:
                setattr(Tensor, name + "_", method)
            FUNCTIONS.setdefault(name + "_", method)
    return public


def operator(
    op: OpDef, *, out: bool = False, aliases: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator form of :func:`attach`: the function below is the operator's public one."""
    return lambda function: attach(op, function, out=out, aliases=aliases)


def publish(
    *aliases: str, method: bool = True, inplace: bool = False, out: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Publish a function that only puts operators together, so that it needs no record."""

    def define(function: Callable[..., Any]) -> Callable[..., Any]:
        function = told(function)
        listed = [name for name in (function.__name__, *aliases) if name in CASTS]
        if listed:
            function = covered(listed[0], function)
        public = with_out(function.__name__, function) if out else function
        for name in (function.__name__, *aliases):
            FUNCTIONS[name] = public
            if method:
                setattr(Tensor, name, function)
            if inplace:
                written = inplace_method(name, function)
                setattr(Tensor, name + "_", written)
                FUNCTIONS.setdefault(name + "_", written)
        return function

    return define
