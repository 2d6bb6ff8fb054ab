"""Tables of vectors: embedding with its gradient, and one_hot."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail
import dovetail.dtypes as d
from dovetail import ops
from dovetail.autograd.grad_mode import no_grad
from dovetail.backend.sentences import IN_SELF
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.by_specs import function_by_specs
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import draw
from dovetail.ops.indexed.index import SCATTER, SCATTER_ADD
from dovetail.ops.indexed.index_checks import INDICES, check_bounds, need_tensor
from dovetail.ops.indexed.rows import INDEX_SELECT, INDEX_SELECT_BACKWARD, index_select
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.ops.schema import Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["OF_BAGS", "embedding", "embedding_renorm_", "embedding_sum", "one_hot"]


def _embedding_infer(
    weight: Spec, indices: Spec, padding_idx: int, scale_grad_by_freq: bool
) -> Inferred:
    return Inferred((None, d.int64), (((*indices.shape, *weight.shape[1:]), weight.dtype),))


_ROWS = INDEX_SELECT.part_of("embedding")


def _embedding(weight: Any, indices: Any, **_: Any) -> Any:
    rows = call(_ROWS, (weight, indices.reshape(-1)), (0,))
    return rows.reshape(*indices._spec.shape, *weight._spec.shape[1:])


EMBEDDING = OpDef(
    "embedding",
    kind="index",
    inputs=("weight", "indices"),
    attributes=("padding_idx", "scale_grad_by_freq"),
    infer=_embedding_infer,
    decompose=_embedding,
    gradient={
        "weight": lambda g, indices, specs, padding_idx, scale_grad_by_freq: call(
            EMBEDDING_BACKWARD,
            (g, indices),
            (specs[0].shape[0], padding_idx, scale_grad_by_freq),
        )
    },
    reference=lambda weight, indices, *_: weight[indices],
    samples=lambda rng, dtype: [
        Sample((draw(rng, (5, 3), dtype, -5, 5), np.asarray(rng.integers(0, 5, shape)), *rest))
        for shape, rest in (((4,), ()), ((2, 3), (2,)), ((), ()))
    ],
    method=False,
)


@operator(EMBEDDING)
def embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:  # fmt: skip
    """Rows of a table by index: ``weight`` (V, D), ``indices`` (*) -> (*, D).

    Args:
        indices: int64 or int32.
        padding_idx: a row that gets no gradient; -1 for none.
        scale_grad_by_freq: divide the gradient of a row by how often it was named.
        sparse: must be False; gradients are dense.

    Raises:
        IndexError: an index out of range.
        RuntimeError: indices of another dtype, or a table that is not 2-D.
    """
    need_tensor("embedding", "indices", 2, indices)
    if sparse:
        raise NotImplementedError("embedding: sparse must be False, gradients are dense")
    if weight._spec.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if indices._spec.dtype not in INDICES:
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got torch.{type_name(indices._spec.dtype)}Tensor instead (while "
            "checking arguments for embedding)"
        )
    check_bounds(indices, weight._spec.shape[0], IN_SELF)
    return call(EMBEDDING, (weight, indices), (padding_idx, scale_grad_by_freq))


def _shares(indices: Any, like: Any, rows: int, padding_idx: int, scale: bool) -> Any:
    """What each index's row of the gradient counts for; None where all count for one."""
    if padding_idx < 0 and not scale:
        return None
    flat = indices.reshape(-1)
    share = flat.ne(padding_idx).to(like._spec.dtype)
    if scale:
        counts = call(
            SCATTER_ADD, (like.new_zeros((rows,)), flat, share.new_ones((flat.numel(),))), (0,)
        )
        share = share / call(INDEX_SELECT, (counts, flat), (0,))
    return share.unsqueeze(-1)


def _embedding_backward(
    g: Any, indices: Any, rows: int, padding_idx: int, scale_grad_by_freq: bool
) -> Any:
    width = g._spec.shape[-1]
    flat = g.reshape(indices._spec.numel, width)
    share = _shares(indices, g, rows, padding_idx, scale_grad_by_freq)
    if share is not None:
        flat = flat * share
    return call(INDEX_SELECT_BACKWARD, (flat, indices.reshape(-1)), (0, (rows, width)))


def _embedding_second(
    g: Any, indices: Any, rows: int, padding_idx: int, scale_grad_by_freq: bool
) -> tuple[Any, None]:
    found = call(EMBEDDING, (g, indices), (padding_idx, scale_grad_by_freq))
    share = _shares(indices, g, rows, padding_idx, scale_grad_by_freq)
    if share is not None:
        found = found * share.reshape(*indices._spec.shape, 1)
    return found, None


EMBEDDING_BACKWARD: OpDef = OpDef(
    "embedding_backward",
    kind="index",
    inputs=("g", "indices"),
    attributes=("rows", "padding_idx", "scale_grad_by_freq"),
    infer=lambda g, indices, rows, padding_idx, scale_grad_by_freq: Inferred(
        (None, d.int64), (((rows, g.shape[-1]), g.dtype),)
    ),
    decompose=_embedding_backward,
    gradient=_embedding_second,
    compute=d.float32,
    method=False,
    public=False,
)
"""The gradient of a table of ``rows`` rows, given that of what ``embedding`` read from it."""


def _of_bags(weight: Any, indices: Any, **_: Any) -> Any:
    rows = call(_BAGS_ROWS, (weight, indices.reshape(-1)), (0,))
    return rows.reshape(*indices._spec.shape, *weight._spec.shape[1:])


_BAGS_ROWS = INDEX_SELECT.part_of("embedding_bag")
OF_BAGS = EMBEDDING.part_of("embedding_bag", decompose=_of_bags)
"""``embedding`` as a step of ``embedding_bag``."""


def _embedding_sum(weight: Any, indices: Any, divisor: float, scale_grad_by_freq: bool) -> Any:
    rows = call(OF_BAGS, (weight, indices), (-1, scale_grad_by_freq)).sum(1)
    return rows if divisor == 1 else rows / divisor


def _embedding_sum_gradient(
    g: Any, indices: Any, specs: Any, divisor: float, scale_grad_by_freq: bool
) -> Any:
    share = g if divisor == 1 else g / divisor
    if not scale_grad_by_freq:
        flat, picks = indices.reshape(-1), indices._spec.shape[1]
        starts = dovetail.arange(0, flat._spec.numel + 1, picks, device=indices.device)
        return ops.bag_sum_backward(share, flat, starts, specs[0].shape[0])
    shares = share.unsqueeze(1).expand(*indices._spec.shape, share._spec.shape[1])
    rows = specs[0].shape[0]
    return call(EMBEDDING_BACKWARD, (shares, indices), (rows, -1, scale_grad_by_freq))


EMBEDDING_SUM = OpDef(
    "embedding_sum",
    kind="index",
    inputs=("weight", "indices"),
    attributes=("divisor", "scale_grad_by_freq"),
    infer=lambda weight, indices, **_: Inferred(
        (None, d.int64), (((indices.shape[0], weight.shape[1]), weight.dtype),)
    ),
    decompose=_embedding_sum,
    gradient={"weight": _embedding_sum_gradient},
    accepts=d.FLOATING,
    reference=lambda weight, indices, divisor=1.0, *_: weight[indices].sum(1) / divisor,
    samples=lambda rng, dtype: [
        Sample((draw(rng, (5, 3), dtype, -5, 5), np.asarray(rng.integers(0, 5, shape)), *rest))
        for shape, rest in (((4, 2), ()), ((2, 7), (7.0,)), ((1, 1), (2.0, True)), ((0, 3), ()))
    ],
    tolerance=Tolerance(length=lambda weight, indices, *_: indices.shape[1], against="inputs"),
    named="embedding_bag",
    method=False,
    public=False,
)
"""Rows of ``weight`` (V, D) by ``indices`` (B, N), summed over N and divided: (B, D)."""


@operator(EMBEDDING_SUM)
def embedding_sum(
    weight: Tensor, indices: Tensor, divisor: float = 1.0, scale_grad_by_freq: bool = False
) -> Tensor:
    """Rows of a table summed bag by bag: ``weight`` (V, D), ``indices`` (B, N) -> (B, D).

    Args:
        divisor: what sums are divided by.
        scale_grad_by_freq: divide the gradient of a row by how often it was named.

    Raises:
        IndexError: an index out of range.
    """
    check_bounds(indices, weight._spec.shape[0], IN_SELF)
    return call(EMBEDDING_SUM, (weight, indices), (float(divisor), scale_grad_by_freq))


@publish(method=False)
def embedding_renorm_(
    weight: Tensor, indices: Tensor, max_norm: float, norm_type: float = 2.0
) -> Tensor:
    """Scale down, in place, the rows that ``indices`` names and whose norm exceeds ``max_norm``."""
    from dovetail import ops

    with no_grad():
        used = indices.reshape(-1).to(d.int64)
        rows = index_select(weight, 0, used)
        norms = rows.norm(norm_type, 1, keepdim=True)
        scale = ops.where(norms > max_norm, max_norm / (norms + 1e-7), 1.0)
        weight.index_copy_(0, used, rows * scale.to(rows.dtype))
    return weight


# ------------------------------------------------------------------ one_hot


_OUTSIDE = "Class values must be smaller than num_classes and not negative."
_ONES = SCATTER.part_of("one_hot", _OUTSIDE)


def _one_hot(input: Any, num_classes: int) -> Any:
    shape = (*input._spec.shape, num_classes)
    nothing = input.new_zeros(shape, dtype=d.int64)
    return call(_ONES, (nothing, input.unsqueeze(-1), 1), (len(shape) - 1,))


ONE_HOT = OpDef(
    "one_hot",
    kind="index",
    attributes=("num_classes",),
    infer=lambda spec, num_classes: Inferred((None,), (((*spec.shape, num_classes), d.int64),)),
    decompose=_one_hot,
    accepts=(d.int64,),
    reference=lambda x, n=-1: np.eye(n if n >= 0 else x.max() + 1, dtype=np.int64)[x],
    samples=lambda rng, dtype: [
        Sample((np.asarray(rng.integers(0, 4, shape)), *rest))
        for shape, rest in (((5,), ()), ((2, 3), (4,)), ((), (6,)), ((0,), (3,)))
    ],
    method=False,
    public=False,
    sentence=_OUTSIDE,
)


def _one_hot_inputs(input: Tensor, num_classes: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if input._spec.dtype is not d.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if num_classes < 1:
        raise RuntimeError(_OUTSIDE)
    # Elsewhere nobody waits for what the kernel tells by itself.
    check_bounds(input, num_classes, _OUTSIDE)
    return (input,), (num_classes,)


@function_by_specs(ONE_HOT, _one_hot_inputs)
def _of_classes(input: Tensor, num_classes: int) -> Tensor:
    made: Tensor = call(ONE_HOT, *_one_hot_inputs(input, num_classes))
    return made


@operator(ONE_HOT)
def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """Classes as vectors that are 1 at the class: (*) -> (*, num_classes) of int64.

    Args:
        input: int64.
        num_classes: one more than the largest class if -1.

    Raises:
        RuntimeError: another dtype, or classes outside the range (OutOfRangeError). Where
            ``num_classes`` is given and arrays are not in host memory nobody waits to see: what
            writes the ones tells it.
    """
    if num_classes.__class__ is int and num_classes > 0:
        return _of_classes(input, num_classes)
    num_classes = whole_number("one_hot", "num_classes", num_classes)
    if input._spec.dtype is not d.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if not input._spec.numel:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return call(ONE_HOT, (input,), (num_classes,))
    if not num_classes or num_classes < -1:
        raise RuntimeError(_OUTSIDE)
    if num_classes > 0:
        return _of_classes(input, num_classes)
    if int(input.min()) < 0:
        raise RuntimeError("Class values must be non-negative.")
    num_classes = int(input.max()) + 1
    return call(ONE_HOT, (input,), (num_classes,))
