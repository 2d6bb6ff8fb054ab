"""Watching calls: the trace, the host-fallback ledger, inference marks and anomaly lines.

``active`` is what every call tests; while it is not empty, calls go through :func:`run`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from dovetail.autograd import hooks
from dovetail.autograd.mode import mode
from dovetail.autograd.writes import user_line

if TYPE_CHECKING:
    from dovetail.ops.schema import OpDef
    from dovetail.tensor import Tensor

__all__ = [
    "AUTOCAST", "Event", "Watcher", "active", "is_bystander", "is_watched", "run", "trace",
]  # fmt: skip

active: list[Any] = []
"""Not empty while somebody watches: traces, :class:`Watcher` objects, marks of inference mode,
anomaly detection and autocast."""

AUTOCAST = object()
"""Stands in :data:`active` for a thread in which autocast is on."""


def is_watched() -> bool:
    """Whether there is more in :data:`active` than autocast, to which most calls are no matter."""
    return active.count(AUTOCAST) != len(active) and not mode.unseen


def is_bystander() -> bool:
    """Whether all that is in :data:`active` is autocast, which is off for the call at hand: another
    thread's, or outside of an operator that has been cast."""
    return mode.autocast is None and active.count(AUTOCAST) == len(active)


class Watcher:
    """Base of those who must see each call's inputs and results; put it into :data:`active`.

    A call inside a decomposition is entered and left between its caller's two.
    """

    def enter(
        self, op: OpDef, plan: Callable[..., Any], inputs: tuple[Any, ...], attributes: Any
    ) -> None:
        """A call begins; ``attributes`` are in the record's order (``()`` where unknown)."""

    def leave(self, op: OpDef, result: Any) -> None:
        """The call that was entered last is done; ``result`` is None where it raised."""


@dataclass(frozen=True)
class Event:
    """One dispatch, as the trace saw it.

    Attributes:
        op: the operator's name.
        device: where it ran.
        served_by: ``kernel``, ``fused``, ``decomposed``, ``host`` or ``view``.
        packs: inputs that had to be packed first.
        depth: how many decompositions it is inside of.
        milliseconds: host time, including what it calls.
    """

    op: str
    device: str
    served_by: str
    packs: int
    depth: int
    milliseconds: float


_depth = 0


def run(op: OpDef, plan: Callable[..., Any], inputs: tuple[Any, ...], attributes: Any = ()) -> Any:
    """Run a plan while somebody watches."""
    if not is_watched():
        return plan(*inputs)
    global _depth
    watchers = [w for w in active if isinstance(w, Watcher)]
    for watcher in watchers:
        watcher.enter(op, plan, inputs, attributes)
    result = None
    _depth += 1
    start = time.perf_counter()
    try:
        result = plan(*inputs)
    finally:
        _depth -= 1
        for watcher in watchers:
            watcher.leave(op, result)
    elapsed = (time.perf_counter() - start) * 1e3
    outs = result if isinstance(result, tuple) else (result,)
    traces = [w for w in active if isinstance(w, list)]
    if traces:
        device = next((str(x._spec.device) for x in (*outs, *inputs) if hasattr(x, "_spec")), "")
        served_by, packs = getattr(plan, "served_by", "kernel"), getattr(plan, "packs", 0)
        for events in traces:
            events.append(Event(op.name, device, served_by, packs, _depth, elapsed))
    if mode.inference:
        for x in outs:
            if hasattr(x, "_spec"):
                x._inference = True
    if hooks.anomaly:
        _note_line(outs)
    return result


def _note_line(outs: tuple[Any, ...]) -> None:
    for x in outs:
        node = getattr(x, "_node", None)
        if node is not None and not node.accumulates:
            node = getattr(node, "parent", node)
            if node.line is None:
                node.line = user_line()


@overload
def trace(input: None = None) -> contextlib.AbstractContextManager[list[Event]]: ...
@overload
def trace(input: Tensor) -> Tensor: ...


def trace(input: Tensor | None = None) -> Any:
    """Record every dispatch inside the block; or, as PyTorch has it, sum a matrix's diagonal.

    Args:
        input: a matrix; see :meth:`Tensor.trace`. None: the recorder.

    Example:
        >>> import dovetail as dt
        >>> with dt.trace() as events:
        ...     _ = dt.ones(3) + 1
        >>> [e.op for e in events]
        ['fill', 'add']
        >>> dt.trace(dt.eye(3))
        tensor(3.)
    """
    return _recorded() if input is None else input.trace()


@contextlib.contextmanager
def _recorded() -> Iterator[list[Event]]:
    events: list[Event] = []
    active.append(events)
    try:
        yield events
    finally:
        active[:] = [w for w in active if w is not events]
