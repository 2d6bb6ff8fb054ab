"""The handle that every ``register_*_hook`` returns (PyTorch's ``torch.utils.hooks`` page)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from dovetail.autograd.hooks import RemovableHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["RemovableHandle", "add_hook"]


def add_hook(
    table: OrderedDict[int, Any],
    hook: Callable[..., Any],
    *,
    prepend: bool = False,
    flags: Sequence[OrderedDict[int, bool]] = (),
) -> RemovableHandle:
    """Put ``hook`` in ``table`` (first if ``prepend``) and its id in the tables ``flags``."""
    handle = RemovableHandle(table, *flags)
    while handle.id in table:
        # The table was unpickled: it has ids of another process.
        handle = RemovableHandle(table, *flags)
    table[handle.id] = hook
    for flag in flags:
        flag[handle.id] = True
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle
