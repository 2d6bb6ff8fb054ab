"""``x.<name>()`` for every registered backend: the method that moves a tensor there.

The methods are made when the names become known (no later than the first tensor), so that looking
up an attribute of a tensor costs what it always does.
"""

from __future__ import annotations

from typing import Any

from dovetail.backend.loader import registry
from dovetail.device import device as Device
from dovetail.tensor import Tensor

__all__ = ["attach"]

_attached: set[str] = set()


def attach() -> None:
    """Give ``Tensor`` a method per backend known so far, and take away those of backends gone."""
    names = registry.known()
    for name in _attached.difference(names):
        _attached.discard(name)
        delattr(Tensor, name)
    for name in names:
        if not hasattr(Tensor, name):  # the core's own methods (cpu, cuda) stay
            setattr(Tensor, name, _mover(name))
            _attached.add(name)


def _mover(name: str) -> Any:
    def move(
        self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None
    ) -> Tensor:
        where = name if device is None else device
        if isinstance(where, int):
            where = Device(name, where)
        return self.to(where, non_blocking=non_blocking, memory_format=memory_format)  # type: ignore[attr-defined, no-any-return]

    move.__name__ = name
    move.__qualname__ = f"Tensor.{name}"
    move.__doc__ = f"This tensor on a device of {name}: its current one, or that of an index."
    return move
