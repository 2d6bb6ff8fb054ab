"""In-place writes and autograd: version checks, and new history for a base and its views.

Writing through a view changes its base. If that write was recorded, the base gets a node that takes
the gradient apart (the written region, and the rest), and every live view gets its history from
the base again.
"""

from __future__ import annotations

from typing import Any

from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import BackwardInfo, Node, next_sequence, unchanged
from dovetail.spec import real_layout

__all__ = [
    "after",
    "check_writable",
    "rebase",
]


def check_writable(tensor: Any, operator: str, *, each_once: bool = True) -> None:
    """Raise PyTorch's error when an in-place write may not be recorded on ``tensor``.

    Args:
        each_once: refuse expanded tensors, whose elements would be written more than once.

    Raises:
        RuntimeError: a leaf that requires grad (or a view of one), an expanded tensor, or an
            inference tensor outside inference mode.
    """
    node = tensor._node
    if mode.grad and node is not None:
        base = tensor._base
        if node.accumulates or node.is_entry:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation."
                f" ({operator}: work under no_grad(), or on a clone())"
            )
        before = None if base is None else base._node
        if before is not None and (before.accumulates or before.is_entry):
            raise RuntimeError(
                "a view of a leaf Variable that requires grad is being used in an in-place "
                f"operation. ({operator}: work under no_grad(), or on a clone())"
            )
    spec = tensor._spec
    if (
        each_once
        and spec.numel
        and 0 in spec.strides
        and any(s == 0 and n > 1 for n, s in zip(spec.shape, spec.strides, strict=True))
    ):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation. "
            f"({operator}, shape {tuple(spec.shape)}, strides {spec.strides})"
        )
    if tensor._inference and not mode.inference:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed."
            "You can make a clone to get a normal tensor before doing inplace update."
        )


def _itself(x: Any) -> Any:
    return x


def _in_reals(x: Any, other: Any) -> tuple[tuple[Any, int], Any, Any]:
    """Where ``x`` lies, ``(spec, offset)``, in the same unit as ``other`` over the same memory.

    Where one of them is complex and the other real, both count in real numbers; the two functions
    bring a gradient of ``x`` into that form and back.
    """
    spec, offset = x._spec, x._offset
    if spec.dtype.is_complex == other._spec.dtype.is_complex or not spec.dtype.is_complex:
        return (spec, offset), _itself, _itself
    as_reals = lambda x: x._as_reals()
    return (real_layout(spec), offset * 2), as_reals, lambda x: x._as_complex()


def _strided_part(g: Any, base: Any, part: Any) -> Any:
    """The elements of ``g`` (shaped as ``base``) that ``part``, a view of base, covers."""
    laid_out = g._laid_out_as(base[0])
    return laid_out.as_strided(part[0].shape, part[0].strides, part[1] - base[1])


def after(x: Any) -> Node | None:
    """The history of a copy of ``x``: its own, with a node in between where ``x`` is a leaf."""
    node: Node | None = x._node
    if node is None or not (node.accumulates or node.is_entry):
        return node
    made = Node()
    made.info = BackwardInfo("copy", ((unchanged, (0,)),), (), (x._spec,))
    made.sequence = next_sequence()
    made.next = (node,)
    made.saved = ()
    return made


def rebase(tensor: Any, node: Node | None) -> None:
    """Give ``tensor`` the history ``node`` after a write, and its base and views theirs.

    Args:
        tensor: what was written to.
        node: the node of the value written; None when that value needs no gradient.
    """
    base = tensor._base
    if base is None:
        tensor._node = node
        if tensor._views is not None:
            _renew_views(tensor, skip=None)
        return
    if node is None and base._node is None:
        return
    where, enter, leave = _in_reals(base, tensor)
    part, _, deliver = _in_reals(tensor, base)

    def rest(g: Any) -> Any:
        whole = enter(g)._laid_out_as(where[0]).clone()
        whole = whole._laid_out_as(where[0])
        view = whole.as_strided(part[0].shape, part[0].strides, part[1] - where[1])
        view.zero_()
        return leave(whole)

    calls = ((rest, (0,)), (lambda g: deliver(_strided_part(enter(g), where, part)), (0,)))
    made = Node()
    made.info = BackwardInfo("copy_slices", calls, (), (base._spec, tensor._spec))
    made.sequence = next_sequence()
    made.next = (base._node, node)
    made.saved = ()
    base._node = made
    _renew_views(base, skip=None)


def _renew_views(base: Any, skip: Any) -> None:
    for reference in base._views or ():
        view = reference()
        if view is None or view is skip:
            continue
        if base._node is None:
            view._node = None
            continue
        where, _, leave = _in_reals(base, view)
        part, enter, _ = _in_reals(view, base)

        def whole(
            g: Any, where: Any = where, part: Any = part, enter: Any = enter, leave: Any = leave
        ) -> Any:
            return leave(enter(g)._embed(where, part))

        made = Node()
        made.info = BackwardInfo("as_strided", ((whole, (0,)),), (), (base._spec,))
        made.sequence = next_sequence()
        made.next = (base._node,)
        made.saved = ()
        view._node = made
