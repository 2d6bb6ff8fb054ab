"""Nested arguments and results: tuples, lists, dicts and named tuples, taken apart and rebuilt.

Only these exact types are opened; anything else (a tensor, a number, None) is a leaf.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["TreeSpec", "broadcast_prefix", "flatten", "leaves", "tree_map", "unflatten"]


@dataclass(frozen=True)
class TreeSpec:
    """The structure of nested containers, without what they hold.

    Attributes:
        kind: the container's type; None for a leaf.
        context: the keys of a dict, the type of a named tuple.
        children: a TreeSpec per entry.
    """

    kind: Any = None
    context: Any = None
    children: tuple[TreeSpec, ...] = ()

    @property
    def num_leaves(self) -> int:
        """How many leaves there are."""
        return 1 if self.kind is None else sum(c.num_leaves for c in self.children)

    def __repr__(self) -> str:
        if self.kind is None:
            return "*"
        inner = ", ".join(map(repr, self.children))
        name = self.context.__name__ if self.kind == "namedtuple" else self.kind.__name__
        keys = f"{list(self.context)}, " if isinstance(self.context, tuple) else ""
        return f"{name}({keys}[{inner}])"


LEAF = TreeSpec()


def _open(tree: Any) -> tuple[Any, Any, Iterable[Any]] | None:
    """(kind, context, entries) of a container; None for a leaf."""
    kind = type(tree)
    if kind is tuple or kind is list:
        return kind, None, tree
    if kind in (dict, OrderedDict, defaultdict):
        return kind, tuple(tree), tree.values()
    if isinstance(tree, tuple) and hasattr(kind, "_fields"):
        return "namedtuple", kind, tree
    return None


def flatten(tree: Any) -> tuple[list[Any], TreeSpec]:
    """The leaves of ``tree`` in order, and its structure."""
    opened = _open(tree)
    if opened is None:
        return [tree], LEAF
    kind, context, entries = opened
    found: list[Any] = []
    children = []
    for entry in entries:
        some, spec = flatten(entry)
        found += some
        children.append(spec)
    return found, TreeSpec(kind, context, tuple(children))


def leaves(tree: Any) -> list[Any]:
    """The leaves of ``tree`` in order."""
    return flatten(tree)[0]


def unflatten(values: Iterable[Any], spec: TreeSpec) -> Any:
    """A tree of this structure that holds ``values``."""
    return _build(iter(values), spec)


def _build(values: Any, spec: TreeSpec) -> Any:
    if spec.kind is None:
        return next(values)
    entries = [_build(values, child) for child in spec.children]
    if spec.kind == "namedtuple":
        return spec.context(*entries)
    if isinstance(spec.context, tuple):
        pairs = zip(spec.context, entries, strict=True)
        return OrderedDict(pairs) if spec.kind is OrderedDict else dict(pairs)
    return spec.kind(entries)


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """``tree`` with ``function`` applied to each leaf."""
    found, spec = flatten(tree)
    return unflatten([function(x) for x in found], spec)


def broadcast_prefix(prefix: Any, spec: TreeSpec) -> list[Any] | None:
    """An entry of ``prefix`` per leaf of ``spec``, where one may stand for a whole subtree.

    None where the two do not fit.
    """
    opened = _open(prefix)
    if opened is None:
        return [prefix] * spec.num_leaves
    kind, context, entries = opened
    if kind is not spec.kind or context != spec.context:
        return None
    listed = list(entries)
    if len(listed) != len(spec.children):
        return None
    found: list[Any] = []
    for entry, child in zip(listed, spec.children, strict=True):
        some = broadcast_prefix(entry, child)
        if some is None:
            return None
        found += some
    return found
