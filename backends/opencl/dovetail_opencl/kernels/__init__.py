"""The kernel table, put together from one file per family."""

from __future__ import annotations

import importlib

from dovetail.backend import KernelTable

__all__ = ["table"]

FAMILIES = (
    "elementwise", "storage", "random", "reduce", "scan", "order", "index", "contract", "conv",
    "fused",
)  # fmt: skip


def table() -> KernelTable:
    """A new table with every kernel of this backend."""
    made = KernelTable(contract=(1, 1), layout="strided")
    for family in FAMILIES:
        importlib.import_module(f"dovetail_opencl.kernels.{family}").enter(made)
    return made
