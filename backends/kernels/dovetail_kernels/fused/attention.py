"""Scaled dot-product attention: one launch forward, one backward (two on a GPU), and no matrix of
scores.

Lines of queries, keys, values and gradients are read where they lie, as those of several heads in
one projection do; who has none (``layout="contiguous"``) gets them packed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import partial
from math import ceil, prod
from types import MappingProxyType
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, StridedView, collapse
from dovetail.dtypes import bool_
from dovetail_kernels import dialect
from dovetail_kernels.arrays import Array, joined, offsets, packed
from dovetail_kernels.device import Device, Launch, Size, device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.folds import accumulated, iota
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.random_lanes import CONVERTED, word_types
from dovetail_kernels.source import loop_numbers, places, program
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = [
    "Attention", "by_lines", "enter", "enter_both", "kinds_backward", "named", "runs_backward",
    "runs_forward",
]  # fmt: skip

BLOCK = 16
"""Rows of scores of a CPU's work item, which share the keys that it turned."""

WIDEST = 256
"""Elements of a query or value at most: a work item keeps some of them."""


class Attention:
    """What all kernels need of one call.

    Args:
        lines: the arrays that are read by lines, by name: ghosts (*, L, E). None: all are dense.
        as_they_are: so is the mask; else it is packed.

    Several heads (dim -3) of the query may share one of keys and values. Where ``facts`` say that a
    weight is kept by chance (``kept``), the seed and counter of the draw are given with each call.
    """

    def __init__(
        self, facts: Any, query: Any, value: Any, mask: Any, lines: dict[str, Array] | None = None,
        *, as_they_are: bool = False,
    ) -> None:  # fmt: skip
        self.device: Device = device_of(query.device)
        self.work = accumulated(query.dtype)
        *lead, rows, size = query.shape
        keys, width = value.shape[-2:]
        self.batches, self.rows, self.keys = prod(lead), rows, keys
        self.group = self.batches // prod(value.shape[:-2])
        if self.group > 1:
            lead[-1:] = [lead[-1] // self.group, self.group]

        def walk(strides: tuple[int, ...], dtype: Any, *, is_shared: bool = False) -> Array:
            if self.group > 1:
                step = strides[-1]
                parted = (step, 0) if is_shared else (step * self.group, step)
                strides = (*strides[:-1], *parted)
            return Array(None, 0, tuple(lead), strides, dtype)

        seen = walk((0,) * len(query.shape[:-2]), query.dtype)
        steps: tuple[int, ...] = (0, 0)
        if mask is not None:  # repeated where it has size 1, or no dim
            whole: StridedView = ghost(mask) if as_they_are else packed(ghost(mask))
            whole = whole.expand((*query.shape[:-1], keys))
            seen, steps = walk(whole.strides[:-2], mask.dtype), whole.element_strides[-2:]
        given = lines or {}
        walks = [
            walk(x.strides[:-2], x.dtype, is_shared=name in ("key", "value"))
            for name, x in given.items()
        ]
        loops = collapse(seen, *walks, keep_order=True)
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
            **places("MASK_PLACE", loops, "k", ("masked", *(f"from_{name}" for name in given))),
            **self._noise_macros(facts),
        }
        scale = np.dtype(self.work.numpy).type(facts.attributes["scale"])
        self.numbers = [
            np.uint64(self.batches), np.int32(rows), np.int32(keys), scale,
            *(np.uint64(s) for s in steps), *loop_numbers(loops), np.int32(self.group),
        ]  # fmt: skip
        self.stream_at = len(self.numbers)
        if self.has_noise:
            kept = facts.attributes["kept"]
            below = np.uint32(ceil(float(np.float32(kept)) * (1 << 24)))
            self.numbers += [joined((), 4, np.uint64), below, np.dtype(scale).type(1 / kept)]
        if lines:
            strides = [x.element_strides[-2] for x in given.values()]
            self.numbers.append(joined(strides, 8, np.uint64))
        self.mask = query.dtype if mask is None else mask.dtype

    def _noise_macros(self, facts: Any) -> dict[str, Any]:
        self.has_noise = facts.attributes.get("kept", 1.0) != 1.0
        w = self.width
        vectors = {
            **word_types(w),
            "ULONGS": f"ulong{w}",
            "INTS": f"int{w}",
            "LONG_LANES": iota("ulong", w),
            "STORE_WORDS(v, p)": f"vstore{w}(v, 0, p)",
            "LOAD_WORDS(p)": f"vload{w}(0, p)",
            "IS_WIDER(v)": "(v)" if self.work.itemsize == 4 else f"LANES_OF(long{w}, v)",
        }  # fmt: skip
        lanes_of = vectors if self.has_noise and w > 1 else {}
        return {"HAS_NOISE": int(self.has_noise), "LANES": w if lanes_of else 1, **lanes_of}

    def pairs(self, arrays: Sequence[Array], seed: int, offset: int) -> tuple[tuple[int, Any], ...]:
        """The numbers of a launch with these arrays that differ from call to call."""
        begins = offsets(*arrays)
        if not self.has_noise:  # the same object says that nothing has changed
            return begins
        stream = _stream(seed, offset & _WORD, offset >> 64 & _WORD, 0)
        return (*begins, (len(arrays) + self.stream_at, stream))

    def launch(
        self, macro: str, name: str, buffers: int, size: Size, label: str,
        extra: Mapping[str, Any] = MappingProxyType({}), file: str = "attention",
        before: tuple[str, ...] = ("attention_operands",), text: str = "", **kinds: Any,
    ) -> Launch:  # fmt: skip
        """The kernel ``name``, whose arrays have these dtypes by prefix; ``before`` and ``text``:
        what the file is written in terms of."""
        kinds["MASK"] = self.mask
        made = {**self.macros, macro: 1, **extra}
        for prefix, dtype in kinds.items():
            width = 1 if dtype is bool_ else self.width
            made |= lanes(self.device, prefix, dtype, width, side=False)
        noise = ("philox", "attention_noise") if self.has_noise else ("attention_noise",)
        helpers = vector_helpers(kinds.values(), self.width) + CONVERTED * self.has_noise
        source = program(
            self.device, file, made, tuple(kinds.values()),
            before=(*noise, "attention_scores", *before), text=helpers + text,
        )  # fmt: skip
        numbers = [*[np.uint64(0)] * buffers, *self.numbers]
        return self.device.launch(source, name, buffers, numbers, size, label)


READ_BY_LINES = ("query", "key", "value", "grad")


_WORD = (1 << 64) - 1
_stream = struct.Struct("<4Q").pack


def by_lines(facts: Any, *, as_they_are: bool) -> Attention:
    """A call whose queries, keys, values and gradients are read by lines."""
    named = dict(zip(facts.op.inputs, facts.inputs, strict=True))
    lines: dict[str, Any] = {n: ghost(named[n]) for n in READ_BY_LINES if n in named}
    if not as_they_are:
        lines = {name: packed(array) for name, array in lines.items()}
    query, value, mask = named["query"], named["value"], named["mask"]
    return Attention(facts, query, value, mask, lines, as_they_are=as_they_are)


def _forward(facts: Any, *, as_they_are: bool = False) -> Any:
    query, key, value, _ = facts.inputs
    made = by_lines(facts, as_they_are=as_they_are)
    items = made.batches * made.rows
    if made.device.is_cpu:
        items = made.batches * -(-made.rows // BLOCK)
    kinds = {"OUT": query.dtype, "Q": query.dtype, "K": key.dtype, "X": value.dtype}
    size = made.device.workers(items, 1)
    launch = made.launch("IS_FORWARD", "forward", 6, size, facts.op.name, **kinds)

    return runs_forward(made, launch)


def runs_forward(made: Attention, launch: Launch) -> Any:
    """What queues a forward kernel: ``run(query, key, value, mask, out, sums)``, with noise
    ``seed`` and ``offset`` by keyword."""

    def run(
        query: Any, key: Any, value: Any, mask: Any, out: Any, sums: Any, *, seed: int = 0,
        offset: int = 0,
    ) -> None:  # fmt: skip
        order = (out, sums, query, key, value, query if mask is None else mask)
        launch.with_numbers([a.buffer for a in order], made.pairs(order, seed, offset))

    return run


def _backward(facts: Any, *, as_they_are: bool = False) -> Any:
    grad, query, *_, seen, _, of_sums = facts.inputs
    made = by_lines(facts, as_they_are=as_they_are)
    device, work, lines = made.device, made.work, made.batches * made.rows
    slopes = grad if of_sums is None else of_sums
    has_slopes = {"HAS_SLOPES": int(of_sums is not None)}
    of_rows = {"G": grad.dtype, "SEEN": seen.dtype, "SLOPE": slopes.dtype}
    deltas = None
    if not device.is_cpu:
        size = device.workers(lines, 1)
        deltas = made.launch(
            "IS_DELTA", "delta", 4, size, facts.op.name, extra=has_slopes, **of_rows
        )
    shared = made.batches // made.group
    items = shared if device.is_cpu else lines + shared * made.keys
    kinds = kinds_backward(facts)
    is_wide = device.is_cpu and work is not query.dtype
    extra = {**has_slopes, "IS_WIDE": int(is_wide)}
    size = device.workers(items, 1)
    launch = made.launch("IS_BACKWARD", "backward", 12, size, facts.op.name, extra=extra, **kinds)
    return runs_backward(made, launch, lines * (1 + is_wide * query.shape[-1]), deltas)


def kinds_backward(facts: Any) -> dict[str, Any]:
    """The dtypes of a backward kernel's arrays, by prefix."""
    grad, query, key, value, _, seen, sums, of_sums = facts.inputs
    return {
        "G": grad.dtype, "SEEN": seen.dtype, "SLOPE": (grad if of_sums is None else of_sums).dtype,
        "OUT": query.dtype, "Q": query.dtype, "K": key.dtype, "X": value.dtype, "SUM": sums.dtype,
    }  # fmt: skip


def runs_backward(made: Attention, launch: Launch, held: int, deltas: Launch | None = None) -> Any:
    """What queues a backward kernel, as :func:`runs_forward` does.

    Args:
        held: numbers of scratch memory.
        deltas: a kernel that writes to it first.
    """
    work = made.work
    take, give = made.device.room(held * work.itemsize)

    def run(*arrays: Any, seed: int = 0, offset: int = 0) -> None:
        grad, query, key, value, mask, seen, sums, of_sums, *outs = arrays
        mask, slopes = query if mask is None else mask, grad if of_sums is None else of_sums
        block = take()
        try:
            room = Array(block, 0, (held,), (work.itemsize,), work)
            if deltas is not None:
                order = (room, grad, seen, slopes)
                deltas.with_numbers([a.buffer for a in order], made.pairs(order, seed, offset))
            order = (*outs, grad, query, key, value, mask, sums, seen, slopes, room)
            launch.with_numbers([a.buffer for a in order], made.pairs(order, seed, offset))
        finally:
            give(block)

    return run


def fits(facts: Any) -> bool:
    """Not empty, of one dtype, and of lines that a work item can keep."""
    query, key, value = facts.query, facts.key, facts.value
    tensors = [x for x in (*facts.inputs, *facts.outputs) if x is not None]
    widest = max(query.shape[-1], value.shape[-1])
    return (
        all(x.numel for x in tensors)
        and len({x.dtype for x in (query, key, value)}) == 1
        and widest <= WIDEST
        and max(query.shape[-2], key.shape[-2]) * widest < 1 << 31
    )


def has_lines(facts: Any) -> bool:
    """Lines of neighbours, whatever lies between them; all else is dense."""
    named = dict(zip(facts.op.inputs, facts.inputs, strict=True))
    lines = [spec for name, spec in named.items() if name in READ_BY_LINES]
    others = [s for n, s in named.items() if s is not None and n not in (*READ_BY_LINES, "mask")]
    return (
        fits(facts)
        and all(spec.strides[-1] == 1 or spec.shape[-1] == 1 for spec in lines)
        and all(spec.is_contiguous for spec in (*others, *facts.outputs))
    )


def enter(table: KernelTable) -> None:
    """Enter them."""
    enter_both(table, _forward, _backward)


def named(forward: Any, backward: Any) -> Sequence[tuple[str, str, Any]]:
    """(The operator that a kernel serves, the step of the core's that it is, the kernel)."""
    name = "scaled_dot_product_attention"
    return (
        (name, "attention_step", forward),
        (f"{name}_backward", "attention_backward_step", backward),
    )


def enter_both(table: KernelTable, forward: Any, backward: Any, more: Any = None) -> None:
    """Enter kernels that read by lines, for calls as ``more`` has them."""

    def when(fit: Any) -> Any:
        return fit if more is None else lambda facts: fit(facts) and more(facts)

    options: dict[str, Any] = {"dtypes": FLOATS, "specialize": True}
    for name, step, function in named(forward, backward):
        table.add(name, function, layout="contiguous", when=when(fits), **options)
        direct = partial(function, as_they_are=True)
        for label in (name, step):
            table.add(label, direct, layout="strided", when=when(has_lines), **options)
