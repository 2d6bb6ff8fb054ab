"""A layer's own tensors, read at every call."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovetail.nn.module import Module

__all__ = ["affine_of", "reader"]


def reader(*names: str, table: str = "_parameters") -> Callable[[Module], Any]:
    """``read(module)``: two or more of its parameters (or buffers), in the order of their names.

    They come straight from the table, for an attribute that a module has not is looked up in four
    places; where one is not in the table it is computed, or was replaced by a plain attribute.
    """
    from_table = itemgetter(*names)

    def read(module: Module) -> Any:
        """The module's own, or what stands for them."""
        try:
            return from_table(module.__dict__[table])
        except KeyError:
            return tuple([getattr(module, name) for name in names])

    return read


affine_of = reader("weight", "bias")
"""A layer's scale or matrix, and its shift, either of which may be None."""
