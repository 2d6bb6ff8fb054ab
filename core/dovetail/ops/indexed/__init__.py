"""Elements by index and by mask."""

from __future__ import annotations

__all__ = ["FAMILIES"]

FAMILIES = (
    "counted", "index", "scatter_reduce", "rows", "under_mask", "masks", "embedding", "bags",
    "indexing", "index_reduce", "flat", "places", "several",
)  # fmt: skip
"""The files that have records and functions; an earlier one is imported first."""
