"""Questions about tensors: whether they are close, equal, of a kind, or contain something."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import FUNCTIONS, publish
from dovetail.ops.families import elementwise_infer, pairs, to_bool
from dovetail.ops.schema import OpDef, Sample
from dovetail.tensor import Tensor

__all__ = [
    "allclose", "dist", "equal", "is_complex", "is_floating_point", "is_nonzero",
    "is_same_size", "isclose", "isin", "numel",
]  # fmt: skip


def _within(input: Any, other: Any, rtol: float, atol: float, equal_nan: bool) -> Any:
    close = input.eq(other)
    if equal_nan and input.dtype.category > 1:
        close = close | (input.isnan() & other.isnan())
    gap = (input - other).abs()
    allowed = (other * rtol).abs() + atol
    return close | (gap.isfinite() & gap.le(allowed))


def _within_infer(input: Any, other: Any, **_: Any) -> Any:
    return elementwise_infer("isclose", to_bool, tensors_only=True)(input, other)


def _within_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    edges = np.array([0.0, 1.0, -2.0, math.inf, -math.inf, math.nan, 1.5], dtype.numpy)
    found = [*pairs(-2, 2)(rng, dtype), Sample((edges, edges)), Sample((edges, edges[::-1].copy()))]
    near = [Sample((x, x + x.dtype.type(step))) for x in (edges,) for step in (2e-3, 2e-2)]
    given = ((1e-2, 1e-8, False), (0.0, 0.5, True), (0.25, 0.0, True))
    return [
        Sample(s.args, dict(zip(("rtol", "atol", "equal_nan"), values, strict=True)))
        for s in (*found, *near)
        for values in given
    ]


WITHIN = OpDef(
    "isclose_within",
    kind="compare",
    inputs=("input", "other"),
    attributes=("rtol", "atol", "equal_nan"),
    infer=_within_infer,
    decompose=_within,
    accepts=(d.float32, d.float64),
    reference=np.isclose,
    samples=_within_samples,
    method=False,
    public=False,
    function=lambda input, other, *, rtol, atol, equal_nan: call(
        WITHIN, (input, other), (rtol, atol, equal_nan)
    ),
)
"""``isclose`` of floats that are computed in as they are, with a tolerance that is not 0."""


@publish()
def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Whether ``|input - other| <= atol + rtol * |other|``; infinities equal themselves.

    Raises:
        RuntimeError: dtypes that differ, or a negative tolerance.
    """
    kind = input._spec.dtype
    if kind is not other._spec.dtype:
        raise RuntimeError(f"{type_name(kind)} did not match {type_name(other._spec.dtype)}")
    for label, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{label} must be greater than or equal to zero, but got {value:g}")
    if (not rtol and not atol) or kind is d.bool_:
        close = input.eq(other)
        if equal_nan and kind.category > 1:
            close = close | (input.isnan() & other.isnan())
        return close
    if kind not in WITHIN.accepts:
        return _within(input, other, rtol, atol, equal_nan)  # type: ignore[no-any-return]
    values = (float(rtol), float(atol), bool(equal_nan))
    return call(WITHIN, (input, other), values)  # type: ignore[no-any-return]


@publish()
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close; see :func:`dovetail.isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


@publish()
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same elements.

    Raises:
        TypeError: not tensors.
    """
    for position, (label, x) in enumerate((("input", input), ("other", other)), 1):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"equal(): argument '{label}' (position {position}) must be Tensor, not "
                f"{type(x).__name__}"
            )
    if input._spec.shape != other._spec.shape:
        return False
    return bool(input.eq(other).all().item())


@publish()
def is_nonzero(input: Tensor) -> bool:
    """Whether the single element is not zero.

    Raises:
        RuntimeError: not exactly one element.
    """
    return bool(input)


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating-point one."""
    return input._spec.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex."""
    return input._spec.dtype.is_complex


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input._spec.numel


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return input._spec.shape == other._spec.shape


Tensor.is_same_size = is_same_size  # type: ignore[attr-defined]
for _function in (is_floating_point, is_complex, numel, is_same_size):
    FUNCTIONS[_function.__name__] = _function


_PAIRS = 1 << 18
"""Up to so many pairs, comparing them all is faster than sorting."""


@publish(method=False)
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element is one of ``test_elements``; either may be a number."""
    some = elements if isinstance(elements, Tensor) else test_elements
    if not isinstance(elements, Tensor):
        elements = some.new_full((), elements)
    if not isinstance(test_elements, Tensor):
        found = elements.eq(test_elements)
        return found.logical_not() if invert else found
    tested = test_elements.reshape(-1)
    if elements.numel() * tested.numel() <= _PAIRS:
        found = elements.unsqueeze(-1).eq(tested).any(-1)
    else:
        from dovetail.ops.reduction.search import searchsorted

        ordered = tested.sort().values
        place = searchsorted(ordered, elements.reshape(-1)).clamp(max=tested.numel() - 1)
        found = ordered.index_select(0, place).reshape(elements.shape).eq(elements)
    return found.logical_not() if invert else found


@publish()
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of ``input - other``, broadcast."""
    return (input - other).norm(p)
