"""Operators on ``cuda:0`` beside the float64 references of their records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import ops
from dovetail_conformance.compare import tolerance_of

DEVICE = "cuda:0"
FLOATS = (dt.float32, dt.float64, dt.float16, dt.bfloat16)
SEED = 7


def on_device(values: np.ndarray, dtype: dt.dtype) -> Any:
    """A dense tensor with these values."""
    return dt.tensor(values).to(dtype).to(DEVICE)


def values_of(x: Any) -> np.ndarray:
    """A tensor's values in float64 or complex128."""
    wide = dt.complex128 if x.dtype.is_complex else dt.float64
    return np.asarray(x.detach().cpu().to(wide).numpy())


def drawn(*shape: int, dtype: dt.dtype, seed: int = SEED) -> Any:
    """Random numbers between -1 and 1."""
    rng = np.random.default_rng(seed)
    made = rng.uniform(-1, 1, shape)
    return on_device(made + 1j * rng.uniform(-1, 1, shape) if dtype.is_complex else made, dtype)


def agrees(
    name: str, inputs: Sequence[Any], *, call: Callable[..., Any] | None = None, **options: Any
) -> None:
    """Call an operator, and its reference with the values that the inputs really have."""
    record = ops.REGISTRY[name]
    given = [None if x is None else values_of(x) for x in inputs]
    wanted = record.reference(*given, **options)
    made = (call or getattr(ops, name))(*inputs, **options)
    results = made if isinstance(made, tuple) else (made,)
    references = wanted if isinstance(wanted, tuple) else (wanted,)
    arguments = [v for v in given if v is not None]
    for result, reference in zip(results, references, strict=False):
        expected = np.asarray(reference)
        found = values_of(result)
        assert found.shape == expected.shape
        allowed = tolerance_of(record, result.dtype, expected, arguments)
        error = np.abs(found - expected)
        assert (error <= allowed).all(), f"{name}: off by {error.max()}, allowed {np.max(allowed)}"
