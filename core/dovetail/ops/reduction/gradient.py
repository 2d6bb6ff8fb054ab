"""``gradient``: the derivative of sampled values, by second-order differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dovetail import dtypes as d
from dovetail.ops.expose import publish
from dovetail.ops.indexed.index_checks import need_tensor
from dovetail.ops.layout.joining import cat
from dovetail.ops.reduction.reducing import dims_of
from dovetail.tensor import Tensor, check_dim

__all__ = ["gradient"]

_FIRST = ((-1.0, 1.0), (-1.0, 1.0))
_SECOND = ((-1.5, 2.0, -0.5), (0.5, -2.0, 1.5))


def _weighted(x: Any, dim: int, start: int, weights: Sequence[Any]) -> Any:
    """The sum of ``weights[i]`` times the slice ``start + i`` of ``x`` along ``dim``."""
    parts = [x.narrow(dim, start + i, 1) * w for i, w in enumerate(weights)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _even(x: Any, step: Any, dim: int, edge_order: int) -> Any:
    """Along points that are ``step`` apart."""
    n = x.shape[dim]
    center = _over(x.narrow(dim, 2, n - 2) - x.narrow(dim, 0, n - 2), step) / 2.0
    if edge_order == 1:
        before, behind = (x.narrow(dim, i + 1, 1) - x.narrow(dim, i, 1) for i in (0, n - 2))
    else:
        first, last = _SECOND
        before = _weighted(x, dim, 0, first)
        behind = _weighted(x, dim, n - len(last), last)
    return cat([_over(before, step), center, _over(behind, step)], dim)


def _over(x: Any, step: Any) -> Any:
    """A difference by the distance, which of 1 changes floats by nothing."""
    is_one = step.__class__ in (int, float) and step == 1 and x._spec.dtype.category > 1
    return x if is_one else x / step


def _uneven(x: Any, points: Any, dim: int, edge_order: int) -> Any:
    """Along points at any distance, by the parabola through each three."""
    n = x.shape[dim]
    step = points.diff()
    shape = [-1 if i == dim else 1 for i in range(x.ndim)]
    m = max(step.shape[0] - 1, 0)
    left, right = step.narrow(0, 0, m).reshape(shape), step.narrow(0, 1, m).reshape(shape)
    both = left + right
    center = (
        x.narrow(dim, 0, n - 2) * (-right / (left * both))
        + x.narrow(dim, 1, n - 2) * ((right - left) / (left * right))
        + x.narrow(dim, 2, n - 2) * (left / (right * both))
    )
    if edge_order == 1:
        before = _weighted(x, dim, 0, _FIRST[0]) / step[0]
        behind = _weighted(x, dim, n - 2, _FIRST[1]) / step[-1]
        return cat([before, center, behind], dim)
    a, b = step[0], step[1]
    weights = ((-2.0 * a - b) / (a * (a + b)), (a + b) / (a * b), -a / (b * (a + b)))
    before = _weighted(x, dim, 0, weights)
    a, b = step[-2], step[-1]
    weights = (b / (a * (a + b)), -(a + b) / (a * b), (2.0 * b + a) / (b * (a + b)))
    behind = _weighted(x, dim, n - 3, weights)
    return cat([before, center, behind], dim)


def _spacings(spacing: Any, ndim: int, dim: Any) -> list[Any]:
    """One spacing (a number or a tensor of points) per dim."""
    count = ndim if dim is None else 1 if hasattr(dim, "__index__") else len(dim)
    if not isinstance(spacing, (list, tuple)):
        if isinstance(spacing, Tensor) and spacing._spec.ndim:
            raise TypeError(
                "gradient(): argument 'spacing' must be a number, or a tuple of numbers or "
                f"Tensors, not a {spacing._spec.ndim}-D Tensor"
            )
        return [1 if spacing is None else spacing] * count
    if dim is None and len(spacing) != ndim:
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar, or a list of length "
            f"equal to 'self.dim() = {ndim}', since dim argument was not given, but got a list of "
            f"length {len(spacing)}"
        )
    if len(spacing) != count:
        raise RuntimeError(
            "torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim "
            f"arguments to have the same length, but got a spacing argument of length "
            f"{len(spacing)} and a dim argument of length {count}."
        )
    return list(spacing)


@publish(method=False)
def gradient(
    input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """The derivative of sampled values along each dim (or those in ``dim``), one tensor per dim.

    Inside, central differences; at both ends, one-sided ones. Source: Fornberg, "Generation of
    finite difference formulas on arbitrarily spaced grids", 1988.

    Args:
        input: the values; integers give floating-point results.
        spacing: the distance between neighbours, one for all dims or one per dim; or per dim a
            vector of the points' places.
        dim: an int, or a tuple of them.
        edge_order: 1 or 2, the order of the differences at both ends.

    Raises:
        RuntimeError: fewer than ``edge_order + 1`` values along a dim, or spacings that do not fit.
        IndexError: a dim is out of range.
    """
    spec = need_tensor("gradient", "input", 1, input)._spec
    if spec.dtype is d.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
    spacings = _spacings(spacing, spec.ndim, dim)
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    dims_of("gradient", dim, spec.ndim)  # one dim twice
    if dim is None:
        dims = list(range(spec.ndim))
    else:
        each = (dim,) if hasattr(dim, "__index__") else dim
        dims = [check_dim(n, spec.ndim) for n in each]
    if any(spec.shape[n] < edge_order + 1 for n in dims):
        raise RuntimeError(
            "torch.gradient expected each dimension size to be at least edge_order+1"
        )
    made = []
    for n, apart in zip(dims, spacings, strict=True):
        if isinstance(apart, Tensor) and isinstance(spacing, (list, tuple)):
            if apart._spec.ndim != 1:
                raise RuntimeError(
                    "torch.gradient expected each element of spacing to have one dimension, but "
                    f"got an element with {apart._spec.ndim} dimensions!"
                )
            made.append(_uneven(input, apart, n, edge_order))
        else:
            made.append(_even(input, apart, n, edge_order))
    return tuple(made)
