"""Max and average pooling on NumPy arrays, for 1 to 3 spatial axes, with PyTorch's meanings.

x: (N, C, *S); out, indices and grad_out: (N, C, *S'). Arrays may have any strides. The size S'
(``ceil_mode``) was settled by the caller.

A few planes at a time are worked on, so that what is written between the steps stays in the
cache, and each step runs over all of their windows at once: one position in the window after
another (maximum), or one axis after another (mean).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

__all__ = ["avg_pool", "avg_pool_grad", "max_pool", "max_pool_grad"]

Sizes = tuple[int, ...]
_Slices = tuple[slice, ...]

_CHUNK = 1 << 17
"""Elements, of the smaller array, that are worked on at a time."""

_WIDER = {np.dtype(np.float16): np.dtype(np.float32), np.dtype(bfloat16): np.dtype(np.float32)}
"""What values are compared and summed in, where not their own dtype."""


def max_pool(
    x: np.ndarray,
    out: np.ndarray,
    indices: np.ndarray,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
) -> None:
    """The largest value of each window, and its flat position in S (int64).

    Of equal values the first counts; a NaN is larger than everything before it.
    """
    if out.size == 0:
        return
    frame = _Frame(x.shape, out.shape, kernel_size, stride, padding, dilation)
    dtype = _WIDER.get(x.dtype, x.dtype)
    load = _Loader(x, frame, dtype, _lowest(dtype))
    positions = _Positions(frame, _lowest(dtype))
    with _planes_of(out) as values, _planes_of(indices) as places:
        for part in frame.parts():
            best, code = _largest(load(part), frame)
            values[part] = best
            positions(best, code, places[part])


def max_pool_grad(grad_out: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """Add each gradient where :func:`max_pool` found its maximum; out: (N, C, *S)."""
    planes, size = out.shape[0] * out.shape[1], math.prod(out.shape[2:])
    if grad_out.size == 0 or size == 0:
        out[...] = 0
        return
    dtype = _WIDER.get(out.dtype, out.dtype)
    grads = grad_out.reshape(planes, -1)
    places = indices.reshape(planes, -1)
    step = max(_CHUNK // grads.shape[1], 1)
    start = np.arange(step)[:, None] * size
    with _planes_of(out) as target:
        in_place = target.dtype == dtype and target.flags.c_contiguous
        target.fill(0)
        for first in range(0, planes, step):
            part = slice(first, min(first + step, planes))
            count = part.stop - first
            sums = target[part].reshape(-1) if in_place else np.zeros(count * size, dtype)
            where, values = places[part], grads[part].astype(dtype, copy=False)
            flat = where + start[:count]
            if where.max() >= size:  # a dilated window may hold nothing but padding
                inside = where < size
                flat, values = flat[inside], values[inside]
            np.add.at(sums, flat.reshape(-1), values.reshape(-1))
            if not in_place:
                target[part] = sums.reshape(count, *out.shape[2:])


def avg_pool(
    x: np.ndarray,
    out: np.ndarray,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> None:
    """The mean of each window. ``count_include_pad``: the padding counts as zeros."""
    if out.size == 0:
        return
    frame = _Frame(x.shape, out.shape, kernel_size, stride, padding, (1,) * len(kernel_size))
    dtype = _summed_in(x.dtype)
    load = _Loader(x, frame, dtype, dtype.type(0))
    divisor = _divisor(frame, dtype, count_include_pad, divisor_override)
    with _planes_of(out) as target:
        for part in frame.parts():
            sums = load(part)
            for axis, size in enumerate(kernel_size):
                steps = [sums[frame.steps(axis, k)] for k in range(size)]
                sums = steps[0] + steps[1] if size > 1 else steps[0]
                for step in steps[2:]:
                    sums += step
            target[part] = _divided(sums, divisor)


def avg_pool_grad(
    grad_out: np.ndarray,
    out: np.ndarray,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> None:
    """Spread each gradient evenly over its window; out: (N, C, *S)."""
    if out.size == 0:
        return
    if grad_out.size == 0:
        out[...] = 0
        return
    shape = grad_out.shape
    frame = _Frame(out.shape, shape, kernel_size, stride, padding, (1,) * len(kernel_size))
    dtype = _summed_in(out.dtype)
    divisor = _divisor(frame, dtype, count_include_pad, divisor_override)
    grads = grad_out.reshape(-1, *shape[2:])
    with _planes_of(out) as target:
        for part in frame.parts():
            spread = _divided(grads[part], divisor)
            for axis in reversed(range(frame.ndim)):
                narrow = spread
                size = list(narrow.shape)
                size[axis + 1] = frame.padded[axis]
                spread = np.zeros(size, dtype)
                for k in range(kernel_size[axis]):
                    spread[frame.steps(axis, k)] += narrow
            target[part] = spread[frame.inner]


class _Frame:
    """Where the windows of a pooling lie in the padded planes.

    Attributes:
        padded: the size of a plane with room for every window.
        inner: the part of a padded plane that is not padding.
    """

    def __init__(
        self,
        x_shape: Sizes,
        out_shape: Sizes,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Sizes,
        dilation: Sizes,
    ) -> None:
        self.size, self.out_size = x_shape[2:], out_shape[2:]
        self.kernel_size, self.stride = kernel_size, stride
        self.padding, self.dilation = padding, dilation
        self.ndim = len(kernel_size)
        self.planes = x_shape[0] * x_shape[1]
        self.padded = tuple(
            max(p + n, (o - 1) * s + (k - 1) * d + 1)
            for n, o, k, s, p, d in zip(
                self.size, self.out_size, kernel_size, stride, padding, dilation, strict=True
            )
        )
        self.inner = (
            slice(None),
            *(slice(p, p + n) for p, n in zip(padding, self.size, strict=True)),
        )

    def parts(self) -> Iterator[slice]:
        """A few planes at a time."""
        step = max(_CHUNK // math.prod(self.out_size), 1)
        for first in range(0, self.planes, step):
            yield slice(first, min(first + step, self.planes))

    def along(self, axis: int, offset: int) -> slice:
        """What the windows have at ``offset`` (in elements of the kernel) along ``axis``."""
        start = offset * self.dilation[axis]
        step = self.stride[axis]
        return slice(start, start + (self.out_size[axis] - 1) * step + 1, step)

    def steps(self, axis: int, offset: int) -> _Slices:
        """:meth:`along`, for an array of planes."""
        return (slice(None),) * (axis + 1) + (self.along(axis, offset),)

    def offsets(self) -> list[_Slices]:
        """What the windows have at each of their positions, in row-major order."""
        along = (
            [self.along(axis, k) for k in range(size)] for axis, size in enumerate(self.kernel_size)
        )
        return [(slice(None), *where) for where in itertools.product(*along)]


class _Loader:
    """Gives a few planes of ``x`` in ``dtype``, with the padding filled in."""

    def __init__(
        self, x: np.ndarray, frame: _Frame, dtype: np.dtype, fill: np.generic | float
    ) -> None:
        self._planes = x.reshape(-1, *frame.size)
        self._frame, self._dtype, self._fill = frame, dtype, fill
        self._buffer: np.ndarray | None = None

    def __call__(self, part: slice) -> np.ndarray:
        source = self._planes[part]
        if source.dtype == self._dtype and source.shape[1:] == self._frame.padded:
            return source
        count = len(source)
        if self._buffer is None:  # the first part is the longest
            self._buffer = np.full((count, *self._frame.padded), self._fill, self._dtype)
        buffer = self._buffer[:count]
        buffer[self._frame.inner] = source
        return buffer


@contextmanager
def _planes_of(array: np.ndarray) -> Iterator[np.ndarray]:
    """``array`` as (N * C, *S) to write to; where its strides forbid that, by way of a copy."""
    planes = array.reshape(-1, *array.shape[2:])
    yield planes
    if not np.may_share_memory(planes, array):
        array[...] = planes.reshape(array.shape)


def _lowest(dtype: np.dtype) -> Any:
    return dtype.type(-np.inf if dtype.kind == "f" else np.iinfo(dtype).min)


def _largest(source: np.ndarray, frame: _Frame) -> tuple[np.ndarray, np.ndarray]:
    """The largest value of each window, and which position of the window it has."""
    count = math.prod(frame.kernel_size)
    number = next(kind for kind in (np.uint8, np.uint16, np.uint32) if count <= np.iinfo(kind).max)
    offsets = frame.offsets()
    best = source[offsets[0]].copy()
    code = np.zeros(best.shape, number)
    value, larger, mark = np.empty_like(best), np.empty(best.shape, bool), np.empty_like(code)
    for index, where in enumerate(offsets[1:], 1):
        np.copyto(value, source[where])  # dense, so that the rest runs on whole vectors
        np.greater(value, best, out=larger)
        np.maximum(best, value, out=best)
        np.multiply(larger.view(np.uint8), number(index), out=mark)
        np.maximum(code, mark, out=code)
    if best.dtype.kind == "f" and np.isnan(best).any():
        for index, where in enumerate(offsets):
            np.copyto(code, number(index), where=np.isnan(source[where]))
    return best, code


class _Positions:
    """From a position in the window to the flat position in the plane."""

    def __init__(self, frame: _Frame, lowest: np.generic) -> None:
        flat = [math.prod(frame.size[axis + 1 :]) for axis in range(frame.ndim)]
        steps = [d * f for d, f in zip(frame.dilation, flat, strict=True)]
        self._inside = _outer_sum(
            np.arange(k) * step for k, step in zip(frame.kernel_size, steps, strict=True)
        ).reshape(-1)
        starts = [
            np.arange(o) * s - p
            for o, s, p in zip(frame.out_size, frame.stride, frame.padding, strict=True)
        ]
        self._start = _outer_sum(s * f for s, f in zip(starts, flat, strict=True))
        self._first: np.ndarray | None = None
        if any(frame.padding):
            self._lowest = lowest
            self._first = _outer_sum(
                np.where(s < 0, s % d, s) * f
                for s, d, f in zip(starts, frame.dilation, flat, strict=True)
            )

    def __call__(self, best: np.ndarray, code: np.ndarray, out: np.ndarray) -> None:
        inside = np.empty(code.shape, np.int64)
        self._inside.take(code, out=inside, mode="clip")  # seven times quicker than "raise"
        np.add(inside, self._start, out=out)
        if self._first is not None:
            # Nothing in the window is above the padding: its first element that is none.
            lost = (code == 0) & (best == self._lowest)
            if lost.any():
                np.copyto(out, self._first, where=lost)


def _outer_sum(terms: Iterable[np.ndarray]) -> np.ndarray:
    total: np.ndarray = reduce(np.add.outer, terms)
    return total


def _summed_in(dtype: np.dtype) -> np.dtype:
    return _WIDER.get(dtype, dtype if dtype.kind == "f" else np.dtype(np.int64))


def _divisor(frame: _Frame, dtype: np.dtype, count_include_pad: bool, override: int | None) -> Any:
    """What to divide the sum of each window by; one number where it is the same for all."""
    if override is not None:
        return dtype.type(override)
    counts = []
    for n, o, k, s, p in zip(
        frame.size, frame.out_size, frame.kernel_size, frame.stride, frame.padding, strict=True
    ):
        start = np.arange(o) * s - p
        end = np.minimum(start + k, n + p)
        if not count_include_pad:
            start, end = np.maximum(start, 0), np.minimum(end, n)
        counts.append(np.maximum(end - start, 1))
    divisor: np.ndarray = reduce(np.multiply.outer, counts).astype(dtype)
    return divisor if divisor.min() != divisor.max() else divisor.flat[0]


def _divided(sums: np.ndarray, divisor: Any) -> Any:
    if divisor.dtype.kind == "f":
        return np.divide(sums, divisor, dtype=divisor.dtype)
    return np.trunc(sums / divisor)  # integers round towards zero
