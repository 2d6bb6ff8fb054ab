"""The handle that every ``register_*_hook`` returns (PyTorch's ``torch.utils.hooks`` page)."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["RemovableHandle", "add_hook"]


class RemovableHandle:
    """Removes one hook from the table it was put in; also usable as a context manager.

    Tables are held weakly, so a handle never keeps a module or a tensor alive.

    Args:
        hooks_dict: the table (an ``OrderedDict``) that maps ``id`` to the hook.
        extra_dict: a table, or a list of tables, whose entry of the same ``id`` goes too.
    """

    _ids = itertools.count()

    def __init__(self, hooks_dict: OrderedDict[int, Any], *, extra_dict: Any = None) -> None:
        self.id: int = next(RemovableHandle._ids)
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        tables = [extra_dict] if isinstance(extra_dict, dict) else (extra_dict or [])
        self.extra_dict_ref = tuple(weakref.ref(table) for table in tables)

    def remove(self) -> None:
        """Take the hook out of its table; a second call does nothing."""
        for reference in (self.hooks_dict_ref, *self.extra_dict_ref):
            table = reference()
            if table is not None:
                table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def __getstate__(self) -> tuple[Any, ...]:
        tables = tuple(reference() for reference in self.extra_dict_ref)
        return self.hooks_dict_ref(), self.id, tables

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        table, self.id, extras = state
        # A table that died before pickling leaves a handle whose remove() does nothing.
        self.hooks_dict_ref = weakref.ref(OrderedDict() if table is None else table)
        self.extra_dict_ref = tuple(weakref.ref(extra) for extra in extras if extra is not None)
        # Ids handed out from here on must not collide with the one that came in.
        RemovableHandle._ids = itertools.count(max(next(RemovableHandle._ids), self.id + 1))


def add_hook(
    table: OrderedDict[int, Any],
    hook: Callable[..., Any],
    *,
    prepend: bool = False,
    flags: list[OrderedDict[int, bool]] | None = None,
) -> RemovableHandle:
    """Put ``hook`` in ``table`` (first if ``prepend``), mark its id in ``flags``, and return its handle."""
    handle = RemovableHandle(table, extra_dict=flags)
    table[handle.id] = hook
    for flag in flags or ():
        flag[handle.id] = True
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle
