"""Attention by tiles in a work group's memory: for GPUs, and for as many rows as pay.

Three launches backward: what both others need of each row, the gradient of the query by its rows,
those of key and value by theirs. Scores are made twice for that, and nothing is added from several
groups: the result is the same at each call.
"""

from __future__ import annotations

from math import log
from typing import Any, NamedTuple

from dovetail.backend import KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import Array
from dovetail_kernels.device import Device, Launch, Size, known
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.attention import Attention, named
from dovetail_kernels.fused.team import FLOATS

__all__ = ["enter", "fits"]

GROUP = 64
"""Work items of a group: 8 by 8."""

LEAST = 16
"""Rows of scores from which on a tile is not mostly empty."""

MOST_GROUPS = 1 << 20


class Tiles(NamedTuple):
    """How large they are.

    Attributes:
        each: own lines of a work item, and as many of the others.
        size, width: quads of a line of E and of V elements.
        nbytes: memory of a group.
    """

    each: int
    size: int
    width: int
    nbytes: int


def _quads(n: int) -> int:
    """Quads of a line of n elements: a multiple of eight."""
    return -(-n // 32) * 8


def tiles(device: Device, query: Any, value: Any) -> Tiles | None:
    """The largest that a group's memory holds; None where there are none."""
    itemsize = accumulated(query.dtype).itemsize
    size, width = _quads(query.shape[-1]), _quads(value.shape[-1])
    for each in (8, 4):
        lines, weights = 8 * each, 16 * each * each
        forward = lines * (size + width) + max(lines * size, weights)
        backward = 2 * lines * max(size, width) + weights
        nbytes = 4 * itemsize * max(forward, backward)
        # A work item's sums of a line are registers, and there are 255.
        if nbytes <= device.local_memory and each * (size + width) * itemsize <= 1024:
            return Tiles(each, size, width, nbytes)
    return None


class _Tiled(Attention):
    """One call, with the programs for arrays that begin at a multiple of a quad, and for others."""

    def __init__(self, facts: Any) -> None:
        query, value = facts.query, facts.value
        super().__init__(facts, query, value, facts.mask)
        found = tiles(self.device, query, value)
        assert found is not None
        each, self.label = found.each, facts.op.name
        self.own = 8 * each
        kind = dialect.VALUES[self.work.name]
        sides = [x for x in (*facts.inputs[:4], *facts.outputs) if x is not None]
        is_whole = not query.shape[-1] % 4 and not value.shape[-1] % 4
        self.can_be_quads = is_whole and all(x.dtype is self.work for x in sides[:3])
        suffix = "f" if kind == "float" else ""
        self.macros |= {
            "QUAD": f"{kind}4",
            "EACH": each,
            "ACROSS": each,
            "E4": found.size,
            "V4": found.width,
            "MOST4": max(found.size, found.width),
            "ROOM": max(8 * each * found.size, 16 * each * each),
            "LOG2E": f"{1 / log(2)!r}{suffix}",
            "LN2": f"{log(2)!r}{suffix}",
            "MASK_SCALE": "LOG2E",
        }
        self._launches: dict[tuple[str, bool], Launch] = {}

    def groups(self, lines: int, batches: int) -> Size:
        """One for each tile of so many own lines of so many batches."""
        count = min(MOST_GROUPS, batches * -(-lines // self.own))
        return (count * GROUP,), (GROUP,)

    def queue(
        self, macro: str, name: str, size: Size, arrays: Any, seed: int, offset: int, *,
        extra: Any = None, **kinds: Any,
    ) -> None:  # fmt: skip
        """Queue a kernel, whose noise is drawn from ``seed`` and ``offset``."""
        itemsize = 4 * self.work.itemsize
        is_quad = self.can_be_quads and not any(a.offset % itemsize for a in arrays)
        launch = self._launches.get((name, is_quad))
        if launch is None:
            launch = self._launches[name, is_quad] = self.launch(
                macro, name, len(arrays), size, self.label,
                {"IS_QUAD": int(is_quad), **(extra or {})}, "attention_tiles", (), **kinds,
            )  # fmt: skip
        launch.with_numbers([a.buffer for a in arrays], self.pairs(arrays, seed, offset))


def _forward(facts: Any) -> Any:
    made = _Tiled(facts)
    query, key, value, _ = facts.inputs
    size = made.groups(made.rows, made.batches)
    kinds = {"OUT": query.dtype, "Q": query.dtype, "K": key.dtype, "X": value.dtype}

    def run(
        query: Any, key: Any, value: Any, mask: Any, out: Any, sums: Any, *, seed: int = 0,
        offset: int = 0,
    ) -> None:  # fmt: skip
        arrays = (out, sums, query, key, value, query if mask is None else mask)
        made.queue("IS_FORWARD", "forward", size, arrays, seed, offset, **kinds)

    return run


def _backward(facts: Any) -> Any:
    made = _Tiled(facts)
    device, work, lines = made.device, made.work, made.batches * made.rows
    grad, query, key, value, _, seen, _, of_sums = facts.inputs
    kinds = {
        "OUT": query.dtype, "G": grad.dtype, "Q": query.dtype, "K": key.dtype, "X": value.dtype,
    }  # fmt: skip
    slopes = grad if of_sums is None else of_sums
    of_rows = {"G": grad.dtype, "SEEN": seen.dtype, "SLOPE": slopes.dtype}
    has_slopes = {"HAS_SLOPES": int(of_sums is not None)}
    by_rows = made.groups(made.rows, made.batches)
    by_keys = made.groups(made.keys, made.batches // made.group)
    by_lines = ((-(-lines // made.own) * GROUP,), (GROUP,))

    def run(*arrays: Any, seed: int = 0, offset: int = 0) -> None:
        grad, query, key, value, mask, seen, sums, of_sums, of_query, of_key, of_value = arrays
        with device.scratch(lines * work.itemsize) as (block,):
            deltas = Array(block, 0, (lines,), (work.itemsize,), work)
            measured = (deltas, grad, seen, grad if of_sums is None else of_sums)
            made.queue(
                "IS_DELTA", "delta", by_lines, measured, seed, offset, extra=has_slopes, **of_rows
            )
            rest = (grad, query, key, value, query if mask is None else mask, sums, deltas)
            made.queue("IS_OF_QUERY", "of_query", by_rows, (of_query, *rest), seed, offset, **kinds)
            made.queue(
                "IS_OF_KEYS", "of_keys", by_keys, (of_key, of_value, *rest), seed, offset, **kinds
            )

    return run


def fits(call: Any) -> bool:
    """On a GPU whose groups have the memory, of one dtype, not empty, and with enough rows."""
    query, key, value = call.query, call.key, call.value
    tensors = [x for x in (*call.inputs, *call.outputs) if x is not None]
    device = known(call.outputs[0].device)
    return (
        device is not None
        and not device.is_cpu
        and device.group >= GROUP
        and all(x.numel for x in tensors)
        and len({x.dtype for x in (query, key, value)}) == 1
        and min(query.shape[-2], key.shape[-2]) >= LEAST
        and max(query.shape[-2], key.shape[-2]) * max(query.shape[-1], value.shape[-1]) < 1 << 31
        and tiles(device, query, value) is not None
    )


def _is_dense(call: Any) -> bool:
    """Where nobody packs what is not."""
    tensors = (x for x in (*call.inputs, *call.outputs) if x is not None)
    return all(x.is_contiguous for x in tensors) and fits(call)


def enter(table: KernelTable) -> None:
    """Enter them, before those that are there."""
    options: dict[str, Any] = {"dtypes": FLOATS, "layout": "contiguous", "specialize": True}
    for name, step, function in named(_forward, _backward):
        table.add(name, function, when=fits, **options)
        table.add(step, function, when=_is_dense, **options)
