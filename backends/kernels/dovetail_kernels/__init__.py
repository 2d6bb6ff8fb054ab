"""Kernels for devices that compile C at run time, written once in OpenCL C for all of them.

A backend gives a :class:`~dovetail_kernels.device.Device` (compile, launch, copy) and gets the
whole table: elementwise kernels from the core's expressions, reductions, scans, sorting, indexing,
random bits, matrix products, convolutions, and fused composites.
"""

from __future__ import annotations

import importlib

from dovetail.backend import KernelTable
from dovetail_kernels.device import Device, Launch, device_of, register

__all__ = ["Device", "Launch", "device_of", "register", "table"]

FAMILIES = (
    "elementwise", "storage", "random", "reduce", "reduce_group", "paired", "scan", "order",
    "index", "contract", "conv", "fused",
)  # fmt: skip


def table() -> KernelTable:
    """A new table with every kernel of this package."""
    made = KernelTable(contract=(1, 1), layout="strided")
    for family in FAMILIES:
        importlib.import_module(f"dovetail_kernels.{family}").enter(made)
    return made
