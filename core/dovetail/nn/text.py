"""How modules name types and lay out their lines when they print."""

from __future__ import annotations

from typing import Any

from dovetail.tensor import Tensor

__all__ = ["indent", "typename"]


def typename(value: Any) -> str:
    """The name of a value's type as PyTorch prints it (``torch.FloatTensor``, ``int``, …)."""
    if isinstance(value, Tensor):
        return str(value.type())
    cls = value if isinstance(value, type) else type(value)
    owner = cls.__module__
    return cls.__qualname__ if owner in ("builtins", None) else f"{owner}.{cls.__qualname__}"


def indent(text: str, spaces: int) -> str:
    """``text`` with every line but the first moved right; blank lines stay empty."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * spaces + line if line.strip() else "" for line in rest)])
