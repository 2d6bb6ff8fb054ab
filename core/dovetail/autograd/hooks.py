"""Hooks on tensors and nodes, and what anomaly detection checks while backward runs."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

__all__ = [
    "RemovableHandle",
    "add_hook",
    "after_accumulate",
    "after_node",
    "anomaly",
    "check_nan",
    "explain",
    "leaf_lock",
    "on_arrival",
]

leaf_lock = threading.Lock()
anomaly: list[bool] = []  # not empty while detect_anomaly is active; its items say check_nan
_ids = itertools.count()


class RemovableHandle:
    """What registering a hook returns; ``remove()`` takes the hook off. Also a context."""

    def __init__(self, table: dict[int, Any], *also: dict[int, Any]) -> None:
        self.id = next(_ids)
        self._tables = (table, *also)

    def remove(self) -> None:
        """Take the hook off; doing it twice is fine."""
        for table in self._tables:
            table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def add_hook(node: Any, kind: str, hook: Callable[..., Any]) -> RemovableHandle:
    """Enter ``hook`` into a node's table of ``kind``."""
    table = getattr(node, kind)
    if table is None:
        table = {}
        setattr(node, kind, table)
        node.is_special = True
    handle = RemovableHandle(table)
    table[handle.id] = hook
    return handle


def on_arrival(node: Any, g: Any) -> Any:
    """What a special node does with an arriving gradient: tensor hooks, retain_grad, pre-hooks."""
    for hook in tuple((node._tensor_hooks or {}).values()):
        changed = hook(g)
        if changed is not None:
            if not hasattr(changed, "_spec"):
                raise TypeError(f"hook must return a Tensor or None, got {type(changed).__name__}")
            g = changed
    if node._retain is not None:
        tensor = node._retain()
        if tensor is not None:
            tensor.grad = g if tensor.grad is None else tensor.grad + g
    many = isinstance(g, list)
    for hook in tuple((node._prehooks or {}).values()):
        changed = hook(_tuple(g))
        if changed is not None:
            g = list(changed) if many else _tuple(changed)[0]
    return g


def _tuple(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else tuple(x) if isinstance(x, list) else (x,)


def after_node(node: Any, parts: Any, g: Any) -> Any:
    """Run a node's hooks on the gradients of its inputs."""
    for hook in tuple((node._hooks or {}).values()):
        changed = hook(tuple(parts), _tuple(g))
        if changed is not None:
            parts = _tuple(changed)
    return parts


def after_accumulate(node: Any, leaf: Any) -> None:
    """Run the hooks that follow accumulation into a leaf."""
    for hook in tuple(node._post_hooks.values()):
        hook(leaf)


def explain(node: Any, error: BaseException) -> None:
    """Under anomaly detection, say where the forward call of a failing node was."""
    if node.line and not getattr(error, "_explained", False):
        error.args = (f"{error}\nThe forward call of {node.name()} was at:\n{node.line}",)
        error._explained = True  # type: ignore[attr-defined]


def check_nan(node: Any, parts: Any) -> None:
    """Raise when a gradient that ``node`` returned has a NaN."""
    if not anomaly[-1]:
        return
    for i, part in enumerate(parts):
        if part is not None and part.dtype.category >= 2 and bool((part != part).any()):
            where = f"\nThe forward call was at:\n{node.line}" if node.line else ""
            raise RuntimeError(
                f"Function '{node.name()}' returned nan values in its {i}th output.{where}"
            )
