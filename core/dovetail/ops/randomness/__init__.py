"""Random numbers: what a draw is, and the operators that draw."""

from __future__ import annotations

__all__ = ["FAMILIES"]

FAMILIES = (
    "draws", "chances", "laws", "random", "random_inplace",
)  # fmt: skip
"""The files that have records and functions; an earlier one is imported first."""
