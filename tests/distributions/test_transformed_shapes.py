"""Shapes of transformed distributions against PyTorch's: parameters that broadcast, event dims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

NUMBERS = np.random.default_rng(0).uniform(0.2, 0.8, (2, 3, 4))


def _sides(lib: Any) -> Any:
    """A transform from numbers to vectors of two: one more event dim on one side."""
    d = lib.distributions

    class Sides(d.Transform):  # type: ignore[misc,name-defined]
        bijective = True
        domain, codomain = d.constraints.unit_interval, d.constraints.simplex

        def _call(self, x: Any) -> Any:
            return lib.stack([x, 1 - x], -1)

        def _inverse(self, y: Any) -> Any:
            return y[..., 0]

        def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
            return lib.log(x)  # any number of x's shape

        def forward_shape(self, shape: Any) -> Any:
            return (*shape, 2) if lib is dt else torch.Size((*shape, 2))

        def inverse_shape(self, shape: Any) -> Any:
            return shape[:-1]

    return Sides()


MADE: dict[str, Callable[[Any, Any], list[Any]]] = {
    "affine": lambda d, t: [d.AffineTransform(t(NUMBERS[0, 0]), t(NUMBERS[1, 0]))],
    "affine, one tensor": lambda d, t: [d.AffineTransform(0.5, t(NUMBERS[0, :, :1]))],
    "power": lambda d, t: [d.ExpTransform(), d.PowerTransform(t(NUMBERS[0, 0]))],
    "chained": lambda d, t: [
        d.AffineTransform(t(NUMBERS[0, :, :1]), 2.0),
        d.ComposeTransform([d.TanhTransform(), d.AffineTransform(t(NUMBERS[0, 0]), 1.5)]),
    ],
    "inverse": lambda d, t: [d.AffineTransform(t(NUMBERS[0, 0]), t(NUMBERS[1, 0])).inv],
    "events": lambda d, t: [d.AffineTransform(t(NUMBERS[0]), 2.0, event_dim=1)],
}


def _made(lib: Any, name: str) -> Any:
    d = lib.distributions
    loc = lib.tensor(NUMBERS[0, :1, :1])
    return d.TransformedDistribution(d.Normal(loc, lib.ones_like(loc)), MADE[name](d, lib.tensor))


@pytest.mark.parametrize("name", MADE)
def test_parameters_broadcast(name: str) -> None:
    """The base has a number of its own for every one that comes out."""
    mine, theirs = _made(dt, name), _made(torch, name)
    for one, other in ((mine, theirs), (mine.base_dist, theirs.base_dist)):
        assert tuple(one.batch_shape) == tuple(other.batch_shape)
        assert tuple(one.event_shape) == tuple(other.event_shape)
    drawn = mine.sample((5,))
    assert tuple(drawn.shape) == tuple(theirs.sample((5,)).shape)
    base = drawn
    for transform in reversed(mine.transforms):
        base = transform.inv(base)
    assert len({round(x, 9) for x in base.flatten().tolist()}) == base.numel()
    expected = theirs.log_prob(torch.tensor(drawn.numpy())).numpy()
    np.testing.assert_allclose(mine.log_prob(drawn).numpy(), expected, rtol=1e-9)
    shape = (2, *mine.batch_shape)
    larger, wanted = mine.expand(shape), theirs.expand(shape)
    assert tuple(larger.base_dist.batch_shape) == tuple(wanted.base_dist.batch_shape)
    assert tuple(larger.sample((5,)).shape) == tuple(wanted.sample((5,)).shape)


def test_event_dims_change() -> None:
    found = []
    for lib in (dt, torch):
        d = lib.distributions
        low, steps = lib.zeros(3, dtype=lib.float64), [d.PowerTransform(2.0), _sides(lib)]
        made = d.TransformedDistribution(d.Uniform(low, 1.0), steps)
        whole = d.ComposeTransform(steps)
        x = lib.tensor(NUMBERS[0, 0, :3])
        found.append(
            (
                (tuple(made.batch_shape), tuple(made.event_shape)),
                (whole.domain.event_dim, whole.codomain.event_dim),
                made.log_prob(lib.stack([x, 1 - x], -1)).tolist(),
                whole.log_abs_det_jacobian(x, whole(x)).tolist(),
            )
        )
        with pytest.raises(ValueError, match=r"domain\.event_dim"):
            _ = whole.event_dim
    assert found[0][:2] == found[1][:2]
    for mine, theirs in zip(found[0][2:], found[1][2:], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9)
