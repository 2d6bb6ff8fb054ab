"""What is said of the values that a kernel was given: found late, by the processor."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = ["BY_ZERO", "late", "told"]

BY_ZERO = "ZeroDivisionError"


def late(sentence: str, name: str) -> str:
    """The sentence with the operator's name."""
    return f"{sentence} ({name}, found when values were asked for)"


def told(run: Callable[..., None], sentence: str) -> Callable[[Any], Any]:
    """Makes ``run`` for a call, with ``said``, the text of an index out of range.

    Args:
        run: ``run(*arrays, said=text, **attributes)``.
        sentence: the core's (see ``dovetail.backend.sentences``).
    """

    def resolved(facts: Any) -> Any:
        numbers = {"index": "{index}", "size": "{size}", "dim": facts.attributes.get("dim", 0)}
        said = late((facts.op.sentence or sentence).format(**numbers), facts.op.title)
        return functools.partial(run, said=said, **facts.attributes)

    return resolved
