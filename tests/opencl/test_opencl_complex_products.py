"""Products of complex matrices, which are made as real ones: any layout, batches, both dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((100, 70), (70, 33)), ((33, 1000), (1000, 17)), ((4, 5000), (5000, 4)),
    ((8, 64, 64), (64, 64)), ((3, 1, 40, 50), (5, 50, 30)), ((64, 64), (2, 64, 64)),
    ((5, 7), (7, 6)), ((2, 9000), (9000, 8)), ((9000, 2), (2, 9)),
]  # fmt: skip


def _far(made: Any, wanted: np.ndarray, depth: int) -> None:
    eps = np.finfo(made.cpu().numpy().dtype).eps
    assert np.abs(made.cpu().numpy() - wanted).max() <= eps * depth**0.5 * np.abs(wanted).max()


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
def test_products(dtype: str, turned: tuple[bool, bool], opencl: dt.device) -> None:
    rng = np.random.default_rng(7)
    for shapes in SHAPES:
        values, tensors = [], []
        for shape, is_turned in zip(shapes, turned, strict=True):
            parts = rng.standard_normal((2, *shape))
            values.append((parts[0] + 1j * parts[1]).astype(dtype))
            held = np.ascontiguousarray(values[-1].swapaxes(-1, -2)) if is_turned else values[-1]
            x = dt.tensor(held, device=opencl)
            tensors.append(x.transpose(-1, -2) if is_turned else x)
        wanted = values[0].astype("complex128") @ values[1].astype("complex128")
        made = tensors[0] @ tensors[1]
        _far(made, wanted, shapes[0][-1])
        wide = dt.zeros((*made.shape, 2), dtype=made.dtype, device=opencl)[..., 1]
        dt.matmul(*tensors, out=wide)  # rows that are not dense
        _far(wide, wanted, shapes[0][-1])


def test_a_view_begins_where_it_does(opencl: dt.device) -> None:
    rng = np.random.default_rng(8)
    values = (rng.standard_normal((60, 60)) + 1j * rng.standard_normal((60, 60))).astype("c8")
    x = dt.tensor(values, device=opencl)
    a, b = x[3:43, 5:47], x[1:43, 9:57]
    wanted = values[3:43, 5:47].astype("c16") @ values[1:43, 9:57].astype("c16")
    _far(a @ b, wanted, 42)


def test_large_ones_are_tiles(queue: Any) -> None:
    x = dt.ones(64, 64, dtype=dt.complex64, device="opencl:0") * (1 + 2j)
    before = queue.launches
    made = x @ x
    assert 1 < queue.launches - before <= 4
    assert made.cpu().numpy().tolist() == [[(1 + 2j) ** 2 * 64] * 64] * 64
