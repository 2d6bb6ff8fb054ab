"""Linear and convolution layers in integers: int8 products summed exactly in int32.

With x = (X - p) s and w = (W - q) t, a sum of products of x and w is s t times
``sum(X W) - p sum(W) - q sum(X) + K p q``: one integer product and sums that are known beforehand
(of the weight) or cheap. What comes out is float32, with the bias added.

Shapes: x (*, K) and weight (O, K); x (N, C, *S) and weight (O, C / groups, *K).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import dovetail
import dovetail.dtypes as d
from dovetail import ops
from dovetail.errors import Unsupported
from dovetail.ops.layers.conv import side_by_side
from dovetail.ops.layout.windows import places_of
from dovetail.quantized.make import need_quantized
from dovetail.quantized.tensor import QTensor
from dovetail.tensor import Tensor

__all__ = ["conv", "conv_transpose", "linear"]

Sizes = tuple[int, ...]


class _Prepared(NamedTuple):
    """A weight as the products take it.

    Attributes:
        matrix: (groups, O / groups, K) int8.
        sums: (O,) int32, of its rows.
        scale: a number, or (O,) float32.
        zero_point: a number, or (O,) int32; None where all are 0.
    """

    matrix: Tensor
    sums: Tensor
    scale: Any
    zero_point: Any


def _int8(x: QTensor) -> tuple[Tensor, Any, Any, int | None]:
    """(integers of int8, scale, zero point, axis); unsigned ones are moved down by 128."""
    scale, zero_point, axis = need_quantized("quantized layer", x)._quantizer.arguments(x.device)
    ints = x._ints
    if ints.dtype is d.int8:
        return ints, scale, zero_point, axis
    if ints.dtype is d.uint8:  # the top bit turned over is 128 less
        return ints.bitwise_xor(128).view(d.int8), scale, zero_point - 128, axis
    raise Unsupported(f"quantized layers take qint8 and quint8, got {x.dtype}")


def _prepared(weight: QTensor, groups: int = 1, transposed: bool = False) -> _Prepared:
    """The weight, kept with it: it is used in every call."""
    kept = weight.__dict__.setdefault("_prepared", {})
    key = (groups, transposed)
    if key not in kept:
        ints, scale, zero_point, axis = _int8(weight)
        outputs_at = None if transposed and groups > 1 else int(transposed)
        if axis not in (None, outputs_at):
            raise Unsupported(
                f"quantized layers take weights with a scale per output channel, got one per index "
                f"of dim {axis}"
            )
        if transposed:
            ints = _turned(ints, groups)
        outputs = ints.shape[0]
        matrix = ints.reshape(groups, outputs // groups, -1).contiguous()
        sums = matrix.sum(2, dtype=d.int32).reshape(-1)
        every = zero_point.tolist() if isinstance(zero_point, Tensor) else [zero_point]
        kept[key] = _Prepared(matrix, sums, scale, zero_point if any(every) else None)
    return kept[key]  # type: ignore[no-any-return]


def _turned(ints: Tensor, groups: int) -> Tensor:
    """(C, O / groups, *K) of a transposed convolution as (O, C / groups, *K) of a plain one."""
    split = ints.reshape(groups, ints.shape[0] // groups, *ints.shape[1:])
    swapped = split.transpose(1, 2).reshape(-1, split.shape[1], *ints.shape[2:])
    return swapped.flip(tuple(range(2, ints.dim())))


def _column(value: Any, shape: Sizes) -> Any:
    """Values per output channel in a shape that broadcasts."""
    return value.reshape(shape) if isinstance(value, Tensor) else value


def _numbers(
    sums: Tensor, of_input: Any, scale: Any, zero_point: Any, weight: _Prepared, bias: Any,
    depth: int, shape: Sizes,
) -> Tensor:  # fmt: skip
    """Integer sums as numbers.

    Args:
        sums: int32, of the products.
        of_input: a function that gives the sums of the input's integers.
        depth: terms of each sum.
        shape: of a value per output channel, to broadcast against ``sums``.
    """
    whole = sums - _column(weight.sums * zero_point, shape) if zero_point else sums
    other = _column(weight.zero_point, shape)
    if other is not None:
        whole = whole - (of_input() - depth * zero_point) * other
    made: Tensor = whole.to(d.float32) * _column(weight.scale * scale, shape)
    return made if bias is None else made + _column(bias, shape)


def linear(x: QTensor, weight: QTensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + bias: (*, K) and (O, K) -> (*, O) float32.

    Raises:
        RuntimeError: sizes that do not fit.
    """
    depth = weight.shape[1]
    if not x.dim() or x.shape[-1] != depth:
        raise RuntimeError(
            f"quantized linear: the input must have {depth} features in its last dim, got shape "
            f"{tuple(x.shape)}"
        )
    ints, scale, zero_point, _ = _int8(x)
    prepared = _prepared(weight)
    rows = ints.reshape(-1, depth)
    sums = ops.quantized_matmul(rows, prepared.matrix[0].t())
    of_input = lambda: rows.sum(1, keepdim=True, dtype=d.int32)
    made = _numbers(sums, of_input, scale, zero_point, prepared, bias, depth, (1, -1))
    return made.reshape(*x.shape[:-1], weight.shape[0])


def conv(
    x: QTensor, weight: QTensor, bias: Tensor | None, stride: Sizes, padding: Sizes,
    dilation: Sizes, groups: int,
) -> Tensor:  # fmt: skip
    """A convolution of any number of spatial dims; padding stands for 0."""
    _check(x, weight.shape[1] * groups, weight.dim() - 2)
    ints, scale, zero_point, _ = _int8(x)
    return _windows(
        ints, scale, zero_point, _prepared(weight, groups), bias, tuple(weight.shape[2:]),
        stride, padding, dilation, groups,
    )  # fmt: skip


def _check(x: QTensor, channels: int, dims: int) -> None:
    if x.dim() != dims + 2:
        raise ValueError(
            f"Input shape must be `(N, C, {'LHD'[:1] if dims == 1 else '*'})` of {dims + 2} dims, "
            f"got {tuple(x.shape)}"
        )
    if x.shape[1] != channels:
        raise RuntimeError(
            f"quantized conv: the input must have {channels} channels, got shape {tuple(x.shape)}"
        )


def _windows(
    ints: Tensor, scale: Any, zero_point: int, weight: _Prepared, bias: Any, kernel: Sizes,
    stride: Sizes, padding: Sizes, dilation: Sizes, groups: int,
) -> Tensor:  # fmt: skip
    places = places_of(tuple(ints.shape[2:]), kernel, stride, padding, dilation)
    seen = side_by_side(ints, kernel, places, stride, padding, dilation, groups, zero_point)
    sums = ops.quantized_matmul(weight.matrix, seen)
    shape = (1, groups, weight.matrix.shape[1], 1)
    depth = weight.matrix.shape[2]
    of_input = lambda: seen.sum(2, keepdim=True, dtype=d.int32)
    made = _numbers(sums, of_input, scale, zero_point, weight, bias, depth, shape)
    return made.reshape(ints.shape[0], math.prod(shape), *places)


def conv_transpose(
    x: QTensor, weight: QTensor, bias: Tensor | None, stride: Sizes, padding: Sizes,
    output_padding: Sizes, dilation: Sizes, groups: int,
) -> Tensor:  # fmt: skip
    """A transposed convolution: the plain one of the input with its elements moved apart."""
    kernel = tuple(weight.shape[2:])
    _check(x, weight.shape[0], len(kernel))
    ints, scale, zero_point, _ = _int8(x)
    # What the window reaches beyond the input, on both sides; less than nothing is cut off.
    reach = [q * (k - 1) - p for q, k, p in zip(dilation, kernel, padding, strict=True)]
    before = [max(n, 0) for n in reach]
    apart = [(n - 1) * s + 1 for n, s in zip(ints.shape[2:], stride, strict=True)]
    after = [max(n + o, 0) for n, o in zip(reach, output_padding, strict=True)]
    sizes = [b + n + a for b, n, a in zip(before, apart, after, strict=True)]
    wide = dovetail.full((*ints.shape[:2], *sizes), zero_point, dtype=d.int8, device=ints.device)
    whole = (slice(None), slice(None))  # batch and channels
    inner = tuple(slice(b, b + n, s) for b, n, s in zip(before, apart, stride, strict=True))
    wide[whole + inner] = ints
    cut = tuple(
        slice(max(-n, 0), size - max(-(n + o), 0))
        for n, o, size in zip(reach, output_padding, sizes, strict=True)
    )
    wide = wide[whole + cut].contiguous()
    ones, none = (1,) * len(kernel), (0,) * len(kernel)
    prepared = _prepared(weight, groups, transposed=True)
    return _windows(wide, scale, zero_point, prepared, bias, kernel, ones, none, dilation, groups)
