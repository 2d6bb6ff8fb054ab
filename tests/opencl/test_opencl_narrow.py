"""Bytes folded by columns in words of 16 bits, on the host's cores: values, places, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.backend import Loops
from dovetail.dtypes import bool_, float32, int8, int32, int64, uint8
from dovetail_kernels import narrow

SHAPES = (
    ((2500, 1100), 0),
    ((17, 700), 0),  # fewer rows than a group
    ((256, 1024), 0),
    ((257, 513), 0),  # a group and one row, columns that vectors do not divide
    ((30, 40, 400), 1),
    ((3, 300, 333), 1),
    ((70000, 513), 0),  # sums beyond 16 bits
)
"""Shapes, and the dim that is folded."""

BOUNDS = {"int8": (-128, 127), "uint8": (0, 255), "bool": (0, 1)}
NAMES = ("sum", "amax", "amin", "argmax", "argmin")


def _filled(dtype: str, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    values = np.random.default_rng(0).integers(low, high + 1, shape)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", sorted(BOUNDS))
@pytest.mark.parametrize(("shape", "dim"), SHAPES)
@pytest.mark.parametrize("spread", ["all", "two", "least", "most"])
def test_values_and_places(
    dtype: str, shape: tuple[int, ...], dim: int, spread: str, opencl: dt.device
) -> None:
    low, high = BOUNDS[dtype]
    low, high = {"all": (low, high), "two": (0, 1), "least": (low, low), "most": (high, high)}[
        spread
    ]
    host = _filled(dtype, shape, low, high)
    x = dt.tensor(host, device=opencl)
    for name in NAMES[:1] if dtype == "bool" else NAMES:
        wanted = getattr(np, name)(host, axis=dim)  # of equal elements, the first
        for keepdim in (False, True):
            got = getattr(x, name)(dim=dim, keepdim=keepdim).cpu().numpy()
            np.testing.assert_array_equal(
                got, np.expand_dims(wanted, dim) if keepdim else wanted, err_msg=name
            )


@pytest.mark.parametrize("dtype", sorted(BOUNDS))
def test_rows_that_begin_anywhere(dtype: str, opencl: dt.device) -> None:
    host = _filled(dtype, (300, 1203), *BOUNDS[dtype])
    x = dt.tensor(host, device=opencl)
    for part in (np.s_[1:, 3:], np.s_[::2, :-5], np.s_[:, 7:1100]):
        np.testing.assert_array_equal(x[part].sum(0).cpu().numpy(), host[part].sum(0))
        if dtype != "bool":
            np.testing.assert_array_equal(x[part].argmax(0).cpu().numpy(), host[part].argmax(0))


def test_any_bits_are_true(opencl: dt.device) -> None:
    bits = _filled("uint8", (300, 1024), 0, 255)
    x = dt.tensor(bits, device=opencl).view(dt.bool)
    np.testing.assert_array_equal(x.sum(0).cpu().numpy(), (bits != 0).sum(0))


def _made(queue: Any, name: str, rows: int, width: int, source: Any, out: Any, step: int) -> Any:
    outer, inner = Loops((width,), ((1,), (1,))), Loops((rows,), ((step,),))
    return narrow.columns(queue, name, outer, inner, source, out)


def test_when_there_is_one(queue: Any) -> None:
    is_there = bool(queue.is_cpu)
    width = queue.units * narrow.NEAR + 64
    for source in (int8, uint8, bool_):
        assert (_made(queue, "sum", 100, width, source, int64, width) is not None) is is_there
    none = (
        ("sum", 100, width, int32, int64, width),  # not of bytes
        ("sum", 100, width, int8, int32, width),  # sums that wrap
        ("sum", 100, width, int8, float32, width),
        ("prod", 100, width, int8, int64, width),
        ("amax", 100, width, bool_, bool_, width),
        ("sum", narrow.MOST + 1, width, int8, int64, width),  # beyond an int
        ("sum", 100, width, int8, int64, 0),  # one row many times
        ("sum", 100, 31, int8, int64, 31),  # narrow rows
    )
    for call in none:
        assert _made(queue, *call) is None
