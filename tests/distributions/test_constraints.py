"""Constraints against PyTorch's: where they hold, what depends, mixtures, subclasses, copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

VALUES = np.array([-1.5, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, np.nan])
BOUNDED = [("greater_than", 0.5), ("greater_than_eq", 0.5), ("less_than", 1.0)]
BETWEEN = ["interval", "half_open_interval", "integer_interval"]
PLAIN = [
    "boolean", "nonnegative_integer", "positive_integer", "real", "real_vector", "positive",
    "nonnegative", "unit_interval", "simplex", "one_hot",
]  # fmt: skip
MADE: dict[str, Callable[[Any], Any]] = {
    **{name: lambda c, n=name: getattr(c, n) for name in PLAIN},
    **{name: lambda c, n=name, b=bound: getattr(c, n)(b) for name, bound in BOUNDED},
    **{name: lambda c, n=name: getattr(c, n)(-1.0, 2.0) for name in BETWEEN},
    "independent": lambda c: c.independent(c.unit_interval, 1),
}


@pytest.mark.parametrize("name", MADE)
def test_where_they_hold(name: str) -> None:
    mine, theirs = (MADE[name](lib.distributions.constraints) for lib in (dt, torch))
    assert (repr(mine), mine.event_dim) == (repr(theirs), theirs.event_dim)
    assert mine.is_discrete == theirs.is_discrete
    for rows in (VALUES, VALUES[:, None], np.stack([VALUES, 1 - VALUES], -1)):
        found, expected = mine.check(dt.tensor(rows)), theirs.check(torch.tensor(rows))
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_symmetric_up_to_rounding() -> None:
    """Covariances of large numbers, as float32 has them; one that is not symmetric."""
    rows = np.array([[[1e6, 3e5], [3e5 + 1, 2e6]], [[1e6, 3e5], [3e5 + 100, 2e6]]], "float32")
    for matrix in (rows, np.array([[[np.nan, 0.0], [0.0, 1.0]]])):
        found, expected = (
            lib.distributions.constraints.positive_definite.check(lib.tensor(matrix))
            for lib in (dt, torch)
        )
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert dt.distributions.constraints.positive_definite.check(dt.tensor(rows)).tolist() == [
        True, False,
    ]  # fmt: skip


def _between(lib: Any, said: Any) -> Any:
    """A program's own distribution, whose parameters' constraints are ``said``."""
    d = lib.distributions

    class Between(d.Distribution):  # type: ignore[misc,name-defined]
        arg_constraints = {"low": said, "high": said}

        def __init__(self, low: float, high: float) -> None:
            self.low, self.high = d.utils.broadcast_all(low, high)
            super().__init__(self.low.shape)

        @d.constraints.dependent_property(is_discrete=False, event_dim=0)
        def support(self) -> Any:
            return d.constraints.interval(self.low, self.high)

        def log_prob(self, value: Any) -> Any:
            self._validate_sample(value)
            return -(self.high - self.low).log()

    return Between


def test_dependent() -> None:
    for lib in (torch, dt):
        c = lib.distributions.constraints
        for said in (c.dependent, c.dependent(is_discrete=False, event_dim=0)):
            kind = _between(lib, said)
            assert kind(0.0, 1.0).log_prob(lib.tensor(0.5)) == 0
            with pytest.raises(ValueError, match="within the support"):
                kind(0.0, 1.0).log_prob(lib.tensor(1.5))
            assert c.is_dependent(kind.support)
            assert (kind.support.event_dim, kind.support.is_discrete) == (0, False)
        assert c.is_dependent(c.dependent)
        assert not c.is_dependent(c.real)
        assert c.is_dependent(lib.distributions.Uniform.support)
        assert not c.is_dependent(lib.distributions.Uniform(0.0, 1.0).support)
        with pytest.raises(NotImplementedError, match="statically"):
            _ = c.dependent.event_dim
        with pytest.raises(ValueError, match="Cannot determine validity"):
            c.dependent.check(lib.tensor(0.0))


def test_a_programs_own_constraint() -> None:
    for lib in (torch, dt):
        c = lib.distributions.constraints

        class Even(c.Constraint):  # type: ignore[misc,name-defined]
            is_discrete = True

            def check(self, value: Any) -> Any:
                return value % 2 == 0

        kind = _between(lib, Even())
        kind(2.0, 4.0)
        with pytest.raises(ValueError, match=r"constraint ven\(\)|constraint Even\(\)"):
            kind(1.0, 4.0)


def test_no_support() -> None:
    """A sample that cannot be checked passes, with a warning."""
    for lib in (torch, dt):

        class Bare(lib.distributions.Distribution):  # type: ignore[misc,name-defined]
            arg_constraints: dict[str, Any] = {}

            def log_prob(self, value: Any) -> Any:
                self._validate_sample(value)
                return value

        with pytest.warns(UserWarning, match="does not define `support`"):
            assert Bare().log_prob(lib.tensor(3.0)) == 3.0


MIXED: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "uniform": lambda t: (t.ones(3), t.distributions.Uniform(t.zeros(2, 3), t.ones(2, 3))),
    "of each": lambda t: (
        t.ones(2, 3),
        t.distributions.Uniform(t.arange(6.0).reshape(2, 3) / -6, t.ones(2, 3)),
    ),
    "vectors": lambda t: (
        t.ones(3),
        t.distributions.Independent(t.distributions.Uniform(t.zeros(3, 2), 1.0), 1),
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_mixtures_of_bounded_components(name: str) -> None:
    mixed = []
    for lib in (dt, torch):
        weights, parts = MIXED[name](lib)
        d = lib.distributions
        mixed.append(d.MixtureSameFamily(d.Categorical(weights), parts))
        with pytest.raises(ValueError, match="within the support"):
            mixed[-1].log_prob(lib.tensor([0.5, 1.5]))
    mine, theirs = mixed
    value = [0.5, 0.75]
    expected = theirs.log_prob(torch.tensor(value)).numpy()
    np.testing.assert_allclose(mine.log_prob(dt.tensor(value)).numpy(), expected, atol=1e-6)
    assert mine.support.event_dim == theirs.support.event_dim
    wanted = (5, *mine.batch_shape, *mine.event_shape)
    assert tuple(mine.sample((5,)).shape) == wanted  # PyTorch wants weights of the whole batch


WRONG: list[Callable[[Any], Any]] = [
    lambda t: t.distributions.Normal(t.zeros(4, 3), t.ones(4, 3)),
    lambda t: t.distributions.Normal(t.zeros(2, 2), t.ones(2, 2)),
    lambda t: 3,
]


@pytest.mark.parametrize("parts", WRONG)
def test_mixtures_that_do_not_fit(parts: Callable[[Any], Any]) -> None:
    for lib in (torch, dt):
        d = lib.distributions
        with pytest.raises(ValueError, match=r"component|Component"):
            d.MixtureSameFamily(d.Categorical(lib.ones(2, 3)), parts(lib))


COPIED: dict[str, Callable[[Any], Any]] = {
    "affine": lambda d: d.AffineTransform(1.0, 2.0, event_dim=1),
    "composed": lambda d: d.ComposeTransform([d.ExpTransform(), d.AffineTransform(0.0, 2.0)]),
    "inverse": lambda d: d.ExpTransform(cache_size=1).inv,
    "tanh": lambda d: d.TanhTransform(cache_size=1),
}


@pytest.mark.parametrize("name", COPIED)
@pytest.mark.parametrize("copied", [lambda t: pickle.loads(pickle.dumps(t)), copy.deepcopy])
def test_transforms_can_be_copied(name: str, copied: Callable[[Any], Any]) -> None:
    transform = COPIED[name](dt.distributions)
    x = dt.tensor([0.25, 0.5], requires_grad=True) * 1  # no leaf: the kept pair cannot be copied
    y = transform(x)
    again = copied(transform)
    np.testing.assert_array_equal(again(x).detach().numpy(), y.detach().numpy())
    assert (repr(again), repr(again.domain)) == (repr(transform), repr(transform.domain))


@pytest.mark.parametrize(
    ("name", "given"), [("Categorical", "logits"), ("Bernoulli", "logits"), ("Bernoulli", "probs")]
)
def test_samples_leave_gradients(name: str, given: str) -> None:
    """What a sample computes under ``no_grad`` serves what is asked later, with gradients."""
    grads = []
    for lib in (dt, torch):
        p = lib.tensor([0.2, 0.5, 0.3], requires_grad=True)
        made = getattr(lib.distributions, name)(**{given: p})
        with lib.no_grad():
            made.sample(), made.probs, made.logits
        (made.entropy().sum() + made.probs[0] + made.logits[1]).backward()
        grads.append(p.grad.numpy())
    np.testing.assert_allclose(*grads, rtol=1e-5, atol=1e-7)
