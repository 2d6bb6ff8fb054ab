"""Constants of which there is one object for each name."""

from __future__ import annotations

__all__ = ["Named"]


class Named:
    """A constant that is compared by identity; a copy is the object itself, a pickle its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name
