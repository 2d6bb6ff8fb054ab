"""Warnings that point to the line of the program that caused them."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings

__all__ = ["warn"]

_INSIDE = (os.path.dirname(os.path.abspath(__file__)) + os.sep, "<dovetail", contextlib.__file__)


def warn(message: str | Warning, category: type[Warning] | None = None) -> None:
    """``warnings.warn`` at the nearest caller outside dovetail, however deep the call is."""
    warnings.warn(message, category, stacklevel=_to_the_caller())


def _to_the_caller() -> int:
    """The stack level, for a warning of the caller, of the first line outside dovetail."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    return level
