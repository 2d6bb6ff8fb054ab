"""Large elementwise calls of the cpu, block by block, beside the same elements a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import dtypes as d
from dovetail.backend import composable
from dovetail.ops.schema import REGISTRY, Sample

blocks = pytest.importorskip("dovetail_cpu.kernels.blocks")
halves = pytest.importorskip("dovetail_cpu.kernels.halves")

COUNT = 2 * blocks.BLOCK + 17
PIECE = 3001
EDGES = (0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 20.0, -20.0, 200.0, -200.0, np.inf, -np.inf, np.nan)
HAS_NAN_AT_INF = {"gelu"}
"""PyTorch's have too, where they are large."""

ULP = {d.float32: 2.0**-19, d.float16: 2.0**-9, d.bfloat16: 2.0**-7}


def _samples(name: str, kind: d.dtype) -> list[Sample]:
    """Calls of one shape, with each of their sets of attributes once."""
    op, found = REGISTRY[name], {}
    if op.samples is None or op.function is None or kind not in op.accepts:
        return []
    for sample in op.samples(np.random.default_rng(3), kind):
        arrays = [a for a in sample.args if isinstance(a, np.ndarray)]
        if arrays and all(a.dtype == kind.numpy and a.shape == arrays[0].shape for a in arrays):
            others = [a for a in sample.args if not isinstance(a, np.ndarray)]
            found.setdefault(repr((others, sample.kwargs)), sample)
    return list(found.values())[:4]


def _enlarged(sample: Sample) -> list[Any]:
    made, rng = [], np.random.default_rng(11)
    for k, x in enumerate(sample.args):
        if isinstance(x, np.ndarray):
            values = np.resize(x.astype(np.float64), COUNT) + rng.uniform(-0.01, 0.01, COUNT)
            values[: 3 * len(EDGES)] = np.roll(np.repeat(EDGES, 3), 7 * k)
            x = values.astype(x.dtype)
        made.append(x)
    return made


def _called(name: str, args: list[Any], kwargs: dict[str, Any]) -> np.ndarray:
    given = [dt.from_numpy(x) if isinstance(x, np.ndarray) else x for x in args]
    made = REGISTRY[name].function(*given, **kwargs)  # type: ignore[misc]
    return np.asarray(made.to(dt.float64).numpy())


def _pieces(args: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, COUNT, PIECE):
        part = slice(start, start + PIECE)
        yield [x[part] if isinstance(x, np.ndarray) else x for x in args]


@pytest.mark.parametrize("kind", [d.float32, d.float16, d.bfloat16], ids=str)
@pytest.mark.parametrize("name", sorted({*composable(()), *halves.SINGLY}))
def test_large_calls_are_as_small_ones(name: str, kind: d.dtype) -> None:
    for sample in _samples(name, kind):
        args = _enlarged(sample)
        made = _called(name, args, sample.kwargs)
        wanted = np.concatenate([_called(name, part, sample.kwargs) for part in _pieces(args)])
        with np.errstate(all="ignore"):
            room = ULP[kind] * np.abs(wanted) + ULP[kind] * 1e-2
            far = ~((made == wanted) | (np.abs(made - wanted) <= room))
        far &= ~(np.isnan(made) & (np.isnan(wanted) | (name in HAS_NAN_AT_INF)))
        where = np.flatnonzero(far)[:3]
        assert not where.size, [
            ([x[i] for x in args if isinstance(x, np.ndarray)], made[i], wanted[i]) for i in where
        ]


def test_other_layouts() -> None:
    x = dt.randn(300, 400)
    wanted = dt.special.i0(x)
    assert dt.allclose(dt.special.i0(x.t()), wanted.t(), equal_nan=True)
    assert dt.allclose(dt.special.i0(x[:, ::2]), wanted[:, ::2])
    assert dt.allclose(dt.special.xlog1py(x.abs(), x[0].abs()), x.abs() * x[0].abs().log1p())
