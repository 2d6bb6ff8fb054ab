"""Scaled dot-product attention of float32 without a mask of its own, a block of scores at a time.

A block is some rows of some heads, few enough to stay in a cache between the two products and the
softmax. Where query i sees keys up to i, what no row of a block sees is not computed, and only the
square on the diagonal is masked.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32
from dovetail_cpu.kernels.blocks import KEPT, scratch
from dovetail_cpu.kernels.matmul import matmul
from dovetail_cpu.onednn import pointwise
from dovetail_cpu.onednn.session import current

__all__ = ["enter"]

ROWS = 128
"""Rows of a block."""

SCORES = KEPT
"""Scores of a block, of as many heads as have no more; one head's rows are taken in any case."""

_WEIGHTS, _SLOPES, _SUMS = 8, 9, 10  # numbers of scratch arrays

Array = np.ndarray


def enter(table: KernelTable) -> None:
    """Enter attention and its gradient."""
    kinds: dict[str, Any] = {"dtypes": (float32,), "specialize": True, "when": _fits}
    table.add("scaled_dot_product_attention", _forward, **kinds)
    table.add("scaled_dot_product_attention_backward", _backward, **kinds)


def _operands(facts: Any) -> Any:
    """Query, key, value and mask, before which the gradient gets that of the output."""
    first = int(len(facts.inputs) > 4)
    return facts.inputs[first : first + 4]


def _fits(facts: Any) -> bool:
    query, key, value, mask = _operands(facts)
    return mask is None and all(s.numel and s.dtype is float32 for s in (query, key, value))


def _blocks(
    heads: int, rows: int, keys: int, *, is_causal: bool
) -> Iterator[tuple[slice, slice, int]]:
    """(heads, rows, how many keys these rows see)."""
    for first in range(0, rows, ROWS):
        last = min(first + ROWS, rows)
        seen = min(last, keys) if is_causal else keys
        step = max(1, SCORES // ((last - first) * seen))
        for head in range(0, heads, step):
            yield slice(head, min(head + step, heads)), slice(first, last), seen


def _masked(scores: Array, first: int) -> None:
    """Minus infinity where key j stands after query ``first`` + i."""
    rows, seen = scores.shape[-2:]
    if seen <= first + 1:
        return
    later = np.arange(first, seen) > np.arange(first, first + rows)[:, None]
    np.copyto(scores[..., first:], np.float32(-np.inf), where=later)


def _weights(query: Array, key: Array, first: int, *, is_causal: bool) -> tuple[Array, Array]:
    """(softmax of the scores (H, R, S), the logarithm of each row's sum of exponentials (H, R)).

    The first of them is scratch memory.
    """
    scores = _product(query, key.swapaxes(-1, -2), _WEIGHTS)
    if is_causal:
        _masked(scores, first)
    table = scores.reshape(-1, scores.shape[-1])
    largest = np.maximum.reduce(table, axis=1)
    session = current()
    is_finite = session is not None and np.isfinite(largest).all()  # else oneDNN hides NaN
    if is_finite and pointwise.softmax(session, "softmax", table, table):
        share = np.maximum.reduce(table, axis=1)  # of the largest: one over the sum
        return scores, (largest - np.log(share)).reshape(query.shape[:-1])
    least = np.where(largest == -np.inf, np.float32(0), largest)[:, None]
    np.subtract(table, least, out=table)
    np.exp(table, out=table)
    total = np.einsum("ij->i", table)[:, None]
    table /= np.where(total == 0, np.float32(1), total)
    return scores, (np.log(total) + least).reshape(query.shape[:-1])


def _sizes(facts: Any) -> tuple[int, int, int]:
    """(heads, rows, keys)."""
    query, key, *_ = _operands(facts)
    return prod(query.shape[:-2]), query.shape[-2], key.shape[-2]


def _forward(facts: Any) -> Any:
    heads, rows, keys = _sizes(facts)
    is_causal, scale = facts.attributes["is_causal"], np.float32(facts.attributes["scale"])
    blocks = list(_blocks(heads, rows, keys, is_causal=is_causal))

    def run(query: Array, key: Array, value: Array, mask: None, out: Array, sums: Array) -> None:
        q, k, v, y = (a.reshape(heads, *a.shape[-2:]) for a in (query, key, value, out))
        q, sums = q * scale, sums.reshape(heads, rows)
        for head, part, seen in blocks:
            weights, logarithms = _weights(
                q[head, part], k[head, :seen], part.start, is_causal=is_causal
            )
            sums[head, part] = logarithms
            matmul(weights, v[head, :seen], y[head, part])

    return run


def _backward(facts: Any) -> Any:
    heads, rows, keys = _sizes(facts)
    is_causal, scale = facts.attributes["is_causal"], np.float32(facts.attributes["scale"])
    blocks = list(_blocks(heads, rows, keys, is_causal=is_causal))

    def run(
        grad: Array, query: Array, key: Array, value: Array, mask: None, output: Array,
        sums: Array, of_sums: Array | None, *outs: Array,
    ) -> None:  # fmt: skip
        g, q, k, v, y = (a.reshape(heads, *a.shape[-2:]) for a in (grad, query, key, value, output))
        of_query, of_key, of_value = (a.reshape(heads, *a.shape[-2:]) for a in outs)
        q, sums, inner = q * scale, sums.reshape(heads, rows), np.einsum("hij,hij->hi", g, y)
        if of_sums is not None:
            inner -= of_sums.reshape(heads, rows)
        of_key.fill(0)
        of_value.fill(0)
        for head, part, seen in blocks:
            weights, logarithms = _weights(
                q[head, part], k[head, :seen], part.start, is_causal=is_causal
            )
            given = sums[head, part]
            if not np.array_equal(logarithms, given):  # they are not those of the forward
                weights *= np.exp(logarithms - given)[..., None]
            slope = _product(g[head, part], v[head, :seen].swapaxes(-1, -2), _SLOPES)
            slope -= inner[head, part, None]
            slope *= weights
            _sum_into(of_value[head, :seen], weights.swapaxes(-1, -2), g[head, part])
            matmul(slope, k[head, :seen], of_query[head, part])
            _sum_into(of_key[head, :seen], slope.swapaxes(-1, -2), q[head, part])
        of_query *= scale

    return run


def _product(a: Array, b: Array, number: int) -> Array:
    """a @ b, in a scratch array."""
    shape = (*a.shape[:-1], b.shape[-1])
    made = scratch(np.float32, prod(shape), number).reshape(shape)
    matmul(a, b, made)
    return made


def _sum_into(out: Array, a: Array, b: Array) -> None:
    """out += a @ b."""
    out += _product(a, b, _SUMS)
