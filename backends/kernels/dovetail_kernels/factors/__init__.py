"""Factorizations of small matrices and systems solved with them: one launch for a batch."""

from __future__ import annotations

import importlib

from dovetail.backend import KernelTable

__all__ = ["enter"]

FAMILIES = ("lu", "cholesky", "triangular", "ldl")


def enter(table: KernelTable) -> None:
    """Enter them all."""
    for family in FAMILIES:
        importlib.import_module(f"dovetail_kernels.factors.{family}").enter(table)
