"""Attention of products and one kernel for rows of scores, where neither cuDNN nor tiles do it.

Scores are made by cuBLASLt for a few heads at a time, so few that they stay in the device's cache
while they are turned into weights and multiplied again. Forward: two products; backward: five, with
the weights made again from the logsumexp of the rows.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, collapse
from dovetail.dtypes import bool_, float32
from dovetail.dtypes import dtype as DType
from dovetail_cuda import blas
from dovetail_cuda.kernels.matrices import turned
from dovetail_cuda.kernels.products import Product
from dovetail_kernels.arrays import Array, dense_strides
from dovetail_kernels.device import Launch, device_of, known
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused import attention_tiles
from dovetail_kernels.fused.team import FLOATS, Team
from dovetail_kernels.source import loop_numbers, places

__all__ = ["enter"]

CACHED = 32 << 20
"""Bytes of scores that are made at a time: they stay in the cache of a large GPU."""

LEAST = 1 << 10
"""Scores of a head from which on products pay."""


def _dense(shape: tuple[int, ...], dtype: DType) -> Array:
    return Array(None, 0, shape, dense_strides(shape, dtype.itemsize), dtype)


def _at(array: Any, shape: tuple[int, ...], first: int) -> Array:
    """Some heads of an array, from head ``first`` on."""
    dtype = array.dtype
    step = prod(shape[1:]) * dtype.itemsize
    strides = dense_strides(shape, dtype.itemsize)
    return Array(array.buffer, array.offset + first * step, shape, strides, dtype)


TILED = (float32,)
"""What ``attention_tiles`` computes where it can: products of these dtypes use no tensor cores, so
that nothing is won by scores in memory, and half of them need not be made where it is causal."""


class _Composed:
    """What both directions need.

    heads: of all leading dims; rows, keys: L and S; size, width: E and V.
    """

    def __init__(self, facts: Any) -> None:
        query, value, mask = facts.query, facts.value, facts.mask
        self.device: Any = device_of(facts.outputs[0].device)
        self.label, self.scale = facts.op.name, float(facts.attributes["scale"])
        self.kind, self.work = query.dtype, accumulated(query.dtype)
        *lead, self.rows, self.size = query.shape
        self.keys, self.width = value.shape[-2:]
        self.heads = prod(lead)
        self.is_wide = self.kind is not self.work
        of_one = self.rows * self.keys * self.work.itemsize
        self.most = max(1, min(self.heads, CACHED // of_one))
        self.mask = self.kind if mask is None else mask.dtype
        seen = Array(None, 0, tuple(lead), (0,) * len(lead), self.mask)
        steps: tuple[int, ...] = (0, 0)
        if mask is not None:
            whole = ghost(mask).expand((*lead, self.rows, self.keys))
            seen = Array(None, 0, tuple(lead), whole.strides[:-2], mask.dtype)
            steps = whole.element_strides[-2:]
        loops = collapse(seen, keep_order=True)
        self.macros = {
            "IS_CAUSAL": int(facts.attributes["is_causal"]),
            "HAS_MASK": 0 if mask is None else 1 if mask.dtype is bool_ else 2,
            **places("MASK_PLACE", loops, "k", ("masked",)),
        }
        self.more = [np.int32(self.rows), *(np.uint64(s) for s in steps), *loop_numbers(loops)]
        self._products: dict[Any, Product] = {}
        self._launches: dict[int, Launch] = {}

    def chunks(self) -> list[tuple[int, int]]:
        """(first head, heads) that are computed at a time."""
        starts = range(0, self.heads, self.most)
        return [(i, min(self.most, self.heads - i)) for i in starts]

    def multiply(
        self, a: Any, b: Any, out: Any, *, turns_a: bool = False, turns_b: bool = False,
        alpha: float = 1,
    ) -> None:  # fmt: skip
        """``out = alpha * op(a) @ op(b)``; ``turns``: ``op`` transposes."""
        key = (a.shape, b.shape, out.dtype, turns_a, turns_b, alpha)
        made = self._products.get(key)
        if made is None:
            x, y, target = (_dense(array.shape, array.dtype) for array in (a, b, out))
            x, y = (turned(x) if turns_a else x), (turned(y) if turns_b else y)
            made = self._products[key] = Product(self.device, x, y, target, alpha=alpha)
        made(a, b, out)

    def launch(self, heads: int, name: str, buffers: int, **kinds: DType) -> Launch:
        """The kernel ``name`` for the rows of so many heads."""
        made = self._launches.get(heads)
        if made is None:
            team = Team(self.device, self.work, heads * self.rows, self.keys)
            macros = {f"IS_{name.upper()}": 1, **self.macros}
            text = team.program("attention_rows", macros, **kinds, MASK=self.mask)
            scale = np.dtype(self.work.numpy).type(self.scale)
            more = [*self.more, np.int32(self.width), np.uint64(0), scale]
            made = self._launches[heads] = team.launch(text, name, buffers, more, self.label)
        return made

    def queue(self, launch: Launch, arrays: list[Any], first: int) -> None:
        """Queue the kernel for arrays, the first row's number being that of head ``first``."""
        given = [
            (i, np.uint64(a.offset // a.dtype.itemsize).tobytes()) for i, a in enumerate(arrays)
        ]
        place = len(arrays) + 3 + len(self.more) + 1
        given.append((place, np.uint64(first * self.rows).tobytes()))
        launch.with_numbers([a.buffer for a in arrays], given)


def _forward(facts: Any) -> Any:
    made = _Composed(facts)
    device, heads = made.device, made.most
    scores = _dense((heads, made.rows, made.keys), made.work)
    weights = _dense(scores.shape, made.kind)

    def run(query: Any, key: Any, value: Any, mask: Any, out: Any, sums: Any) -> None:
        sizes = [scores.numel * scores.itemsize]
        if made.is_wide:
            sizes.append(weights.numel * weights.itemsize)
        with device.scratch(*sizes) as blocks:
            for first, count in made.chunks():
                shape = (count, made.rows, made.keys)
                held = Array(blocks[0], 0, shape, dense_strides(shape, scores.itemsize), made.work)
                p = Array(blocks[-1], 0, shape, dense_strides(shape, weights.itemsize), made.kind)
                q = _at(query, (count, made.rows, made.size), first)
                k = _at(key, (count, made.keys, made.size), first)
                v = _at(value, (count, made.keys, made.width), first)
                made.multiply(q, k, held, turns_b=True, alpha=made.scale)
                launch = made.launch(count, "weights", 4, P=made.kind)
                made.queue(launch, [p, sums, held, query if mask is None else mask], first)
                made.multiply(p, v, _at(out, (count, made.rows, made.width), first))

    return run


def _backward(facts: Any) -> Any:
    made = _Composed(facts)
    device, heads = made.device, made.most
    scores = _dense((heads, made.rows, made.keys), made.work)
    weights = _dense(scores.shape, made.kind)
    has_slopes = facts.grad_logsumexp is not None
    made.macros["HAS_SLOPES"] = int(has_slopes)
    slope = facts.grad_logsumexp.dtype if has_slopes else made.kind

    def run(*arrays: Any) -> None:
        grad, query, key, value, mask, output, sums, of_sums, *outs = arrays
        mask = query if mask is None else mask
        of_sums = query if of_sums is None else of_sums
        sizes = [scores.numel * scores.itemsize] * 2
        if made.is_wide:
            sizes += [weights.numel * weights.itemsize] * 2
        with device.scratch(*sizes) as blocks:
            for first, count in made.chunks():
                shape = (count, made.rows, made.keys)
                wide = dense_strides(shape, scores.itemsize)
                s, t = (Array(block, 0, shape, wide, made.work) for block in blocks[:2])
                narrow = dense_strides(shape, weights.itemsize)
                p, d = (Array(block, 0, shape, narrow, made.kind) for block in blocks[-2:])
                of_rows, of_keys = (count, made.rows, made.size), (count, made.keys, made.size)
                q, k = _at(query, of_rows, first), _at(key, of_keys, first)
                v = _at(value, (count, made.keys, made.width), first)
                g = _at(grad, (count, made.rows, made.width), first)
                made.multiply(q, k, s, turns_b=True, alpha=made.scale)
                made.multiply(g, v, t, turns_b=True)
                launch = made.launch(
                    count, "slopes", 9, P=made.kind, G=grad.dtype, O=output.dtype, SLOPE=slope
                )
                made.queue(launch, [p, d, s, t, grad, output, sums, of_sums, mask], first)
                made.multiply(p, g, _at(outs[2], v.shape, first), turns_a=True)
                made.multiply(d, k, _at(outs[0], of_rows, first))
                made.multiply(d, q, _at(outs[1], of_keys, first), turns_a=True)

    return run


def _fits(call: Any) -> bool:
    """On this backend, of one dtype, not empty, large enough, and nothing for tiles."""
    query, key, value = call.query, call.key, call.value
    tensors = [x for x in (*call.inputs, *call.outputs) if x is not None]
    return (
        known(call.outputs[0].device) is not None
        and blas.library() is not None
        and all(x.numel for x in tensors)
        and len({x.dtype for x in (query, key, value)}) == 1
        and query.shape[-2] * key.shape[-2] >= LEAST
        and max(query.shape[-2], key.shape[-2]) < 1 << 31
        and not (query.dtype in TILED and attention_tiles.fits(call))
    )


def enter(table: KernelTable) -> None:
    """Enter them, before those that are there."""
    name = "scaled_dot_product_attention"
    for suffix, function in (("", _forward), ("_backward", _backward)):
        table.add(
            name + suffix, function, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )
