"""Distances of rows, and the losses made of them: triplet_margin_loss, cosine_embedding_loss.

Shapes are settled in ``nn.functional``; the operators take tensors of one shape, whose rows are
along the last dim.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.ops.families import draw, of_floats
from dovetail.ops.layers.loss import REDUCTIONS, reduced, share
from dovetail.ops.reduction.vector_norm import vector_norm
from dovetail.ops.schema import Inferred, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["is_one_record", "row_record", "rows_of", "shared_rows"]

TINY = 1e-12
"""Added to squared norms, as PyTorch's loss of cosines has it."""

SHAPES = ((4, 3), (5,), (3, 17))


def is_one_record(*tensors: Tensor) -> bool:
    """Whether an operator on rows of these is one record: they have one shape and dtype of floats.

    On the host, without a gradient, a record's plan costs more than the steps that it is made of.
    """
    first = tensors[0]._spec
    if first.dtype.category != 2 or not first.ndim or first.batch is not None:
        return False
    for tensor in tensors[1:]:
        spec = tensor._spec
        if spec.shape != first.shape or spec.dtype is not first.dtype or spec.batch is not None:
            return False
    return first.device.type != "cpu" or tensors[0]._node is not None


def rows_of(input: Spec, reduction: str) -> tuple[int, ...]:
    """The shape of a loss of rows."""
    return tuple(input.shape[:-1]) if reduction == "none" else ()


def shared_rows(g: Any, rows: Any, reduction: str) -> Any:
    """What of ``g`` reaches each of the rows through the reduction, with a last dim of 1."""
    part = share(g, rows, reduction)
    return part.unsqueeze(-1) if reduction == "none" else part


row_record = of_floats(64)
"""The record of an operator on rows, or of its gradient."""


def _is_near(*arrays: Any) -> bool:
    """Whether a loss's hinge is so near that rounding decides which side it is on."""
    return any(np.abs(a).min() < 0.05 for a in arrays)


# pairwise_distance


def _apart(x: Any, y: Any, eps: float) -> Any:
    return np.sqrt(((x - y + eps) ** 2).sum(-1))


def _direction(x: Any, y: Any, eps: float, p: float = 2.0) -> tuple[Any, Any]:
    """(the distance, its slope for ``x``: 0 where it has none), both with the last dim."""
    difference = x - y + eps
    distance = vector_norm(difference, p, -1, True)
    if p == 1:
        return distance, difference.sgn()
    none = distance.eq(0)
    slope = (difference / distance.masked_fill(none, 1)).masked_fill(none, 0)
    return distance, slope if p == 2 else slope.sgn() * slope.abs().pow(p - 1)


def _direction_of(x: Any, y: Any, eps: float) -> Any:
    return (x - y + eps) / _apart(x, y, eps)[..., None]


def _pairs(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((draw(rng, shape, dtype, -2, 2), draw(rng, shape, dtype, -2, 2)), {"eps": eps})
        for shape in SHAPES
        for eps in (1e-6, 0.25)
    ]


@row_record(
    "pairwise_distance_backward",
    ("grad", "x1", "x2"),
    infer=lambda grad, x1, x2, eps: Inferred((None,) * 3, ((x1.shape, x1.dtype),)),
    reference=lambda g, x, y, eps: g[..., None] * _direction_of(x, y, eps),
    samples=lambda rng, dtype: [
        Sample((draw(rng, s.args[0].shape[:-1], dtype, -2, 2), *s.args), s.kwargs)
        for s in _pairs(rng, dtype)
    ],
)
def pairwise_distance_backward(grad: Any, x1: Any, x2: Any, *, eps: float) -> Any:
    """The gradient of ``pairwise_distance`` for its first input; the second's is its opposite."""
    return _direction(x1, x2, eps)[1] * grad.unsqueeze(-1)


def _distance_gradient(g: Any, x1: Any, x2: Any, eps: float, needs: Any) -> tuple[Any, Any]:
    of_first = ops.pairwise_distance_backward(g, x1, x2, eps=eps)
    return of_first, -of_first if needs[1] else None


@row_record(
    "pairwise_distance",
    ("x1", "x2"),
    infer=lambda x1, x2, eps: Inferred((None, None), ((x1.shape[:-1], x1.dtype),)),
    gradient=_distance_gradient,
    node_name=lambda *_, **__: "norm",
    reference=_apart,
    samples=_pairs,
)
def pairwise_distance(x1: Any, x2: Any, *, eps: float) -> Any:
    """The 2-norm of the rows of ``x1 - x2 + eps``."""
    return vector_norm(x1 - x2 + eps, 2, -1)


# triplet_margin_loss

_TRIPLETS: tuple[dict[str, Any], ...] = (
    {"margin": 1.0, "eps": 1e-6},
    {"margin": 0.4, "eps": 0.25},
    {"margin": 0.4, "eps": 0.25, "swap": True},
    {"margin": 1.0, "eps": 1e-6, "p": 1.0},
    {"margin": 1.0, "eps": 0.25, "p": 3.0, "swap": True},
)
"""Attributes to try."""


def _triplets(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made: list[Sample] = []
    for shape in SHAPES:
        for reduction in REDUCTIONS:
            for named in _TRIPLETS if shape == SHAPES[0] else _TRIPLETS[:2]:
                while True:
                    tensors = [draw(rng, shape, dtype, -2, 2) for _ in range(3)]
                    near, far, other = _distances(*(t.astype(np.float64) for t in tensors), **named)
                    if not _is_near(named["margin"] + near - np.minimum(far, other), far - other):
                        break
                made.append(Sample(tuple(tensors), {**named, "reduction": reduction}))
    return made


def _with_grads(samples: list[Sample], rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for s in samples:
        rows = s.args[0].shape[:-1] if s.kwargs["reduction"] == "none" else ()
        made.append(Sample((draw(rng, rows, dtype, -2, 2), *s.args), s.kwargs))
    return made


def _distances(
    anchor: Any, positive: Any, negative: Any, eps: float, p: float = 2.0, swap: bool = False,
    **_: Any,
) -> list[Any]:  # fmt: skip
    """A reference: from anchor to positive and negative, and between these if that is asked for."""
    pairs = ((anchor, positive), (anchor, negative), (positive, negative))
    found = [(np.abs(x - y + eps) ** p).sum(-1) ** (1 / p) for x, y in pairs]
    return found if swap else [*found[:2], found[1] + 1]


def _triplet_reference(
    anchor: Any, positive: Any, negative: Any, *, margin: float, reduction: str = "none",
    **named: Any,
) -> Any:  # fmt: skip
    near, far, other = _distances(anchor, positive, negative, **named)
    loss = np.maximum(margin + near - np.minimum(far, other), 0)
    return {"none": lambda x: x, "mean": np.mean, "sum": np.sum}[reduction](loss)


def _triplet_slopes(
    g: Any, anchor: Any, positive: Any, negative: Any, *, margin: float, eps: float,
    reduction: str, p: float = 2.0, swap: bool = False,
) -> tuple[Any, ...]:  # fmt: skip
    near, far, other = _distances(anchor, positive, negative, eps, p, swap)
    loss = np.maximum(margin + near - np.minimum(far, other), 0)
    part = (g * (loss > 0) / (loss.size if reduction == "mean" else 1))[..., None]

    def slope(x: Any, y: Any, distance: Any) -> Any:
        z = x - y + eps
        return np.sign(z) * (np.abs(z) / distance[..., None]) ** (p - 1) * part

    is_other = (other < far)[..., None]
    of_near = slope(anchor, positive, near)
    of_far = np.where(is_other, 0, slope(anchor, negative, far))
    of_other = np.where(is_other, slope(positive, negative, other), 0)
    return of_near - of_far, -of_near - of_other, of_far + of_other


@row_record(
    "triplet_margin_loss_backward",
    ("grad", "anchor", "positive", "negative"),
    outputs=3,
    differentiable=(0, 1, 2),
    infer=lambda grad, *rows, **_: Inferred((None,) * 4, tuple((x.shape, x.dtype) for x in rows)),
    reference=_triplet_slopes,
    samples=lambda rng, dtype: _with_grads(_triplets(rng, dtype), rng, dtype),
)
def triplet_margin_loss_backward(
    grad: Any, anchor: Any, positive: Any, negative: Any, *, margin: float, eps: float,
    p: float = 2.0, swap: bool = False, reduction: str,
) -> tuple[Any, ...]:  # fmt: skip
    """The gradients of ``triplet_margin_loss``."""
    near, of_near = _direction(anchor, positive, eps, p)
    far, of_far = _direction(anchor, negative, eps, p)
    of_other = None
    if swap:
        other, of_other = _direction(positive, negative, eps, p)
        kept = ops.where(far < other, 1.0, ops.where(far.eq(other), 0.5, 0.0)).to(far.dtype)
        of_far, of_other = of_far * kept, of_other * (1 - kept)
        far = ops.minimum(far, other)
    is_kept = (margin + near - far).ge(0)
    part = ops.where(is_kept, shared_rows(grad, near, reduction), 0.0)
    of_near, of_far = of_near * part, of_far * part
    if of_other is None:
        return of_near - of_far, -of_near, of_far
    of_other = of_other * part
    return of_near - of_far, -of_near - of_other, of_far + of_other


@row_record(
    "triplet_margin_loss",
    ("anchor", "positive", "negative"),
    infer=lambda a, positive, negative, *, reduction, **_: Inferred(
        (None,) * 3, ((rows_of(a, reduction), a.dtype),)
    ),
    gradient=lambda g, anchor, positive, negative, margin, eps, p, swap, reduction: (
        ops.triplet_margin_loss_backward(
            g, anchor, positive, negative, margin=margin, eps=eps, p=p, swap=swap,
            reduction=reduction,
        )
    ),
    reference=_triplet_reference,
    samples=_triplets,
)  # fmt: skip
def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, *, margin: float, eps: float, p: float = 2.0,
    swap: bool = False, reduction: str,
) -> Any:  # fmt: skip
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` of each row, with the p-norm
    for d, p from 1 on; ``swap``: the smaller of d(anchor, negative) and d(positive, negative)."""
    near = vector_norm(anchor - positive + eps, p, -1)
    far = vector_norm(anchor - negative + eps, p, -1)
    if swap:
        far = ops.minimum(far, vector_norm(positive - negative + eps, p, -1))
    return reduced((margin + near - far).clamp_min(0), reduction)


# cosine_embedding_loss


def _cosine_of(x: Any, y: Any) -> Any:
    return (x * y).sum(-1) / np.sqrt(((x * x).sum(-1) + TINY) * ((y * y).sum(-1) + TINY))


def _cosines(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made: list[Sample] = []
    for shape in SHAPES:
        for reduction in REDUCTIONS:
            for margin in (0.0, 0.2):
                while True:
                    tensors = [draw(rng, shape, dtype, -2, 2) for _ in range(2)]
                    x, y = (t.astype(np.float64) for t in tensors)
                    if not _is_near(_cosine_of(x, y) - margin):
                        break
                signs = rng.integers(0, 2, shape[:-1]) * 2 - 1
                named = {"margin": margin, "reduction": reduction}
                made.append(Sample((*tensors, np.asarray(signs, np.int64)), named))
    return made


def _cosine_reference(x: Any, y: Any, t: Any, margin: float, reduction: str) -> Any:
    cosine = _cosine_of(x, y)
    apart = np.where(t == -1, np.maximum(cosine - margin, 0), 0)
    loss = np.where(t == 1, 1 - cosine, apart)
    return {"none": lambda x: x, "mean": np.mean, "sum": np.sum}[reduction](loss)


def _cosine_slopes(
    g: Any, x: Any, y: Any, t: Any, margin: float, reduction: str
) -> tuple[Any, Any]:
    cosine = _cosine_of(x, y)
    part = g * np.where(t == 1, -1, (t == -1) & (cosine > margin))
    part = (part / (cosine.size if reduction == "mean" else 1))[..., None]
    first, second = ((v * v).sum(-1)[..., None] + TINY for v in (x, y))
    root, cosine = np.sqrt(first * second), cosine[..., None]
    return part * (y / root - cosine * x / first), part * (x / root - cosine * y / second)


@row_record(
    "cosine_embedding_loss_backward",
    ("grad", "input1", "input2", "target"),
    outputs=2,
    differentiable=(0, 1),
    infer=lambda grad, x, y, target, **_: Inferred(
        (None,) * 4, ((x.shape, x.dtype), (y.shape, y.dtype))
    ),
    reference=_cosine_slopes,
    samples=lambda rng, dtype: _with_grads(_cosines(rng, dtype), rng, dtype),
)
def cosine_embedding_loss_backward(
    grad: Any, input1: Any, input2: Any, target: Any, *, margin: float, reduction: str
) -> tuple[Any, Any]:
    """The gradients of ``cosine_embedding_loss`` for its inputs."""
    product, first, second = (
        (x * y).sum(-1, keepdim=True)
        for x, y in ((input1, input2), (input1, input1), (input2, input2))
    )
    first, second, target = first + TINY, second + TINY, target.unsqueeze(-1)
    root = (first * second).sqrt()
    cosine = product / root
    part = shared_rows(grad, cosine, reduction)
    part = ops.where(target.eq(1), -part, 0.0) + ops.where(
        target.eq(-1) & (cosine - margin).ge(0), part, 0.0
    )
    return (
        part * (input2 / root - input1 * (cosine / first)),
        part * (input1 / root - input2 * (cosine / second)),
    )


@row_record(
    "cosine_embedding_loss",
    ("input1", "input2", "target"),
    infer=lambda x, y, target, margin, reduction: Inferred(
        (None,) * 3, ((rows_of(x, reduction), x.dtype),)
    ),
    gradient=lambda g, input1, input2, target, margin, reduction: (
        *ops.cosine_embedding_loss_backward(
            g, input1, input2, target, margin=margin, reduction=reduction
        ),
        None,
    ),
    reference=_cosine_reference,
    samples=_cosines,
)
def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, *, margin: float, reduction: str
) -> Any:
    """1 - cos of each row whose target is 1, ``max(0, cos - margin)`` where that is -1, else 0."""
    product = (input1 * input2).sum(-1)
    first = (input1 * input1).sum(-1) + TINY
    second = (input2 * input2).sum(-1) + TINY
    cosine = product / (first * second).sqrt()
    alike = ops.where(target.eq(1), 1 - cosine, 0.0)
    return reduced(alike + ops.where(target.eq(-1), (cosine - margin).clamp_min(0), 0.0), reduction)
