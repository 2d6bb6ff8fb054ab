"""Dims of a batch as dims of one event, and mixtures along a dim of a batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dovetail as dt
from dovetail.distributions import constraints
from dovetail.distributions.discrete import Categorical
from dovetail.distributions.distribution import Distribution
from dovetail.distributions.utils import sum_rightmost
from dovetail.spec import Size
from dovetail.tensor import Tensor

__all__ = ["Independent", "MixtureSameFamily"]


class Independent(Distribution):
    """The last dims of another distribution's batch, taken as one event.

    Args:
        base_distribution: whose ``log_prob`` is summed over them.
        reinterpreted_batch_ndims: how many dims.

    Raises:
        ValueError: the batch has fewer.
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        batch = len(base_distribution.batch_shape)
        if reinterpreted_batch_ndims > batch:
            raise ValueError(
                "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual "
                f"{reinterpreted_batch_ndims} vs {batch}"
            )
        shape = base_distribution.batch_shape + base_distribution.event_shape
        cut = batch - reinterpreted_batch_ndims
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        super().__init__(shape[:cut], shape[cut:], validate_args)

    def expand(self, batch_shape: Iterable[int], _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        own = self._event_shape[: self.reinterpreted_batch_ndims]
        new.base_dist = self.base_dist.expand(Size(tuple(batch_shape) + tuple(own)))
        return new

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        return constraints.independent(self.base_dist.support, self.reinterpreted_batch_ndims)

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def sample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamily(Distribution):
    """One of K distributions of a kind, chosen by a :class:`Categorical`.

    Args:
        mixture_distribution: of K choices.
        component_distribution: its batch's last dim is K.

    Raises:
        ValueError: the two do not fit.
    """

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                " The Mixture distribution needs to be an  instance of "
                "torch.distributions.Categorical"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "The Component distribution needs to be an instance of "
                "torch.distributions.Distribution"
            )
        batch = component_distribution.batch_shape
        if not batch or mixture_distribution.param_shape[-1] != batch[-1]:
            raise ValueError(
                f"MixtureSameFamily: `mixture_distribution` has "
                f"{mixture_distribution.param_shape[-1]} choices, `component_distribution` a batch "
                f"of shape {tuple(batch)}"
            )
        ours = mixture_distribution.batch_shape
        for i, j in zip(reversed(ours), reversed(batch[:-1]), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({tuple(ours)}) is not compatible with "
                    f"`component_distribution.batch_shape` ({tuple(batch[:-1])})"
                )
        self.mixture_distribution = mixture_distribution
        self.component_distribution = component_distribution
        super().__init__(batch[:-1], component_distribution.event_shape, validate_args)

    def expand(self, batch_shape: Iterable[int], _instance: Any = None) -> Any:
        new = super().expand(batch_shape, _instance)
        new.mixture_distribution = self.mixture_distribution.expand(batch_shape)
        choices = self.mixture_distribution.param_shape[-1]
        new.component_distribution = self.component_distribution.expand(
            (*tuple(batch_shape), choices)
        )
        return new

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        return constraints.MixtureSameFamilyConstraint(self.component_distribution.support)

    def _weights(self) -> Tensor:
        return self._beside(self.mixture_distribution.probs, len(self._event_shape))

    @staticmethod
    def _beside(x: Tensor, dims: int) -> Tensor:
        """``x`` with dims of size one at its end."""
        return x.reshape((*x.shape, *(1,) * dims))

    @property
    def _choices(self) -> int:
        """The dim of choices."""
        return -1 - len(self._event_shape)

    @property
    def mean(self) -> Tensor:
        return (self._weights() * self.component_distribution.mean).sum(self._choices)

    @property
    def variance(self) -> Tensor:
        weights, parts, dim = self._weights(), self.component_distribution, self._choices
        distance = parts.mean - self.mean.unsqueeze(dim)
        return (weights * parts.variance).sum(dim) + (weights * distance.pow(2)).sum(dim)

    def sample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        sample_shape, own = tuple(sample_shape), len(self._event_shape)
        with dt.no_grad():
            drawn = self.component_distribution.sample(sample_shape)
            chosen = self.mixture_distribution.expand(self._batch_shape).sample(sample_shape)
            chosen = self._beside(chosen, own + 1)
            shape = list(drawn.shape)
            shape[self._choices] = 1
            return drawn.gather(self._choices, chosen.expand(shape)).squeeze(self._choices)

    def log_prob(self, value: Tensor) -> Tensor:
        value = self._check(value).unsqueeze(self._choices)
        weights = dt.log_softmax(self.mixture_distribution.logits, dim=-1)
        return dt.logsumexp(self.component_distribution.log_prob(value) + weights, dim=-1)

    def cdf(self, value: Tensor) -> Tensor:
        value = value.unsqueeze(self._choices)
        weights = self.mixture_distribution.probs
        return (self.component_distribution.cdf(value) * weights).sum(-1)

    def __repr__(self) -> str:
        return f"MixtureSameFamily({self.mixture_distribution}, {self.component_distribution})"
