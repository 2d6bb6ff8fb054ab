"""Composites in one or two launches; without these kernels the core makes them of primitives."""

from __future__ import annotations

import importlib

from dovetail.backend import KernelTable

__all__ = ["enter"]

FAMILIES = (
    "adaptive_pool", "affine_grid", "attention", "attention_blocks", "attention_tiles", "bags",
    "batch_norm", "binned", "columns", "covariance", "ctc", "differences", "distances",
    "element_loss", "element_slopes", "fourier", "gates", "grid", "group_norm", "instance_step",
    "join", "kinds", "layer_norm", "loss", "marked", "masked", "matrix_exp", "norms", "pad", "pool",
    "quantize", "recurrent", "recurrent_step", "renorm", "repeat", "resample", "response_norm",
    "row_loss", "rows", "segments", "similarity", "softmax", "spectral_norm", "step_rules", "steps",
    "triangle", "vector_product", "view_scatter", "weight_norm",
)  # fmt: skip


def enter(table: KernelTable) -> None:
    """Enter them all."""
    for family in FAMILIES:
        importlib.import_module(f"dovetail_kernels.fused.{family}").enter(table)
