"""The cpu's kernel table, put together from one file per family."""

from __future__ import annotations

import importlib

from dovetail.backend import KernelTable

__all__ = ["table"]

FAMILIES = ("storage", "elementwise", "reduce", "scan", "order", "index", "random", "contract", "shape", "complex", "elementwise_more",
            "conv_pool", "activation", "softmax", "norm", "steps")  # fmt: skip


def table() -> KernelTable:
    """A new table with every kernel of this backend."""
    made = KernelTable(broadcasts=True)
    for family in FAMILIES:
        try:
            importlib.import_module(f"dovetail_cpu.kernels.{family}").enter(made)
        except ModuleNotFoundError:
            pass
    return made
