"""Whose memory it is, after an in-place operation that was recorded.

Such an operation computes its result apart, for backward may need what was there before. The graph
then holds the written tensor in place of the result, as in PyTorch, and where nobody else looks at
the written tensor's memory, it takes over the result's and nothing is copied.
"""

from __future__ import annotations

import sys
from typing import Any

from dovetail.autograd.graph import Node, OutputNode, output_alias

__all__ = ["can_take_over", "saved_in_place"]


def _holders(tensor: Any) -> int:
    """A number that grows with each tensor over the same storage."""
    return sys.getrefcount(tensor._storage)


class _Probe:
    def __init__(self) -> None:
        self._storage = object()


_ALONE = _holders(_Probe())


def _saved(node: Any, result: Any) -> list[int]:
    """Where a node has saved ``result``."""
    own = node.parent if isinstance(node, OutputNode) else node
    if not isinstance(own, Node) or not own.saved:
        return []
    return [
        i
        for i in range(0, len(own.saved), 2)
        if own.saved[i + 1] is not None
        and own.saved[i]._spec is result._spec
        and own.saved[i]._storage is result._storage
        and own.saved[i]._array is result._array
    ]


def can_take_over(target: Any, result: Any) -> bool:
    """Whether ``target`` may have the memory of ``result``: it is a computed tensor, all of its
    memory, on a device that shares it with no array of the host, and nobody else has part in
    either."""
    node, storage = target._node, target._storage
    if node is None or node.accumulates or node.is_entry or storage is None:
        return False
    if storage.state.host_arrays or result._storage is None or storage is result._storage:
        return False
    if target._spec is not result._spec or target._offset or result._offset:
        return False
    if target._base is not None or result._base is not None:
        return False
    if any(view() is not None for view in target._views or ()):
        return False
    del storage
    own = len(_saved(result._node, result))
    return _holders(target) == _ALONE and _holders(result) == _ALONE + own


def saved_in_place(node: Any, result: Any, target: Any) -> None:
    """Let a node that has saved ``result`` hold ``target``, which has its values now."""
    places = _saved(node, result)
    if not places:
        return
    own = node.parent if isinstance(node, OutputNode) else node
    saved = list(own.saved)
    for i in places:
        saved[i] = output_alias(target)
        saved[i + 1] = target._version
    own.saved = tuple(saved)
