"""Warnings that point to the line of the program that caused them."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings

__all__ = ["is_warn_always_enabled", "set_warn_always", "warn"]

_INSIDE = (os.path.dirname(os.path.abspath(__file__)) + os.sep, "<dovetail", contextlib.__file__)


def warn(message: str | Warning, category: type[Warning] | None = None) -> None:
    """``warnings.warn`` at the nearest caller outside dovetail, however deep the call is."""
    if not _always:
        warnings.warn(message, category, stacklevel=_to_the_caller())
        return
    frame = sys._getframe(_to_the_caller() - 1)
    kind = type(message) if isinstance(message, Warning) else category or UserWarning
    # Without a registry nobody remembers that it was said before.
    warnings.warn_explicit(message, kind, frame.f_code.co_filename, frame.f_lineno)


_always = False


def set_warn_always(b: bool, /) -> None:
    """Whether a warning is given each time; else Python gives it once for each line it is of.

    Raises:
        TypeError: not a bool.

    Example:
        >>> dt.set_warn_always(True)
        >>> dt.is_warn_always_enabled()
        True
        >>> dt.set_warn_always(False)
    """
    global _always
    if not isinstance(b, bool):
        raise TypeError(f"set_warn_always expects a bool, but got {type(b).__name__}")
    _always = b


def is_warn_always_enabled() -> bool:
    """Whether a warning is given each time; see :func:`set_warn_always`.

    Example:
        >>> dt.is_warn_always_enabled()
        False
    """
    return _always


def _to_the_caller() -> int:
    """The stack level, for a warning of the caller, of the first line outside dovetail."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    return level
