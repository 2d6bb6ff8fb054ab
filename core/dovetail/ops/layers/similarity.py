"""Vectors along a dim by their length: normalize and cosine_similarity, by the 2-norm."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.autograd.grad_mode import no_grad
from dovetail.ops.families import composite, draw, result_strides
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


def _normalize_gradient(g: Any, input: Any, out: Any, dim: int, eps: float) -> Any:
    length = input.norm(2, dim, keepdim=True)
    along = (g * out).sum(dim, keepdim=True) * length.ge(eps)
    return (g - out * along) / length.clamp(eps)


def _like_input(input: Spec, dim: int, eps: float) -> Inferred:
    shape = tuple(input.shape)
    return Inferred((None,), ((shape, input.dtype, result_strides([input], shape)),))


@composite(
    "normalize",
    infer=_like_input,
    gradient={"input": _normalize_gradient},
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


def _cosine_gradient(
    g: Any, x1: Any, x2: Any, out: Any, needs: Any, dim: int, eps: float
) -> tuple[Any, Any]:
    g, out = g.unsqueeze(dim), out.unsqueeze(dim)
    norms = [x.norm(2, dim, keepdim=True) for x in (x1, x2)]

    def share(mine: int) -> Any:
        x, norm, other = (x1, x2)[mine], norms[mine], (x1, x2)[1 - mine]
        along = (x / norm).masked_fill(norm.eq(0), 0)
        beside = other / norms[1 - mine].clamp(eps)
        return g * (beside - along * out) / norm.clamp(eps)

    return share(0) if needs[0] else None, share(1) if needs[1] else None


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
    gradient=_cosine_gradient,
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
