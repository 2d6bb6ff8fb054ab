"""Sums, means and largest elements of bags of embeddings (PyTorch's ``embedding_bag``)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail import ops
from dovetail.backend.sentences import IN_SELF
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.ops.calling import told
from dovetail.ops.indexed.bags import bags_of, summed
from dovetail.ops.indexed.embedding import OF_BAGS, embedding_sum
from dovetail.ops.indexed.index_checks import INDICES, check_bounds, of_all_examples

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["embedding_bag"]


def _check_form(input: Tensor, offsets: Tensor | None) -> None:
    if input.dim() not in (1, 2):
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}"
        )
    if input.dim() == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor")
        return
    if offsets is not None:
        raise ValueError(
            "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of "
            f"fixed length sequences. However, found offsets of type {type(offsets)}"
        )
    if not input.shape[1]:
        raise RuntimeError("embedding_bag: bags of a 2-D input must not be empty")


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
    for before, after in itertools.pairwise(starts):
        if before > after:
            raise RuntimeError(f"embedding_bag: offsets must not fall, got {after}")


def _bounds(input: Tensor, offsets: Tensor | None, has_last: bool) -> Tensor:
    """(B + 1) of int64: where each bag begins, and where the last one ends."""
    if offsets is None:
        step = input.size(1)
        return dovetail.arange(0, input.numel() + 1, step, device=input.device)
    where = offsets._spec.device
    if where.type == "meta" or state_of(where).table.entries("bag_bounds"):
        made: Tensor = ops.bag_bounds(offsets.to(dovetail.int64), input.numel(), has_last)
        return made
    _check_offsets(of_all_examples(offsets).reshape(-1).tolist(), input.numel())
    end = offsets.new_full((0 if has_last else 1,), input.numel())
    return ops.cat((offsets, end)).to(dovetail.int64)  # type: ignore[no-any-return]


def _largest(weight: Tensor, input: Tensor, bounds: Tensor, padding: int) -> Tensor:
    """The largest element of each bag, by its place; 0 of an empty one."""
    places = ops.bag_largest(weight.detach(), input, bounds, padding)
    if not weight.shape[0]:
        return ops.bag_sum(weight, input, bounds)  # type: ignore[no-any-return]
    found = weight.gather(0, places.clamp(min=0))
    return found.masked_fill(places < 0, 0.0)  # type: ignore[no-any-return]


def _total(
    rows: Tensor, input: Tensor, bounds: Tensor, unseen: Any, factors: Tensor | None, is_mean: bool
) -> Tensor:
    """Sums or means of bags of ``rows`` (N, D), without those that are unseen, times factors."""
    bags, count = bags_of(input, bounds), bounds.shape[0] - 1
    if unseen is not None:
        rows = rows.masked_fill(unseen.unsqueeze(1), 0.0)
    if factors is not None:
        rows = rows * factors.unsqueeze(1)
    total = summed(rows, bags, count)
    if not is_mean:
        return total  # type: ignore[no-any-return]
    sizes = bounds[1:] - bounds[:-1]
    if unseen is not None:
        sizes = summed((~unseen).to(dovetail.int64), bags, count)
    return total / sizes.clamp(min=1).to(rows.dtype).unsqueeze(1)  # type: ignore[no-any-return]


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
        offsets: (B), where each bag of a 1-D input starts; 0 first, not falling.
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
        RuntimeError: dtypes that do not fit, or offsets outside the input. A device that has a
            kernel of ``bag_bounds`` tells that where values are next asked for; on others the call
            waits for the offsets.
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
    is_plain = mode in ("sum", "mean") and padding_idx is None and factors is None and not sparse
    _check_form(input, offsets)
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
    if offsets is not None and not offsets.shape[0]:
        return ops.embedding(weight, input)[:0]  # type: ignore[no-any-return]
    bounds = None
    if offsets is not None or not is_plain:
        bounds = _bounds(input, offsets, include_last_offset)
    if max_norm is not None:
        ops.embedding_renorm_(weight.detach(), input, max_norm, norm_type)
    if bounds is None:  # bags of one length, one launch where a device has a kernel of it
        divisor = input.shape[1] if mode == "mean" else 1
        made: Tensor = embedding_sum(weight, input, divisor, scale_grad_by_freq)
        return made
    input = input.reshape(-1)
    if mode == "max":
        return _largest(weight, input, bounds, -1 if padding_idx is None else padding_idx)
    if is_plain and not scale_grad_by_freq:
        summed: Tensor = ops.bag_sum(weight, input, bounds, mode == "mean")
        return summed
    unseen = None if padding_idx is None else input == padding_idx
    padding = -1 if padding_idx is None else padding_idx
    if sparse:
        raise NotImplementedError("embedding_bag: sparse must be False, gradients are dense")
    check_bounds(input, table, IN_SELF)
    rows = call(OF_BAGS, (weight, input), (padding, scale_grad_by_freq))
    factors = None if factors is None else factors.reshape(-1)
    return _total(rows, input, bounds, unseen, factors, mode == "mean")
