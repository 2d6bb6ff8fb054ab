"""Random functions: forms, dtypes, ranges, distributions, errors as PyTorch's, autograd."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import dovetail as dt

torch = pytest.importorskip("torch")


def host(x: Any) -> np.ndarray:
    return x.detach().cpu().numpy()


@pytest.fixture
def g(device: Any) -> dt.Generator:
    return dt.Generator(device).manual_seed(2024)


N = 20000
P_LEAST = 1e-4  # with fixed seeds a right implementation passes or fails once and for all


CONTINUOUS = {
    "uniform_": ((), stats.uniform()),
    "uniform_ range": ((-3.0, 5.0), stats.uniform(-3, 8)),
    "normal_": ((), stats.norm()),
    "normal_ moved": ((4.0, 0.5), stats.norm(4, 0.5)),
    "exponential_": ((), stats.expon()),
    "exponential_ fast": ((2.5,), stats.expon(scale=0.4)),
    "log_normal_": ((0.5, 0.25), stats.lognorm(0.25, scale=math.exp(0.5))),
    "cauchy_": ((1.0, 2.0), stats.cauchy(1, 2)),
}


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=repr)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_distributions(name: str, dtype: dt.dtype, served: str, device: Any, g: Any) -> None:
    arguments, law = CONTINUOUS[name]
    x = dt.empty(N, dtype=dtype, device=device)
    assert getattr(x, name.split()[0])(*arguments, generator=g) is x
    values = host(x)
    assert np.isfinite(values).all()
    assert stats.kstest(values, law.cdf).pvalue > P_LEAST
    # Neighbours, and the two numbers of a Box-Muller pair, are independent.
    ranks = stats.rankdata(values)
    for step in (1, 2, 4):
        assert abs(np.corrcoef(ranks[:-step], ranks[step:])[0, 1]) < 5 / math.sqrt(N)
    assert abs(np.corrcoef(ranks[0::2], ranks[1::2])[0, 1]) < 5 / math.sqrt(N / 2)


# Where a word's upper 24 bits are all 0, and all 1: the draw's third word.
LEAST, MOST = 3635882, 384184


def test_ends_of_laws(served: str, device: Any) -> None:
    def third(offset: int, law: str, *given: float, dtype: dt.dtype = dt.float32) -> float:
        g = dt.Generator(device).manual_seed(0xC0FFEE)
        g.set_offset(offset)
        x = dt.empty(3, dtype=dtype, device=device)
        return float(getattr(x, law)(*given, generator=g)[2].item())

    assert third(LEAST, "uniform_") == 0
    assert third(MOST, "uniform_") == 1 - 2.0**-24
    assert third(LEAST, "exponential_") == 2.0**-24
    assert third(MOST, "exponential_", 0.5) == pytest.approx(48 * math.log(2), rel=1e-6)
    assert third(MOST, "exponential_", dtype=dt.float16) == pytest.approx(16.6355, rel=1e-3)
    for dtype in (dt.float32, dt.int64):
        assert third(LEAST, "geometric_", 0.3, dtype=dtype) == 1
        assert third(MOST, "geometric_", 0.5, dtype=dtype) == 24
    for offset in (LEAST, MOST):
        assert 5e6 < abs(third(offset, "cauchy_")) < 1e8


def test_geometric(served: str, device: Any, g: Any) -> None:
    for dtype in (dt.float32, dt.int64):
        values = host(dt.empty(N, dtype=dtype, device=device).geometric_(0.3, generator=g))
        assert values.min() == 1
        counts = [np.sum(values == k) for k in range(1, 9)] + [np.sum(values > 8)]
        chances = [stats.geom.pmf(k, 0.3) for k in range(1, 9)] + [stats.geom.sf(8, 0.3)]
        assert stats.chisquare(counts, np.array(chances) * N).pvalue > P_LEAST


def test_rand_and_randn_beside_their_laws(device: Any, g: Any) -> None:
    assert stats.kstest(host(dt.rand(N, device=device, generator=g)), "uniform").pvalue > P_LEAST
    normal = host(dt.randn(N, device=device, generator=g))
    assert stats.kstest(normal, "norm").pvalue > P_LEAST
    assert abs(normal.mean()) < 5 / math.sqrt(N)
    assert abs(normal.var() - 1) < 5 * math.sqrt(2 / N)
    assert abs(stats.kurtosis(normal)) < 5 * math.sqrt(24 / N)


@pytest.mark.parametrize(("low", "high"), [(0, 2), (-3, 4), (0, 10), (5, 105)])
def test_randint_is_even(low: int, high: int, device: Any, g: Any) -> None:
    values = host(dt.randint(low, high, (N,), device=device, generator=g))
    counts = np.bincount(values - low, minlength=high - low)
    assert len(counts) == high - low
    assert stats.chisquare(counts).pvalue > P_LEAST


def test_permutations_are_even(device: Any, g: Any) -> None:
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(4800):
        order = tuple(dt.randperm(4, device=device, generator=g).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert stats.chisquare(list(counts.values())).pvalue > P_LEAST


def test_multinomial_with_replacement(served: str, device: Any, g: Any) -> None:
    weights = [0.0, 1.0, 3.0, 0.0, 4.0, 0.0]
    drawn = host(dt.multinomial(dt.tensor([weights] * 2, device=device), 6000, True, generator=g))
    assert drawn.shape == (2, 6000)
    for row in drawn:
        counts = np.bincount(row, minlength=6)
        assert counts[[0, 3, 5]].sum() == 0
        assert stats.chisquare(counts[[1, 2, 4]], np.array([1, 3, 4]) / 8 * 6000).pvalue > P_LEAST


@pytest.mark.parametrize(("shape", "count"), [((7,), 3), ((90, 33), 5), ((2, 300), 700)])
def test_multinomial_counts_the_sums_reached(shape: Any, count: int, device: Any) -> None:
    """Which the draw is defined by; whole weights, whose sums are exact on any device."""
    weights = np.random.default_rng(0).integers(0, 9, shape).astype(np.float32)
    drawn, uniform = (dt.Generator(device).manual_seed(7) for _ in range(2))
    made = dt.multinomial(dt.tensor(weights, device=device), count, True, generator=drawn)
    u = host(dt.rand(*shape[:-1], count, generator=uniform, device=device))
    edges = weights.cumsum(-1, dtype=np.float32)
    reached = (u * edges[..., -1:])[..., None] >= edges[..., None, :]
    np.testing.assert_array_equal(host(made), reached.sum(-1))


def test_a_sum_that_is_met_exactly_is_reached(device: Any) -> None:
    """So that a number of 0 never draws a weight of 0."""
    drawn, uniform = (dt.Generator(device).manual_seed(7) for _ in range(2))
    made = dt.multinomial(dt.ones(4096, device=device), 50000, True, generator=drawn)
    u = host(dt.rand(50000, generator=uniform, device=device)) * np.float32(4096)
    assert (u == np.floor(u)).any()
    np.testing.assert_array_equal(host(made), np.floor(u))


def test_multinomial_without_replacement(served: str, device: Any, g: Any) -> None:
    weights = dt.tensor([1.0, 2.0, 0.0, 5.0], device=device).expand(8000, 4)
    drawn = host(dt.multinomial(weights, 3, generator=g))
    assert (np.sort(drawn, 1) == [0, 1, 3]).all()
    counts = np.bincount(drawn[:, 0], minlength=4)
    assert counts[2] == 0
    assert stats.chisquare(counts[[0, 1, 3]], np.array([1, 2, 5]) / 8 * 8000).pvalue > P_LEAST
    after_three = drawn[drawn[:, 0] == 3][:, 1]  # then 1 : 2
    assert abs(np.mean(after_three == 1) - 2 / 3) < 5 * math.sqrt(2 / 9 / len(after_three))
    one = dt.multinomial(dt.tensor([0.0, 2.0, 0.0], device=device), 1, generator=g)
    assert one.tolist() == [1]


def test_ends_of_ranges(device: Any) -> None:
    for kind in (dt.float32, dt.float16, dt.bfloat16, dt.float64):
        x = dt.empty(50000, dtype=kind, device=device)
        for low, high in ((0.0, 1.0), (1000.0, 1001.0), (-1.0, 0.0), (0.0, 3.0), (-7.0, -6.5)):
            x.uniform_(low, high)
            assert x.min().item() >= low
            assert x.max().item() < high
    assert dt.empty(200000, device=device).exponential_().min().item() > 0


FACTORIES = [
    lambda m: m.rand(2, 3),
    lambda m: m.rand((2, 3)),
    lambda m: m.rand([]),
    lambda m: m.randn(0, 4),
    lambda m: m.rand(3, dtype=m.float64),
    lambda m: m.randn(2, dtype=m.bfloat16),
    lambda m: m.rand(2, requires_grad=True),
    lambda m: m.rand(2, dtype=m.complex64),
    lambda m: m.randint(5, (3,)),
    lambda m: m.randint(2, 5, (3, 1)),
    lambda m: m.randint(0, 5, [2]),
    lambda m: m.randint(high=5, size=(2,)),
    lambda m: m.randint(3, (2,), dtype=m.float16),
    lambda m: m.randint(low=0, high=2, size=(), dtype=m.bool),
    lambda m: m.randperm(6),
    lambda m: m.randperm(6, dtype=m.float32),
    lambda m: m.randperm(0),
    lambda m: m.rand_like(m.zeros(2, 3)),
    lambda m: m.randn_like(m.zeros(2), dtype=m.float64),
    lambda m: m.rand_like(m.zeros(2, 3).t()),
    lambda m: m.randint_like(m.zeros(3), 5),
    lambda m: m.randint_like(m.zeros(3, dtype=m.uint8), 2, 5),
    lambda m: m.normal(m.zeros(3), m.ones(3)),
    lambda m: m.normal(m.zeros(3, 1), m.ones(2)),
    lambda m: m.normal(0.0, m.ones(2, dtype=m.float64)),
    lambda m: m.normal(m.zeros(2)),
    lambda m: m.normal(2.0, 3.0, (1, 4)),
    lambda m: m.normal(2, 3, size=(2,)),
    lambda m: m.bernoulli(m.full((3,), 0.5)),
    lambda m: m.bernoulli(m.zeros(2), 0.5),
    lambda m: m.bernoulli(m.zeros(2).int(), 0.5),
    lambda m: m.zeros(4).int().bernoulli_(),
    lambda m: m.zeros(3).bernoulli_(m.tensor([0.0, 1.0, 0.5], dtype=m.float64)),
    lambda m: m.multinomial(m.ones(3), 2),
    lambda m: m.multinomial(m.ones(2, 3), 5, True),
    lambda m: m.zeros(3).random_(),
    lambda m: m.zeros(3).random_(5),
    lambda m: m.zeros(3).random_(2, 5),
    lambda m: m.zeros(3, dtype=m.bool).random_(),
    lambda m: m.zeros(3).random_(2, to=7),
    lambda m: m.zeros(3, dtype=m.uint8).random_(),
    lambda m: m.zeros(3).half().random_(),
    lambda m: m.zeros(3).int().random_(-4, None),
    lambda m: m.zeros(3).half().uniform_(2, 3),
    lambda m: m.empty(3, dtype=m.complex64).normal_(),
    lambda m: m.empty(2).log_normal_(),
]


@pytest.mark.parametrize("form", FACTORIES)
def test_shape_dtype_layout(form: Any) -> None:
    mine, other = form(dt), form(torch)
    assert (repr(mine.dtype), tuple(mine.shape)) == (repr(other.dtype), tuple(other.shape))
    assert mine.stride() == other.stride()
    assert mine.requires_grad == other.requires_grad


ERRORS = [
    lambda m: m.rand(2, -1),
    lambda m: m.randint(5, 3, (3,)),
    lambda m: m.randint(3, 3, (3,)),
    lambda m: m.randint(0, 300, (3,), dtype=m.uint8),
    lambda m: m.randint(-5, 3, (3,), dtype=m.uint8),
    lambda m: m.randint(3, (2,), dtype=m.complex64),
    lambda m: m.rand(3, dtype=m.int64),
    lambda m: m.randn(3, dtype=m.int64),
    lambda m: m.rand_like(m.zeros(3).long()),
    lambda m: m.randperm(-1),
    lambda m: m.bernoulli(m.tensor([1])),
    lambda m: m.bernoulli(m.zeros(2), 1.5),
    lambda m: m.zeros(3).bernoulli_(m.tensor([1, 0, 1])),
    lambda m: m.multinomial(m.tensor([1.0, 2]), 3),
    lambda m: m.multinomial(m.tensor([0.0, 0]), 1),
    lambda m: m.multinomial(m.tensor([-1.0, 2]), 1),
    lambda m: m.multinomial(m.tensor([1, 2]), 1),
    lambda m: m.multinomial(m.zeros(2, 2, 2), 2, True),
    lambda m: m.multinomial(m.ones(2, 3), 0),
    lambda m: m.multinomial(m.tensor([math.inf, 1.0]), 1),
    lambda m: m.zeros(3).uniform_(2, 1),
    lambda m: m.zeros(3).int().uniform_(),
    lambda m: m.zeros(3).normal_(0, -1),
    lambda m: m.zeros(3).int().normal_(),
    lambda m: m.zeros(3).exponential_(0),
    lambda m: m.zeros(3).int().exponential_(),
    lambda m: m.zeros(3).log_normal_(0, -1),
    lambda m: m.zeros(3).geometric_(0),
    lambda m: m.zeros(3).cauchy_(0, 0),
    lambda m: m.zeros(3).random_(5, 3),
    lambda m: m.zeros(3).random_(0),
    lambda m: m.zeros(3, dtype=m.uint8).random_(0, 300),
    lambda m: m.normal(m.zeros(3), -1.0),
    lambda m: m.normal(m.zeros(3), -m.ones(3)),
    lambda m: m.normal(m.zeros(3).int(), 1.0),
    lambda m: m.dropout(m.ones(3), 1.5, True),
    lambda m: m.dropout(m.ones(3).int(), 0.5, True),
    lambda m: m.feature_dropout(m.ones(3), 0.5, True),
]


@pytest.mark.parametrize("form", ERRORS)
def test_errors_are_pytorchs(form: Any) -> None:
    with pytest.raises(Exception) as other:  # noqa: PT011 (whatever PyTorch raises)
        form(torch)
    with pytest.raises(other.type) as mine:
        form(dt)
    assert str(other.value).splitlines()[0].rstrip() in str(mine.value)


@pytest.mark.parametrize("form", [
    lambda m: m.randint(5, 2), lambda m: m.normal(0.0, 1.0), lambda m: m.randint(0.0, 5.5, (2,)),
    lambda m: m.bernoulli(m.tensor([2.0])), lambda m: m.zeros(3).int().cauchy_(),
    lambda m: m.randperm(300, dtype=m.uint8), lambda m: m.rand(2, generator=5),
])  # fmt: skip
def test_wrong_arguments(form: Any) -> None:
    with pytest.raises(Exception) as other:  # noqa: PT011 (whatever PyTorch raises)
        form(torch)
    with pytest.raises(other.type):
        form(dt)


def test_out(device: Any, g: Any) -> None:
    out = dt.empty(3, device=device)
    assert dt.rand(3, out=out, generator=g) is out
    again = dt.rand(3, device=device, generator=dt.Generator(device).manual_seed(2024))
    assert out.tolist() == again.tolist()


def test_in_place_forgets_history(device: Any) -> None:
    x = dt.ones(3, device=device, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.uniform_()
    y = x * 2
    version = y._version
    y.normal_()
    assert y._version > version
    z = (x * 2)[:2]
    z.uniform_()
    (y.sum() + z.sum() + x.sum()).backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]


def test_gradients_are_zero(device: Any) -> None:
    for call in (
        lambda m, x: m.normal(x, 1.0),
        lambda m, x: m.normal(0.0, x),
        lambda m, x: m.normal(x, x),
        lambda m, x: m.bernoulli(x),
        lambda m, x: m.poisson(x),
    ):
        mine, theirs = dt.ones(3, device=device).requires_grad_(), torch.ones(3).requires_grad_()
        call(dt, mine).sum().backward()
        call(torch, theirs).sum().backward()
        assert mine.grad.tolist() == theirs.grad.tolist() == [0.0, 0.0, 0.0]
    x = dt.ones(2, 3, device=device, requires_grad=True)
    assert not dt.multinomial(x, 1).requires_grad
    with dt.no_grad():
        assert not dt.bernoulli(x).requires_grad


def test_inference_tensors(device: Any) -> None:
    with dt.inference_mode():
        assert dt.rand(2, device=device).is_inference()


def test_meta() -> None:
    for made in (
        dt.rand(2, 3, device="meta"),
        dt.randn(3, device="meta", dtype=dt.float64),
        dt.randint(5, (2,), device="meta"),
        dt.randperm(4, device="meta"),
        dt.multinomial(dt.ones(3, device="meta"), 2),
        dt.dropout(dt.ones(3, device="meta"), 0.5, True),
        dt.empty(3, device="meta").exponential_(),
        dt.bernoulli(dt.ones(2, device="meta")),
    ):
        assert made.device.type == "meta"


class TestDropout:
    """``dovetail.dropout`` and its relatives; the layers have tests of their own."""

    def test_identity(self, device: Any) -> None:
        x = dt.ones(3, device=device)
        assert dt.dropout(x, 0.0, True) is x
        assert dt.dropout(x, 0.5, False) is x
        assert dt.alpha_dropout(x, 0.0, True) is x
        assert dt.dropout(x, 1.0, True).tolist() == [0, 0, 0]

    @pytest.mark.parametrize("kind", [dt.float32, dt.float64, dt.bfloat16, dt.float16], ids=repr)
    def test_values_and_gradients(self, kind: dt.dtype, served: str, device: Any, g: Any) -> None:
        x = dt.randn(50, 40, device=device, generator=g).to(kind).requires_grad_()
        g.manual_seed(6)
        out = dt.dropout(x, 0.3, True, generator=g)
        g.manual_seed(6)
        noise = dt.dropout(dt.ones_like(x), 0.3, True, generator=g)
        kept = host((noise != 0).double())
        assert abs(kept.mean() - 0.7) < 0.06
        scale = dt.tensor(1 / 0.7, dtype=kind).item()
        assert set(np.unique(host(noise.double()))) == {0.0, scale}
        assert out.tolist() == (x * noise).tolist()
        (grad,) = dt.autograd.grad(out.sum(), x, create_graph=True)
        assert grad.tolist() == noise.tolist()

    def test_second_gradient(self, device: Any, g: Any) -> None:
        x = dt.randn(20, device=device, dtype=dt.float64, generator=g).requires_grad_()
        (first,) = dt.autograd.grad((dt.dropout(x, 0.5, True) ** 3).sum(), x, create_graph=True)
        (second,) = dt.autograd.grad(first.sum(), x)
        kept = host(first) != 0
        np.testing.assert_allclose(host(second)[kept], 48 * host(x)[kept])
        assert (host(second)[~kept] == 0).all()

    def test_is_one_product(self, device: Any) -> None:
        x = dt.ones(10, device=device)
        with dt.trace() as events:
            dt.dropout(x, 0.5, True)
        assert [e.op for e in events if not e.depth] == ["random_noise", "mul"]

    def test_features(self, device: Any, g: Any) -> None:
        values = host(
            dt.feature_dropout(dt.ones(20, 10, 3, 2, device=device), 0.5, True, generator=g)
        )
        assert (values == values[:, :, :1, :1]).all()
        assert set(np.unique(values)) == {0.0, 2.0}
