"""Which kernel of a device's table serves a call, and how it is called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovetail.backend.api import Kernel, KernelTable
    from dovetail.ops.schema import CallFacts, OpDef

__all__ = ["bind_kernel", "find_kernel", "fitting_entry", "select_kernel"]


def select_kernel(op: OpDef, facts: CallFacts, dtypes: tuple[Any, ...], state: Any) -> Any:
    """The table's entry for this call, or None."""
    first = next((d for d in dtypes if d is not None), None)
    return find_kernel(op.name, facts, first, state)


def find_kernel(name: str, facts: CallFacts, dtype: Any, state: Any) -> Any:
    """The entry of a name for this call, whose first input is computed in ``dtype``; or None."""
    return fitting_entry(state.table, name, facts, dtype)


def fitting_entry(table: KernelTable, name: str, facts: CallFacts, dtype: Any) -> Kernel | None:
    """The same in a table that is no device's yet."""
    for entry in table.entries(name):
        if entry.dtypes is not None and dtype is not None and dtype not in entry.dtypes:
            continue
        if entry.when is None or entry.when(facts):
            return entry
    return None


def bind_kernel(entry: Kernel, facts: CallFacts) -> Callable[..., Any]:
    """The function to call with arrays: specialised for the call, or with attributes bound."""
    function = entry.function
    if entry.specialize:
        made: Callable[..., Any] = function(facts)
        return made
    return functools.partial(function, **facts.attributes) if facts.attributes else function
