"""Views: other shapes and strides over the same memory. No kernel runs; aliasing is the core's.

A view operator is a rule from a Spec to (shape, strides, offset). Its gradient is the same view of
a zero tensor, written with the incoming gradient, unless the record gives a cheaper one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from weakref import ref as reference

from dovetail import observe, raw
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import BackwardInfo, Node, next_sequence
from dovetail.dispatch import call
from dovetail.factories import zeros
from dovetail.late_binding import BATCHED, QUANTIZED
from dovetail.ops import expose
from dovetail.ops.schema import REGISTRY, Inferred, OpDef
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, storage_of

__all__ = [
    "apply_view",
    "view_backward",
    "view_operator",
    "view_record",
]

new = object.__new__
Rule = Callable[..., tuple[tuple[int, ...], tuple[int, ...], int]]


class _ViewPlan:
    """What one view operator does to one spec: the result's spec, its start, its node."""

    __slots__ = ("info", "offset", "spec")
    served_by = "view"

    def __init__(self, spec: Spec, offset: int, info: BackwardInfo) -> None:
        self.spec = spec
        self.offset = offset
        self.info = info

    def __call__(self, x: Tensor) -> Tensor:
        t = _linked(x, self.spec, self.offset)
        node = x._node
        if node is not None and mode.grad:
            n = new(Node)
            n.info = self.info
            n.sequence = next_sequence()
            n.next = (node,)
            n.saved = ()
            t._node = n
        return t


def _linked(x: Tensor, spec: Spec, offset: int) -> Tensor:
    """A view of ``x`` that its base knows of, without history."""
    storage = x._storage
    if storage is None:
        storage = storage_of(x)
    t: Tensor = new(Tensor)
    t._spec = spec
    t._array = None
    t._storage = storage
    t._offset = x._offset + offset
    t._node = None
    base = x._base
    if base is None:
        base = x
    t._base = base
    views = base._views
    if views is None:
        base._views = [reference(t)]
    else:
        if not len(views) & 63:
            views[:] = [r for r in views if r() is not None]
        views.append(reference(t))
    return t


def apply_view(op: OpDef, x: Tensor, attributes: tuple[Any, ...] = ()) -> Tensor:
    """Make the view ``op`` of ``x``."""
    key = (op.name, attributes)
    try:
        plan = x._spec.memo.get(key)
    except AttributeError:
        raise TypeError(
            f"{op.name}(): argument 'input' must be Tensor, not {type(x).__name__}"
        ) from None
    if plan is None:
        plan = _make_plan(op, x._spec, attributes)
        if len(x._spec.memo) > 4096:
            x._spec.memo.clear()
        x._spec.memo[key] = plan
    if observe.active:
        result: Tensor = observe.run(op, plan, (x,), attributes)
        return result
    return plan(x)  # type: ignore[no-any-return]


def _make_plan(op: OpDef, spec: Spec, attributes: tuple[Any, ...]) -> Any:
    if spec.batch is not None:
        plain = _make_plan(op, spec.batch.logical, attributes)
        view_of = BATCHED.view_of
        return BATCHED.view_plan(spec, plain, lambda x: view_of(x, op.name, attributes))
    if spec.dtype.category < 0:
        of_ints = lambda ints: apply_view(op, ints, attributes)
        return QUANTIZED.view_plan(op.name, of_ints, attributes)
    rule: Rule = op.rule  # type: ignore[attr-defined]
    shape, strides, offset = rule(spec, *attributes)
    kind = op.result_dtype(spec) if hasattr(op, "result_dtype") else spec.dtype
    out = spec_of(tuple(shape), kind, spec.device, tuple(strides))
    gradient = op.gradient
    if gradient is None:
        call: Any = lambda g: view_backward(g, op, attributes, spec.shape)
    else:
        call = lambda g: gradient(g, spec, *attributes)
    name = op.name
    return _ViewPlan(out, offset, BackwardInfo(name, ((call, (0,)),), (), (spec,), None, (out,)))


def view_operator(
    name: str,
    *,
    gradient: Callable[..., Any] | None = None,
    prepare: Callable[..., tuple[Any, ...]] | None = None,
    public: bool = True,
    aliases: tuple[str, ...] = (),
    surplus: Callable[..., Exception] | None = None,
    **fields: Any,
) -> Callable[[Rule], Callable[..., Tensor]]:
    """Turn a rule ``(spec, *attributes) -> (shape, strides, offset)`` into a view operator.

    Args:
        gradient: ``gradient(g, spec, *attributes)``; spec is the input's.
        prepare: ``prepare(ndim, *arguments) -> attributes``; the default takes them as they are.
        surplus: makes the error for more arguments than there are parameters.
    """

    def define(rule: Rule) -> Callable[..., Tensor]:
        op = OpDef(
            name,
            kind="view",
            infer=lambda spec, **attributes: Inferred((None,), ()),
            gradient=gradient,
            public=public,
            method=public,
            **fields,
        )
        op.rule = rule  # type: ignore[attr-defined]

        if prepare is None:
            key = (op.name, ())

            def function(input: Tensor, *arguments: Any) -> Tensor:
                if not arguments and not observe.active:
                    try:
                        plan = input._spec.memo.get(key)
                    except AttributeError:
                        plan = None
                    if plan is not None:
                        return plan(input)  # type: ignore[no-any-return]
                return apply_view(op, input, arguments)
        else:

            def function(input: Tensor, *arguments: Any, **named: Any) -> Tensor:
                if not isinstance(input, Tensor):
                    raise TypeError(
                        f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}"
                    )
                return apply_view(op, input, prepare(input._spec, *arguments, **named))

        function.__doc__ = rule.__doc__
        function.__signature__ = _signature(prepare or rule)  # type: ignore[attr-defined]
        function.surplus = surplus  # type: ignore[attr-defined]
        expose.attach(op, function, aliases=aliases)
        return function

    return define


def _signature(reads: Callable[..., Any]) -> inspect.Signature:
    """What users see: a tensor in the place of the spec, and then what ``reads`` takes."""
    spec, *rest = inspect.signature(reads).parameters.values()
    return inspect.Signature(
        [spec.replace(name="input", annotation="Tensor"), *rest], return_annotation="Tensor"
    )


def view_record(name: str) -> OpDef:
    """The record of a view operator."""
    return REGISTRY[name]


# The gradient of views in general: an operator too, so that it has a gradient itself.

VIEW_BACKWARD = OpDef(
    "view_backward", kind="composite", attributes=("op", "arguments", "shape"),
    method=False, public=False,
)  # fmt: skip


def view_backward(g: Tensor, op: OpDef, arguments: tuple[Any, ...], shape: Any) -> Tensor:
    """Zeros of ``shape`` whose view ``op`` holds ``g``."""
    result: Tensor = call(VIEW_BACKWARD, (g,), (op.name, arguments, tuple(shape)))
    return result


def _view_backward(g: Tensor, *, op: str, arguments: tuple[Any, ...], shape: Any) -> Tensor:
    whole = zeros(shape, dtype=g.dtype, device=g.device)
    spec = whole._spec
    record = view_record(op)
    part, strides, offset = record.rule(spec, *arguments)  # type: ignore[attr-defined]
    target = raw.view(whole, spec_of(tuple(part), spec.dtype, spec.device, tuple(strides)), offset)
    raw.copy(g, target)
    return whole


VIEW_BACKWARD.decompose = _view_backward
VIEW_BACKWARD.infer = lambda spec, op, arguments, shape: Inferred((None,), ((shape, spec.dtype),))
VIEW_BACKWARD.gradient = {
    "input": lambda g, op, arguments: apply_view(view_record(op), g, arguments)
}
