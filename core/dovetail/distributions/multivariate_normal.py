"""The normal distribution of vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import dovetail as dt
from dovetail.distributions import constraints
from dovetail.distributions.distribution import Distribution
from dovetail.distributions.utils import lazy_property, standard_normal
from dovetail.tensor import Tensor

__all__ = ["MultivariateNormal"]


class MultivariateNormal(Distribution):
    """The normal distribution of vectors of n, by one of three matrices.

    Args:
        loc: (..., n), the mean.
        covariance_matrix: (..., n, n), positive definite.
        precision_matrix: its inverse.
        scale_tril: its lower Cholesky factor, with which the others are computed.

    Raises:
        ValueError: not exactly one matrix is given, or shapes do not fit.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        matrices = {
            "covariance_matrix": covariance_matrix,
            "scale_tril": scale_tril,
            "precision_matrix": precision_matrix,
        }
        given = [(name, m) for name, m in matrices.items() if m is not None]
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                "specified."
            )
        name, matrix = given[0]
        if matrix.dim() < 2:
            raise ValueError(
                f"{name} must be at least two-dimensional, with optional leading batch dimensions"
            )
        batch = dt.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand((*batch, -1, -1)))
        self.loc = loc.expand((*batch, -1))
        super().__init__(batch, self.loc.shape[-1:], validate_args)
        self._factor = _FACTORS[name](matrix)

    def expand(self, batch_shape: Iterable[int], _instance: object = None) -> MultivariateNormal:
        return super().expand(batch_shape, _instance)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """(..., n, n), the covariance's lower Cholesky factor."""
        n = self._event_shape[0]
        return self._factor.expand((*self._batch_shape, n, n))

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """(..., n, n)."""
        return self.scale_tril @ self.scale_tril.mT

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """(..., n, n), the covariance's inverse."""
        return dt.cholesky_inverse(self.scale_tril)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self._factor.pow(2).sum(-1).expand(self._extended_shape())

    def rsample(self, sample_shape: Iterable[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        eps = standard_normal(shape, self.loc.dtype, self.loc.device)
        return self.loc + (self._factor @ eps.unsqueeze(-1)).squeeze(-1)

    def _half_log_det(self) -> Tensor:
        return self._factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        distance = (self._check(value) - self.loc).unsqueeze(-1)
        solved = dt.linalg.solve_triangular(self._factor, distance, upper=False)
        squared = solved.squeeze(-1).pow(2).sum(-1)
        n = self._event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + squared) - self._half_log_det()  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        n = self._event_shape[0]
        found = 0.5 * n * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
        return found.expand(self._batch_shape)  # type: ignore[no-any-return]


def _of_precision(precision: Tensor) -> Tensor:
    """The covariance's factor from the precision's: of the flipped matrix, flipped and inverted."""
    flipped = dt.linalg.cholesky(precision.flip((-2, -1)))
    upper = flipped.flip((-2, -1)).mT
    eye = dt.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return dt.linalg.solve_triangular(upper, eye, upper=False)


_FACTORS: dict[str, Callable[[Tensor], Tensor]] = {
    "covariance_matrix": lambda matrix: dt.linalg.cholesky(matrix),
    "precision_matrix": _of_precision,
    "scale_tril": lambda matrix: matrix,
}
"""The covariance's lower Cholesky factor from each of the matrices that may be given."""
