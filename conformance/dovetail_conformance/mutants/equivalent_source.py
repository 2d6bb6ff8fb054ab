"""Mistakes in the source that no test can catch, each with the proof that nothing changes."""

from __future__ import annotations

__all__ = ["EQUIVALENT_SOURCE"]

_NOTHING_BELOW = (
    "it differs where low is -2**63 only; no int64 is below that, so the where changes nothing"
)

EQUIVALENT_SOURCE: dict[str, str] = {
    "compare/draws.py:_wide_integers: low > -(1 << 63) -> low >= -(1 << 63)": _NOTHING_BELOW,
    "constant/draws.py:_wide_integers: 1 << 63 -> 2 << 63 #2": _NOTHING_BELOW,
    "constant/draws.py:_wide_integers: 1 << 63 -> 1 << 64 #2": _NOTHING_BELOW,
}
"""``kind/file:function: before -> after`` -> why it cannot be told from the good source."""
