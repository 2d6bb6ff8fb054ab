"""Divergences between distributions that are transformed or of two kinds; equal transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

TRANSFORMS: list[Callable[[Any, Any], Any]] = [
    lambda d, t: d.ExpTransform(),
    lambda d, t: d.ExpTransform(cache_size=1),
    lambda d, t: d.TanhTransform(),
    lambda d, t: d.SigmoidTransform(),
    lambda d, t: d.SigmoidTransform().inv,
    lambda d, t: d.SoftplusTransform(),
    lambda d, t: d.AffineTransform(0.0, 2.0),
    lambda d, t: d.AffineTransform(0, 2),
    lambda d, t: d.AffineTransform(0.0, 3.0),
    lambda d, t: d.AffineTransform(0.0, 2.0).inv,
    lambda d, t: d.AffineTransform(t([0.0, 0.0]), t([2.0, 2.0])),
    lambda d, t: d.AffineTransform(t([0.0, 0.0]), t([2.0, 3.0])),
    lambda d, t: d.PowerTransform(2.0),
    lambda d, t: d.PowerTransform(t([2.0, 3.0])),
    lambda d, t: d.ComposeTransform([d.ExpTransform(), d.AffineTransform(t([0.0]), 2.0)]),
    lambda d, t: d.ComposeTransform([d.ExpTransform(), d.AffineTransform(0.0, 2.0)]),
    lambda d, t: d.ComposeTransform([d.ExpTransform()]),
]


def test_equal_transforms() -> None:
    first, second = (
        [[make(lib.distributions, lib.tensor) for make in TRANSFORMS] for lib in (dt, torch)]
        for _ in range(2)
    )
    for i in range(len(TRANSFORMS)):
        for j in range(len(TRANSFORMS)):
            expected = first[1][i] == second[1][j]
            assert (first[0][i] == second[0][j]) is expected, (first[0][i], second[0][j])
            assert (first[0][i] != second[0][j]) is not expected


def _scaled(lib: Any, scale: Any, loc: float = 0.0) -> Any:
    d = lib.distributions
    base = d.Normal(lib.tensor([loc, loc]), 1.0)
    return d.TransformedDistribution(base, [d.TanhTransform(cache_size=1), scale(d, lib.tensor)])


def test_transformed() -> None:
    """By tensors, that are new ones each time, and after a sample, which is kept."""

    def by(number: float) -> Callable[[Any, Any], Any]:
        return lambda d, t: d.AffineTransform(t([0.0, 1.0]), t([2.0, number]))

    for lib in (torch, dt):
        p, q = _scaled(lib, by(3.0)), _scaled(lib, by(3.0), loc=1.0)
        p.sample()
        found = lib.distributions.kl_divergence(p, q)
        np.testing.assert_allclose(found.numpy(), [0.5, 0.5])
        with pytest.raises(NotImplementedError):
            lib.distributions.kl_divergence(p, _scaled(lib, by(4.0)))
    with pytest.raises(NotImplementedError, match="TransformedDistribution of Normal and q"):
        dt.distributions.kl_divergence(p, _scaled(dt, by(4.0)))
    d = dt.distributions
    base = d.Normal(dt.zeros(2, 3), 1.0)
    with pytest.raises(NotImplementedError, match=r"Independent of Normal.*: 1 and 2"):
        d.kl_divergence(d.Independent(base, 1), d.Independent(base, 2))


def some(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).uniform(0.3, 1.6, shape)


PLACE = {"loc": some(2, 1) - 1, "scale": some(3)}
OTHER = {"loc": some(3), "scale": some(2, 1)}
PAIRS = [
    ("HalfNormal", {"scale": some(3)}, "HalfNormal", {"scale": some(2, 1)}),
    ("Gumbel", PLACE, "Gumbel", OTHER),
    ("Cauchy", PLACE, "Cauchy", OTHER),
    ("Laplace", PLACE, "Normal", OTHER),
    ("Uniform", {"low": some(2, 1) - 2, "high": some(3)}, "Normal", OTHER),
]


@pytest.mark.parametrize(("left", "given", "right", "other"), PAIRS)
def test_of_kinds(left: str, given: dict[str, Any], right: str, other: dict[str, Any]) -> None:
    """Values and gradients; nothing between equals."""
    found = []
    for lib in (dt, torch):
        kinds = ((left, given), (right, other))
        made = [
            {k: lib.tensor(v, requires_grad=True) for k, v in named.items()} for _, named in kinds
        ]
        p, q = (
            getattr(lib.distributions, kind)(**m) for (kind, _), m in zip(kinds, made, strict=True)
        )
        value = lib.distributions.kl_divergence(p, q)
        value.sum().backward()
        found.append([value.detach().numpy(), *(v.grad.numpy() for m in made for v in m.values())])
        if left == right:
            same = lib.distributions.kl_divergence(p, p).detach().numpy()
            np.testing.assert_allclose(same, 0.0, atol=1e-12)
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
