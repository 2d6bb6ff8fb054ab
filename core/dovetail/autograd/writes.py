"""In-place writes as a storage counts them: how often, by whom, and in which line of the user's."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterable
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovetail.autograd.graph import Node

__all__ = ["modified_error", "note_write", "note_writes", "user_line"]

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


_inside: dict[str, bool] = {}  # files: whether they are this package's


def _user_frame(inside: int = 2) -> tuple[CodeType, int] | None:
    frame = sys._getframe(inside)
    while frame is not None:
        name = frame.f_code.co_filename
        is_inside = _inside.get(name)
        if is_inside is None:
            is_inside = _inside[name] = name.startswith((_HOME, "<dovetail"))
        if not is_inside:
            return frame.f_code, frame.f_lasti
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _describe(place: tuple[CodeType, int] | None) -> str:
    if place is None:
        return "an unknown line"
    code, instruction = place
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= instruction < end and number is not None:
            line = number
    text = linecache.getline(code.co_filename, line).strip()
    return f'File "{code.co_filename}", line {line}, in {code.co_name}' + (
        f"\n    {text}" if text else ""
    )


def user_line() -> str:
    """The nearest caller outside this package, as a traceback entry."""
    return _describe(_user_frame())


def note_write(storage: Any, operator: str) -> None:
    """Count an in-place write to ``storage`` and remember who did it."""
    storage.version += 1
    storage.writer = (operator, _user_frame())


def note_writes(storages: Iterable[Any], operator: str, callers: int = 0) -> None:
    """The same for many that one call writes to.

    Args:
        callers: so many functions up the stack are known to be this package's: a frame that is not
            looked at is not made.
    """
    writer = (operator, _user_frame(2 + callers))
    for storage in storages:
        storage.version += 1
        storage.writer = writer


def modified_error(node: Node, value: Any, version: int) -> RuntimeError:
    """PyTorch's error for a saved tensor that was written to, with who wrote it and where."""
    storage = value._storage
    operator, place = storage.writer or ("an in-place operation", None)
    kind = f"{value.device.type}.{value.dtype.name} {list(value.shape)}"
    forward = f"\nThe forward call of {node.name()} was at:\n{node.line}" if node.line else ""
    return RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: [{kind}], saved by {node.name()}, is at version {storage.version}; "
        f"expected version {version} instead. It was last written by {operator} at\n"
        f"  {_describe(place)}\n"
        "Write out of place there, or clone() the tensor before the operation that saves it."
        f"{forward}"
    )
