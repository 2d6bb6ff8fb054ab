"""What a name that a module lacks was probably meant to be."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

__all__ = ["AbsentName", "meant"]

_PLACES = {
    "dovetail": ("", "nn", "optim", "autograd", "utils.data", "nn.functional"),
    "dovetail.linalg": ("",),
    "dovetail.nn": ("", "functional"),
    "dovetail.nn.functional": ("",),
    "dovetail.optim": ("", "Optimizer"),
    "dovetail.utils.data": ("",),
}
"""Where a module's missing names are looked for; empty for the module itself."""


class AbsentName(AttributeError):
    """A module has no such attribute.

    Most are raised for ``hasattr`` and caught unread, so near names are looked for when the
    message is read.
    """

    def __init__(self, module: str, absent: str) -> None:
        super().__init__(module, absent)

    def __str__(self) -> str:
        module, absent = self.args
        return f"module {module!r} has no attribute {absent!r}{meant(module, absent)}"


def meant(module: str, name: str) -> str:
    """``; did you mean 'optim'?`` for a name near others; empty where none is near.

    Args:
        module: one of dovetail's that has a row in the table of places.

    >>> meant("dovetail", "np_grad")
    "; did you mean 'no_grad' or 'autograd.grad'?"
    """
    if name.startswith("_"):
        return ""
    known: dict[str, str] = {}
    for place in _PLACES[module]:
        for found in _names(module, place):
            known.setdefault(found.lower(), f"{place}.{found}" if place else found)
    near = difflib.get_close_matches(name.lower(), known, n=2, cutoff=_how_near(name))
    return f"; did you mean {' or '.join(repr(known[key]) for key in near)}?" if near else ""


def _how_near(name: str) -> float:
    """The least likeness of a hint: of a short name one letter is much."""
    return 0.85 if len(name) <= 3 else 0.7


def _names(module: str, place: str) -> list[str]:
    found: Any = importlib.import_module(module)
    for part in filter(None, place.split(".")):
        found = getattr(found, part)
    return [name for name in dir(found) if not name.startswith("_")]
