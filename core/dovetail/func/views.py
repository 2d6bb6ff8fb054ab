"""Views inside of a vmap: the same view of every row, which is one view of the value.

A row's place in memory is the value's first dim and stride, so whatever a view's rule says of the
shape and strides of a row holds for all rows at once: one rule serves every view operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref as reference

from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import JointNode, Node, OutputNode, next_sequence
from dovetail.func.batched import level_of, outside, recording_outside, spread, value_at, wrap
from dovetail.func.levels import opened
from dovetail.late_binding import BATCHED
from dovetail.ops.layout.views import apply_view, view_backward, view_operator, view_record
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__ = ["BatchedView", "batched", "row_spec", "view"]


def row_spec(spec: Spec) -> Spec:
    """The plain spec of a row of a value."""
    return spec_of(tuple(spec.shape[1:]), spec.dtype, spec.device, spec.strides[1:])


def _back(g: Tensor, spec: Spec, name: str, arguments: tuple[Any, ...]) -> Tensor:
    record = view_record(name)
    if record.gradient is None:
        return view_backward(g, BATCHED_VIEW, (name, arguments), spec.shape)
    with opened(spec.shape[0], mode.grad) as level:
        made, has_dim = outside(record.gradient(wrap(g, level), row_spec(spec), *arguments), level)
    return made if has_dim else spread(made, spec.shape[0])


@view_operator("batched_view", gradient=_back, public=False)
def _batched_view(spec: Spec, name: str, arguments: tuple[Any, ...]) -> Any:
    """The view ``name`` of every row."""
    shape, strides, offset = view_record(name).rule(row_spec(spec), *arguments)  # type: ignore[attr-defined]
    return (spec.shape[0], *shape), (spec.strides[0], *strides), offset


BATCHED_VIEW = view_record("batched_view")


def view(x: Tensor, spec: Spec, offset: int) -> Tensor:
    """As :func:`raw.view`; the view is recorded outside."""
    level = level_of(x._spec.batch.depth)
    arguments = (tuple(spec.shape), spec.strides, offset)
    with recording_outside(level):
        return wrap(batched(value_at(x, level), "strided", arguments), level)


def batched(value: Tensor, name: str, arguments: tuple[Any, ...]) -> Tensor:
    """The view ``name`` of every row of ``value`` (hidden dim first)."""
    return apply_view(BATCHED_VIEW, value, (name, arguments))


class BatchedView:
    """What a view operator (or one that takes a tensor apart) does to a batched spec.

    Args:
        spec: the batched input's.
        plain: the plan for a plain tensor of the same shape and strides; it has the node's info.
        apply: from the value to its view, or views.
    """

    __slots__ = ("apply", "depth", "info", "offset", "spec")
    served_by = "view"

    def __init__(self, spec: Spec, plain: Any, apply: Callable[[Tensor], Any]) -> None:
        self.depth = spec.batch.depth
        self.info = plain.info
        self.spec = getattr(plain, "spec", None)
        self.offset = getattr(plain, "offset", 0)
        self.apply = apply

    def __call__(self, x: Tensor) -> Any:
        level = level_of(self.depth)
        with recording_outside(level):
            seen = self.apply(value_at(x, level))
        many = isinstance(seen, tuple)
        made = tuple([_linked(x, wrap(v, level)) for v in (seen if many else (seen,))])
        node = x._node
        if node is not None and mode.grad and made:
            n = JointNode() if many else Node()
            n.info = self.info
            n.sequence = next_sequence()
            n.next = (node,)
            n.saved = ()
            if many:
                n.outputs = len(made)
            for i, t in enumerate(made):
                t._node = OutputNode(n, i) if many else n
        return made if many else made[0]


def _linked(x: Tensor, view: Tensor) -> Tensor:
    """Let ``x``'s base know of ``view``."""
    base = x if x._base is None else x._base
    view._base = base
    if base._views is None:
        base._views = []
    base._views.append(reference(view))
    return view


BATCHED.bind(view=view, view_of=batched, view_plan=BatchedView)
