"""Reductions, scans, orders and statistics over dims."""

from __future__ import annotations

__all__ = ["FAMILIES"]

FAMILIES = (
    "reduce", "extremes", "statistics", "vector_norm", "scan", "order", "median", "search",
    "unique", "counts", "differences", "gradient", "quantile", "covariance", "distance", "renorm",
    "histogram", "segment_reduce",
)  # fmt: skip
"""The files that have records and functions; an earlier one is imported first."""
