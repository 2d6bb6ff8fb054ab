"""Differences of neighbours and sums over intervals: diff, trapezoid, cumulative_trapezoid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.dispatch import call
from dovetail.ops.by_specs import function_by_specs
from dovetail.ops.expose import operator
from dovetail.ops.families import draw
from dovetail.ops.indexed.index_checks import need_tensor
from dovetail.ops.schema import ErrorInput, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__: list[str] = []

Arguments = tuple[tuple[Any, ...], tuple[Any, ...]]


# --------------------------------------------------------------------- diff


def _fits(spec: Spec, other: Any, dim: int) -> None:
    """Raise where ``other`` cannot stand before or behind a tensor along ``dim``."""
    if other is None:
        return
    more = other._spec
    if more.ndim != spec.ndim:
        raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    for i, (n, m) in enumerate(zip(spec.shape, more.shape, strict=True)):
        if n != m and i != dim:
            raise RuntimeError(
                "diff expects the shape of tensor to prepend or append to match that of input "
                f"except along the differencing dimension; input.size({i}) = {n}, but got "
                f"tensor.size({i}) = {m}"
            )


def _diff_inputs(input: Any, n: int, dim: int, prepend: Any, append: Any) -> Arguments:
    spec = need_tensor("diff", "input", 1, input)._spec
    if not spec.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    dim = check_dim(dim, spec.ndim)
    for other in (prepend, append):
        _fits(spec, other, dim)
    return (input, prepend, append), (n, dim)


def _diff_reference(
    x: np.ndarray, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None
) -> np.ndarray:
    if not n:
        return x
    x = np.concatenate([part for part in (prepend, x, append) if part is not None], dim)
    n = min(n, x.shape[dim])
    return np.diff(x, n, dim)


def _diff_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def make(*shape: int) -> np.ndarray:
        return draw(rng, shape, dtype, -5, 5)

    return [
        Sample((make(7),)),
        Sample((make(3, 5), 2)),
        Sample((make(5, 3), 3, 0)),
        Sample((make(3, 4, 2), 1, -2)),
        Sample((make(2, 3), 0)),
        Sample((make(4), 6)),
        Sample((make(0, 3),)),
        Sample((make(3, 1),)),
        Sample((make(2, 3), 1, 1), {"prepend": make(2, 1), "append": make(2, 2)}, "both"),
        Sample((make(2, 3), 2, 0, make(1, 3)), name="before"),
        Sample((make(4), 4), {"append": make(2)}, "behind"),
        Sample((make(4), 0), {"append": make(2)}, "nothing to do"),
    ]


def _diff_errors() -> list[ErrorInput]:
    x, row = np.zeros((2, 3), np.float32), np.zeros((3, 1), np.float32)
    return [
        ErrorInput((np.zeros((), np.float32),), {}, RuntimeError, "at least one-dimensional"),
        ErrorInput((x, -1), {}, RuntimeError, "order must be non-negative"),
        ErrorInput((x, 1, 2), {}, IndexError, "Dimension out of range"),
        ErrorInput((x, 1, -1, x[0]), {}, RuntimeError, "same dimension as input"),
        ErrorInput((x, 1, -1, None, row), {}, RuntimeError, r"input.size\(0\) = 2, but got"),
    ]


def _diff(input: Any, prepend: Any, append: Any, n: int, dim: int) -> Any:
    from dovetail.ops import cat

    if not n:
        return input.clone()
    parts = [part for part in (prepend, input, append) if part is not None]
    x = cat(parts, dim) if len(parts) > 1 else input
    for _ in range(max(min(n, x.shape[dim]), 1)):
        left, right = _neighbours(x, dim)
        x = right.logical_xor(left) if x.dtype is d.bool_ else right - left
    return x


DIFF = OpDef(
    "diff",
    inputs=("input", "prepend", "append"),
    attributes=("n", "dim"),
    decompose=_diff,
    reference=_diff_reference,
    samples=_diff_samples,
    errors=_diff_errors,
)


@operator(DIFF, out=True)
@function_by_specs(DIFF, _diff_inputs)
def diff(
    input: Tensor, n: int = 1, dim: int = -1,
    prepend: Tensor | None = None, append: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The n-th difference along a dim: ``out[i] = input[i + 1] - input[i]``, so many times.

    Of bool tensors: whether neighbours differ.

    Args:
        n: how many times; 0 gives a copy of the input.
        prepend: values to put before the input along ``dim`` first; as many dims as it has.
        append: values to put behind it.

    Raises:
        RuntimeError: a 0-d input, a negative ``n``, or sizes that do not fit.
        IndexError: the dim is out of range.
    """
    made: Tensor = call(DIFF, *_diff_inputs(input, n, dim, prepend, append))
    return made


def _neighbours(x: Any, dim: int) -> tuple[Any, Any]:
    """All but the last along ``dim``, and all but the first."""
    n = max(x.shape[dim] - 1, 0)
    return x.narrow(dim, 0, n), x.narrow(dim, min(1, x.shape[dim]), n)


# ---------------------------------------------- trapezoid, cumulative_trapezoid


def _positions(name: str, y: Spec, x: Any, dim: int) -> Any:
    """The sample points with as many dims as ``y`` has (at least)."""
    spec = x._spec
    if spec.ndim == 1:
        if spec.shape[0] != y.shape[dim]:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        return x.reshape([-1 if i == dim else 1 for i in range(y.ndim)])
    if spec.ndim < y.ndim:
        return x.reshape((1,) * (y.ndim - spec.ndim) + tuple(spec.shape))
    return x


def _interval_inputs(name: str, y: Any, x: Any, dx: Any, dim: int) -> Arguments:
    spec = need_tensor(name, "y", 1, y)._spec
    if x is not None:
        need_tensor(name, "x", 2, x)
        if dx is not None:
            raise TypeError(f"{name}(): x and dx cannot both be given, got both")
    whole = name == "trapezoid"
    if not spec.ndim and not whole:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    if not spec.ndim and dim in (-1, 0):
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim = check_dim(dim, spec.ndim)
    is_empty = whole and not spec.shape[dim]
    if not is_empty and x is None:
        if spec.dtype is d.bool_:
            raise RuntimeError(f"{name}: received a bool input for `y`, but bool is not supported")
        if isinstance(dx, (bool, complex)):
            raise RuntimeError(f"{name}: Currently, we only support dx as a real number.")
    elif not is_empty:
        if d.bool_ in (spec.dtype, x._spec.dtype):
            raise RuntimeError(
                f"{name}: received a bool input for `x` or `y`, but bool is not supported"
            )
        x = _positions(name, spec, x, dim)
    return (y, x), (1.0 if dx is None else float(dx), dim)


def _interval_reference(
    y: np.ndarray, x: Any = None, *, dx: float = 1, dim: int = -1, running: bool = False
) -> np.ndarray:
    if not running and not y.shape[dim]:
        return np.zeros(y.shape[:dim] + y.shape[dim:][1:], y.dtype)
    y = np.moveaxis(y, dim, -1)
    if x is not None and x.ndim > 1:
        x = np.moveaxis(x.reshape((1,) * (y.ndim - x.ndim) + x.shape), dim, -1)
    # Sums and widths of integers wrap around in their own dtype.
    parts = y[..., 1:] + y[..., :-1]
    parts = parts * dx if x is None else parts * np.diff(x)
    return np.moveaxis(parts.cumsum(-1), -1, dim) / 2 if running else parts.sum(-1) / 2


def _interval_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def make(*shape: int) -> np.ndarray:
        return draw(rng, shape, dtype, -5, 5)

    return [
        Sample((make(7),)),
        Sample((make(3, 5),), {"dx": 0.5}),
        Sample((make(5, 3),), {"dim": 0, "dx": 2}),
        Sample((make(2, 4, 3), make(4)), {"dim": 1}, "a line"),
        Sample((make(3, 5), make(3, 5)), name="points"),
        Sample((make(2, 3, 4), make(3, 4)), {"dim": -1}, "fewer dims"),
        Sample((make(4, 1), make(4, 3)), {"dim": 0}, "broadcast"),
        Sample((make(2, 1),)),
        Sample((make(2, 0),), {"dim": 1}),
        Sample((make(0, 3),), {"dim": 1}),
        Sample((make(0, 2), make(0)), {"dim": 0}),
    ]


def _interval_errors() -> list[ErrorInput]:
    y = np.arange(6, dtype=np.float32).reshape(2, 3)
    return [
        ErrorInput((y, y[0, :2]), {}, RuntimeError, "one `x` value for each sample point"),
        ErrorInput((y > 1,), {}, RuntimeError, "received a bool input for `y`"),
        ErrorInput((y, y > 1), {}, RuntimeError, "received a bool input for `x` or `y`"),
        ErrorInput((y,), {"dx": 1j}, RuntimeError, "only support dx as a real number"),
        ErrorInput((y,), {"dx": True}, RuntimeError, "only support dx as a real number"),
        ErrorInput((y, y), {"dx": 2}, TypeError, "x and dx"),
        ErrorInput((y, 2), {}, TypeError, "must be Tensor"),
        ErrorInput((y,), {"dim": 2}, IndexError, "Dimension out of range"),
        ErrorInput((np.zeros((), np.float32),), {}, IndexError, "0-dim tensor|no dimensions"),
    ]


def _sums(y: Any, x: Any, dim: int) -> Any:
    """Per interval, the sum of both sides, times its width where ``x`` is given."""
    left, right = _neighbours(y, dim)
    if x is None:
        return left + right
    first, last = _neighbours(x, dim)
    return (left + right) * (last - first)


def _trapezoid(y: Any, x: Any, dx: float, dim: int) -> Any:
    if not y.shape[dim]:
        shape = tuple(y.shape)
        return y.new_zeros(shape[:dim] + shape[dim + 1 :])
    if x is not None:
        return _sums(y, x, dim).sum(dim) / 2.0
    return (y.sum(dim) - (y.select(dim, 0) + y.select(dim, -1)) * 0.5) * dx


def _cumulative_trapezoid(y: Any, x: Any, dx: float, dim: int) -> Any:
    if x is not None:
        return _sums(y, x, dim).cumsum(dim) / 2.0
    return (_sums(y, None, dim) * (dx / 2.0)).cumsum(dim)


def _interval(name: str, decompose: Callable[..., Any]) -> OpDef:
    running = name.startswith("cumulative")
    return OpDef(
        name,
        inputs=("y", "x"),
        attributes=("dx", "dim"),
        decompose=decompose,
        accepts=(*d.INTEGRAL, *d.FLOATING, *d.COMPLEX),
        reference=lambda y, x=None, **named: _interval_reference(y, x, running=running, **named),
        samples=_interval_samples,
        errors=_interval_errors,
        method=False,
    )


TRAPEZOID = _interval("trapezoid", _trapezoid)
CUMULATIVE_TRAPEZOID = _interval("cumulative_trapezoid", _cumulative_trapezoid)


def _trapezoid_inputs(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Arguments:
    return _interval_inputs("trapezoid", y, x, dx, dim)


def _cumulative_trapezoid_inputs(
    y: Any, x: Any = None, *, dx: Any = None, dim: int = -1
) -> Arguments:
    return _interval_inputs("cumulative_trapezoid", y, x, dx, dim)


@operator(TRAPEZOID, aliases=("trapz",))
@function_by_specs(TRAPEZOID, _trapezoid_inputs)
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral along a dim by the trapezoidal rule.

    Args:
        y: the values; not bool.
        x: where they were taken: a vector, or a shape that broadcasts with ``y``.
        dx: the distance of neighbours where ``x`` is not given, by default 1.

    Raises:
        RuntimeError: bool tensors, or not one x per value.
        IndexError: the dim is out of range.
    """
    made: Tensor = call(TRAPEZOID, *_trapezoid_inputs(y, x, dx=dx, dim=dim))
    return made


@operator(CUMULATIVE_TRAPEZOID)
@function_by_specs(CUMULATIVE_TRAPEZOID, _cumulative_trapezoid_inputs)
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1
) -> Tensor:
    """The integral up to each point but the first, along a dim, by the trapezoidal rule.

    Args:
        y: the values; not bool.
        x: where they were taken: a vector, or a shape that broadcasts with ``y``.
        dx: the distance of neighbours where ``x`` is not given, by default 1.

    Raises:
        RuntimeError: bool tensors, or not one x per value.
        IndexError: the dim is out of range.
    """
    made: Tensor = call(CUMULATIVE_TRAPEZOID, *_cumulative_trapezoid_inputs(y, x, dx=dx, dim=dim))
    return made
