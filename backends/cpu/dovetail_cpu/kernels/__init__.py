"""The cpu's kernel table, put together from one file per family."""

from __future__ import annotations

import importlib
import warnings

from dovetail.backend import KernelTable

__all__ = ["table"]

FAMILIES = (
    "composed", "storage", "elementwise", "elementwise_more", "reduce", "statistics", "scan",
    "order", "index", "rows", "random", "contract", "shape", "complex", "conv_pool", "select",
    "activation", "piecewise", "rectified", "softmax", "norm", "attention", "recurrent",
    "recurrent_layers", "steps", "steps_scaled", "fourier", "linalg", "quantize", "special",
    "columns", "reading", "halves", "half_bits", "remainders",
)  # fmt: skip

# NumPy reports overflow and invalid values as warnings; PyTorch's operators are silent.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"dovetail_cpu\.")


def table() -> KernelTable:
    """A new table with every kernel of this backend."""
    made = KernelTable(broadcasts=True)
    for family in FAMILIES:
        importlib.import_module(f"dovetail_cpu.kernels.{family}").enter(made)
    return made
