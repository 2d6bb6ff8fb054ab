"""Convolution and its gradients on NumPy arrays, for 1 to 3 spatial axes.

oneDNN serves float32 and bfloat16 where it is present (``dovetail_cpu.onednn``). Everything else
is windows, copied side by side (im2col), times the weight as a matrix.

x: (N, C, *S); weight: (O, C / groups, *K); out and grad_out: (N, O, *S'). Arrays are of one dtype,
with any strides. stride, padding and dilation: one number per spatial axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from ml_dtypes import bfloat16
from numpy.lib.stride_tricks import as_strided

from dovetail_cpu.kernels.conversion import as_float32, convert
from dovetail_cpu.onednn import convolution as onednn
from dovetail_cpu.onednn.convolution import Geometry, Sizes
from dovetail_cpu.onednn.session import Session, current

__all__ = ["conv", "conv_bias", "conv_grad_input", "conv_grad_weight"]

_FLOAT32 = np.dtype(np.float32)
_BFLOAT16 = np.dtype(bfloat16)
_NARROW = (np.dtype(np.float16), _BFLOAT16)

_COLUMN_BYTES = 1 << 22
"""How much of the copied windows to hold at a time: about the size of a core's caches."""


def conv(
    x: np.ndarray,
    weight: np.ndarray,
    out: np.ndarray,
    *,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> None:
    """Cross-correlation of ``x`` with ``weight``, as PyTorch's conv1d, conv2d and conv3d."""
    geometry = (stride, padding, dilation, groups)
    _compute(_FORWARD, (x, weight, None), out, geometry)


def conv_bias(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    out: np.ndarray,
    *,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> None:
    """:func:`conv` plus ``bias``: (O,), in one pass."""
    geometry = (stride, padding, dilation, groups)
    _compute(_FORWARD, (x, weight, bias), out, geometry)


def conv_grad_input(
    grad_out: np.ndarray,
    weight: np.ndarray,
    out: np.ndarray,
    *,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> None:
    """The gradient of :func:`conv` for ``x``, into ``out``: (N, C, *S)."""
    geometry = (stride, padding, dilation, groups)
    _compute(_GRAD_INPUT, (grad_out, weight), out, geometry)


def conv_grad_weight(
    grad_out: np.ndarray,
    x: np.ndarray,
    out: np.ndarray,
    *,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    groups: int,
) -> None:
    """The gradient of :func:`conv` for ``weight``, into ``out``: (O, C / groups, *K)."""
    geometry = (stride, padding, dilation, groups)
    _compute(_GRAD_WEIGHT, (grad_out, x), out, geometry)


class _Task(NamedTuple):
    """The two forms of a kernel, called with ``(*inputs, out, geometry)``."""

    native: Callable[..., bool]
    numpy: Callable[..., None]


_Inputs = tuple[Any, ...]  # arrays; None where there is no bias
_Attributes = tuple[Sizes, Sizes, Sizes, int]


def _compute(task: _Task, inputs: _Inputs, out: np.ndarray, geometry: _Attributes) -> None:
    if 0 in out.shape:
        return
    bias = inputs[2] if len(inputs) > 2 else None
    if 0 in inputs[0].shape or 0 in inputs[1].shape:  # a sum of nothing
        out[...] = 0 if bias is None else _per_channel(bias, out.ndim)
        return
    session = _session_for(out.dtype)
    if session is not None:
        if task.native(session, *inputs, out, geometry):
            return
        # Strides may have been the reason: once more with dense arrays.
        dense = np.empty(out.shape, out.dtype)
        packed = [None if array is None else np.ascontiguousarray(array) for array in inputs]
        if task.native(session, *packed, dense, geometry):
            out[...] = dense
            return
    if out.dtype in _NARROW:
        wide = np.empty(out.shape, np.float32)
        widened = [None if array is None else as_float32(array) for array in inputs]
        _compute(task, tuple(widened), wide, geometry)
        convert(wide, out)
        return
    task.numpy(*inputs, out, Geometry(*geometry))


def _session_for(dtype: np.dtype) -> Session | None:
    if dtype == _FLOAT32:
        return current()
    if dtype == _BFLOAT16:
        session = current()
        if session is not None and session.library.has_isa("avx512_core_bf16"):
            return session
    return None


def _per_channel(bias: np.ndarray, ndim: int) -> np.ndarray:
    return bias.reshape(-1, *(1,) * (ndim - 2))


def _batches(count: int, bytes_each: int) -> Iterator[slice]:
    size = max(_COLUMN_BYTES // max(bytes_each, 1), 1)
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


class _Windows:
    """The windows of a convolution as columns of a matrix, a few samples at a time.

    Sizes: ``groups`` G, ``rows`` C / groups * prod(K), ``columns`` prod(S').
    """

    def __init__(
        self, x_shape: Sizes, kernel: Sizes, out_size: Sizes, geometry: Geometry, itemsize: int
    ) -> None:
        self.geometry = geometry
        self.kernel, self.out_size = kernel, out_size
        self.batch, channels, *self.size = x_shape
        self.groups = geometry.groups
        self.depth = channels // self.groups
        self.rows = self.depth * int(np.prod(kernel))
        self.columns = int(np.prod(out_size))
        self.bytes_each = self.groups * self.rows * self.columns * itemsize
        # Room for every window, the padding included; windows may end before the padding does.
        self.padded = tuple(
            max(p + n, (o - 1) * s + (k - 1) * d + 1)
            for n, k, o, s, p, d in zip(self.size, kernel, out_size, *geometry[:3], strict=True)
        )

    def batches(self) -> Iterator[slice]:
        """Samples whose columns fit the cache."""
        return _batches(self.batch, self.bytes_each)

    def inner(self, padded: np.ndarray) -> np.ndarray:
        """The part of a padded array that is not padding."""
        starts = zip(self.geometry.padding, self.size, strict=True)
        cut = (slice(None), slice(None), *(slice(p, p + n) for p, n in starts))
        return padded[cut]

    def gather(self, x: np.ndarray) -> np.ndarray:
        """x: (n, C, *S) -> (n, G, rows, columns)."""
        if x.shape[2:] != self.padded:
            padded = np.zeros((*x.shape[:2], *self.padded), x.dtype)
            self.inner(padded)[...] = x
            x = padded
        n, _, *steps = x.strides
        channel = x.strides[1]
        view = as_strided(
            x,
            (len(x), self.groups, self.depth, *self.kernel, *self.out_size),
            (
                n,
                channel * self.depth,
                channel,
                *(step * d for step, d in zip(steps, self.geometry.dilation, strict=True)),
                *(step * s for step, s in zip(steps, self.geometry.stride, strict=True)),
            ),
        )
        return view.reshape(len(x), self.groups, self.rows, self.columns)

    def scatter(self, columns: np.ndarray, out: np.ndarray) -> None:
        """The transpose of :meth:`gather`: add every window into ``out``: (n, C, *S)."""
        count = len(out)
        padded = np.zeros((count, out.shape[1], *self.padded), out.dtype)
        parts = columns.reshape(count, out.shape[1], *self.kernel, *self.out_size)
        for offset in np.ndindex(*self.kernel):
            reached = tuple(
                slice(k * d, k * d + (o - 1) * s + 1, s)
                for k, o, s, d in zip(
                    offset, self.out_size, self.geometry.stride, self.geometry.dilation, strict=True
                )
            )
            every = (slice(None), slice(None))  # samples and channels
            padded[every + reached] += parts[every + offset]
        out[...] = self.inner(padded)


def _forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    out: np.ndarray,
    geometry: Geometry,
) -> None:
    windows = _Windows(x.shape, weight.shape[2:], out.shape[2:], geometry, x.itemsize)
    matrix = weight.reshape(windows.groups, -1, windows.rows)
    for part in windows.batches():
        target = out[part]
        target[...] = np.matmul(matrix, windows.gather(x[part])).reshape(target.shape)
    if bias is not None:
        out += _per_channel(bias, out.ndim)


def _grad_input(
    grad_out: np.ndarray, weight: np.ndarray, out: np.ndarray, geometry: Geometry
) -> None:
    kernel = weight.shape[2:]
    reach = tuple((k - 1) * d for k, d in zip(kernel, geometry.dilation, strict=True))
    rest = tuple(r - p for r, p in zip(reach, geometry.padding, strict=True))
    if max(geometry.stride) == 1 and min(rest) >= 0 and len(weight) <= 2 * out.shape[1]:
        # With stride 1 it is a convolution too, and gathering is quicker than scattering.
        mirrored = _transpose(weight, geometry.groups)
        _forward(grad_out, mirrored, None, out, geometry._replace(padding=rest))
        return
    windows = _Windows(out.shape, kernel, grad_out.shape[2:], geometry, out.itemsize)
    matrix = weight.reshape(windows.groups, -1, windows.rows).swapaxes(-1, -2)
    for part in windows.batches():
        outputs = _as_columns(grad_out[part], windows)
        windows.scatter(np.matmul(matrix, outputs), out[part])


def _transpose(weight: np.ndarray, groups: int) -> np.ndarray:
    """Inputs and outputs exchanged, the kernel mirrored: (C, O / groups, *K)."""
    outputs, depth, *kernel = weight.shape
    mirrored = np.flip(weight, axis=tuple(range(2, weight.ndim)))
    grouped = mirrored.reshape(groups, outputs // groups, depth, *kernel).swapaxes(1, 2)
    exchanged: np.ndarray = grouped.reshape(groups * depth, outputs // groups, *kernel)
    return exchanged


def _grad_weight(grad_out: np.ndarray, x: np.ndarray, out: np.ndarray, geometry: Geometry) -> None:
    windows = _Windows(x.shape, out.shape[2:], grad_out.shape[2:], geometry, x.itemsize)
    total = np.zeros((windows.groups, out.shape[0] // windows.groups, windows.rows), out.dtype)
    for part in windows.batches():
        columns = windows.gather(x[part]).swapaxes(-1, -2)
        total += np.matmul(_as_columns(grad_out[part], windows), columns).sum(axis=0)
    out[...] = total.reshape(out.shape)


def _as_columns(grad_out: np.ndarray, windows: _Windows) -> np.ndarray:
    depth = grad_out.shape[1] // windows.groups
    return grad_out.reshape(len(grad_out), windows.groups, depth, windows.columns)


_FORWARD = _Task(onednn.forward, _forward)
_GRAD_INPUT = _Task(onednn.backward_input, _grad_input)
_GRAD_WEIGHT = _Task(onednn.backward_weight, _grad_weight)
