"""Distributions against PyTorch's: values, gradients, shapes, which samples come, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

MEMBERS = ("log_prob", "cdf", "icdf", "entropy", "mean", "mode", "variance", "stddev", "perplexity")


def some(*shape: int, low: float = 0.1, high: float = 1.1) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(low, high, shape)


SPREAD = {"loc": some(3, 1) - 0.5, "scale": some(4)}
PLACES = some(2, 3, 4)
CHOICES = some(2, 3)
CASES: dict[str, tuple[dict[str, np.ndarray], np.ndarray]] = {
    **dict.fromkeys(("Normal", "Laplace", "Cauchy", "Gumbel", "LogNormal"), (SPREAD, PLACES)),
    "Uniform": ({"low": some(3, 1) - 2, "high": some(4) + 2}, PLACES),
    "Exponential": ({"rate": some(3)}, some(2, 3)),
    "HalfNormal": ({"scale": some(3)}, some(2, 3)),
    "Poisson": ({"rate": some(3) * 3}, np.arange(6.0).reshape(2, 3)),
    "Bernoulli": ({"probs": some(3) / 1.2}, np.array([[0.0, 1, 1], [1, 1, 0]])),
    "Bernoulli of logits": ({"logits": some(3) - 0.5}, np.array([[0.0, 1, 1], [1, 1, 0]])),
    "Geometric": ({"probs": some(3) / 1.2}, np.array([[0.0, 1, 4], [1, 3, 0]])),
    "Categorical": ({"probs": CHOICES}, np.array([[0, 1], [2, 1]])),
    "Categorical of logits": ({"logits": CHOICES}, np.array([[0, 1], [2, 1]])),
    "OneHotCategorical": ({"logits": CHOICES}, np.eye(3)[[2, 1]]),
    "OneHotCategoricalStraightThrough": ({"probs": CHOICES}, np.eye(3)[[2, 1]]),
}


def made(lib: Any, name: str) -> tuple[Any, list[Any]]:
    """The distribution and its parameters, in float64."""
    given = {k: lib.tensor(v, requires_grad=True) for k, v in CASES[name][0].items()}
    return getattr(lib.distributions, name.split()[0])(**given), list(given.values())


def asked(lib: Any, distribution: Any, member: str, value: np.ndarray) -> Any:
    if member in ("log_prob", "cdf"):
        return getattr(distribution, member)(lib.tensor(value))
    if member == "icdf":
        return distribution.icdf(lib.tensor(some(2, 1, 1, high=0.9)))
    found = getattr(distribution, member)
    return found() if callable(found) else found


def agree(mine: Any, theirs: Any, what: Any = "") -> None:
    assert tuple(mine.shape) == tuple(theirs.shape), what
    assert str(mine.dtype) == str(theirs.dtype), what
    np.testing.assert_allclose(
        mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=str(what)
    )


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str) -> None:
    (mine, ours), (theirs, given) = made(dt, name), made(torch, name)
    for member in MEMBERS:
        try:
            expected = asked(torch, theirs, member, CASES[name][1])
        except NotImplementedError:
            with pytest.raises(NotImplementedError):
                asked(dt, mine, member, CASES[name][1])
            continue
        found = asked(dt, mine, member, CASES[name][1])
        agree(found, expected, member)
        assert found.requires_grad == expected.requires_grad, member
        if not expected.requires_grad or not bool(torch.isfinite(expected).all()):
            continue
        pairs = zip(
            dt.autograd.grad(found.sum(), ours, retain_graph=True, allow_unused=True),
            torch.autograd.grad(expected.sum(), given, retain_graph=True, allow_unused=True),
            strict=True,
        )
        for a, b in pairs:
            if b is not None and bool(b.any()):
                agree(a, b, member)


@pytest.mark.parametrize("name", CASES)
def test_samples(name: str) -> None:
    """Shapes are PyTorch's, means and variances the distribution's own."""
    dt.manual_seed(0)
    (mine, ours), (theirs, _) = made(dt, name), made(torch, name)
    drawn, expected = mine.sample((5, 2)), theirs.sample((5, 2))
    assert (tuple(drawn.shape), str(drawn.dtype)) == (tuple(expected.shape), str(expected.dtype))
    assert not drawn.requires_grad
    assert mine.has_rsample == theirs.has_rsample
    if mine.has_rsample:
        for g in dt.autograd.grad(mine.rsample((2,)).sum(), ours, allow_unused=True):
            assert g is None or bool(dt.isfinite(g).all())
    bigger = (6, *mine.batch_shape)
    agree(mine.expand(bigger).mean, theirs.expand(bigger).mean)
    many = mine.sample((20000,)).double()
    if name.startswith("Categorical"):
        many, wanted = dt.nn.functional.one_hot(many.long(), 3).double().mean(0), mine.probs
        np.testing.assert_allclose(many.numpy(), wanted.detach().numpy(), atol=0.02)
    elif name == "Cauchy":
        np.testing.assert_allclose((many < mine.loc).double().mean(0).numpy(), 0.5, atol=0.02)
    else:
        off = (many.mean(0) - mine.mean) / mine.stddev
        assert float(off.abs().max().detach()) < 0.04
        assert float((many.var(0) / mine.variance - 1).abs().max().detach()) < 0.2


def test_choices_are_enumerated() -> None:
    for name in ("Bernoulli", "Categorical", "OneHotCategorical"):
        for expand in (True, False):
            mine, theirs = (made(lib, name)[0].enumerate_support(expand) for lib in (dt, torch))
            agree(mine, theirs, name)


MATRIX = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 1.5]])


@pytest.mark.parametrize("given", ["covariance_matrix", "precision_matrix", "scale_tril"])
def test_normal_vectors(given: str) -> None:
    matrix = np.linalg.cholesky(MATRIX) if given == "scale_tril" else MATRIX
    both = [
        lib.distributions.MultivariateNormal(lib.tensor(some(2, 3)), **{given: lib.tensor(matrix)})
        for lib in (dt, torch)
    ]
    for member in ("scale_tril", "covariance_matrix", "precision_matrix", "mean", "variance"):
        agree(getattr(both[0], member), getattr(both[1], member), member)
    agree(both[0].entropy(), both[1].entropy())
    agree(both[0].log_prob(dt.tensor(some(4, 2, 3))), both[1].log_prob(torch.tensor(some(4, 2, 3))))
    dt.manual_seed(0)
    drawn = both[0].sample((30000,))[:, 0].numpy()
    np.testing.assert_allclose(np.cov(drawn.T), both[1].covariance_matrix[0], atol=0.06)


def _squashed(lib: Any, scale: float = 1.5) -> Any:
    """A policy's action, as Soft Actor-Critic has it."""
    d = lib.distributions
    base = d.Independent(d.Normal(lib.tensor(some(2, 3)), lib.tensor(some(3))), 1)
    steps = [d.TanhTransform(cache_size=1), d.AffineTransform(0.5, scale)]
    return d.TransformedDistribution(base, steps)


def test_transformed() -> None:
    mine, theirs = _squashed(dt), _squashed(torch)
    assert (mine.batch_shape, mine.event_shape) == ((2,), (3,))
    value = some(4, 2, 3, low=-0.8, high=1.8)
    agree(mine.log_prob(dt.tensor(value)), theirs.log_prob(torch.tensor(value)))
    drawn = mine.rsample((5,))
    agree(mine.log_prob(drawn), theirs.log_prob(torch.tensor(drawn.numpy())))
    for lib in (dt, torch):
        d = lib.distributions
        flipped = d.TransformedDistribution(
            d.Uniform(0.0, 1.0), [d.SigmoidTransform().inv, d.AffineTransform(1.0, -2.0)]
        )  # a logistic distribution, turned around
        x = lib.tensor([-1.0, 0.5, 3.0])
        expected = 1 / (1 + np.exp(-(x.numpy() - 1) / 2))
        np.testing.assert_allclose(flipped.cdf(x).numpy(), expected, rtol=1e-5)
        np.testing.assert_allclose(flipped.icdf(flipped.cdf(x)).numpy(), x.numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("AffineTransform", (0.5, -2.0)),
        ("ExpTransform", ()),
        ("PowerTransform", (3.0,)),
        ("SigmoidTransform", ()),
        ("SoftplusTransform", ()),
        ("TanhTransform", ()),
    ],
)
def test_transforms(name: str, given: tuple[float, ...]) -> None:
    mine, theirs = (getattr(lib.distributions.transforms, name)(*given) for lib in (dt, torch))
    x = some(3)
    y = mine(dt.tensor(x))
    agree(y, theirs(torch.tensor(x)))
    agree(mine.inv(y), theirs.inv(theirs(torch.tensor(x))))
    change = theirs.log_abs_det_jacobian(torch.tensor(x), theirs(torch.tensor(x)))
    agree(mine.log_abs_det_jacobian(dt.tensor(x), y), change)
    agree(mine.inv.log_abs_det_jacobian(y, dt.tensor(x)), -change)


def test_mixture() -> None:
    def mixture(lib: Any) -> Any:
        d = lib.distributions
        parts = d.Independent(d.Normal(lib.tensor(some(4, 2)), lib.tensor(some(4, 2))), 1)
        return d.MixtureSameFamily(d.Categorical(lib.tensor(some(4))), parts)

    mine, theirs = mixture(dt), mixture(torch)
    agree(mine.mean, theirs.mean)
    agree(mine.variance, theirs.variance)
    agree(mine.log_prob(dt.tensor(some(5, 2))), theirs.log_prob(torch.tensor(some(5, 2))))
    dt.manual_seed(0)
    many = mine.sample((20000,))
    np.testing.assert_allclose(many.mean(0).numpy(), mine.mean.numpy(), atol=0.03)
    np.testing.assert_allclose(many.var(0).numpy(), mine.variance.numpy(), rtol=0.05)


PAIRS = [
    "Normal", "Laplace", "Exponential", "Bernoulli", "Geometric", "Poisson", "Categorical",
    "OneHotCategorical", "LogNormal",
]  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_divergences(name: str) -> None:
    def found(lib: Any) -> Any:
        given = CASES[name][0]
        kind = getattr(lib.distributions, name)
        p = kind(**{k: lib.tensor(v) for k, v in given.items()})
        q = kind(**{k: lib.tensor(v * 0.8 + 0.05) for k, v in given.items()})
        return lib.distributions.kl_divergence(p, q)

    agree(found(dt), found(torch))


def test_divergences_of_made_distributions() -> None:
    def found(lib: Any) -> Any:
        d = lib.distributions
        p = d.MultivariateNormal(lib.tensor(some(3)), lib.tensor(MATRIX))
        q = d.MultivariateNormal(lib.tensor(some(2, 3)), precision_matrix=lib.tensor(MATRIX))
        a = d.Independent(d.Normal(lib.tensor(some(3)), 1.0), 1)
        b = d.Independent(d.Normal(0.0, lib.tensor(some(3))), 1)
        low = d.Uniform(lib.tensor([0.0, 0.0]).double(), 1.0)
        high = d.Uniform(lib.tensor([-1.0, 0.5]).double(), 2.0)
        return [d.kl_divergence(*pair) for pair in ((p, q), (a, b), (low, high))]

    for mine, theirs in zip(found(dt), found(torch), strict=True):
        agree(mine, theirs)
    d = dt.distributions
    with pytest.raises(NotImplementedError, match="Normal and q type Laplace"):
        d.kl_divergence(d.Normal(0.0, 1.0), d.Laplace(0.0, 1.0))


WRONG: list[Callable[[Any], Any]] = [
    lambda t: t.distributions.Normal(0.0, -1.0),
    lambda t: t.distributions.Normal(math.nan, 1.0),
    lambda t: t.distributions.Uniform(1.0, 0.0),
    lambda t: t.distributions.Categorical(),
    lambda t: t.distributions.Categorical(probs=t.tensor(0.5)),
    lambda t: t.distributions.Categorical(probs=t.tensor([0.5, -0.1])),
    lambda t: t.distributions.Categorical(logits=t.zeros(3)).log_prob(t.tensor(3)),
    lambda t: t.distributions.Bernoulli(t.tensor(1.5)),
    lambda t: t.distributions.Bernoulli(t.tensor(0.5)).log_prob(t.tensor(0.5)),
    lambda t: t.distributions.Geometric(t.tensor(0.0)),
    lambda t: t.distributions.Normal(t.zeros(3), 1.0).log_prob(t.zeros(2)),
    lambda t: t.distributions.MultivariateNormal(t.zeros(2), t.tensor([[1.0, 2.0], [2.0, 1.0]])),
    lambda t: t.distributions.MultivariateNormal(t.zeros(2)),
    lambda t: t.distributions.Independent(t.distributions.Normal(0.0, 1.0), 1),
    lambda t: t.distributions.TransformedDistribution(t.distributions.Normal(0.0, 1.0), 3),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_errors(wrong: Callable[[Any], Any]) -> None:
    for lib in (torch, dt):
        with pytest.raises(ValueError, match=r"\w"):
            wrong(lib)


def test_checks_can_be_left_out() -> None:
    assert dt.distributions.Normal(0.0, -1.0, validate_args=False).mean == 0
    dt.distributions.Distribution.set_default_validate_args(False)
    try:
        dt.distributions.Uniform(1.0, 0.0)
    finally:
        dt.distributions.Distribution.set_default_validate_args(True)


@pytest.mark.parametrize("device", ["cpu", "opencl:0"])
def test_a_policy(device: str, need_device: Callable[[str], Any]) -> None:
    """REINFORCE on a device, whose samples stay there."""
    need_device(device)
    logits = dt.zeros(4, 3, device=device, requires_grad=True)
    choice = dt.distributions.Categorical(logits=logits)
    action = choice.sample()
    assert action.device.type == device.partition(":")[0]
    (-choice.log_prob(action).sum() - 0.1 * choice.entropy().sum()).backward()
    expected = 1 / 3 - np.eye(3)[action.cpu().numpy()]  # the entropy's gradient is 0 here
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.cpu().numpy(), expected, atol=1e-6)
