"""Rows written where a mask is set, one after the other: ``x[mask] = rows`` and masked_scatter.

A device with a kernel of it is not waited for: it counts what is set itself, and reports a wrong
number of rows where values are next asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.backend.sentences import FEW_ROWS, OTHER_ROWS
from dovetail.dispatch import call
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.counted import ROWS_COUNTED, number_of
from dovetail.ops.schema import REGISTRY, Inferred, Sample
from dovetail.spec import Spec

__all__ = ["PUT_UNDER_MASK"]


def _infer(input: Spec, mask: Spec, values: Spec, is_exact: bool) -> Inferred:
    return Inferred((None, d.bool_, input.dtype), ((tuple(input.shape), input.dtype),))


def _reference(x: np.ndarray, mask: np.ndarray, values: np.ndarray, is_exact: bool) -> np.ndarray:
    out, where = np.array(x), np.asarray(mask) != 0
    count = np.count_nonzero(where)
    out[where] = values if len(values) == 1 and is_exact else values[:count]
    return out


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for shape, many in ((7,), 1), ((3, 4), 2), ((3, 4), 1), ((2, 3, 5), 2), ((4, 0), 1):
        x, mask = draw(rng, shape, dtype, -5, 5), rng.random(shape[:many]) < 0.5
        count, rest = int(mask.sum()), shape[many:]
        values = draw(rng, (mask.size, *rest), dtype, -5, 5)
        found.append(Sample((x, mask, values, False)))
        found.append(Sample((x, mask, values[:1], True), name="one row"))
        # Of whole numbers no layout repeats any, and so changes how many are set.
        found.append(Sample((x, mask.astype(np.int64), values[:count], True)))
    return found


def _wide(mask: Any, ndim: int) -> Any:
    return mask.to(d.bool_).reshape(*mask.shape, *[1] * (ndim - mask.ndim))


def _values_gradient(g: Any, mask: Any, specs: Any, is_exact: bool) -> Any:
    """The rows of ``g`` under the mask, cut to the number of rows there were, or zeros behind."""
    rows, wanted = call(ROWS_COUNTED, (g, mask), ())[0], tuple(specs[2].shape)
    count = rows.shape[0]
    if is_exact and wanted[0] == 1:
        return rows.sum(0, keepdim=True)
    if count >= wanted[0]:
        return rows.narrow(0, 0, wanted[0])
    missing = g.new_zeros(wanted[0] - count, *wanted[1:])
    return REGISTRY["cat"].function((rows, missing))  # type: ignore[misc]


@composite(
    "put_under_mask",
    kind="index",
    inputs=("input", "mask", "values"),
    infer=_infer,
    gradient={
        "input": lambda g, mask: g.masked_fill(_wide(mask, g.ndim), 0),
        "values": _values_gradient,
    },
    reference=_reference,
    samples=_samples,
    method=False,
    public=False,
    named="masked_scatter",
    node_name=lambda *_, **__: "masked_scatter",
)
def put_under_mask(input: Any, mask: Any, values: Any, is_exact: bool) -> Any:
    """``input`` with rows written, in order, where a mask is set.

    A kernel may be given ``input``'s own array as its output; then only these are written.

    Args:
        input: ``(*mask.shape, *rest)``.
        mask: bool.
        values: ``(many, *rest)``.
        is_exact: there are as many rows as are set, or one for all of them; otherwise as many or
            more.

    Raises:
        RuntimeError: another number of rows; a kernel reports it late.
    """
    rest, many = tuple(input.shape[mask.ndim :]), values.shape[0]
    count = number_of(mask.count_nonzero())
    if is_exact and many not in (1, count):
        given, wanted = list(values.shape), [count, *rest]
        raise RuntimeError(OTHER_ROWS.format(given=given, wanted=wanted))
    if not is_exact and many < count:
        raise RuntimeError(FEW_ROWS)
    if not input.numel() or not many:
        return input.clone()
    if is_exact and many == 1:
        rows = values.expand(mask.numel(), *rest)
    else:
        rows = values.index_select(0, (mask.reshape(-1).cumsum(0) - 1).clamp(0, many - 1))
    where = _wide(mask, input.ndim)
    return REGISTRY["where"].function(where, rows.reshape(tuple(input.shape)), input)  # type: ignore[misc]


PUT_UNDER_MASK = REGISTRY["put_under_mask"]
