"""Distributions of a function of another one's values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dovetail as dt
from dovetail.distributions import constraints
from dovetail.distributions.continuous import Normal
from dovetail.distributions.distribution import Distribution
from dovetail.distributions.independent import Independent
from dovetail.distributions.transforms import ComposeTransform, ExpTransform, Transform
from dovetail.distributions.utils import sum_rightmost
from dovetail.tensor import Tensor

__all__ = ["LogNormal", "TransformedDistribution"]


class TransformedDistribution(Distribution):
    """``t(x)``, where x is of a distribution.

    Args:
        base_distribution: of x.
        transforms: one, or a list, of which the first is the first.

    Raises:
        ValueError: not transforms, or x has too few dims for them.
    """

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | list[Transform],
        validate_args: bool | None = None,
    ) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(self.transforms, list) or not all(
            isinstance(t, Transform) for t in self.transforms
        ):
            raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
        whole = ComposeTransform(self.transforms)
        into, out = whole.domain.event_dim, whole.codomain.event_dim
        shape = tuple(base_distribution.batch_shape + base_distribution.event_shape)
        own = len(base_distribution.event_shape)
        if len(shape) < into:
            raise ValueError(
                f"base_distribution needs to have shape with size at least {into}, but got {shape}."
            )
        made = whole.forward_shape(shape)
        needed = tuple(whole.inverse_shape(made))
        if needed != shape:  # tensors in the transforms make the batch larger
            base_distribution = base_distribution.expand(needed[: len(needed) - own])
        if into > own:
            base_distribution = Independent(base_distribution, into - own)
        self.base_dist = base_distribution
        cut = len(made) - max(out, own + out - into)
        super().__init__(made[:cut], made[cut:], validate_args)

    def expand(self, batch_shape: Iterable[int], _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        shape = ComposeTransform(self.transforms).inverse_shape((*batch_shape, *self._event_shape))
        own = len(self.base_dist.event_shape)
        new.base_dist = self.base_dist.expand(shape[: len(shape) - own])
        return new

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> constraints.Constraint:
        if not self.transforms:
            return self.base_dist.support
        last = self.transforms[-1].codomain
        return constraints.independent(last, len(self._event_shape) - last.event_dim)

    def sample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        with dt.no_grad():
            return self._forward(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        return self._forward(self.base_dist.rsample(sample_shape))

    def _forward(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        y = self._check(value)
        change: Any = 0.0
        own = len(self._event_shape)
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            log_det = transform.log_abs_det_jacobian(x, y)
            own += transform.domain.event_dim - transform.codomain.event_dim
            change = change - sum_rightmost(log_det, own - transform.domain.event_dim)
            y = x
        missing = own - len(self.base_dist.event_shape)
        return change + sum_rightmost(self.base_dist.log_prob(y), missing)  # type: ignore[no-any-return]

    def _monotone(self, value: Tensor) -> Tensor:
        """What is below a value stays below it, or comes above where the sign turns."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return value if isinstance(sign, int) and sign == 1 else sign * (value - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        value = self._check(value)
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self._monotone(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._forward(self.base_dist.icdf(self._monotone(value)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.transforms})"


class LogNormal(TransformedDistribution):
    """Numbers whose logarithm is normal.

    Args:
        loc: the logarithm's mean.
        scale: the logarithm's standard deviation.
    """

    arg_constraints = Normal.arg_constraints

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    @property
    def loc(self) -> Tensor:
        """The logarithm's mean."""
        return self.base_dist.loc  # type: ignore[attr-defined,no-any-return]

    @property
    def scale(self) -> Tensor:
        """The logarithm's standard deviation."""
        return self.base_dist.scale  # type: ignore[attr-defined,no-any-return]

    @property
    def mean(self) -> Tensor:
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def mode(self) -> Tensor:
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Tensor:
        squared = self.scale.pow(2)
        return squared.expm1() * (2 * self.loc + squared).exp()

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() + self.loc
