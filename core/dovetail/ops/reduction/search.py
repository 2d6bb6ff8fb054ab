"""Where values belong in sorted sequences: searchsorted and bucketize."""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import draw
from dovetail.ops.indexed.index_checks import need_tensor
from dovetail.ops.out import finish
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.promotion import promote_types
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["bucketize", "searchsorted"]


def _infer(sorted_sequence: Spec, input: Spec, right: bool) -> Inferred:
    kind = promote_types(sorted_sequence.dtype, input.dtype)
    return Inferred((kind, kind), ((tuple(input.shape), d.int64),))


def _halving(sorted_sequence: Any, input: Any, right: bool) -> Any:
    """All searches at once, each halving its own interval; NaN is the largest number."""
    from dovetail import ops

    n = sorted_sequence._spec.shape[-1]
    low = input.new_zeros(tuple(input._spec.shape), dtype=d.int64)
    if not n:
        return low
    one_for_all = sorted_sequence._spec.ndim == 1
    high, is_nan = low + n, input.ne(input)
    for _ in range(n.bit_length()):
        middle = (low + high) // 2
        place = middle.clamp(max=n - 1)
        if one_for_all:
            found = sorted_sequence.index_select(0, place.reshape(-1)).reshape(place._spec.shape)
        else:
            found = sorted_sequence.gather(-1, place)
        beyond = found.le(input) | is_nan if right else found.lt(input) | is_nan & found.eq(found)
        beyond = beyond & low.lt(high)
        low = ops.where(beyond, middle + 1, low)
        high = ops.where(beyond, high, middle)
    return low


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for shape, where in (
        ((5,), (4,)),
        ((5,), (2, 3)),
        ((2, 6), (2, 3)),
        ((0,), (3,)),
        ((4,), (0,)),
    ):
        sequence = np.sort(draw(rng, shape, dtype, -3, 3), -1)
        for right in (False, True):
            found.append(Sample((sequence, draw(rng, where, dtype, -4, 4)), {"right": right}))
    return found


def _reference(sequence: np.ndarray, values: np.ndarray, right: bool = False) -> np.ndarray:
    side: Any = "right" if right else "left"
    if sequence.ndim == 1:
        return np.asarray(np.searchsorted(sequence, values, side))
    rows = zip(
        sequence.reshape(-1, sequence.shape[-1]), values.reshape(-1, values.shape[-1]), strict=True
    )
    return np.stack([np.searchsorted(s, v, side) for s, v in rows]).reshape(values.shape)


SEARCHSORTED = OpDef(
    "searchsorted",
    kind="index",
    inputs=("sorted_sequence", "input"),
    attributes=("right",),
    infer=_infer,
    decompose=_halving,
    accepts=(*d.INTEGRAL, *d.FLOATING),
    differentiable=(),
    reference=_reference,
    samples=_samples,
    method=False,
)


@operator(SEARCHSORTED)
def searchsorted(
    sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False,
    side: str | None = None, sorter: Tensor | None = None, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The index before which each value would be put so that the sequence stays sorted.

    Args:
        sorted_sequence: ascending along its last dim; (N), or the leading dims of ``input`` and N.
        input: values, or one number.
        right: of equal values go behind the last (as ``side="right"``), not before the first.
            NaN is the largest value, as in a sort.
        sorter: the order of a sequence that is not sorted, from ``argsort``.

    Raises:
        RuntimeError: shapes that do not fit, or a contradiction of ``side`` and ``right``.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(
            f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}"
        )
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left "
            "while right was True"
        )
    if not sorted_sequence._spec.ndim:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 "
            "dimension"
        )
    if sorter is not None and sorter._spec.dtype is not d.int64:
        raise RuntimeError(
            "torch.searchsorted(): sorter must be a tensor of long dtype but got dtype "
            f"{type_name(sorter._spec.dtype)}"
        )
    if out is not None and out._spec.dtype is not (d.int32 if out_int32 else d.int64):
        raise RuntimeError(
            "torch.searchsorted(): output tensor's dtype is wrong, it can only be Int(int32) or "
            "Long(int64) depending on whether out_int32 flag is True, but we got output tensor's "
            f"dtype {type_name(out._spec.dtype)} and out_int32 flag is {out_int32}"
        )
    if sorter is not None:
        sorted_sequence = sorted_sequence.gather(-1, sorter)
    if not isinstance(input, Tensor):
        # A number takes part in promotion as a 0-d tensor does.
        number = sorted_sequence.new_full((), 0)
        input = (number + input).reshape(())
    one, two = sorted_sequence._spec, input._spec
    if one.ndim != 1 and one.shape[:-1] != two.shape[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
            "dimensions of boundaries tensor and input value tensor must match, but we got "
            f"boundaries tensor {list(one.shape)} and input value tensor {list(two.shape)}"
        )
    found = call(SEARCHSORTED, (sorted_sequence, input), (right or side == "right",))
    if out_int32:
        found = found.to(d.int32)
    return finish("searchsorted", found, out)


@publish(method=False)
def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The index of the bucket that each value falls into, between sorted ``boundaries``.

    Raises:
        RuntimeError: the boundaries are not a vector.
    """
    if need_tensor("bucketize", "boundaries", 2, boundaries)._spec.ndim != 1:
        raise RuntimeError(
            f"boundaries tensor must be 1 dimension, but got dim({boundaries._spec.ndim})"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)
