"""Margins between the classes of each row: multi_margin_loss and multilabel_margin_loss.

Shapes are settled in ``nn.functional``; the operators take inputs (N, C), and whole numbers in
[0, C), or for labels in [-1, C).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.dispatch import call
from dovetail.factories import arange, zeros_like
from dovetail.ops.families import draw
from dovetail.ops.indexed.index import GATHER
from dovetail.ops.layers.loss import REDUCTIONS, reduced, share
from dovetail.ops.layers.row_losses import row_record, rows_of, shared_rows
from dovetail.ops.schema import Inferred, Sample

__all__ = ["OUTSIDE"]

OUTSIDE = "target out of range"
"""What is said of a class that there is not."""

_PICK = GATHER.part_of("multi_margin_loss", OUTSIDE)
_REDUCED = {"none": lambda x: x, "mean": np.mean, "sum": np.sum}


def _inputs_are_near(*gaps: Any) -> bool:
    return any(np.abs(g).min() < 0.02 for g in gaps)


# multi_margin_loss


def _gaps(x: Any, target: Any, margin: float) -> Any:
    """What each class is beyond the margin of the target's; below every bound for that itself."""
    rows = np.arange(len(x))
    gaps = margin - x[rows, target][:, None] + x
    gaps[rows, target] = -np.inf
    return gaps


def _multi_reference(
    x: Any, target: Any, weight: Any, p: int, margin: float, reduction: str
) -> Any:
    loss = (np.maximum(_gaps(x, target, margin), 0) ** p).sum(1) / x.shape[1]
    loss = loss if weight is None else loss * weight[target]
    return _REDUCED[reduction](loss)  # type: ignore[operator]


def _multi_slope(
    g: Any, x: Any, target: Any, weight: Any, p: int, margin: float, reduction: str
) -> Any:
    gaps = _gaps(x, target, margin)
    slope = np.where(gaps > 0, 1 if p == 1 else 2 * np.maximum(gaps, 0), 0) / x.shape[1]
    slope = slope if weight is None else slope * weight[target][:, None]
    slope[np.arange(len(x)), target] = -slope.sum(1)
    part = g[:, None] if reduction == "none" else g / (len(x) if reduction == "mean" else 1)
    return slope * part


def _multi_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for rows, classes in ((4, 3), (1, 5), (3, 1)):
        for reduction in REDUCTIONS:
            for p, margin, has_weight in ((1, 1.0, False), (2, 0.5, True)):
                target = rng.integers(0, classes, (rows,))
                while True:
                    x = draw(rng, (rows, classes), dtype, -2, 2)
                    if not _inputs_are_near(_gaps(x.astype(np.float64), target, margin)):
                        break
                weight = draw(rng, (classes,), dtype, 0.5, 2) if has_weight else None
                named = {"p": p, "margin": margin, "reduction": reduction}
                made.append(Sample((x, target, weight), named))
    return made


def _with_grads(samples: list[Sample], rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample(
            (
                draw(
                    rng, (len(s.args[0]),) if s.kwargs["reduction"] == "none" else (), dtype, -2, 2
                ),
                *s.args,
            ),
            s.kwargs,
        )
        for s in samples
    ]


def _of_others(column: Any, x: Any) -> Any:
    """Which classes are no row's own."""
    return arange(x.shape[1], device=x.device).ne(column)


@row_record(
    "multi_margin_loss_backward",
    ("grad", "input", "target", "weight"),
    infer=lambda grad, input, *_, **__: Inferred((None,) * 4, ((input.shape, input.dtype),)),
    reference=_multi_slope,
    samples=lambda rng, dtype: _with_grads(_multi_samples(rng, dtype), rng, dtype),
)
def multi_margin_loss_backward(
    grad: Any, input: Any, target: Any, weight: Any, *, p: int, margin: float, reduction: str
) -> Any:
    """The gradient of ``multi_margin_loss`` for its input."""
    column = target.unsqueeze(1)
    gaps = margin - call(_PICK, (input, column), (1,)) + input
    slope = ops.where(gaps.gt(0) & _of_others(column, input), 1.0 if p == 1 else gaps * 2, 0.0)
    slope = slope.to(input.dtype) / input.shape[1]
    if weight is not None:
        slope = slope * weight.index_select(0, target).unsqueeze(1)
    slope = slope * shared_rows(grad, target, reduction)
    return slope.scatter_add(1, column, -slope.sum(1, keepdim=True))


def _multi_gradient(
    g: Any, input: Any, target: Any, weight: Any, p: int, margin: float, reduction: str, needs: Any
) -> tuple[Any, ...]:
    of_input = of_weight = None
    if needs[0]:
        of_input = ops.multi_margin_loss_backward(
            g, input, target, weight, p=p, margin=margin, reduction=reduction
        )
    if needs[2]:
        each = ops.multi_margin_loss(input, target, None, p=p, margin=margin, reduction="none")
        each = each * share(g, target, reduction)
        of_weight = zeros_like(weight).index_add(0, target, each)
    return of_input, None, of_weight


@row_record(
    "multi_margin_loss",
    ("input", "target", "weight"),
    infer=lambda input, target, weight, p, margin, reduction: Inferred(
        (None,) * 3, ((rows_of(input, reduction), input.dtype),)
    ),
    gradient=_multi_gradient,
    reference=_multi_reference,
    samples=_multi_samples,
)
def multi_margin_loss(
    input: Any, target: Any, weight: Any, *, p: int, margin: float, reduction: str
) -> Any:
    """The mean over classes i of ``max(0, margin - x[y] + x[i]) ** p`` without i = y, of rows."""
    column = target.unsqueeze(1)
    gaps = margin - call(_PICK, (input, column), (1,)) + input
    is_kept = gaps.gt(0) & _of_others(column, input)  # not NaN, as PyTorch has it
    if p == 2:
        gaps = gaps * gaps
    if weight is not None:
        gaps = gaps * weight.index_select(0, target).unsqueeze(1)
    loss = ops.where(is_kept, gaps, 0.0).sum(1) / input.shape[1]
    return reduced(loss, reduction)


# multilabel_margin_loss


def _compared(x: Any, target: Any) -> Any:
    """(N, C of labels, C): what each class is beyond a label's margin; below every bound where
    they are not compared."""
    n, classes = x.shape
    counts = np.cumprod(target >= 0, 1) > 0
    is_label = np.zeros((n, classes), bool)
    for row in range(n):
        is_label[row, target[row][counts[row]]] = True
    picked = np.take_along_axis(x, np.maximum(target, 0), 1)
    gaps = 1 - picked[:, :, None] + x[:, None, :]
    return np.where(counts[:, :, None] & ~is_label[:, None, :], gaps, -np.inf)


def _labels_reference(x: Any, target: Any, reduction: str) -> Any:
    loss = np.maximum(_compared(x, target), 0).sum((1, 2)) / x.shape[1]
    return _REDUCED[reduction](loss)  # type: ignore[operator]


def _labels_slope(g: Any, x: Any, target: Any, reduction: str) -> Any:
    kept = (_compared(x, target) > 0) / x.shape[1]
    slope = kept.sum(1)
    for row in range(len(x)):
        np.subtract.at(slope[row], np.maximum(target[row], 0), kept[row].sum(1))
    part = g[:, None] if reduction == "none" else g / (len(x) if reduction == "mean" else 1)
    return slope * part


def _labels_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    targets = (
        np.array([[3, 0, -1, 1], [1, 1, -1, -1], [-1, 2, 0, 0], [0, 1, 2, 3]]),
        np.array([[0]]), np.array([[4, 2, -1, 0, 0]]),
    )  # fmt: skip
    for target in targets:
        for reduction in REDUCTIONS:
            while True:
                x = draw(rng, target.shape, dtype, -2, 2)
                if not _inputs_are_near(_compared(x.astype(np.float64), target)):
                    break
            made.append(Sample((x, target), {"reduction": reduction}))
    return made


def _label_gaps(input: Any, target: Any) -> tuple[Any, Any, Any]:
    """(the gaps of (N, labels, classes), which of them count, the labels with those that do not
    count at 0)."""
    counts = target.ge(0).to(d.int64).cumprod(1).gt(0)
    places = target.clamp(min=0)
    is_label = zeros_like(target).scatter_add(1, places, counts.to(d.int64)).gt(0)
    gaps = 1 - input.gather(1, places).unsqueeze(2) + input.unsqueeze(1)
    return gaps, counts.unsqueeze(2) & ~is_label.unsqueeze(1), places


@row_record(
    "multilabel_margin_loss_backward",
    ("grad", "input", "target"),
    infer=lambda grad, input, target, reduction: Inferred(
        (None,) * 3, ((input.shape, input.dtype),)
    ),
    reference=_labels_slope,
    samples=lambda rng, dtype: _with_grads(_labels_samples(rng, dtype), rng, dtype),
)
def multilabel_margin_loss_backward(grad: Any, input: Any, target: Any, *, reduction: str) -> Any:
    """The gradient of ``multilabel_margin_loss`` for its input."""
    gaps, compared, places = _label_gaps(input, target)
    slope = (gaps.gt(0) & compared).to(input.dtype) / input.shape[1]
    slope = slope * shared_rows(grad, target[:, 0], reduction).unsqueeze(-1)
    return slope.sum(1).scatter_add(1, places, -slope.sum(2))


@row_record(
    "multilabel_margin_loss",
    ("input", "target"),
    infer=lambda input, target, reduction: Inferred(
        (None, None), ((rows_of(input, reduction), input.dtype),)
    ),
    gradient={
        "input": lambda g, input, target, reduction: ops.multilabel_margin_loss_backward(
            g, input, target, reduction=reduction
        )
    },
    reference=_labels_reference,
    samples=_labels_samples,
)
def multilabel_margin_loss(input: Any, target: Any, *, reduction: str) -> Any:
    """The sum over labels y, up to the first -1, and other classes i of
    ``max(0, 1 - x[y] + x[i])``, over C, of each row."""
    gaps, compared, _ = _label_gaps(input, target)
    loss = ops.where(compared & gaps.gt(0), gaps, 0.0).sum((1, 2)) / input.shape[1]
    return reduced(loss, reduction)
