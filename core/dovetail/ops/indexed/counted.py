"""Results whose length depends on the data, with room for all that there may be, and their length.

A kernel that counts while it writes needs no launch before it, and is waited for once: what was
found is the beginning of its block.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import observe, raw
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.factories import arange
from dovetail.kernels import select_kernel
from dovetail.ops.families import composite, draw
from dovetail.ops.schema import REGISTRY, CallFacts, Inferred, OpDef, Sample
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, storage_of

__all__ = ["NONZERO_COUNTED", "ROWS_COUNTED", "begun", "counted", "is_served", "number_of"]


_KEPT = 1 << 12
"""Facts that a spec keeps, before all are forgotten."""


MUCH = 1 << 16
"""Bytes of a block that is not kept for less than half of them."""


def is_served(op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...] = ()) -> bool:
    """Whether the device has a kernel of ``op`` for tensors like these, and nobody watches."""
    if observe.active:
        return False
    specs = [x if x is None else x._spec for x in inputs]
    memo, key = specs[0].memo, (op.name, *specs[1:], attributes)
    found = memo.get(key)
    if found is None:
        if len(memo) > _KEPT:  # numbers of rows differ from call to call
            memo.clear()
        found = memo[key] = _is_served(op, specs, attributes)
    return found  # type: ignore[no-any-return]


def _is_served(op: OpDef, specs: list[Any], values: tuple[Any, ...]) -> bool:
    given = [spec for spec in specs if spec is not None]
    first, state = given[0], state_of(given[0].device)
    if not state.table.entries(op.name) or any(s.batch is not None for s in given):
        return False
    if any(s.device is not first.device for s in given):
        return False
    assert op.infer is not None
    attributes = dict(zip(op.attributes, values, strict=True))
    inferred = op.infer(*specs, **attributes)
    outs = tuple(spec_of(tuple(o[0]), o[1], first.device) for o in inferred.outs)
    facts = CallFacts(op, tuple(specs), outs, attributes)
    return select_kernel(op, facts, inferred.compute, state) is not None


def number_of(x: Tensor) -> int:
    """The one number of an int64 tensor; waits for the device."""
    return int(raw.to_host(x).reshape(-1)[0])


def begun(block: Tensor, count: int) -> Tensor:
    """The first ``count`` rows of a new tensor that nobody else has; the rest is given up, and
    where that is much, they get memory of their own."""
    spec = block._spec
    short = spec_of((count, *spec.shape[1:]), spec.dtype, spec.device)
    if short is spec:
        return block
    made = raw.view(block, short, 0)
    if spec.nbytes > MUCH and 2 * short.nbytes < spec.nbytes:
        made = raw.cast(made, short)
    else:
        storage_of(block).nbytes = short.nbytes
    made._inference = block._inference
    return made


def counted(op: OpDef, inputs: tuple[Tensor, ...]) -> Tensor | None:
    """What there is of ``op``'s first output, which waits for the count; None where no kernel finds
    it so."""
    if not is_served(op, inputs):
        return None
    block, count = call(op, inputs, ())
    return begun(block, number_of(count))


def _half_zero(rng: np.random.Generator, shape: tuple[int, ...], dtype: d.dtype) -> np.ndarray:
    values = draw(rng, shape, dtype, -5, 5)
    values[rng.random(shape) < 0.5] = 0
    return values


def _nonzero_reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    out, found = np.zeros((x.size, x.ndim), np.int64), np.argwhere(x != 0)
    out[: len(found)] = found
    return out, np.array(len(found))


@composite(
    "nonzero_counted",
    kind="index",
    outputs=2,
    infer=lambda input: Inferred((None,), (((input.numel, input.ndim), d.int64), ((), d.int64))),
    differentiable=(),
    reference=_nonzero_reference,
    samples=lambda rng, dtype: [
        Sample((_half_zero(rng, shape, dtype),)) for shape in ((7,), (3, 4), (2, 3, 4), (0, 3))
    ],
    method=False,
    public=False,
    named="nonzero",
)
def nonzero_counted(input: Any) -> Any:
    """The places of elements that are not zero, (numel, ndim), zeros behind them; how many."""
    places = REGISTRY["nonzero_static"].function(input, size=input.numel(), fill_value=0)  # type: ignore[misc]
    return places, input.count_nonzero()


def _rows_infer(input: Spec, mask: Spec) -> Inferred:
    shape = (math.prod(mask.shape), *input.shape[mask.ndim :])
    return Inferred((None, d.bool_), ((shape, input.dtype), ((), d.int64)))


def _rows_reference(x: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = x[mask != 0]
    out = np.zeros((mask.size, *x.shape[mask.ndim :]), x.dtype)
    out[: len(found)] = found
    return out, np.array(len(found))


def _rows_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases = ((7,), 1), ((3, 4), 2), ((3, 4), 1), ((2, 3, 5), 2), ((4, 0), 1)
    return [
        Sample((draw(rng, shape, dtype, -5, 5), rng.random(shape[:many]) < 0.5))
        for shape, many in cases
    ]


@composite(
    "rows_counted",
    kind="index",
    inputs=("input", "mask"),
    outputs=2,
    infer=_rows_infer,
    gradient={
        "input": lambda g, mask, specs: call(
            REGISTRY["put_under_mask"], (g.new_zeros(tuple(specs[0].shape)), mask, g), (False,)
        )
    },
    reference=_rows_reference,
    samples=_rows_samples,
    method=False,
    public=False,
    named="index",
    node_name=lambda *_, **__: "index",
)
def rows_counted(input: Any, mask: Any) -> Any:
    """The rows of ``input`` under a mask, in order, and zeros behind them; how many.

    Args:
        input: ``(*mask.shape, *rest)``.
        mask: bool.

    Returns:
        ``(mask.numel, *rest)``, and a 0-d int64 tensor.
    """
    rest = tuple(input.shape[mask.ndim :])
    rows = input.reshape(-1, *rest) if input.numel() else input.new_zeros(mask.numel(), *rest)
    flat = mask.reshape(-1)
    places, count = nonzero_counted(flat)
    found = rows.index_select(0, places.reshape(-1)) if rows.numel() else rows
    is_there = count > arange(flat.numel(), device=flat.device)
    return found.masked_fill(~is_there.reshape(-1, *[1] * len(rest)), 0), count


NONZERO_COUNTED, ROWS_COUNTED = REGISTRY["nonzero_counted"], REGISTRY["rows_counted"]
