"""``poisson`` and ``binomial``: the laws, the edges, one stream on every device, memory formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import dovetail as dt

N = 20000
P_LEAST = 1e-4  # with fixed seeds a right implementation passes or fails once and for all


def fits(values: np.ndarray, law: Any) -> float:
    """The p-value of a chi-squared test over bins in which at least 20 are expected."""
    low, high = int(law.ppf(1e-6)), int(law.ppf(1 - 1e-6)) + 1
    chances = np.diff(law.cdf(np.arange(low - 1, high + 1)))
    edges, expected, held = [low - 1], [], 0.0
    for k, chance in zip(range(low, high + 1), chances, strict=True):
        held += chance * len(values)
        if held >= 20:
            edges.append(k)
            expected.append(held)
            held = 0.0
    edges[-1] = max(edges[-1], int(values.max()))
    expected[-1] += len(values) - sum(expected)
    edges[0] = min(edges[0], int(values.min()) - 1)
    seen = np.histogram(values, np.array(edges) + 0.5)[0]
    if len(expected) < 2:
        return 1.0
    return float(stats.chisquare(seen, np.array(expected) * seen.sum() / sum(expected)).pvalue)


RATES = (0.01, 0.7, 3.0, 9.99, 10.0, 12.5, 80.0, 5e3, 1e6)


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=repr)
@pytest.mark.parametrize("rate", RATES)
def test_poisson(rate: float, dtype: dt.dtype, device: Any) -> None:
    g = dt.Generator(device).manual_seed(11)
    x = dt.full((N,), rate, dtype=dtype, device=device)
    values = dt.poisson(x, generator=g).cpu().numpy().astype(np.float64)
    assert (values == np.floor(values)).all()
    assert values.min() >= 0
    law = stats.poisson(rate)
    assert fits(values, law) > P_LEAST
    assert abs(values.mean() - rate) < 5 * np.sqrt(rate / N)
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 5 / np.sqrt(N)


LAWS = (
    (1, 0.3), (10, 0.5), (20, 0.05), (20, 0.95), (40, 0.25), (60, 0.9), (1000, 0.5), (5000, 0.002),
    (1e5, 0.37), (1e6, 0.999),
)  # fmt: skip


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=repr)
@pytest.mark.parametrize(("count", "chance"), LAWS)
def test_binomial(count: float, chance: float, dtype: dt.dtype, device: Any) -> None:
    g = dt.Generator(device).manual_seed(5)
    n = dt.full((N,), float(count), dtype=dtype, device=device)
    p = dt.full((), chance, dtype=dtype, device=device)
    values = dt.binomial(n, p, generator=g).cpu().numpy().astype(np.float64)
    assert (values == np.floor(values)).all()
    assert values.min() >= 0
    assert values.max() <= count
    law = stats.binom(int(count), float(p))
    assert fits(values, law) > P_LEAST
    assert abs(values.mean() - law.mean()) < 5 * law.std() / np.sqrt(N)


def test_mixed_means_in_one_call(device: Any) -> None:
    rates = dt.tensor([0.0, 0.5, 30.0, 2e3], device=device)
    values = dt.poisson(rates.expand(4000, 4)).cpu().numpy()
    assert (values[:, 0] == 0).all()
    for i, rate in enumerate((0.5, 30.0, 2e3), 1):
        assert abs(values[:, i].mean() - rate) < 6 * np.sqrt(rate / 4000)


def test_edges_of_binomial(device: Any) -> None:
    n = dt.tensor([5.0, 5.0, 0.0, -3.0, 5.0, 5.0], device=device)
    p = dt.tensor([0.0, 1.0, 0.5, 0.5, 2.0, -1.0], device=device)
    assert dt.binomial(n, p).tolist() == [0.0, 5.0, 0.0, 0.0, 5.0, 0.0]
    nan = float("nan")
    made = dt.binomial(dt.tensor([5.0, nan], device=device), dt.tensor([nan, 0.5], device=device))
    assert made.isnan().all()


def test_same_stream_whatever_the_strides(device: Any) -> None:
    rates = dt.arange(1, 13, device=device).to(dt.float32).reshape(3, 4) * 3
    first = dt.poisson(rates, generator=dt.Generator(device).manual_seed(1))
    other = rates.t().contiguous().t()
    again = dt.poisson(other, generator=dt.Generator(device).manual_seed(1))
    assert first.tolist() == again.tolist()
    assert dt.poisson(rates, generator=dt.Generator(device).manual_seed(2)).tolist() != (
        first.tolist()
    )


def test_same_numbers_as_on_the_host(device: Any) -> None:
    rates = dt.arange(1, 41).to(dt.float32)
    chances = rates / 50
    here = dt.poisson(rates, generator=dt.Generator().manual_seed(3))
    there = dt.poisson(rates.to(device), generator=dt.Generator(device).manual_seed(3))
    assert there.cpu().tolist() == here.tolist()
    here = dt.binomial(rates * 20, chances, generator=dt.Generator().manual_seed(3))
    there = dt.binomial(
        (rates * 20).to(device), chances.to(device), generator=dt.Generator(device).manual_seed(3)
    )
    assert there.cpu().tolist() == here.tolist()


def test_low_precision_and_shapes(device: Any) -> None:
    for dtype in (dt.float16, dt.bfloat16):
        assert dt.poisson(dt.full((3,), 4.0, dtype=dtype, device=device)).dtype is dtype
    assert dt.poisson(dt.zeros(0, 3, device=device)).shape == (0, 3)
    assert dt.poisson(dt.ones(2, 3, device="meta")).shape == (2, 3)
    made = dt.binomial(dt.ones(2, 1, device=device), dt.ones(3, device=device))
    assert made.shape == (2, 3)
    assert dt.binomial(dt.ones(2, 1, device="meta"), dt.ones(3, device="meta")).shape == (2, 3)


@pytest.mark.parametrize("kind", [dt.float32, dt.float64], ids=repr)
def test_a_call_takes_as_many_blocks_whatever_its_values(kind: dt.dtype, device: Any) -> None:
    ends = set()
    for mean in (0.0, 0.3, 40.0, 1e5):
        g = dt.Generator(device).manual_seed(1)
        x = dt.full((7,), mean, dtype=kind, device=device)
        dt.poisson(x, generator=g)
        dt.binomial(x * 2, dt.full_like(x, 0.5), generator=g)
        ends.add(g.get_offset())
    assert len(ends) == 1


def test_a_number_is_its_own_words_alone(device: Any) -> None:
    """Neighbours that need more rounds do not change it."""
    found = []
    for neighbour in (0.2, 3e4):
        x = dt.tensor([55.0, neighbour, 2.0, neighbour, 12.0], device=device)
        made = dt.poisson(x, generator=dt.Generator(device).manual_seed(4)).tolist()
        found.append(made[::2])
    assert found[0] == found[1]


def test_rates_without_end_end(device: Any) -> None:
    made = dt.poisson(dt.tensor([float("inf"), 3.0], device=device))
    assert made[1].item() < 30
