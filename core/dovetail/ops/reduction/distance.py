"""Distances between points: cdist and pdist."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import ops
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import operator
from dovetail.ops.families import broadcast_shapes, composite, draw
from dovetail.ops.indexed.index_checks import need_tensor
from dovetail.ops.layout.triangle import triu_indices
from dovetail.ops.reduction.vector_norm import vector_norm
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__: list[str] = []

_MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist",
          "donot_use_mm_for_euclid_dist")  # fmt: skip
_MANY = 25
"""With more points than this, Euclidean distances come from one matrix product."""


def _slope(difference: Any, distance: Any, p: float) -> Any:
    """The derivative of each distance (…, 1) by the differences (…, n); 0 where it has none."""
    if p == 0:
        return difference * 0
    if p == 1:
        return difference.sgn()
    none = distance.eq(0)
    if math.isinf(p):  # every difference that is as large as the largest, in full
        return difference.sgn() * difference.abs().eq(distance).to(difference.dtype)
    whole = distance.masked_fill(none, 1)
    if p == 2:
        return (difference / whole).masked_fill(none, 0)
    size = difference.abs()
    still = size.eq(0) if p < 2 else none
    ratio = size.masked_fill(still, 1) / whole
    return (difference.sgn() * ratio.pow(p - 1)).masked_fill(still | none, 0)


def _need_power(name: str, p: Any) -> float:
    if not p >= 0:
        raise RuntimeError(f"{name} only supports non-negative p values")
    return float(p)


# -------------------------------------------------------------------- cdist


def _cdist_infer(x1: Spec, x2: Spec, p: float, by_product: bool) -> Inferred:
    before = broadcast_shapes(tuple(x1.shape[:-2]), tuple(x2.shape[:-2]))
    return Inferred((None, None), (((*before, x1.shape[-2], x2.shape[-2]), x1.dtype),))


def _cdist(x1: Any, x2: Any, p: float, by_product: bool) -> Any:
    if not by_product:
        return vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)
    squares = (x1 * x1).sum(-1).unsqueeze(-1) + (x2 * x2).sum(-1).unsqueeze(-2)
    return (squares - x1.matmul(x2.mT) * 2).clamp_min(0).sqrt()


def _norm(x: np.ndarray, p: float) -> np.ndarray:
    """The norm along the last dim."""
    if not x.shape[-1]:
        return np.zeros(x.shape[:-1], x.dtype)
    return np.asarray(np.linalg.norm(x, p, -1))


def _cdist_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def make(*shape: int) -> np.ndarray:
        return draw(rng, shape, dtype, -5, 5)

    found = [Sample((make(2, 3, 2), make(2, 4, 2), 3.0), name="batch")]
    if dtype.itemsize >= 4:  # PyTorch squares and adds up in the dtype itself
        found.append(Sample((make(2, 27, 2), make(2, 3, 2)), name="batch by product"))
    found += [Sample((make(4, 3), make(5, 3), p)) for p in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, math.inf)]
    found += [
        Sample((make(4, 3), make(5, 3))),
        Sample((make(2, 1, 3, 4), make(5, 2, 4)), name="broadcast"),
        Sample((make(3, 2, 4), make(5, 4), 1.5), name="broadcast"),
        Sample((make(0, 3), make(2, 3))),
        Sample((make(3, 0), make(2, 0))),
        Sample((make(2, 3), make(2, 3), 2.0, _MODES[1]), name="by product"),
        Sample((make(30, 3), make(2, 3)), name="many"),
        Sample((make(3, 2), make(28, 2), 2.0, _MODES[2]), name="many, by differences"),
    ]
    same = make(3, 2)
    found += [
        Sample((same, same.copy(), p, _MODES[2]), {}, "at 0") for p in (0.5, 1.0, 1.5, 2.0, 3.0)
    ]
    ties = np.array([[1, -1, 1], [2, 2, 0]]).astype(dtype.numpy)
    found.append(Sample((ties, ties * 0, math.inf), {}, "ties"))
    return found


def _cdist_errors() -> list[ErrorInput]:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    whole = x.astype(np.int64)
    return [
        ErrorInput((x[0], x), {}, RuntimeError, "at least 2D tensors, X1 got: 1D"),
        ErrorInput((x, x[0]), {}, RuntimeError, "at least 2D tensors, X2 got: 1D"),
        ErrorInput((x, x[:, :2]), {}, RuntimeError, "same number of columns. X1: 3 X2: 2"),
        ErrorInput((whole, whole), {}, RuntimeError, "floating-point dtypes, X1 got: Long"),
        ErrorInput((x, x.astype(np.float64)), {}, RuntimeError, "expected scalar type"),
        ErrorInput((x, x, -1.0), {}, RuntimeError, "non-negative p"),
        ErrorInput((x, x, 2.0, "no"), {}, ValueError, "not a valid value for compute_mode"),
        ErrorInput((np.stack([x, x]), np.stack([x, x, x])), {}, RuntimeError, "must match"),
    ]


def _cdist_slopes(
    g: np.ndarray, x1: np.ndarray, x2: np.ndarray, out: np.ndarray, p: float
) -> tuple[np.ndarray, np.ndarray]:
    d, far = x1[:, None] - x2[None], out[..., None]
    if p == 0:
        slope = d * 0
    elif math.isinf(p):
        slope = np.sign(d) * (np.abs(d) == far)
    else:
        size = np.where(d == 0, 1, np.abs(d)) / np.where(far == 0, 1, far)
        slope = np.sign(d) * size ** (p - 1) * (far != 0)
    slope = slope * g[..., None]
    return slope.sum(1), -slope.sum(0)


def _cdist_slope_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for p in (0.0, 1.0, 1.5, 2.0, 3.0, math.inf):
        x1, x2 = draw(rng, (4, 3), dtype, -5, 5), draw(rng, (5, 3), dtype, -5, 5)
        if math.isinf(p):  # which are as large as the largest is exact of whole numbers
            x1, x2 = np.round(x1), np.round(x2)
        first, second = x1.astype(np.float64), x2.astype(np.float64)
        out = _norm(first[:, None] - second[None], p).astype(dtype.numpy)
        made.append(Sample((draw(rng, (4, 5), dtype, -2, 2), x1, x2, out), {"p": p}))
    return made


@composite(
    "cdist_backward",
    inputs=("grad", "x1", "x2", "distance"),
    outputs=2,
    differentiable=(0, 1),
    infer=lambda grad, x1, x2, distance, p: Inferred(
        (None,) * 4, tuple(((*grad.shape[:-2], *x.shape[-2:]), x.dtype) for x in (x1, x2))
    ),
    compute=d.float32,
    accepts=d.FLOATING,
    reference=_cdist_slopes,
    samples=_cdist_slope_samples,
    tolerance=Tolerance(64, against="inputs"),
    method=False,
    public=False,
)
def cdist_backward(grad: Any, x1: Any, x2: Any, distance: Any, *, p: float) -> tuple[Any, Any]:
    """The gradients of ``cdist`` for its inputs, of all leading dims."""
    if p == 2:
        none = distance.eq(0)
        weight = grad.masked_fill(none, 0) / distance.masked_fill(none, 1)
        return (
            x1 * weight.sum(-1).unsqueeze(-1) - weight.matmul(x2),
            x2 * weight.sum(-2).unsqueeze(-1) - weight.mT.matmul(x1),
        )
    slope = _slope(x1.unsqueeze(-2) - x2.unsqueeze(-3), distance.unsqueeze(-1), p)
    slope = slope * grad.unsqueeze(-1)
    return slope.sum(-2), -slope.sum(-3)


CDIST = OpDef(
    "cdist",
    inputs=("x1", "x2"),
    attributes=("p", "by_product"),
    infer=_cdist_infer,
    decompose=_cdist,
    compute=d.float32,
    gradient=lambda g, x1, x2, out, p: ops.cdist_backward(g, x1, x2, out, p=p),
    accepts=d.FLOATING,
    reference=lambda x1, x2, p=2.0, mode="": _norm(x1[..., :, None, :] - x2[..., None, :, :], p),
    samples=_cdist_samples,
    errors=_cdist_errors,
    tolerance=Tolerance(16, against="inputs"),
    method=False,
)


@operator(CDIST)
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = _MODES[0]) -> Tensor:
    """The distance (p-norm of the difference) of every point of ``x1`` from every one of ``x2``.

    Args:
        x1: (\\*, P, M), floating-point.
        x2: (\\*, R, M); leading dims broadcast.
        p: 0 (how many coordinates differ) up to infinity.
        compute_mode: whether Euclidean distances come from a matrix product, which is faster and
            less exact: ``use_mm_for_euclid_dist``, ``donot_use_mm_for_euclid_dist``, or
            ``use_mm_for_euclid_dist_if_necessary`` (with more than 25 points).

    Returns:
        (\\*, P, R).

    Raises:
        RuntimeError: shapes or dtypes that do not fit, or a negative ``p``.
        ValueError: another mode.
    """
    if compute_mode not in _MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    for i, x in enumerate((x1, x2), 1):
        spec = need_tensor("cdist", f"x{i}", i, x)._spec
        if spec.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, X{i} got: {spec.ndim}D")
        if not spec.dtype.is_floating_point:
            raise RuntimeError(
                f"cdist only supports floating-point dtypes, X{i} got: {type_name(spec.dtype)}"
            )
    one, two = x1._spec, x2._spec
    if one.shape[-1] != two.shape[-1]:
        raise RuntimeError(
            "X1 and X2 must have the same number of columns. "
            f"X1: {one.shape[-1]} X2: {two.shape[-1]}"
        )
    if one.dtype is not two.dtype:
        raise RuntimeError(
            f"expected scalar type {type_name(one.dtype)} but found {type_name(two.dtype)}"
        )
    p = _need_power("cdist", p)
    many = one.shape[-2] > _MANY or two.shape[-2] > _MANY
    by_product = p == 2 and (compute_mode == _MODES[1] or (compute_mode == _MODES[0] and many))
    return call(CDIST, (x1, x2), (p, by_product))


# -------------------------------------------------------------------- pdist


def _pairs(x: Any) -> tuple[Any, Any, Any]:
    """(first row, second row, difference) of every pair of rows."""
    n = x.shape[0]
    first, second = triu_indices(n, n, 1, device=x.device)
    return first, second, x.index_select(0, first) - x.index_select(0, second)


def _pdist_gradient(g: Any, input: Any, out: Any, p: float) -> Any:
    first, second, difference = _pairs(input)
    slope = _slope(difference, out.unsqueeze(-1), p) * g.unsqueeze(-1)
    nothing = g.new_zeros(tuple(input.shape))
    return nothing.index_add(0, first, slope).index_add(0, second, slope, alpha=-1)


def _pdist_inputs(input: Any, p: float) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    spec = need_tensor("pdist", "input", 1, input)._spec
    if spec.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {spec.ndim}D")
    if not spec.dtype.is_floating_point:
        raise RuntimeError("pdist only supports floating-point dtypes")
    return (input,), (_need_power("pdist", p),)


def _pdist_reference(x: np.ndarray, p: float = 2.0) -> np.ndarray:
    first, second = np.triu_indices(len(x), 1)
    return _norm(x[first] - x[second], p)


def _pdist_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def make(*shape: int) -> np.ndarray:
        return draw(rng, shape, dtype, -5, 5)

    found = [Sample((make(5, 3), p)) for p in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, math.inf)]
    found += [Sample((make(*shape),)) for shape in ((4, 2), (1, 3), (3, 0))]
    found.append(Sample((make(0, 3),), {}, "no rows"))
    twice = make(3, 2)
    twice[2] = twice[0]
    return [*found, *(Sample((twice, p), {}, "at 0") for p in (0.5, 1.0, 1.5, 2.0, 3.0))]


@composite(
    "pdist",
    infer=lambda spec, p: Inferred(
        (None,), (((spec.shape[0] * (spec.shape[0] - 1) // 2,), spec.dtype),)
    ),
    prepare=_pdist_inputs,
    compute=d.float32,
    gradient={"input": _pdist_gradient},
    accepts=d.FLOATING,
    reference=_pdist_reference,
    samples=_pdist_samples,
    errors=lambda: [
        ErrorInput((np.zeros(3, np.float32),), {}, RuntimeError, "only supports 2D tensors"),
        ErrorInput((np.zeros((2, 2), np.int64),), {}, RuntimeError, "floating-point dtypes"),
        ErrorInput((np.zeros((2, 2), np.float32), -1.0), {}, RuntimeError, "non-negative p"),
    ],
    tolerance=Tolerance(16, against="inputs"),
    method=False,
)
def pdist(input: Any, p: float = 2.0) -> Any:
    """The distances (p-norms of differences) of every two rows, each pair once.

    Args:
        input: (N, M), floating-point.
        p: 0 (how many coordinates differ) up to infinity.

    Returns:
        (N (N - 1) / 2): row 0 from 1, 2, …, then row 1 from 2, …

    Raises:
        RuntimeError: another number of dims, another dtype, or a negative ``p``.
    """
    return vector_norm(_pairs(input)[2], p, -1)
