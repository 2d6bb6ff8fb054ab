"""The cpu's matrix product over random shapes, dtypes and layouts."""

from __future__ import annotations

import random

import numpy as np
import pytest
from layouts import FLOATS, assert_close, relaid, wide
from ml_dtypes import bfloat16

from dovetail_cpu.kernels import matmul as module
from dovetail_cpu.kernels.matmul import matmul

INTEGERS = (np.int8, np.uint8, np.int16, np.int32, np.int64)
SIZES = (0, 1, 2, 5, 16, 33, 64, 100, 150)


@pytest.fixture(params=["as installed", "numpy"])
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "numpy":
        monkeypatch.setattr(module, "current", lambda: None)


def _shapes(rng: random.Random) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    m, k, n = (rng.choice(SIZES) for _ in range(3))
    batch = tuple(rng.choice((1, 2, 3)) for _ in range(rng.choice((0, 0, 1, 2))))
    a, b = (tuple(1 if rng.random() < 0.3 else size for size in batch) for _ in range(2))
    return (*a, m, k), (*b, k, n), (*batch, m, n)


def _operands(
    a: np.ndarray, b: np.ndarray, batch: tuple[int, ...], rng: random.Random
) -> tuple[np.ndarray, np.ndarray]:
    """Relaid; sometimes expanded to the batch (stride 0), sometimes one matrix for all."""
    a, b = relaid(a, rng), relaid(b, rng)
    if rng.random() < 0.5:
        return np.broadcast_to(a, batch + a.shape[-2:]), np.broadcast_to(b, batch + b.shape[-2:])
    if set(b.shape[:-2]) <= {1}:
        b = b[(0,) * (b.ndim - 2)]
    return a, b


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("seed", range(40))
def test_floats(seed: int) -> None:
    rng = random.Random(seed)
    numbers = np.random.default_rng(seed)
    for _ in range(4):
        dtype = rng.choice(FLOATS)
        a_shape, b_shape, shape = _shapes(rng)
        a, b = _operands(
            numbers.standard_normal(a_shape).astype(dtype),
            numbers.standard_normal(b_shape).astype(dtype),
            shape[:-2],
            rng,
        )
        out = relaid(np.full(shape, 7, dtype), rng)
        matmul(a, b, out)
        want, scale = wide(a) @ wide(b), wide(a).abs() @ wide(b).abs()
        assert_close(out, want, scale, f"{a.shape} {a.strides} {b.shape} {b.strides}")


@pytest.mark.parametrize("dtype", [*INTEGERS, np.bool_], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("largest", [3, 1 << 62])
def test_integers_wrap_around(dtype: type, largest: int) -> None:
    """Small values may go through float64, large ones may not: the wrapped result is the same."""
    rng, numbers = random.Random(largest), np.random.default_rng(largest)
    top = 2 if dtype is np.bool_ else min(largest, int(np.iinfo(dtype).max))
    for shape in (((70, 80), (80, 90)), ((2, 5, 3), (2, 3, 4)), ((70, 64), (64, 65))):
        a, b = (relaid(numbers.integers(0, top, s).astype(dtype), rng) for s in shape)
        if np.dtype(dtype).kind == "i":
            a = -a
        out = np.empty(np.matmul(a, b).shape, dtype)
        matmul(a, b, out)
        exact = np.matmul(a.astype(object), b.astype(object))
        if dtype is np.bool_:
            assert (out == (exact > 0)).all()
        else:
            wrapped = (exact % 2 ** (8 * out.itemsize)).astype(f"u{out.itemsize}").view(dtype)
            assert (out == wrapped).all()


def test_complex() -> None:
    numbers = np.random.default_rng(0)
    a = numbers.standard_normal((70, 80)) + 1j * numbers.standard_normal((70, 80))
    out = np.empty((70, 70), np.complex128)
    matmul(a, a.T, out)
    assert np.allclose(out, np.einsum("ik,jk->ij", a, a), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, bfloat16, np.int64])
def test_nothing_to_sum_is_zero(dtype: type) -> None:
    out = np.full((2, 3, 4), 7, dtype)
    matmul(np.empty((2, 3, 0), dtype), np.empty((2, 0, 4), dtype), out)
    assert not out.any()


@pytest.mark.usefixtures("_library")
def test_specials_travel() -> None:
    """A NaN or an infinity spoils its own row and column, and no other."""
    a, b = np.ones((200, 128), np.float32), np.ones((128, 200), np.float32)
    a[3, 5], b[7, 9] = np.nan, np.inf
    out = np.empty((200, 200), np.float32)
    matmul(a, b, out)
    assert np.isnan(out[3]).all()
    assert np.isinf(out[[0, 1, 2, 4], 9]).all()
    rest = np.delete(np.delete(out, 3, axis=0), 9, axis=1)
    assert (rest == 128).all()


def test_misaligned_operands() -> None:
    raw = np.zeros(128 * 128 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(128, 128)
    raw[...] = np.eye(128)
    other = np.random.default_rng(0).standard_normal((128, 128)).astype(np.float32)
    out = np.empty_like(other)
    assert not raw.flags.aligned
    matmul(raw, other, out)
    assert (out == other).all()
