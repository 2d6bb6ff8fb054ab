"""Hooks on what the graph saves: ``saved_tensors_hooks``, ``save_on_cpu``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

__all__ = ["save_on_cpu", "saved_tensors_hooks", "special", "unpack_hooks"]

special: list[Any] = []
"""Not empty once saving needs more than a glance: pack hooks, or inference tensors may exist."""

unpack_hooks: list[tuple[int, Callable[[Any], Any], Callable[[Any], Any]]] = []
"""(thread, pack, unpack) of every active ``saved_tensors_hooks``, the innermost last."""


class saved_tensors_hooks:
    """Inside the block, what is saved for backward is ``pack_hook(tensor)``, and comes back through
    ``unpack_hook``.

    Args:
        pack_hook: called with each tensor when it is saved; returns anything.
        unpack_hook: called with what pack_hook returned; returns a tensor of the same values.

    Source: PyTorch's ``torch.autograd.graph.saved_tensors_hooks``.
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook
        self._entries: list[tuple[int, Any, Any]] = []

    def __enter__(self) -> None:
        entry = (threading.get_ident(), self.pack_hook, self.unpack_hook)
        self._entries.append(entry)
        unpack_hooks.append(entry)
        special.append(entry)

    def __exit__(self, *exc: object) -> None:
        entry = self._entries.pop()
        for entries in (unpack_hooks, special):
            for i in range(len(entries) - 1, -1, -1):
                if entries[i] is entry:
                    del entries[i]
                    break


class save_on_cpu(saved_tensors_hooks):
    """What is saved for backward waits in host memory and is copied back when needed."""

    def __init__(self, pin_memory: bool = False, device_type: str | None = None) -> None:
        super().__init__(lambda x: (x.device, x.cpu()), lambda packed: packed[1].to(packed[0]))
