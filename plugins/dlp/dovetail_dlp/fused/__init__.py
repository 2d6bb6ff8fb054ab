"""Kernels for what the hardware does at once; without them the core builds it of primitives."""

from __future__ import annotations

from dovetail.backend import KernelTable
from dovetail_dlp.fused import (
    activation,
    convolution,
    division,
    indexing,
    normalise,
    optimizer,
    pooling,
    softmax,
)
from dovetail_dlp.kernels import contract

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Add them all to a table of required kernels."""
    for family in (
        activation,
        convolution,
        division,
        indexing,
        normalise,
        optimizer,
        pooling,
        softmax,
    ):
        family.enter(table)
    table.add("quantized_matmul", contract.run)  # whose sums of int8 are int32 already
