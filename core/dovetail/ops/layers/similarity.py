"""Vectors along a dim by their length: normalize and cosine_similarity, by the 2-norm."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.autograd.grad_mode import no_grad
from dovetail.ops.families import composite, draw, of_floats, result_like
from dovetail.ops.schema import Inferred, Sample, Tolerance
from dovetail.spec import Spec

__all__: list[str] = []

_SHAPES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((3, 4), 1), ((3, 4), 0), ((2, 3, 4), 1), ((7,), 0), ((0, 3), 1), ((2, 33), -1),
)  # fmt: skip


def _length(x: Any, dim: int, eps: float) -> Any:
    return x.norm(2, dim, keepdim=True).clamp(eps)


def _samples(count: int) -> Any:
    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        made = []
        for shape, dim in _SHAPES:
            # Some vectors are shorter; of a cosine the gradient is then not that of its values.
            for eps in (1e-8, 2.0)[: 3 - count]:
                tensors = [draw(rng, shape, dtype, -2, 2) for _ in range(count)]
                made.append(Sample(tuple(tensors), {"dim": dim % len(shape), "eps": eps}))
        return made

    return samples


def _unit(x: np.ndarray, dim: int, eps: float) -> np.ndarray:
    length = np.sqrt((x * x).sum(dim, keepdims=True))
    return np.asarray(x / np.maximum(length, eps))


def _unit_slope(g: np.ndarray, x: np.ndarray, out: np.ndarray, dim: int, eps: float) -> Any:
    length = np.sqrt((x * x).sum(dim, keepdims=True))
    along = (g * out).sum(dim, keepdims=True) * (length >= eps)
    return (g - out * along) / np.maximum(length, eps)


def _unit_slope_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for (x,), kwargs, _ in _samples(1)(rng, dtype):
        unit = _unit(x.astype(np.float64), **kwargs).astype(dtype.numpy)
        made.append(Sample((draw(rng, x.shape, dtype, -2, 2), x, unit), kwargs))
    return made


@of_floats(64)(
    "normalize_backward",
    ("grad", "input", "result"),
    infer=lambda grad, input, result, dim, eps: Inferred((None,) * 3, (result_like(input),)),
    reference=_unit_slope,
    samples=_unit_slope_samples,
)
def normalize_backward(grad: Any, input: Any, result: Any, *, dim: int, eps: float) -> Any:
    """The gradient of ``normalize``, whose ``result`` is given."""
    length = input.norm(2, dim, keepdim=True)
    along = (grad * result).sum(dim, keepdim=True) * length.ge(eps)
    return (grad - result * along) / length.clamp(eps)


@composite(
    "normalize",
    infer=lambda input, dim, eps: Inferred((None,), (result_like(input),)),
    gradient={
        "input": lambda g, input, out, dim, eps: ops.normalize_backward(
            g, input, out, dim=dim, eps=eps
        )
    },
    accepts=d.FLOATING,
    compute=d.float32,
    reference=lambda x, dim, eps: _unit(x, dim, eps),
    samples=_samples(1),
    tolerance=Tolerance(16),
    node_name=lambda *_, **__: "div",
    method=False,
    public=False,
)
def normalize(input: Any, *, dim: int, eps: float) -> Any:
    """``input`` divided by its 2-norm along ``dim``, or by ``eps`` where that is larger."""
    return input / _length(input, dim, eps)


def _cosine_infer(x1: Spec, x2: Spec, dim: int, eps: float) -> Inferred:
    shape = tuple(n for i, n in enumerate(x1.shape) if i != dim)
    return Inferred((None, None), ((shape, x1.dtype),))


def _cosine_slopes(
    g: np.ndarray, x: np.ndarray, y: np.ndarray, out: np.ndarray, dim: int, eps: float
) -> tuple[Any, Any]:
    g, out = np.expand_dims(g, dim), np.expand_dims(out, dim)

    def share(x: np.ndarray, y: np.ndarray) -> Any:
        length = np.sqrt((x * x).sum(dim, keepdims=True))
        along = x / np.where(length == 0, 1, length)
        return g * (_unit(y, dim, eps) - along * out) / np.maximum(length, eps)

    return share(x, y), share(y, x)


def _cosine_slope_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for (x, y), kwargs, _ in _samples(2)(rng, dtype):
        units = (_unit(a.astype(np.float64), **kwargs) for a in (x, y))
        cosine = np.asarray(np.prod([*units], 0).sum(kwargs["dim"])).astype(dtype.numpy)
        made.append(Sample((draw(rng, cosine.shape, dtype, -2, 2), x, y, cosine), kwargs))
    return made


@of_floats(64)(
    "cosine_similarity_backward",
    ("grad", "x1", "x2", "result"),
    outputs=2,
    differentiable=(0, 1),
    infer=lambda grad, x1, x2, result, dim, eps: Inferred(
        (None,) * 4, (result_like(x1), result_like(x2))
    ),
    reference=_cosine_slopes,
    samples=_cosine_slope_samples,
)
def cosine_similarity_backward(
    grad: Any, x1: Any, x2: Any, result: Any, *, dim: int, eps: float
) -> tuple[Any, Any]:
    """The gradients of ``cosine_similarity``, whose ``result`` is given."""
    g, out = grad.unsqueeze(dim), result.unsqueeze(dim)
    norms = [x.norm(2, dim, keepdim=True) for x in (x1, x2)]

    def share(mine: int) -> Any:
        x, norm, other = (x1, x2)[mine], norms[mine], (x1, x2)[1 - mine]
        along = (x / norm).masked_fill(norm.eq(0), 0)
        beside = other / norms[1 - mine].clamp(eps)
        return g * (beside - along * out) / norm.clamp(eps)

    return share(0), share(1)


def _kept_length(x: Any, dim: int, eps: float) -> Any:
    """The length, at least ``eps``, with the gradient of the length: as PyTorch has it."""
    length = x.norm(2, dim, keepdim=True).clone()
    with no_grad():
        length.clamp_(eps)
    return length


@composite(
    "cosine_similarity",
    inputs=("x1", "x2"),
    infer=_cosine_infer,
    gradient=lambda g, x1, x2, out, dim, eps: ops.cosine_similarity_backward(
        g, x1, x2, out, dim=dim, eps=eps
    ),
    accepts=d.FLOATING,
    compute=d.float32,
    reference=lambda x, y, dim, eps: (_unit(x, dim, eps) * _unit(y, dim, eps)).sum(dim),
    samples=_samples(2),
    tolerance=Tolerance(16, against="inputs"),
    node_name=lambda *_, **__: "sum",
    method=False,
    public=False,
)
def cosine_similarity(x1: Any, x2: Any, *, dim: int, eps: float) -> Any:
    """The cosine of the angle between two tensors of one shape along ``dim``."""
    return (x1 / _kept_length(x1, dim, eps) * (x2 / _kept_length(x2, dim, eps))).sum(dim)
