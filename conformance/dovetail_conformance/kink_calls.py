"""Calls for any library with PyTorch's names: what the tables of kinks are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Call", "find", "first", "plain"]

Call = Callable[..., Any]
"""``call(library, *tensors)``; its result, or the sum of its results, is differentiated."""


def first(index: int, *names: str, **options: Any) -> Call:
    """One output of a function of the library, found by its dotted name."""

    def call(lib: Any, *tensors: Any) -> Any:
        return find(lib, names[0])(*tensors, **options)[index]

    return call


def plain(name: str, *after: Any, **options: Any) -> Call:
    """A function of the library, with these behind the tensors."""

    def call(lib: Any, *tensors: Any) -> Any:
        return find(lib, name)(*tensors, *after, **options)

    return call


def find(lib: Any, name: str) -> Any:
    """What the library has under a dotted name."""
    for part in name.split("."):
        lib = getattr(lib, part)
    return lib
