"""The base of all distributions (``torch.distributions.distribution``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import dovetail as dt
from dovetail.distributions.constraints import Constraint, is_dependent
from dovetail.spec import Size
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = ["Distribution"]

Self = TypeVar("Self", bound="Distribution")


class Distribution:
    """A probability distribution over events of a shape, in a batch of independent ones.

    Args:
        batch_shape: of the distributions.
        event_shape: of one value.
        validate_args: check parameters and values by their constraints (default: as Python's
            ``assert``).

    Attributes:
        has_rsample: whether gradients flow through :meth:`rsample`.
        has_enumerate_support: whether there is :meth:`enumerate_support`.
        arg_constraints: a constraint for each parameter.

    Raises:
        ValueError: a parameter is not in its constraint.
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: Mapping[str, Constraint] = {}
    _default_validation: ClassVar[bool] = __debug__
    _validate_args: bool

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their parameters and values where nothing is said."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args: value must be a bool, got {value!r}")
        Distribution._default_validation = bool(value)

    def __init__(
        self,
        batch_shape: Iterable[int] = (),
        event_shape: Iterable[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        self._validate_args = self._default_validation if validate_args is None else validate_args
        if self._validate_args:
            self._validate_parameters()

    def _validate_parameters(self) -> None:
        for name, constraint in self.arg_constraints.items():
            if name not in self.__dict__:
                continue  # derived from another one
            if is_dependent(constraint):
                continue  # only the distribution itself can say
            value = getattr(self, name)
            if not constraint.check(value).all():
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                    f"{constraint!r}, but found invalid values:\n{value}"
                )

    def expand(self: Self, batch_shape: Iterable[int], _instance: Any = None) -> Self:
        """The same distribution for a larger batch; no parameter is copied."""
        new = object.__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        batch_shape = Size(batch_shape)
        for name, constraint in self.arg_constraints.items():
            value = self.__dict__.get(name)
            if value is not None:
                own = value.shape[value.dim() - constraint.event_dim :]
                setattr(new, name, value.expand(batch_shape + own))
        new._batch_shape = batch_shape
        return new

    @property
    def batch_shape(self) -> Size:
        """The shape of independent distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one value."""
        return self._event_shape

    @property
    def support(self) -> Constraint:
        """What values there are."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The likeliest value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """The expected squared distance from the mean."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The variance's root."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        """Values of shape ``sample_shape + batch_shape + event_shape``, without gradients."""
        with dt.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        """The same as a function of the parameters, through which gradients flow."""
        raise NotImplementedError

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, at ``value``."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most ``value``."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of :meth:`cdf`."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Every value, along a first dim."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The expectation of ``-log_prob``."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """``exp(entropy())``."""
        return dt.exp(self.entropy())

    def _extended_shape(self, sample_shape: Iterable[int] = ()) -> Size:
        return Size(tuple(sample_shape) + self._batch_shape + self._event_shape)

    def _for_each(self, values: Tensor, expand: bool) -> Tensor:
        """Values (n, *event_shape) for each of the batch, where not expanded by dims of size 1."""
        count, own = values.shape[0], tuple(self._event_shape)
        values = values.view((count,) + (1,) * len(self._batch_shape) + own)
        return values.expand((count, *self._batch_shape, *own)) if expand else values

    def _check(self, value: Tensor) -> Tensor:
        """``value``, if it may be one."""
        if self._validate_args:
            self._validate_sample(value)
        return value

    def _validate_sample(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        own = len(self._event_shape)
        if tuple(value.shape[value.dim() - own :]) != tuple(self._event_shape):
            raise ValueError(
                "The right-most size of value must match event_shape: "
                f"{tuple(value.shape)} vs {tuple(self._event_shape)}."
            )
        wanted = self._batch_shape + self._event_shape
        for i, j in zip(reversed(value.shape), reversed(wanted), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    "Value is not broadcastable with batch_shape+event_shape: "
                    f"{tuple(value.shape)} vs {tuple(wanted)}."
                )
        try:
            support = self.support
        except NotImplementedError:
            warn(
                f"{type(self)} does not define `support` to enable sample validation. Please "
                "initialize the distribution with `validate_args=False` to turn off validation."
            )
            return
        if not support.check(value).all():
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) "
                f"to be within the support ({support!r}) of the distribution {self!r}, but found "
                f"invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        names = [n for n in self.arg_constraints if n in self.__dict__]
        values = ((n, self.__dict__[n]) for n in names)
        said = (f"{n}: {v if v.numel() == 1 else v.size()}" for n, v in values)
        return f"{type(self).__name__}({', '.join(said)})"
