"""Fourier transforms."""

from __future__ import annotations

__all__ = ["FAMILIES"]

FAMILIES = (
    "fourier", "stft",
)  # fmt: skip
"""The files that have records and functions; an earlier one is imported first."""
