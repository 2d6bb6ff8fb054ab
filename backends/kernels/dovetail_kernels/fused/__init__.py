"""Composites in one or two launches; without these kernels the core makes them of primitives."""

from __future__ import annotations

import importlib

from dovetail.backend import KernelTable

__all__ = ["enter"]

FAMILIES = (
    "attention", "attention_tiles", "bags", "batch_norm", "columns", "differences", "element_loss",
    "group_norm", "join", "layer_norm", "loss", "marked", "masked", "pad", "pool", "recurrent",
    "recurrent_step", "repeat", "resample", "rows", "similarity", "softmax", "steps", "triangle",
    "view_scatter",
)  # fmt: skip


def enter(table: KernelTable) -> None:
    """Enter them all."""
    for family in FAMILIES:
        importlib.import_module(f"dovetail_kernels.fused.{family}").enter(table)
