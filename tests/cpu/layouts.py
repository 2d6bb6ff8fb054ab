"""The same numbers in memory in many ways: what kernels are given besides dense arrays."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

FLOATS = (np.float32, np.float32, np.float64, np.float16, bfloat16)

# Largest error, relative to the sum of the absolute values of what was summed up.
TOLERANCE = {"float64": 1e-13, "float32": 3e-6, "float16": 1e-3, "bfloat16": 8e-3}
TINY = 1e-7  # below half precision's smallest step


def relaid(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """``array`` as it is, permuted, stepped, cut out of a larger one, or reversed."""
    rank = array.ndim
    kind = rng.choice(("dense", "permuted", "last", "stepped", "cut", "columns", "samples"))
    if kind == "permuted":
        order = rng.sample(range(rank), rank)
        return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))
    if kind == "last" and rank > 2:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)
    if kind == "stepped":
        view = np.empty([2 * n for n in array.shape], array.dtype)
        view = view[tuple(slice(1, None, 2) for _ in array.shape)]
    elif kind == "cut":
        view = np.empty((*array.shape[:-1], array.shape[-1] + 3), array.dtype)[..., 1:-2]
    elif kind == "columns":
        return np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    elif kind == "samples":
        return np.ascontiguousarray(array[::-1])[::-1]
    else:
        return array
    view[...] = array
    return view


def wide(array: np.ndarray) -> Any:
    """A float64 tensor of PyTorch with the same numbers."""
    return torch.from_numpy(np.ascontiguousarray(array.astype(np.float64)))


def assert_close(got: np.ndarray, want: Any, scale: Any, message: object = "") -> None:
    """``got`` within its dtype's tolerance of ``want``; ``scale``: sum of absolute values."""
    error = np.abs(got.astype(np.float64) - np.asarray(want))
    allowed = TOLERANCE[got.dtype.name] * np.asarray(scale) + TINY
    worst = float((error - allowed).max(initial=-1.0))
    assert worst <= 0, f"{got.dtype} off by {worst:.3g} more than allowed; {message}"
