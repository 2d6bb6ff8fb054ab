"""Scaled dot-product attention: one launch forward, one backward, and no matrix of scores."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail.dtypes import bool_
from dovetail_kernels import dialect
from dovetail_kernels.arrays import Array, offsets, packed
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import Device, Launch, Size, device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import loop_numbers, places, program
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = ["Attention", "enter"]

BLOCK = 16
"""Rows of scores of a CPU's work item, which share the keys that it turned."""

WIDEST = 256
"""Elements of a query or value at most: a work item keeps some of them."""


class Attention:
    """What all kernels need of one call."""

    def __init__(self, facts: Any, query: Any, value: Any, mask: Any) -> None:
        self.device: Device = device_of(query.device)
        self.work = accumulated(query.dtype)
        *lead, rows, size = query.shape
        keys, width = value.shape[-2:]
        self.batches, self.rows, self.keys = prod(lead), rows, keys
        seen = Array(None, 0, tuple(lead), (0,) * len(lead), query.dtype)
        steps: tuple[int, ...] = (0, 0)
        if mask is not None:  # repeated where it has size 1, or no dim
            whole = packed(ghost(mask)).expand((*lead, rows, keys))
            seen = Array(None, 0, tuple(lead), whole.strides[:-2], mask.dtype)
            steps = whole.element_strides[-2:]
        loops = collapse(seen, keep_order=True)
        kind = dialect.VALUES[self.work.name]
        self.width = w = min(16, 64 // self.work.itemsize) if self.device.is_cpu else 1
        self.macros = {
            "IS_CPU": int(self.device.is_cpu),
            "T": kind,
            "VECTOR": f"{kind}{w}" if w > 1 else kind,
            "W": w,
            "STORE_LANES(v, p)": f"vstore{w}(v, 0, p)",
            "LOAD_LANES(p)": f"vload{w}(0, p)",
            "E": size,
            "V": width,
            "BLOCK": BLOCK,
            "IS_CAUSAL": int(facts.attributes["is_causal"]),
            "HAS_MASK": 0 if mask is None else 1 if mask.dtype is bool_ else 2,
            **places("MASK_PLACE", loops, "k", ("masked",)),
        }
        scale = np.dtype(self.work.numpy).type(facts.attributes["scale"])
        self.numbers = [
            np.uint64(self.batches), np.int32(rows), np.int32(keys), scale,
            *(np.uint64(s) for s in steps), *loop_numbers(loops),
        ]  # fmt: skip
        self.mask = query.dtype if mask is None else mask.dtype

    def launch(
        self, macro: str, name: str, buffers: int, size: Size, label: str,
        extra: Mapping[str, Any] = MappingProxyType({}), file: str = "attention", **kinds: Any,
    ) -> Launch:  # fmt: skip
        """The kernel ``name``, whose arrays have these dtypes by prefix."""
        kinds["MASK"] = self.mask
        made = {**self.macros, macro: 1, **extra}
        for prefix, dtype in kinds.items():
            width = 1 if dtype is bool_ else self.width
            made |= lanes(self.device, prefix, dtype, width, side=False)
        text = program(
            self.device, file, made, tuple(kinds.values()), before=("attention_scores",),
            text=vector_helpers(kinds.values(), self.width),
        )  # fmt: skip
        numbers = [*[np.uint64(0)] * buffers, *self.numbers]
        return self.device.launch(text, name, buffers, numbers, size, label)


def _forward(facts: Any) -> Any:
    query, key, value, mask = facts.inputs
    made = Attention(facts, query, value, mask)
    items = made.batches * made.rows
    if made.device.is_cpu:
        items = made.batches * -(-made.rows // BLOCK)
    kinds = {"OUT": query.dtype, "Q": query.dtype, "K": key.dtype, "X": value.dtype}
    size = made.device.workers(items, 1)
    launch = made.launch("IS_FORWARD", "forward", 6, size, facts.op.name, **kinds)

    def run(query: Any, key: Any, value: Any, mask: Any, out: Any, sums: Any) -> None:
        order = (out, sums, query, key, value, query if mask is None else mask)
        launch.with_numbers([a.buffer for a in order], offsets(*order))

    return run


def _backward(facts: Any) -> Any:
    grad, query, key, value, mask, seen, sums, of_sums = facts.inputs
    made = Attention(facts, query, value, mask)
    device, work = made.device, made.work
    slopes = grad if of_sums is None else of_sums
    deltas = made.launch(
        "IS_DELTA", "delta", 4, device.workers(made.batches * made.rows, 1), facts.op.name,
        extra={"HAS_SLOPES": int(of_sums is not None)}, G=grad.dtype, SEEN=seen.dtype,
        SLOPE=slopes.dtype,
    )  # fmt: skip
    lead = (made.batches * made.rows,)
    delta = packed(Array(None, 0, lead, (work.itemsize,), work))
    items = made.batches if device.is_cpu else made.batches * (made.rows + made.keys)
    kinds = {
        "OUT": query.dtype, "G": grad.dtype, "Q": query.dtype, "K": key.dtype, "X": value.dtype,
        "SUM": sums.dtype, "DELTA": work,
    }  # fmt: skip
    size = device.workers(items, 1)
    launch = made.launch("IS_BACKWARD", "backward", 10, size, facts.op.name, **kinds)

    def run(*arrays: Any) -> None:
        grad, query, key, value, mask, seen, sums, of_sums, *outs = arrays
        mask = query if mask is None else mask
        with device.scratch(delta.numel * work.itemsize) as (block,):
            held = Array(block, 0, delta.shape, delta.strides, work)
            order = (held, grad, seen, grad if of_sums is None else of_sums)
            deltas.with_numbers([a.buffer for a in order], offsets(*order))
            order = (*outs, grad, query, key, value, mask, sums, held)
            launch.with_numbers([a.buffer for a in order], offsets(*order))

    if work is query.dtype:
        return run
    # The gradient of the query is gathered over all keys, so halves are gathered wide.
    out = packed(ghost(facts.outputs[0]))
    wide = packed(out, made.work)
    narrow = Copy(device, wide, out)

    def run_wide(*arrays: Any) -> None:
        *inputs, of_query, of_key, of_value = arrays
        with device.scratch(wide.numel * made.work.itemsize) as (block,):
            held = Array(block, 0, wide.shape, wide.strides, made.work)
            run(*inputs, held, of_key, of_value)
            narrow(held, of_query)

    return run_wide


def _fits(facts: Any) -> bool:
    query, key, value = facts.query, facts.key, facts.value
    tensors = [x for x in (*facts.inputs, *facts.outputs) if x is not None]
    widest = max(query.shape[-1], value.shape[-1])
    return (
        all(x.numel for x in tensors)
        and len({x.dtype for x in (query, key, value)}) == 1
        and widest <= WIDEST
        and max(query.shape[-2], key.shape[-2]) * widest < 1 << 31
    )


def enter(table: KernelTable) -> None:
    """Enter them."""
    name = "scaled_dot_product_attention"
    for suffix, function in (("", _forward), ("_backward", _backward)):
        table.add(
            name + suffix, function, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )
