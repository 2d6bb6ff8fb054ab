"""The kernel table: the kernels of OpenCL, and NVIDIA's libraries where they are faster."""

from __future__ import annotations

import importlib

import dovetail_kernels
from dovetail.backend import KernelTable

__all__ = ["table"]

FAMILIES = ("products", "cudnn", "rectified", "composed_attention", "attention")


def table() -> KernelTable:
    """A new table with every kernel of this backend."""
    made = dovetail_kernels.table()
    for family in FAMILIES:
        importlib.import_module(f"dovetail_cuda.kernels.{family}").enter(made)
    return made
