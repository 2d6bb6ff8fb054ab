"""Distributions of real numbers by a place and a width; formulas as in Johnson, Kotz and
Balakrishnan, Continuous Univariate Distributions (1994)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import dovetail as dt
from dovetail.distributions import constraints
from dovetail.distributions.distribution import Distribution
from dovetail.distributions.utils import broadcast_all, euler_constant, standard_normal
from dovetail.tensor import Tensor

__all__ = ["Cauchy", "Exponential", "Gumbel", "HalfNormal", "Laplace", "Normal", "Uniform"]


class _LocationScale(Distribution):
    """``loc + scale * z``, where ``z`` is of a standard distribution."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        return self.loc + self._standard(self._extended_shape(sample_shape)) * self.scale

    def _standard(self, shape: Iterable[int]) -> Tensor:
        raise NotImplementedError

    def _uniform(self, shape: Iterable[int], low: float = 0.0) -> Tensor:
        """Numbers between ``low`` and 1, neither of which comes."""
        eps = dt.finfo(self.loc.dtype).eps
        u = dt.rand(tuple(shape), dtype=self.loc.dtype, device=self.loc.device)
        return (u * (1 - low) + low).clamp(low + eps, 1 - eps)

    def _reduced(self, value: Tensor) -> Tensor:
        return (self._check(value) - self.loc) / self.scale


class Normal(_LocationScale):
    """The normal distribution of a mean and a standard deviation.

    Args:
        loc: the mean.
        scale: the standard deviation.

    Example:
        >>> dt.distributions.Normal(0.0, 1.0).log_prob(dt.tensor(0.0))
        tensor(-0.9189)
    """

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2)

    def _standard(self, shape: Iterable[int]) -> Tensor:
        return standard_normal(shape, self.loc.dtype, self.loc.device)

    def log_prob(self, value: Tensor) -> Tensor:
        distance = self._check(value) - self.loc
        return (
            -distance.pow(2) / (2 * self.variance)
            - self.scale.log()
            - math.log(math.sqrt(2 * math.pi))
        )

    def cdf(self, value: Tensor) -> Tensor:
        return 0.5 * (1 + dt.erf(self._reduced(value) / math.sqrt(2)))

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * dt.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        return 0.5 + 0.5 * math.log(2 * math.pi) + dt.log(self.scale)


class Laplace(_LocationScale):
    """Two exponential distributions, back to back at ``loc``."""

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale.pow(2)

    @property
    def stddev(self) -> Tensor:
        return math.sqrt(2) * self.scale

    def _standard(self, shape: Iterable[int]) -> Tensor:
        u = self._uniform(shape, low=-1.0)
        return -u.sign() * dt.log1p(-u.abs())

    def log_prob(self, value: Tensor) -> Tensor:
        return -dt.log(2 * self.scale) - self._reduced(value).abs()

    def cdf(self, value: Tensor) -> Tensor:
        z = self._reduced(value)
        return 0.5 - 0.5 * z.sign() * dt.expm1(-z.abs())

    def icdf(self, value: Tensor) -> Tensor:
        term = value - 0.5
        return self.loc - self.scale * term.sign() * dt.log1p(-2 * term.abs())

    def entropy(self) -> Tensor:
        return 1 + dt.log(2 * self.scale)


class Cauchy(_LocationScale):
    """The quotient of two normal variables; it has neither mean nor variance (NaN, inf)."""

    @property
    def mean(self) -> Tensor:
        return dt.full_like(self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        return dt.full_like(self.loc, math.inf)

    def _standard(self, shape: Iterable[int]) -> Tensor:
        return dt.empty(tuple(shape), dtype=self.loc.dtype, device=self.loc.device).cauchy_()

    def log_prob(self, value: Tensor) -> Tensor:
        return -math.log(math.pi) - self.scale.log() - self._reduced(value).pow(2).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        return dt.atan(self._reduced(value)) / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        return dt.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self) -> Tensor:
        return math.log(4 * math.pi) + self.scale.log()


class Gumbel(_LocationScale):
    """The largest of many: ``loc - scale * log(-log(u))``."""

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * euler_constant

    @property
    def variance(self) -> Tensor:
        return (math.pi / math.sqrt(6) * self.scale).pow(2)

    def _standard(self, shape: Iterable[int]) -> Tensor:
        return -(-self._uniform(shape).log()).log()

    def log_prob(self, value: Tensor) -> Tensor:
        y = -self._reduced(value)
        return (y - y.exp()) - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        return (-(-self._reduced(value)).exp()).exp()

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self) -> Tensor:
        return self.scale.log() + (1 + euler_constant)


class Uniform(Distribution):
    """Every number from ``low`` to ``high``, which is left out, alike."""

    has_rsample = True
    arg_constraints = dict.fromkeys(
        ("low", "high"), constraints.dependent(is_discrete=False, event_dim=0)
    )

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)

    def _validate_parameters(self) -> None:
        if not (self.low < self.high).all():
            raise ValueError("Uniform is not defined when low>= high")

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        return math.nan * self.high

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low).pow(2) / 12

    @property
    def stddev(self) -> Tensor:
        return (self.high - self.low) / 12**0.5

    def rsample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        u = dt.rand(tuple(shape), dtype=self.low.dtype, device=self.low.device)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check(value)
        inside = self.low.le(value) & self.high.gt(value)
        return dt.log(inside.type_as(self.low)) - dt.log(self.high - self.low)

    def cdf(self, value: Tensor) -> Tensor:
        return ((self._check(value) - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value: Tensor) -> Tensor:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        return dt.log(self.high - self.low)


class Exponential(Distribution):
    """The time between events that come at ``rate``."""

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        return dt.zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def variance(self) -> Tensor:
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        return self.rate.new_empty(self._extended_shape(sample_shape)).exponential_() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        return self.rate.log() - self.rate * self._check(value)

    def cdf(self, value: Tensor) -> Tensor:
        return 1 - dt.exp(-self.rate * self._check(value))

    def icdf(self, value: Tensor) -> Tensor:
        return -dt.log1p(-value) / self.rate

    def entropy(self) -> Tensor:
        return 1.0 - dt.log(self.rate)


class HalfNormal(Distribution):
    """The absolute value of a normal variable around 0."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        (self.scale,) = broadcast_all(scale)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Tensor:
        return dt.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        return self.scale.pow(2) * (1 - 2 / math.pi)

    def rsample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        z = standard_normal(shape, self.scale.dtype, self.scale.device)
        return (self.scale * z).abs()

    def log_prob(self, value: Tensor) -> Tensor:
        inside = self._check(value) >= 0
        whole = Normal(0, self.scale, validate_args=False).log_prob(value) + math.log(2)
        return dt.where(inside, whole, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        return dt.erf(self._check(value) / (self.scale * math.sqrt(2)))

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * math.sqrt(2) * dt.erfinv(value)

    def entropy(self) -> Tensor:
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log() - math.log(2)
