"""What values a distribution takes and its parameters may have: PyTorch's
``torch.distributions.constraints``.

A constraint's ``check(value)`` gives a bool for each event: its last ``event_dim`` dims are one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "Constraint", "boolean", "dependent", "greater_than", "greater_than_eq", "half_open_interval",
    "independent", "integer_interval", "interval", "less_than", "lower_cholesky", "nonnegative",
    "nonnegative_integer", "one_hot", "positive", "positive_definite", "positive_integer", "real",
    "real_vector", "simplex", "unit_interval",
]  # fmt: skip


class Constraint:
    """A region of values.

    Attributes:
        is_discrete: whether the region is of single points.
        event_dim: how many of the last dims are one value.
    """

    def __init__(
        self,
        name: str,
        check: Callable[[Any], Any],
        is_discrete: bool = False,
        event_dim: int = 0,
    ) -> None:
        self._name, self.check = name, check
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __repr__(self) -> str:
        return self._name


def _is_integer(value: Any) -> Any:
    return value % 1 == 0


def _is_lower_cholesky(value: Any) -> Any:
    lower = (value.tril() == value).flatten(-2).all(-1)
    return lower & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


def _is_positive_definite(value: Any) -> Any:
    from dovetail import linalg

    symmetric = (value - value.mT).abs().flatten(-2).amax(-1) < 1e-6
    return symmetric & (linalg.cholesky_ex(value).info == 0)


def greater_than(lower_bound: Any) -> Constraint:
    """``x > lower_bound``."""
    return Constraint(f"GreaterThan(lower_bound={lower_bound})", lambda x: x > lower_bound)


def greater_than_eq(lower_bound: Any) -> Constraint:
    """``x >= lower_bound``."""
    return Constraint(f"GreaterThanEq(lower_bound={lower_bound})", lambda x: x >= lower_bound)


def less_than(upper_bound: Any) -> Constraint:
    """``x < upper_bound``."""
    return Constraint(f"LessThan(upper_bound={upper_bound})", lambda x: x < upper_bound)


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """``lower_bound <= x <= upper_bound``."""
    name = f"Interval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    return Constraint(name, lambda x: (lower_bound <= x) & (x <= upper_bound))


def half_open_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """``lower_bound <= x < upper_bound``."""
    name = f"HalfOpenInterval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    return Constraint(name, lambda x: (lower_bound <= x) & (x < upper_bound))


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Whole numbers from ``lower_bound`` to ``upper_bound``, both included."""
    name = f"IntegerInterval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    return Constraint(
        name, lambda x: _is_integer(x) & (lower_bound <= x) & (x <= upper_bound), is_discrete=True
    )


def independent(base_constraint: Constraint, reinterpreted_batch_ndims: int) -> Constraint:
    """``base_constraint`` for all of the last dims, which become one event."""

    def check(value: Any) -> Any:
        found = base_constraint.check(value)
        if not reinterpreted_batch_ndims:
            return found
        return found.flatten(found.dim() - reinterpreted_batch_ndims).all(-1)

    return Constraint(
        f"IndependentConstraint({base_constraint}, {reinterpreted_batch_ndims})",
        check,
        base_constraint.is_discrete,
        base_constraint.event_dim + reinterpreted_batch_ndims,
    )


def _any(value: Any) -> Any:
    raise ValueError("Cannot determine validity of dependent constraint")


dependent = Constraint("Dependent()", _any)
boolean = Constraint("Boolean()", lambda x: (x == 0) | (x == 1), is_discrete=True)
nonnegative_integer = Constraint(
    "IntegerGreaterThan(lower_bound=0)", lambda x: _is_integer(x) & (x >= 0), is_discrete=True
)
positive_integer = Constraint(
    "IntegerGreaterThan(lower_bound=1)", lambda x: _is_integer(x) & (x >= 1), is_discrete=True
)
real = Constraint("Real()", lambda x: x == x)  # not NaN
real_vector = independent(real, 1)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
simplex = Constraint(
    "Simplex()", lambda x: (x >= 0).all(-1) & ((x.sum(-1) - 1).abs() < 1e-6), event_dim=1
)
one_hot = Constraint(
    "OneHot()",
    lambda x: ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1),
    is_discrete=True,
    event_dim=1,
)
lower_cholesky = Constraint("LowerCholesky()", _is_lower_cholesky, event_dim=2)
positive_definite = Constraint("PositiveDefinite()", _is_positive_definite, event_dim=2)
