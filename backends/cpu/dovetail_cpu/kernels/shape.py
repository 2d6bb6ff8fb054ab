"""Tensors put together, repeated, turned round, cut to triangles: copies with NumPy's slices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable

__all__ = ["enter"]

Kernel = Callable[..., None]


def cat(facts: Any) -> Kernel:
    """One after the other along a dim; empty vectors are skipped."""
    dim = facts.attributes["dim"]
    keep = [i for i, spec in enumerate(facts.inputs) if spec.ndim > 1 or spec.numel]
    if not keep:
        return lambda *arrays: None
    if len(keep) == len(facts.inputs):
        return lambda *arrays: np.concatenate(arrays[:-1], dim, arrays[-1])
    return lambda *arrays: np.concatenate([arrays[i] for i in keep], dim, arrays[-1])


def stack(facts: Any) -> Kernel:
    """Side by side along a new dim."""
    at = (slice(None),) * facts.attributes["dim"] + (None,)
    return lambda *arrays: np.concatenate([x[at] for x in arrays[:-1]], len(at) - 1, arrays[-1])


def flip(input: np.ndarray, out: np.ndarray, *, dims: tuple[int, ...]) -> None:
    """The order reversed along some dims."""
    back, ahead = slice(None, None, -1), slice(None)
    out[...] = input[tuple(back if i in dims else ahead for i in range(input.ndim))]


def roll(
    input: np.ndarray, out: np.ndarray, *, shifts: tuple[int, ...], dims: tuple[int, ...]
) -> None:
    """Elements moved on, those at the end coming in at the start."""
    total: dict[int, int] = {}
    for shift, dim in zip(shifts, dims, strict=True):
        total[dim] = total.get(dim, 0) + shift
    pieces: list[tuple[tuple[slice, ...], tuple[slice, ...]]] = [((), ())]
    for dim, n in enumerate(input.shape):
        shift = total.get(dim, 0) % n if n else 0
        halves = [(slice(0, n - shift), slice(shift, n)), (slice(n - shift, n), slice(0, shift))]
        pieces = [
            ((*source, a), (*target, b))
            for source, target in pieces
            for a, b in (halves if shift else halves[:1])
        ]
    for source, target in pieces:
        out[target] = input[source]


_KEPT = 1 << 16
"""The largest mask, in elements, that a specialised kernel keeps between calls."""


def _kept_side(shape: tuple[int, ...], diagonal: int, lower: bool) -> np.ndarray:
    rows, columns = shape
    row = np.arange(diagonal, rows + diagonal)[:, None]
    return np.arange(columns) <= row if lower else np.arange(columns) >= row


def triangle(lower: bool) -> Callable[[Any], Kernel]:
    """A matrix with 0 on one side of a diagonal."""

    def specialized(facts: Any) -> Kernel:
        shape = tuple(facts.inputs[0].shape[-2:])
        diagonal = facts.attributes["diagonal"]
        small = shape[0] * shape[1] <= _KEPT
        mask = _kept_side(shape, diagonal, lower) if small else None

        def run(input: np.ndarray, out: np.ndarray) -> None:
            keep = _kept_side(shape, diagonal, lower) if mask is None else mask
            out.fill(0)
            np.copyto(out, input, where=keep)

        return run

    return specialized


def repeat(facts: Any) -> Kernel:
    """The whole tensor some times along each dim."""
    repeats = facts.attributes["repeats"]
    shape = (1,) * (len(repeats) - facts.inputs[0].ndim) + tuple(facts.inputs[0].shape)
    apart = tuple(m for n in shape for m in (1, n))
    wide = tuple(m for r, n in zip(repeats, shape, strict=True) for m in (r, n))
    return lambda input, out: np.copyto(out.reshape(wide), input.reshape(apart))


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.update({"cat": cat, "stack": stack, "repeat": repeat}, specialize=True)
    table.update({"tril": triangle(lower=True), "triu": triangle(lower=False)}, specialize=True)
    table.update({"flip": flip, "roll": roll})
