"""How a device must serve one concrete call, read from its table alone.

Nothing of the dispatcher's own choice is shared, so that the two can be held against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dovetail import raw
from dovetail.backend.state import state_of
from dovetail.device import device as Device
from dovetail.device import resolve
from dovetail.dry_run import HOST_REFUSES, would_go_to_the_host
from dovetail.ops.schema import REGISTRY, CallFacts, OpDef
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__ = ["expected_label"]

_COPIES = ("copy_to", "clone", "clone_record")
"""Records whose work the primitive ``copy`` does."""


def expected_label(
    op: str,
    device: Device | str | int,
    inputs: Sequence[Any],
    attributes: Sequence[Any] = (),
    outputs: Sequence[Any] = (),
) -> str:
    """How ``device`` must serve one call: kernel, fused, decomposed, host or none.

    Args:
        op: the operator's name.
        inputs: in the record's order: tensors or their Specs, numbers or their types, None.
        attributes: in the record's order.
        outputs: tensors or Specs that come out; needed where no tensor goes in.

    Returns:
        The label; ``view`` for a view, which no kernel serves.

    Raises:
        KeyError: there is no operator of that name.

    Example:
        >>> import dovetail as dt
        >>> x = dt.ones(3)
        >>> expected_label("add", "cpu", (x, 2.0)), expected_label("add", "cpu", (x > 0, 1))
        ('kernel', 'kernel')
    """
    record = REGISTRY[op]
    state = state_of(resolve(device))
    if record.kind == "view":
        return "view"
    if op in _COPIES:
        return "kernel"
    facts = tuple(map(_fact, inputs))
    values = dict(zip(record.attributes, attributes, strict=False))
    first = next((f.dtype for f in facts if isinstance(f, Spec)), None)
    if first is not None and first not in record.accepts:
        return "none"
    takes, outs = _rule(record, facts, values, state.device)
    if outputs:
        outs = tuple(_fact(x) for x in outputs)
    if record.kind == "elementwise" and any(k not in record.accepts for k in takes if k):
        return "none"
    if any(k not in state.dtypes for k in (*takes, *(o.dtype for o in outs)) if k):
        return "none"
    call = CallFacts(record, facts, outs, values)
    known = next((k for k in takes if k), None) or (outs[0].dtype if outs and not facts else None)
    for entry in state.table.entries(op):
        takes_dtype = entry.dtypes is None or known is None or known in entry.dtypes
        if takes_dtype and (entry.when is None or entry.when(call)):
            return "kernel" if record.decompose is None else "fused"
    if record.decompose is not None:
        return "decomposed"
    if state.host_arrays or record.kind in HOST_REFUSES or not would_go_to_the_host(call):
        return "none"
    return "host"


def _fact(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x._spec
    return x if x is None or isinstance(x, (Spec, type)) else type(x)


def _rule(
    op: OpDef, facts: tuple[Any, ...], values: dict[str, Any], device: Device
) -> tuple[tuple[Any, ...], tuple[Spec, ...]]:
    """The dtypes that a kernel would take the inputs in, and the outputs' specs."""
    own = tuple(f.dtype if isinstance(f, Spec) else None for f in facts)
    if not facts:
        return own, ()
    if op.infer is None:
        if not state_of(device).table.entries(op.name):
            return own, ()
        return own, _by_running(op, facts, values, device)
    inferred = op.infer(*facts, **values)
    takes = tuple(c or o for c, o in zip(inferred.compute, own, strict=True))
    outs = tuple(
        spec_of(tuple(o[0]), o[1], device, o[2] if len(o) > 2 else None) for o in inferred.outs
    )
    return takes, outs


def _by_running(
    op: OpDef, facts: tuple[Any, ...], values: dict[str, Any], device: Device
) -> tuple[Spec, ...]:
    """The outputs of a composite without a shape rule: its decomposition on meta."""
    assert op.decompose is not None
    meta = Device("meta")
    ghosts = [raw.empty(f.to(device=meta)) if isinstance(f, Spec) else f for f in facts]
    ghosts = [g(1) if isinstance(g, type) else g for g in ghosts]  # a number of its type
    made = op.decompose(*ghosts, **values)
    outs = made if isinstance(made, tuple) else (made,)
    return tuple(o._spec.to(device=device) for o in outs)
