"""Invertible functions of random variables with the logarithm of their volume's change
(``torch.distributions.transforms``)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import dovetail as dt
from dovetail.distributions import constraints
from dovetail.distributions.utils import sum_rightmost
from dovetail.nn import functional
from dovetail.tensor import Tensor

__all__ = [
    "AffineTransform", "ComposeTransform", "ExpTransform", "PowerTransform", "SigmoidTransform",
    "SoftplusTransform", "TanhTransform", "Transform", "identity_transform",
]  # fmt: skip


class Transform:
    """A function ``y = t(x)``, with its inverse ``t.inv``.

    Subclasses have ``_call``, ``_inverse`` and :meth:`log_abs_det_jacobian`.

    Args:
        cache_size: 1 keeps the last pair of x and y, so that the inverse of a value that came from
            here is exact and costs nothing.

    Attributes:
        domain, codomain: constraints of x and of y.
        bijective: whether there is one x for each y.
        sign: of the derivative, where the transform is monotone.
    """

    bijective = True
    domain: constraints.Constraint = constraints.real
    codomain: constraints.Constraint = constraints.real
    sign: Any = 1
    _parameters: tuple[str, ...] | None = None
    """What makes two of a class equal; None: only the same object is."""

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError("cache_size must be 0 or 1")
        self._cache_size = cache_size
        self._cached: tuple[Any, Any] = (None, None)

    @property
    def event_dim(self) -> int:
        """How many last dims one value has, of x as of y.

        Raises:
            ValueError: x and y differ in it.
        """
        if self.domain.event_dim != self.codomain.event_dim:
            raise ValueError("Please use either .domain.event_dim or .codomain.event_dim")
        return self.domain.event_dim

    @property
    def inv(self) -> Transform:
        """The inverse."""
        return _Inverse(self)

    def __call__(self, x: Tensor) -> Tensor:
        if self._cached[0] is x and x is not None:
            return self._cached[1]  # type: ignore[no-any-return]
        y = self._call(x)
        if self._cache_size:
            self._cached = (x, y)
        return y

    def _inv_call(self, y: Tensor) -> Tensor:
        if self._cached[1] is y and y is not None:
            return self._cached[0]  # type: ignore[no-any-return]
        x = self._inverse(y)
        if self._cache_size:
            self._cached = (x, y)
        return x

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if self._parameters is None or type(self) is not type(other):
            return False
        return all(_equal(getattr(self, n), getattr(other, n)) for n in self._parameters)

    __hash__ = None  # type: ignore[assignment]  # parameters can be changed

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_cached": (None, None)}  # a copy's pair would not be the same

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """``log |dy/dx|``."""
        raise NotImplementedError

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        """The shape of y for that of x."""
        return shape

    def inverse_shape(self, shape: Sequence[int]) -> Sequence[int]:
        """The shape of x for that of y."""
        return shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _equal(mine: Any, theirs: Any) -> bool:
    """Whether two parameters are: tensors where all of their numbers are."""
    same = mine == theirs
    return bool(same.all() if isinstance(same, Tensor) else same)


class _Inverse(Transform):
    _parameters = ("_of",)

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self._of = transform
        self.domain, self.codomain = transform.codomain, transform.domain
        self.bijective, self.sign = transform.bijective, transform.sign

    @property
    def inv(self) -> Transform:
        return self._of

    def __call__(self, x: Tensor) -> Tensor:
        return self._of._inv_call(x)

    def _inv_call(self, y: Tensor) -> Tensor:
        return self._of(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._of.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        return self._of.inverse_shape(shape)

    def inverse_shape(self, shape: Sequence[int]) -> Sequence[int]:
        return self._of.forward_shape(shape)

    def __repr__(self) -> str:
        return f"_InverseTransform({self._of})"


def _event_dim(steps: Iterable[tuple[constraints.Constraint, constraints.Constraint]]) -> int:
    """How many last dims are one value after steps, each from one constraint to another."""
    dims = 0
    for given, made in steps:
        dims = max(dims + made.event_dim - given.event_dim, made.event_dim)
    return dims


def _widened(constraint: constraints.Constraint, dims: int) -> constraints.Constraint:
    """``constraint`` with ``dims`` last dims as one value."""
    more = dims - constraint.event_dim
    return constraints.independent(constraint, more) if more else constraint


class ComposeTransform(Transform):
    """Transforms one after the other, the first first.

    Args:
        parts: the transforms.
    """

    _parameters = ("parts",)

    def __init__(self, parts: list[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = parts
        self.bijective = all(p.bijective for p in parts)
        if parts:
            into = _event_dim((p.codomain, p.domain) for p in reversed(parts))
            out = _event_dim((p.domain, p.codomain) for p in parts)
            self.domain = _widened(parts[0].domain, into)
            self.codomain = _widened(parts[-1].codomain, out)

    @property
    def sign(self) -> Any:
        """The product of the parts'."""
        return math.prod((p.sign for p in self.parts), start=1)

    def _call(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part._inv_call(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        if not self.parts:
            return dt.zeros_like(x)
        values = [x]
        for part in self.parts[:-1]:
            values.append(part(values[-1]))
        total: Any = 0
        dims = self.domain.event_dim
        for part, given, made in zip(self.parts, values, [*values[1:], y], strict=True):
            change = part.log_abs_det_jacobian(given, made)
            total = total + sum_rightmost(change, dims - part.domain.event_dim)
            dims += part.codomain.event_dim - part.domain.event_dim
        return total  # type: ignore[no-any-return]

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: Sequence[int]) -> Sequence[int]:
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts})"


class _Broadcasting(Transform):
    """A transform whose parameters may be tensors, with which x and y are broadcast."""

    def forward_shape(self, shape: Sequence[int]) -> Sequence[int]:
        own = (getattr(getattr(self, name), "shape", ()) for name in self._parameters or ())
        return dt.broadcast_shapes(shape, *own)

    inverse_shape = forward_shape


class AffineTransform(_Broadcasting):
    """``y = loc + scale * x``.

    Args:
        event_dim: how many last dims one value has.
    """

    _parameters = ("loc", "scale")

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale = loc, scale
        self.domain = self.codomain = _widened(constraints.real, event_dim)

    @property
    def sign(self) -> Any:
        """The scale's."""
        if isinstance(self.scale, Tensor):
            return self.scale.sign()
        return (self.scale > 0) - (self.scale < 0)

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x  # type: ignore[no-any-return]

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale  # type: ignore[no-any-return]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        if isinstance(self.scale, Tensor):
            change = self.scale.abs().log().expand(x.shape)
        else:
            change = dt.full_like(x, math.log(abs(self.scale)))
        return sum_rightmost(change, self.event_dim)


class ExpTransform(Transform):
    """``y = exp(x)``."""

    _parameters = ()
    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return x.exp()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x


class PowerTransform(_Broadcasting):
    """``y = x ** exponent`` of positive numbers."""

    _parameters = ("exponent",)
    domain = codomain = constraints.positive

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = exponent if isinstance(exponent, Tensor) else dt.tensor(float(exponent))

    @property
    def sign(self) -> Any:
        """The exponent's."""
        return self.exponent.sign()

    def _call(self, x: Tensor) -> Tensor:
        return x.pow(self.exponent)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.exponent * y / x).abs().log()


class SigmoidTransform(Transform):
    """``y = 1 / (1 + exp(-x))``."""

    _parameters = ()
    codomain = constraints.unit_interval

    def _call(self, x: Tensor) -> Tensor:
        made = dt.sigmoid(x)
        eps = dt.finfo(made.dtype)
        return made.clamp(min=eps.tiny, max=1.0 - eps.eps)

    def _inverse(self, y: Tensor) -> Tensor:
        eps = dt.finfo(y.dtype)
        y = y.clamp(min=eps.tiny, max=1.0 - eps.eps)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -functional.softplus(-x) - functional.softplus(x)


class SoftplusTransform(Transform):
    """``y = log(1 + exp(x))``."""

    _parameters = ()
    codomain = constraints.positive

    def _call(self, x: Tensor) -> Tensor:
        return functional.softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -functional.softplus(-x)


class TanhTransform(Transform):
    """``y = tanh(x)``."""

    _parameters = ()
    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        return dt.atanh(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        # log(1 - tanh(x)^2), without a difference of near numbers
        return 2.0 * (math.log(2.0) - x - functional.softplus(-2.0 * x))


identity_transform = ComposeTransform([])
