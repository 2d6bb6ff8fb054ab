"""Views, copies and shapes: where elements lie, and where they are put."""

from __future__ import annotations

__all__ = ["FAMILIES"]

FAMILIES = (
    "views", "view_shapes", "view_parts", "strided", "view_samples", "convert", "inplace_views",
    "broadcasting", "joining", "splitting", "shape", "repeating", "turning", "triangle", "padding",
    "rearranged", "columns", "resampling", "view_scatter", "view_copies", "combinations",
    "block_diagonal",
)  # fmt: skip
"""The files that have records and functions; an earlier one is imported first."""
