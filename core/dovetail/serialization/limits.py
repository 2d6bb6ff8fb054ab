"""What a file may cost: a budget for everything that is not the tensors' own bytes.

The bytes of tensors need no budget: they are in the file, once.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

from dovetail.errors import CheckpointError

__all__ = ["Budget", "check_key", "limits"]

_KEY_PARTS = 64

_OBJECTS: contextvars.ContextVar[int] = contextvars.ContextVar("objects", default=56 << 20)


class Budget:
    """Bytes that may still be spent on Python objects while one file is read.

    Attributes:
        left: how many.
    """

    __slots__ = ("left", "whole")

    def __init__(self) -> None:
        self.whole = self.left = _OBJECTS.get()

    def spend(self, nbytes: int) -> None:
        """Take from the budget, before the memory is taken.

        Raises:
            CheckpointError: there is not so much left.
        """
        self.left -= nbytes
        if self.left < 0:
            self.exceeded()

    def exceeded(self) -> None:
        """Say that the file asks for more than there is."""
        raise CheckpointError(
            f"load: the file asks for more than {self.whole >> 20} MB of Python objects besides "
            "its tensors' data; if you trust it, raise the limit: "
            "with dovetail.serialization.limits(objects=bytes)"
        )


@contextlib.contextmanager
def limits(*, objects: int) -> Iterator[None]:
    """Let files that are read inside of a ``with`` block make other numbers of Python objects.

    Args:
        objects: bytes for everything but the tensors' data; 56 MB unless changed. A tensor counts
            for about 2 kB, a number in a list for about 50 bytes.

    Example:
        >>> import dovetail as dt
        >>> with dt.serialization.limits(objects=1 << 30):
        ...     pass  # dt.load("a_file_with_a_million_tensors.pth")
    """
    token = _OBJECTS.set(int(objects))
    try:
        yield
    finally:
        _OBJECTS.reset(token)


def check_key(key: Any) -> None:
    """Let only keys into dicts and sets whose hash is soon done.

    The hash of a tuple is that of its parts, without a limit of depth, and parts that are shared
    count each time: 30 pairs of pairs are 2**30 parts.

    Raises:
        CheckpointError: a tuple of more than 64 parts, those of its parts included.
    """
    if not isinstance(key, (tuple, frozenset)):
        return
    parts = 0
    waiting = [key]
    while waiting:
        inside = waiting.pop()
        parts += len(inside)
        if parts > _KEY_PARTS:
            raise CheckpointError(
                f"load: a key of a dict or set in the file is a tuple of more than {_KEY_PARTS} "
                "parts"
            )
        waiting += [part for part in inside if isinstance(part, (tuple, frozenset))]
