"""Histograms beside PyTorch: counts, edges, weights, density, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beside_torch import both_raise, ours, same, theirs, torch

import dovetail as dt

RNG = np.random.default_rng(0)
POINTS, WEIGHTS = RNG.standard_normal((40, 2)), RNG.random(40)


def flat(value: Any) -> list[Any]:
    if isinstance(value, tuple):
        return [part for item in value for part in flat(item)]
    return [value]


def edges(m: Any, like: Any, *values: float) -> Any:
    return m.tensor(values, dtype=like.dtype, device=like.device)


CASES: dict[str, Any] = {
    "bins": lambda m, x, w: m.histogram(x, 5),
    "a hundred": lambda m, x, w: m.histogram(x),
    "density": lambda m, x, w: m.histogram(x[:, 0], 5, weight=w, density=True),
    "method": lambda m, x, w: x.histogram(edges(m, x, -1.0, 0.0, 0.25, 2.0)),
    "on an edge": lambda m, x, w: m.histogram((x * 2).round(), edges(m, x, -2, 0, 1, 2)),
    "range": lambda m, x, w: m.histogram(x, 4, range=(-1, 1.0)),
    "range of nothing": lambda m, x, w: m.histogram(x, 4, range=(1.0, 1.0)),
    "nothing": lambda m, x, w: m.histogram(x[:0], 3),
    "all equal": lambda m, x, w: m.histogram(x * 0 + 1, 3),
    "weights": lambda m, x, w: m.histogram(x[:, 1], 6, weight=w),
    "weights outside": lambda m, x, w: m.histogram(x[:, 1], 6, range=(0.0, 1.0), weight=w),
    "nan": lambda m, x, w: m.histogram((x - 1).sqrt(), 3, range=(0.0, 2.0)),
    "grid": lambda m, x, w: m.histogramdd(x, [4, 3]),
    "one number": lambda m, x, w: m.histogramdd(x, 3, weight=w),
    "edges": lambda m, x, w: m.histogramdd(
        x, [edges(m, x, -1, 0, 0.5, 2), edges(m, x, 0, 1)], density=True, weight=w
    ),
    "ranges": lambda m, x, w: m.histogramdd(x, [4, 3], range=[-1.0, 1, 0, 0.5]),
    "batch": lambda m, x, w: m.histogramdd(x.reshape(4, 10, 2), [4, 3], weight=w.reshape(4, 10)),
    "counted": lambda m, x, w: m.bincount((x * 2).round().abs().to(m.int32).reshape(-1)),
    "between": lambda m, x, w: m.histc(x, 4, min=-1, max=1),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_histograms(name: str, dtype: str, device: Any) -> None:
    mine = CASES[name](dt, *[ours(x, dtype, device) for x in (POINTS, WEIGHTS)])
    other = CASES[name](torch, *[theirs(x, dtype) for x in (POINTS, WEIGHTS)])
    for i, (a, b) in enumerate(zip(flat(tuple_or(mine)), flat(tuple_or(other)), strict=True)):
        same(a, b, 1e-6, f"{name}, {i}")


def tuple_or(value: Any) -> Any:
    return tuple(value) if isinstance(value, tuple) else (value,)


def test_names_and_out(device: Any) -> None:
    x = dt.tensor(POINTS, device=device)
    made = dt.histogram(x, 3)
    assert made.hist is made[0]
    assert made.bin_edges is made[1]
    assert dt.histogramdd(x, 2).bin_edges[1].shape == (3,)
    out = (
        dt.empty(3, dtype=dt.float64, device=device),
        dt.empty(4, dtype=dt.float64, device=device),
    )
    dt.histogram(x, 3, out=out)
    assert out[0].tolist() == made.hist.tolist()
    assert out[1].tolist() == made.bin_edges.tolist()


WRONG: dict[str, Any] = {
    "no bins": lambda m, x, w: m.histogram(x, 0),
    "no edges": lambda m, x, w: m.histogram(x, x[0, :0]),
    "one edge": lambda m, x, w: m.histogram(x, w[:1]),
    "edges of two dims": lambda m, x, w: m.histogram(x, x),
    "edges of another dtype": lambda m, x, w: m.histogram(x, w.double()),
    "range turned": lambda m, x, w: m.histogram(x, 3, range=(3.0, 1.0)),
    "half a range": lambda m, x, w: m.histogram(x, 3, range=(3.0,)),
    "range with edges": lambda m, x, w: m.histogram(x, w, range=(3.0, 4.0)),
    "endless range": lambda m, x, w: m.histogram(x, 3, range=(0.0, float("inf"))),
    "number of weights": lambda m, x, w: m.histogram(x, 3, weight=w),
    "dtype of weights": lambda m, x, w: m.histogram(x[:, 0], 3, weight=w.double()),
    "integers": lambda m, x, w: m.histogram(x.to(m.int64), 3),
    "points of no dims": lambda m, x, w: m.histogramdd(w, [2]),
    "bins per dim": lambda m, x, w: m.histogramdd(x, [2]),
    "ranges per dim": lambda m, x, w: m.histogramdd(x, [2, 2], range=[0.0, 1.0]),
    "negative": lambda m, x, w: m.bincount(x[:, 0].to(m.int64)),
    "weights of two dims": lambda m, x, w: m.bincount(w.to(m.int64), x),
}


@pytest.mark.parametrize("name", WRONG)
def test_refuses(name: str, device: Any) -> None:
    both_raise(WRONG[name], POINTS, WEIGHTS, device=device, text=name != "range with edges")


def test_endless_values_are_seen_in_host_memory() -> None:
    both_raise(lambda m, x: m.histogram(x / 0, 3), POINTS)
    both_raise(lambda m, x: m.histc(x / 0, 3), POINTS)


def test_bincount_needs_data() -> None:
    with pytest.raises(NotImplementedError, match="depends on data"):
        dt.bincount(dt.zeros(3, dtype=dt.int64, device="meta"))
