"""arange, linspace and logspace: one launch, with the bits that the host has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

COUNTS = (0, 1, 2, 3, 100, 4097, 65537)
WHOLE = ("uint8", "int8", "int16", "int32", "int64")
FLOATS = ("float16", "bfloat16", "float32", "float64")


def _same(made: Any, wanted: Any) -> None:
    assert made.dtype is wanted.dtype
    assert made.cpu().contiguous().view(dt.uint8).tolist() == wanted.view(dt.uint8).tolist()


@pytest.mark.parametrize("dtype", [*WHOLE, *FLOATS, "complex64", "complex128"])
def test_linspace(dtype: str, queue: Any) -> None:
    ends: tuple[tuple[Any, Any], ...] = ((0, 1), (7, 2), (0.1, 100.7), (5, 5))
    if dtype not in WHOLE:
        ends += ((1, -3), (-1e-3, 0.7))
    if dtype.startswith("complex"):
        ends += ((1j, 2), (-1, 3 - 2j))
    kind = getattr(dt, dtype)
    for start, end in ends:
        for count in COUNTS:
            before = queue.launches
            made = dt.linspace(start, end, count, dtype=kind, device="opencl:0")
            assert queue.launches == before + (count > 0)
            _same(made, dt.linspace(start, end, count, dtype=kind))


@pytest.mark.parametrize("dtype", [*WHOLE, *FLOATS])
def test_arange(dtype: str, queue: Any) -> None:
    ranges: list[tuple[Any, ...]] = [(0, 5, 1), (3, 3, 1), (2, 127, 3), (0, 70000, 1)]
    if dtype != "uint8":
        ranges.append((10, -10, -3))
    if dtype in FLOATS:
        ranges += [(0.1, 500, 0.1), (0, 1, 1e-4)]
    kind = getattr(dt, dtype)
    for bounds in ranges:
        before = queue.launches
        made = dt.arange(*bounds, dtype=kind, device="opencl:0")
        assert queue.launches <= before + 1
        _same(made, dt.arange(*bounds, dtype=kind))


@pytest.mark.parametrize("dtype", FLOATS)
def test_logspace(dtype: str, queue: Any) -> None:
    kind = getattr(dt, dtype)
    last = {"float16": 2**-10, "bfloat16": 2**-7}.get(dtype, float(dt.finfo(kind).eps))
    for start, end, base in ((0, 1, 10.0), (-3, 4, 2), (1, -3, 3.5), (2, 2, -2)):
        for count in COUNTS:
            before = queue.launches
            made = dt.logspace(start, end, count, base, dtype=kind, device="opencl:0")
            assert queue.launches == before + (count > 0)
            step = (end - start) / max(count - 1, 1)
            i = np.arange(count)
            spread = np.where(2 * i < count, start + i * step, end - (count - 1 - i) * step)
            with np.errstate(invalid="ignore"):
                wanted = np.power(base, spread)
            np.testing.assert_allclose(made.cpu().double().numpy(), wanted, rtol=4 * last / 3)


def test_logspace_of_whole_numbers_is_exact(opencl: dt.device) -> None:
    made = dt.logspace(0, 4, 5, dtype=dt.int64, device=opencl)
    assert made.tolist() == [1, 10, 100, 1000, 10000]
