"""The cpu's own LU: with LAPACK and without it the same factors, exchanges and info."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dovetail_cpu.kernels import linalg_lu
from dovetail_cpu.lapack import getrf

KINDS = ("float32", "float64", "complex64", "complex128")
SHAPES = ((3, 70, 70), (2, 90, 40), (2, 40, 90), (1, 1, 1), (4, 0, 3), (0, 3, 3), (2, 3, 0))


def drawn(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(1)
    x = rng.standard_normal(shape)
    return np.asarray(x + 1j * rng.standard_normal(shape) if kind[0] == "c" else x).astype(kind)


def factored(x: np.ndarray) -> tuple[np.ndarray, ...]:
    k = min(x.shape[-2:])
    outs = (
        np.empty_like(x),
        np.empty((*x.shape[:-2], k), np.int32),
        np.empty(x.shape[:-2], np.int32),
    )
    linalg_lu.lu_factor(x, *outs)
    return outs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_with_and_without_lapack(
    kind: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = drawn(kind, shape)
    if x.shape[-1] > 50 and x.shape[-2] > 50:
        x[1, :, 20] = x[1, :, 33] = 0
    packed, pivots, info = factored(x)
    monkeypatch.setattr(linalg_lu, "getrf", lambda kind: None)
    again = factored(x)
    np.testing.assert_array_equal(again[1], pivots)
    np.testing.assert_array_equal(again[2], info)
    eps = float(np.finfo(kind).eps)
    np.testing.assert_allclose(again[0], packed, rtol=0, atol=5000 * eps)
    if x.shape[-1] > 50 and x.shape[-2] > 50:
        assert info.tolist() == [0, 21, 0]


def test_numpys_wheels_have_it() -> None:
    blas: Any = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index]
    if blas["name"] != "scipy-openblas":
        pytest.skip(f"NumPy is built with {blas['name']}, not with the wheels' OpenBLAS")
    assert all(getrf(kind) is not None for kind in KINDS)
