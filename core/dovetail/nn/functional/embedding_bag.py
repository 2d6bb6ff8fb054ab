"""Sums, means and largest elements of bags of embeddings (PyTorch's ``embedding_bag``)."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail import ops
from dovetail.backend.sentences import IN_SELF
from dovetail.dispatch import call
from dovetail.ops.calling import told
from dovetail.ops.indexed.embedding import OF_BAGS, embedding_sum
from dovetail.ops.indexed.index_checks import INDICES, check_bounds

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["embedding_bag"]


def _flat(
    input: Tensor, offsets: Tensor | None, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Bags of any form as one list of indices and where each bag starts."""
    if input.dim() not in (1, 2):
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}"
        )
    if input.dim() == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor")
        return input, offsets, weights
    if offsets is not None:
        raise ValueError(
            "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of "
            f"fixed length sequences. However, found offsets of type {type(offsets)}"
        )
    if not input.shape[1]:
        raise RuntimeError("embedding_bag: bags of a 2-D input must not be empty")
    starts = dovetail.arange(
        0, input.numel(), input.size(1), dtype=input.dtype, device=input.device
    )
    flat_weights = None if weights is None else weights.reshape(-1)
    return input.reshape(-1), starts, flat_weights


def _check(weight: Tensor, input: Tensor, offsets: Tensor, weights: Tensor | None) -> None:
    for label, tensor in (("indices", input), ("offsets", offsets)):
        if tensor.dtype not in INDICES:
            raise RuntimeError(
                f"Expected tensor for argument #1 '{label}' to have one of the following scalar "
                f"types: Long, Int; but got {tensor.dtype} instead (while checking arguments for "
                "embedding_bag)"
            )
    if not weight.is_floating_point():
        raise RuntimeError(
            "Expected tensor for argument #1 'weight' to have one of the following scalar types: "
            f"Half, BFloat16, Float, Double; but got {weight.dtype} instead (while checking "
            "arguments for embedding_bag)"
        )
    if weights is not None and weights.dtype is not weight.dtype:
        raise RuntimeError(
            "Expected tensor for argument #1 'weight' to have the same type as tensor for argument "
            f"#1 'per_sample_weights'; but type {weight.dtype} does not equal {weights.dtype} "
            "(while checking arguments for embedding_bag)"
        )


def _check_offsets(starts: list[int], length: int) -> None:
    if not starts:
        return
    if starts[0] != 0:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
            f"position 0. However, got {starts[0]}"
        )
    if starts[-1] > length:
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length {length} but got offsets[-1] of "
            f"{starts[-1]}"
        )
    if any(before > after for before, after in itertools.pairwise(starts)):
        raise RuntimeError(f"embedding_bag: offsets must not fall, got {starts}")


def _largest(rows: Tensor, bags: Tensor, count: int, unseen: Any) -> Tensor:
    """The largest element of each bag; 0 of an empty one."""
    if unseen is not None:
        rows = rows.masked_fill(unseen.unsqueeze(1), -math.inf)
    lowest = rows.new_full((count, rows.shape[1]), -math.inf)
    index = bags.unsqueeze(1).expand(rows.shape)
    made = lowest.scatter_reduce(0, index, rows, "amax")
    return ops.where(made == -math.inf, 0.0, made)  # type: ignore[no-any-return]


@told
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Rows of a table by index, taken together bag by bag.

    Args:
        input: (B, N), B bags of N indices, or (N), all indices one after the other.
        weight: (V, D).
        offsets: (B), where each bag of a 1-D input starts.
        max_norm: rows used that are longer are scaled down first, in place.
        norm_type: the p of that norm.
        scale_grad_by_freq: divide the gradient of a row by how often it was named.
        mode: ``sum``, ``mean`` or ``max``; an empty bag gives zeros.
        sparse: must be False; there are no sparse gradients.
        per_sample_weights: of the input's shape, factors of the rows (``sum`` only).
        include_last_offset: ``offsets`` has one number more, where the last bag ends.
        padding_idx: indices of this row count for nothing.

    Returns:
        (B, D).

    Raises:
        ValueError: options that do not fit together.
        RuntimeError: dtypes that do not fit, or offsets outside the input.
        IndexError: an index out of range.
    """
    if per_sample_weights is not None and input.size() != per_sample_weights.size():
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then "
            f"it must have the same shape as the input ({input.shape})"
        )
    if weight.dim() != 2:
        raise ValueError(
            f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.dim()}"
        )
    if input.dim() == 2:
        include_last_offset = False
    factors = per_sample_weights
    width = input.shape[1] if input.dim() == 2 and offsets is None else 0
    is_plain = mode in ("sum", "mean") and padding_idx is None and factors is None and not sparse
    if not (width and is_plain):
        input, offsets, factors = _flat(input, offsets, factors)
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if factors is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            f"for mode='sum' (got mode='{mode}'). Please open a feature request on GitHub."
        )
    _check(weight, input, input if offsets is None else offsets, factors)
    table = weight.shape[0]
    if padding_idx is not None:
        if not -table <= padding_idx < table:
            raise RuntimeError(
                f"padding_idx must be within the number of embeddings, {-table} through "
                f"{table - 1}, but got {padding_idx}"
            )
        padding_idx %= table
    if offsets is None:  # bags of one length, one launch where a device has a kernel of it
        if max_norm is not None:
            ops.embedding_renorm_(weight.detach(), input, max_norm, norm_type)
        divisor = width if mode == "mean" else 1
        made: Tensor = embedding_sum(weight, input, divisor, scale_grad_by_freq)
        return made
    starts = offsets.tolist()
    _check_offsets(starts, input.numel())
    if max_norm is not None:
        ops.embedding_renorm_(weight.detach(), input, max_norm, norm_type)
    if include_last_offset and starts:
        end = starts.pop()
        offsets, input = offsets[:-1], input[:end]
        factors = None if factors is None else factors[:end]
    if is_plain and starts and not scale_grad_by_freq:
        end = offsets.new_full((1,), input.numel())
        bounds = ops.cat((offsets, end)).to(dovetail.int64)
        summed: Tensor = ops.bag_sum(weight, input, bounds, mode == "mean")
        return summed
    unseen = None if padding_idx is None else input == padding_idx
    padding = -1 if padding_idx is None else padding_idx
    if sparse:
        raise NotImplementedError("embedding_bag: sparse must be False, gradients are dense")
    check_bounds(input, table, IN_SELF)
    rows = call(OF_BAGS, (weight, input), (padding, scale_grad_by_freq))
    if not starts:
        return rows[:0]  # type: ignore[no-any-return]
    ends = [*starts[1:], input.numel()]
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    numbers = dovetail.arange(len(starts), device=weight.device)
    sizes = dovetail.tensor(lengths, dtype=dovetail.int64, device=weight.device)
    bags = dovetail.repeat_interleave(numbers, sizes, output_size=input.numel())
    if mode == "max":
        return _largest(rows, bags, len(starts), unseen)
    if unseen is not None:
        rows = rows.masked_fill(unseen.unsqueeze(1), 0.0)
    if factors is not None:
        rows = rows * factors.unsqueeze(1)
    total = rows.new_zeros((len(starts), weight.shape[1])).index_add(0, bags, rows)
    if mode == "sum":
        return total  # type: ignore[no-any-return]
    counts = sizes
    if unseen is not None:
        counts = dovetail.zeros_like(sizes).index_add(0, bags, (~unseen).to(dovetail.int64))
    return total / counts.clamp(min=1).to(rows.dtype).unsqueeze(1)  # type: ignore[no-any-return]
