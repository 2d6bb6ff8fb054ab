"""Cross-entropy of a linear map (``torch.nn.functional.linear_cross_entropy``)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn.functional.linear import linear
from dovetail.nn.functional.loss import cross_entropy
from dovetail.utils.checkpoint import checkpoint
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.nn.functional.arguments import Reduction
    from dovetail.tensor import Tensor

__all__ = ["linear_cross_entropy"]


def _check(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if weight.dim() < 2:
        raise RuntimeError(
            f"expected linear_weight with dimensionality at least 2, got {weight.dim()}"
        )
    if input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{input.shape[-1]} and {weight.shape[-1]}, respectively"
        )
    if bias is not None and bias.shape != weight.shape[:-1]:
        raise RuntimeError(
            f"expected linear_bias shape {tuple(weight.shape[:-1])}, got {tuple(bias.shape)}"
        )
    if weight.dim() > 2 and input.dim() == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(weight.shape)} requires "
            f"batched input, (N, {input.shape[-1]}), got unbatched input with shape "
            f"{tuple(input.shape)}"
        )


def _chunked(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    linear_bias: Tensor | None,
    weight: Tensor | None,
    reduction: Reduction,
    ignore_index: int,
    options: Any,
) -> Tensor:
    """Chunks of rows, whose logits are computed again for the gradient."""
    rows = options.rows(input.shape[0], input.shape[1], linear_weight.shape[0])
    kind = input.dtype
    wide = options.acc_dtype
    if wide is None and kind in (dovetail.float16, dovetail.bfloat16):
        wide = dovetail.float32
    each: Reduction = "none" if reduction == "none" else "sum"

    def of_chunk(x: Tensor, labels: Tensor, matrix: Tensor, bias: Any, factors: Any) -> Tensor:
        if wide is not None:
            parts: Any = (x, matrix, bias, factors)
            x, matrix, bias, factors = (p if p is None else p.to(wide) for p in parts)
        logits = linear(x, matrix, bias)
        return cross_entropy(logits, labels, factors, ignore_index=ignore_index, reduction=each)

    shared = (linear_weight, linear_bias, weight)
    losses = [
        checkpoint(of_chunk, x, labels, *shared, use_reentrant=False)
        for x, labels in zip(input.split(rows), target.split(rows), strict=True)
    ]
    if reduction == "none":
        return dovetail.cat(losses).to(kind)
    total = dovetail.stack(losses).sum()
    if reduction == "mean":
        kept = target != ignore_index
        if weight is None:
            total = total / kept.sum()
        else:
            places = target.masked_fill(~kept, 0)
            total = total / (weight.index_select(0, places) * kept.to(weight.dtype)).sum()
    return total.to(kind)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """Cross-entropy of classes whose logits are a linear map of the input.

    Args:
        input: (N, in_features) or (in_features).
        linear_weight: (C, in_features), or (C, *K, in_features) for losses of more dims.
        target: classes (N, *K) or (), int64, or probabilities (N, C, *K) or (C).
        linear_bias: (C, *K).
        weight: (C) factors of the classes.
        reduction: mean, sum or none.
        ignore_index: targets of this value count for nothing; None: -100.
        label_smoothing: how much of the target is spread over all classes.
        options: a ``LinearCrossEntropyOptions``: go through the rows in chunks, so that never all
            logits are in memory.

    Raises:
        RuntimeError: shapes that do not fit together.
    """
    _check(input, linear_weight, linear_bias)
    classes, *further = linear_weight.shape[:-1]
    shape = (*input.shape[:-1], classes, *further)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    ignored = -100 if ignore_index is None else ignore_index
    if options is not None:
        fits = not further and label_smoothing == 0.0 and target.dtype is dovetail.int64
        if fits and reduction in ("mean", "sum", "none"):
            is_batch = input.dim() == 2
            made = _chunked(
                input if is_batch else input.unsqueeze(0),
                linear_weight,
                target if is_batch else target.unsqueeze(0),
                linear_bias,
                weight,
                reduction,
                ignored,
                options,
            )
            return made if is_batch or reduction != "none" else made.squeeze(0)
        warn(
            "linear_cross_entropy: ``options`` ignored; chunked path needs reduction in "
            "{'mean','sum','none'}, label_smoothing == 0, target.dtype == int64, out_features == "
            f"(). Got reduction={reduction!r}, label_smoothing={label_smoothing}, "
            f"target.dtype={target.dtype}, out_features={tuple(further)}.",
        )
    if further:
        rows = math.prod(further, start=classes)
        linear_weight = linear_weight.reshape(rows, -1)
        linear_bias = None if linear_bias is None else linear_bias.reshape(rows)
    logits = linear(input, linear_weight, linear_bias).reshape(shape)
    return cross_entropy(
        logits,
        target,
        weight,
        ignore_index=ignored,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
