"""Where dovetail differs from PyTorch on purpose, and why; docs/parity.md prints these lines.

Strict both ways: a difference that no line explains fails, and so does a line that no difference
matches (but for those that hold for some samples only).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DIFFERENCES", "Difference"]


class Difference(NamedTuple):
    """One line: operators, form, kind of difference, dtypes, sample (a pattern) and the reason.

    Attributes:
        form: ``function``, ``method``, ``in place``, ``out``, ``keywords``, ``numbers``,
            ``mixed dtypes``, ``wrong call``, ``gradient``; a shell pattern.
        sometimes: not every operator and dtype named here shows it.
    """

    operators: tuple[str, ...]
    form: str
    kind: str
    reason: str
    dtypes: tuple[str, ...] = ("*",)
    sample: str = "*"
    sometimes: bool = False


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        ("logsigmoid",), "function", "strides",
        "PyTorch packs the input on the cpu only; its result on other devices keeps the order",
        ("float64", "float32", "bfloat16", "float16"),
    ),
)  # fmt: skip
