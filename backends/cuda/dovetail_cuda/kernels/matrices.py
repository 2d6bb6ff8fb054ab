"""How matrices lie in memory, as cuBLASLt takes them: in rows or in columns, and in batches."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from dovetail.backend import Loops, StridedView, collapse
from dovetail_kernels.arrays import Array, dense_strides, packed, part

__all__ = ["Form", "Operand", "batched", "folded", "form", "turned"]

ALIGNED = 16
"""Bytes that rows of halves should begin at a multiple of: tensor cores are fed in such pieces."""


class Form(NamedTuple):
    """How the last two dims lie: in rows ``lead`` elements apart, or ``turned``, in columns."""

    turned: bool
    lead: int


def form(array: StridedView) -> Form | None:
    """The form of an array's matrices; None where neither dim has neighbours."""
    (rows, columns), (down, along) = array.shape[-2:], array.element_strides[-2:]
    if columns == 1 or along == 1:
        lead = down if rows > 1 else max(columns, 1)
        if lead >= columns:
            return Form(False, lead)
    if rows == 1 or down == 1:
        lead = along if columns > 1 else max(rows, 1)
        if lead >= rows:
            return Form(True, lead)
    return None


def turned(array: StridedView) -> Array:
    """The transposed matrices, without moving them."""
    shape = (*array.shape[:-2], *array.shape[:-3:-1])
    return Array(None, 0, shape, (*array.strides[:-2], *array.strides[:-3:-1]), array.dtype)


class Operand:
    """One of the arrays: as it comes, or packed into memory of its own.

    Attributes:
        view: how it lies where the library takes it.
        source: as it comes.
    """

    def __init__(self, source: StridedView) -> None:
        self.source: Any = source
        self.view: Any = source
        self.is_packed = self.is_padded = False

    def pack(self, shape: tuple[int, ...] | None = None) -> None:
        """Have it packed; ``shape``: repeated to it."""
        if shape is not None:
            self.source = self.source.expand(shape)
        self.view = packed(self.source)
        self.is_packed = True

    def pad(self) -> None:
        """Have rows (or columns) begin at aligned places, where they do not."""
        lies, array = form(self.view), self.view
        assert lies is not None
        rows, columns = array.shape[-2:]
        lines, length = (columns, rows) if lies.turned else (rows, columns)
        size = array.itemsize
        if lines == 1 or not lies.lead * size % ALIGNED:
            return
        step = -(-length * size // ALIGNED) * ALIGNED
        last = (size, step) if lies.turned else (step, size)
        strides = (*dense_strides(array.shape[:-2], lines * step), *last)
        self.view = Array(None, 0, array.shape, strides, array.dtype)
        self.is_packed = self.is_padded = True


def folded(*views: StridedView) -> list[StridedView]:
    """Batches of rows that all meet the same right factor, as more rows of one matrix."""
    out, a, b, c = views
    lead = b.ndim - 2
    if not lead or any(s for n, s in zip(b.shape[:lead], b.strides[:lead], strict=True) if n != 1):
        return list(views)
    rows = collapse(*(part(v, range(lead + 1)) for v in (out, a, c)), keep_order=True)
    if len(rows.shape) > 1 or not all(v.strides[-1] == v.itemsize for v in (out, a, c)):
        return list(views)
    count = rows.numel
    made = []
    for view, steps in zip((out, a, c), rows.strides, strict=True):
        step = steps[0] * view.itemsize if steps else view.shape[-1] * view.itemsize
        shape = (count, view.shape[-1])
        made.append(Array(None, 0, shape, (step, view.strides[-1]), view.dtype))
    if any(form(view) is None for view in made):
        return list(views)
    matrix = Array(None, 0, b.shape[-2:], b.strides[-2:], b.dtype)
    return [made[0], made[1], matrix, made[2]]


def batched(loops: Loops) -> tuple[int, list[int], list[list[int]]]:
    """(products of one call, their steps, the offsets of each call), steps and offsets in elements
    and by operand."""
    operands = range(len(loops.strides))
    if not loops.shape:
        return 1, [0 for _ in operands], [[0 for _ in operands]]
    inner = max(range(len(loops.shape)), key=loops.shape.__getitem__)
    others = [i for i in range(len(loops.shape)) if i != inner]
    steps = [loops.strides[k][inner] for k in operands]
    places = [
        [sum(n * loops.strides[k][i] for n, i in zip(at, others, strict=True)) for k in operands]
        for at in itertools.product(*(range(loops.shape[i]) for i in others))
    ]
    return loops.shape[inner], steps, places
