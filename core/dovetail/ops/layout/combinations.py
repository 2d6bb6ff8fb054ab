"""Elements taken together: cartesian_prod and combinations."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import raw
from dovetail.backend.state import state_of
from dovetail.ops.expose import FUNCTIONS, publish
from dovetail.ops.indexed.index_checks import need_tensor
from dovetail.ops.layout.joining import stack
from dovetail.tensor import Tensor

__all__ = ["cartesian_prod", "combinations"]


def _need_vector(name: str, x: Any) -> None:
    spec = need_tensor(name, "input", 1, x)._spec
    if spec.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(spec.shape)}")


@publish(method=False)
def cartesian_prod(*tensors: Any) -> Tensor:
    """Every choice of one element from each vector, as rows; the last vector's change first.

    Args:
        tensors: vectors of one dtype, one by one or as a sequence.

    Returns:
        (product of the lengths, number of vectors); a single vector as it is.

    Raises:
        RuntimeError: no tensors, tensors of other dims, or of several dtypes.
    """
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    for x in tensors:
        _need_vector("cartesian_prod", x)
    if len(tensors) == 1:
        return tensors[0]  # type: ignore[no-any-return]
    grids = FUNCTIONS["meshgrid"](*tensors, indexing="ij")
    return stack([x.reshape(-1) for x in grids], 1)


@publish(method=False)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Every choice of ``r`` elements of a vector, in its order, as rows.

    Args:
        with_replacement: an element may be taken more than once.

    Returns:
        (number of choices, r); for ``r`` of 0 nothing.

    Raises:
        RuntimeError: another number of dims, or a negative ``r``.
    """
    _need_vector("combinations", input)
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if not r:
        return input.new_empty((0,))  # type: ignore[no-any-return]
    spec = input._spec
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.fromiter(itertools.chain.from_iterable(choose(range(spec.numel), r)), np.int64)
    index = raw.from_host(rows, d.int64, state_of(spec.device))
    return input.index_select(0, index).reshape(-1, r)  # type: ignore[no-any-return]
