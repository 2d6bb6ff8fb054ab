"""Which transforms are running: a stack of levels, and which of them a graph leads to.

A ``vmap`` level hides one dim of tensors. A gradient level (of ``grad``, ``vjp``, ``jvp``, …) puts
an *entry*, a node that changes nothing, in front of each tensor that it differentiates; the entry
leads on to the history that the tensor had outside. Numbers of levels grow, so of two levels that
are alive the one with the higher number is inside of the other. See
``docs/decisions/function-transforms.md``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import BackwardInfo, Node, next_sequence, unchanged
from dovetail.tensor import Tensor

__all__ = [
    "Entry", "Level", "any_lives", "entered", "is_recorded_inside", "leads_out", "lives", "opened",
    "reach", "settled",
]  # fmt: skip

_numbers = itertools.count(1).__next__


class Level:
    """One running transform.

    Attributes:
        number: grows; levels inside of this one have higher ones.
        alive: until the transform has returned.
        size: how long the hidden dim is (``vmap``); -1 for a gradient level.
        depth: how many vmaps there are, this one included.
        grad: whether what is outside of this ``vmap`` is recorded.
        randomness: ``error``, ``different`` or ``same``.
    """

    __slots__ = ("alive", "depth", "grad", "number", "randomness", "size")

    def __init__(self, size: int = -1, grad: bool = True, randomness: str = "error") -> None:
        self.number = _numbers()
        self.alive = True
        self.size = size
        self.depth = 0
        self.grad = grad
        self.randomness = randomness


class _Leaves:
    """What stands for the leaves of the graph: outside of every level, and always alive."""

    number = 0
    alive = True


_LEAVES = _Leaves()


@contextmanager
def opened(size: int, grad: bool, randomness: str = "error") -> Iterator[Level]:
    """A vmap level, for the block."""
    level = Level(size, grad, randomness)
    outer = mode.maps
    mode.maps = (*outer, level)
    level.depth = len(mode.maps)
    try:
        yield level
    finally:
        mode.maps = outer
        level.alive = False


# ------------------------------------------------------------------ entries


class Entry(Node):
    """Where a gradient level begins: the gradient that arrives is what the level asks for."""

    __slots__ = ("level",)
    level: Level
    is_entry = True


def entered(x: Tensor, level: Level) -> Tensor:
    """``x`` as a variable of a gradient level: the same memory, behind an entry.

    Raises:
        RuntimeError: neither floating-point nor complex.
    """
    if x._spec.dtype.category < 2:
        raise RuntimeError("only Tensors of floating point dtype can require gradients")
    made = x._alias()
    node = Entry()
    node.info = BackwardInfo("alias", ((unchanged, (0,)),), (), (x._spec,), None, (x._spec,))
    node.sequence = next_sequence()
    node.next = (x._node,)
    node.saved = ()
    node.level = level
    made._node = node
    return made


_NOTHING: frozenset[Any] = frozenset()


def reach(node: Node | None) -> frozenset[Any]:
    """The levels that are alive and that ``node`` leads to; the leaves count as one.

    What was found is kept with each node, so that a graph that grows is walked once.
    """
    if node is None:
        return _NOTHING
    found = node.__dict__.get("_reach")
    if found is None:
        found = _walk(node)
    for level in found:
        if not level.alive:
            return frozenset(n for n in found if n.alive)
    return found


def _walk(root: Node) -> frozenset[Any]:
    stack = [root]
    while stack:
        node = stack[-1]
        notes = node.__dict__
        if "_reach" in notes:
            stack.pop()
            continue
        if node.accumulates:
            notes["_reach"] = frozenset((_LEAVES,))
            continue
        waiting = [n for n in node.next if n is not None and "_reach" not in n.__dict__]
        if waiting:
            stack.extend(waiting)
            continue
        found: set[Any] = set()
        for following in node.next:
            if following is not None:
                found.update(following.__dict__["_reach"])
        if type(node) is Entry:
            found.add(node.level)
        notes["_reach"] = frozenset(n for n in found if n.alive)
    found_here: frozenset[Any] = root.__dict__["_reach"]
    return found_here


def leads_out(node: Node | None, level: Level) -> bool:
    """Whether ``node`` has a history outside of ``level``."""
    return any(n.number < level.number for n in reach(node))


def is_recorded_inside(node: Node | None, level: Level) -> bool:
    """Whether a gradient level inside of ``level`` asks for what ``node`` leads to."""
    return any(n.number > level.number for n in reach(node))


def lives(node: Node | None) -> bool:
    """Whether anybody still asks for what ``node`` leads to."""
    return bool(reach(node))


def settled(x: Tensor, keep: bool = True) -> Tensor:
    """A result without the history that nobody asks for once its level has ended."""
    if x._node is None or (keep and lives(x._node)):
        return x
    made = x._alias()
    made._node = None
    return made


def any_lives(tensors: Iterable[Any]) -> bool:
    """Whether anybody outside asks for what one of these leads to."""
    return any(lives(t._node) for t in tensors if isinstance(t, Tensor))
