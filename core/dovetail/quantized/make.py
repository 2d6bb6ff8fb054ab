"""Floats to quantized tensors and back, and what a quantized tensor says of itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.factories import full, zeros
from dovetail.quantized.schemes import per_channel_affine, per_channel_affine_float_qparams, qscheme
from dovetail.quantized.tensor import INTEGERS, PerChannel, PerTensor, QTensor, wrap
from dovetail.tensor import Tensor, check_dim

__all__ = [
    "_empty_affine_quantized",
    "_empty_per_channel_affine_quantized",
    "_make_per_channel_quantized_tensor",
    "_make_per_tensor_quantized_tensor",
    "choose_qparams",
    "dequantize",
    "int_repr",
    "limits",
    "need_quantized",
    "q_per_channel_axis",
    "q_per_channel_scales",
    "q_per_channel_zero_points",
    "q_scale",
    "q_zero_point",
    "qscheme_of",
    "quantize_per_channel",
    "quantize_per_tensor",
    "quantize_per_tensor_dynamic",
]

_LIMITS = {dtype: (d.iinfo(ints).min, d.iinfo(ints).max) for dtype, ints in INTEGERS.items()}

_QINT32 = 2**31 - 128
"""The largest whole number below 2^31 that float32 has."""


def limits(dtype: d.dtype) -> tuple[int, int]:
    """The least and the greatest integer of a quantized dtype.

    Raises:
        RuntimeError: it is not one.
        TypeError: it is no dtype at all.
    """
    if dtype not in _LIMITS:
        if not isinstance(dtype, d.dtype):
            raise TypeError(f"dtype must be torch.dtype, not {type(dtype).__name__}")
        name = type_name(dtype)
        raise RuntimeError(
            f"ScalarType {name} is not supported in new_qtensor: dtype must be torch.qint8, "
            "torch.quint8 or torch.qint32"
        )
    return _LIMITS[dtype]


def _check_float(name: str, input: Any) -> None:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")
    if isinstance(input, QTensor):
        raise Unsupported(f"{name}: the input is quantized already; dequantize() it first")
    if input.dtype is not d.float32:
        raise RuntimeError(
            f"{name}: Quantize only works on Float Tensor, got {type_name(input.dtype)}"
        )


def _check_zero_point(name: str, zero_point: int, dtype: d.dtype) -> None:
    low, high = limits(dtype)
    for is_wrong, side in ((zero_point < low, "below lower"), (zero_point > high, "above upper")):
        if is_wrong:
            raise RuntimeError(
                f"{name}: zero_point {zero_point} is {side} bound of {dtype}, {low} to {high}"
            )


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _whole(name: str, zero_point: Any) -> int:
    """A zero point, which is never rounded on the way."""
    if isinstance(zero_point, float) and not zero_point.is_integer():
        raise TypeError(f"{name}(): zero_point must be int, got {zero_point}")
    return int(zero_point)


def _rounded(input: Tensor, quantizer: Any, dtype: d.dtype) -> QTensor:
    low, high = limits(dtype)
    scale, zero_point, axis = quantizer.arguments(input.device)
    ints = ops.quantize_affine(
        input.detach(), scale, zero_point, axis=axis, out_dtype=INTEGERS[dtype],
        quant_min=max(low, -_QINT32), quant_max=min(high, _QINT32),
    )  # fmt: skip
    return wrap(ints, quantizer)


def quantize_per_tensor(input: Any, scale: Any, zero_point: Any, dtype: d.dtype) -> Any:
    """Floats as integers on one scale: ``clamp(round(input / scale + zero_point))``.

    Args:
        input: float32 of any shape; or a list of tensors, with a tensor of scales and one of zero
            points, for a tuple of results.
        scale: of one step, a number or a tensor of one element.
        zero_point: the integer that stands for 0, alike.
        dtype: ``qint8``, ``quint8`` or ``qint32``.

    Raises:
        RuntimeError: not float32, no quantized dtype, or a zero point that it cannot hold.
        TypeError: a zero point that is no whole number.

    Example:
        >>> import dovetail as dt
        >>> dt.quantize_per_tensor(dt.tensor([-1.0, 0.0, 2.0]), 0.1, 10, dt.quint8)
        tensor([-1.,  0.,  2.], size=(3,), dtype=torch.quint8,
               quantization_scheme=torch.per_tensor_affine, scale=0.1, zero_point=10)
    """
    if isinstance(input, (list, tuple)):
        pairs = zip(input, scale.tolist(), zero_point.tolist(), strict=True)
        return tuple(quantize_per_tensor(x, s, z, dtype) for x, s, z in pairs)
    name = "quantize_per_tensor"
    _check_float(name, input)
    scale, zero_point = float(_number(scale)), _whole(name, _number(zero_point))
    _check_zero_point(name, zero_point, dtype)
    return _rounded(input, PerTensor(scale, zero_point), dtype)


def quantize_per_channel(
    input: Tensor, scales: Tensor, zero_points: Tensor, axis: int, dtype: d.dtype
) -> QTensor:
    """Floats as integers, with a scale per index of a dim.

    Args:
        input: float32 of any shape.
        scales: (C,).
        zero_points: (C,); floats are added before rounding.
        axis: the dim of ``input`` that has C.
        dtype: ``qint8``, ``quint8`` or ``qint32``.

    Raises:
        RuntimeError: not float32, no quantized dtype, or sizes that do not fit.
    """
    name = "quantize_per_channel"
    _check_float(name, input)
    if not -input.dim() <= axis < input.dim():
        raise RuntimeError(
            "Channel axis out of range in per channel affine quantization. "
            f"Got: {axis} Expected: [0, {input.dim()})"
        )
    axis = check_dim(axis, input.dim())
    limits(dtype)
    for label, value in (("scales", scales), ("zero_points", zero_points)):
        if tuple(value.shape) != (input.shape[axis],):
            raise RuntimeError(
                f"{name}: length of {label} must equal to channel, expected "
                f"{input.shape[axis]} got, {value.numel()}"
            )
    is_float = zero_points.is_floating_point()
    if not is_float and zero_points.numel():
        for zero_point in zero_points.tolist():
            _check_zero_point(name, zero_point, dtype)
    scheme = per_channel_affine_float_qparams if is_float else per_channel_affine
    return _rounded(input, PerChannel(scales, zero_points, axis, scheme), dtype)


def choose_qparams(
    low: Any, high: Any, quant_min: int, quant_max: int, *, preserve_sparsity: bool = False
) -> tuple[Any, Any]:
    """(scale, zero point) for numbers from ``low`` to ``high``; 0 is always told exactly.

    Of the two ends of the range, the zero point is rounded from the one whose error is less.
    Source: FBGEMM's and PyTorch's ``ChooseQuantizationParams``.

    Args:
        low, high: the range of the numbers, or arrays of ranges; widened to include 0.
        quant_min, quant_max: the range of the integers.
        preserve_sparsity: put 0 in the middle of the range.

    Returns:
        Two numbers, or two arrays (float64, int64).
    """
    steps = quant_max - quant_min
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    with np.errstate(all="ignore"):
        straddles = (low < 0) & (high > 0) & preserve_sparsity
        below, above = steps // 2 + 1, steps // 2
        reach = np.maximum(np.abs(low / np.float64(below)), np.abs(high / np.float64(above)))
        low = np.minimum(np.where(straddles, -reach * below, low).astype(np.float32), 0)
        high = np.maximum(np.where(straddles, reach * above, high).astype(np.float32), 0)
        scale = (high.astype(np.float64) - low) / steps
        single = scale.astype(np.float32)
        scale = np.where((single == 0) | np.isinf(1 / single), 0.1, scale)
        # A scale whose inverse could overflow later on is made larger, and the range with it.
        is_small = scale < _SMALLEST_SCALE
        growth = np.where(is_small, _SMALLEST_SCALE / scale, 1)
        widest = np.float32(_SMALLEST_SCALE * steps)
        grown_high = np.where(low == 0, widest, high * growth)
        grown_low = np.where((high == 0) & (low != 0), -widest, low * growth)
        low, high = np.where(is_small, grown_low, low), np.where(is_small, grown_high, high)
        scale = np.where(is_small, _SMALLEST_SCALE, scale)
        is_low = abs(quant_min) - np.abs(low / scale) < abs(quant_max) - np.abs(high / scale)
        start = np.where(is_low, quant_min - low / scale, quant_max - high / scale)
        start = np.where(straddles, (quant_min + quant_max) / 2, start)
    zero_point = np.rint(np.clip(start, quant_min, quant_max)).astype(np.int64)
    return (scale, zero_point) if scale.ndim else (float(scale), int(zero_point))


_SMALLEST_SCALE = float(np.float32(6.1e-5))


def quantize_per_tensor_dynamic(input: Tensor, dtype: d.dtype, reduce_range: bool) -> QTensor:
    """Floats as integers on the scale that their own range asks for.

    Args:
        input: float32 of any shape.
        dtype: ``qint8`` or ``quint8``.
        reduce_range: leave the top bit unused, so that sums of products cannot overflow 16 bits.

    Raises:
        RuntimeError: not float32, another dtype, or an input that is not finite.
    """
    name = "quantize_per_tensor_dynamic"
    _check_float(name, input)
    if dtype not in (d.qint8, d.quint8):
        raise RuntimeError(f"{name}: dtype must be torch.quint8 or torch.qint8, got {dtype!r}")
    low, high = limits(dtype)
    if reduce_range:
        low, high = int(low / 2), high // 2
    least = most = 0.0
    if input.numel():
        least, most = (x.item() for x in ops.aminmax(input.detach()))
    if not math.isfinite(most - least):
        raise RuntimeError(f"{name}: input must be finite, got numbers from {least} to {most}")
    scale, zero_point = choose_qparams(least, most, low, high)
    return _rounded(input, PerTensor(scale, zero_point), dtype)


def dequantize(input: Any) -> Any:
    """The numbers of a quantized tensor in float32; another tensor as float32, a list of them."""
    if isinstance(input, (list, tuple)):
        return tuple(dequantize(x) for x in input)
    if isinstance(input, QTensor):
        return input.dequantize()
    if not isinstance(input, Tensor):
        raise TypeError(
            f"dequantize(): argument 'input' must be Tensor, not {type(input).__name__}"
        )
    return input.to(d.float32)


def need_quantized(name: str, input: Any) -> QTensor:
    """``input``, if it is a quantized tensor.

    Raises:
        TypeError: it is no tensor.
        Unsupported: it is an ordinary one.
    """
    if isinstance(input, QTensor):
        return input
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")
    raise Unsupported(
        f"{name}: input must be a quantized tensor, got one of {input.dtype}: quantize_per_tensor, "
        "or a QuantStub in front of a model that is converted, makes one"
    )


def _of_kind(name: str, input: Any, kind: Any, wanted: str) -> Any:
    quantizer = need_quantized(name, input)._quantizer
    if not isinstance(quantizer, kind):
        raise RuntimeError(
            f"{name}: input must be quantized {wanted}, got one of {quantizer.scheme!r}"
        )
    return quantizer


def int_repr(input: Tensor) -> Tensor:
    """A copy of the integers of a quantized tensor."""
    return need_quantized("int_repr", input)._ints.clone()


def qscheme_of(input: Tensor) -> qscheme:
    """How a quantized tensor is quantized."""
    return need_quantized("qscheme", input)._quantizer.scheme  # type: ignore[no-any-return]


def q_scale(input: Tensor) -> float:
    """The scale of a tensor that is quantized per tensor."""
    return _of_kind("q_scale", input, PerTensor, "per tensor").scale  # type: ignore[no-any-return]


def q_zero_point(input: Tensor) -> int:
    """The zero point of a tensor that is quantized per tensor."""
    return _of_kind("q_zero_point", input, PerTensor, "per tensor").zero_point  # type: ignore[no-any-return]


def q_per_channel_scales(input: Tensor) -> Tensor:
    """The scales of a tensor that is quantized per channel, (C,) float64, in host memory."""
    found = _of_kind("q_per_channel_scales", input, PerChannel, "per channel")
    if found.scheme is per_channel_affine_float_qparams:
        return found.scales.to(d.float32)  # type: ignore[no-any-return]
    return found.scales.clone()  # type: ignore[no-any-return]


def q_per_channel_zero_points(input: Tensor) -> Tensor:
    """Its zero points, (C,) int64, in host memory."""
    found = _of_kind("q_per_channel_zero_points", input, PerChannel, "per channel")
    return found.zero_points.clone()  # type: ignore[no-any-return]


def q_per_channel_axis(input: Tensor) -> int:
    """The dim that its scales belong to."""
    return _of_kind("q_per_channel_axis", input, PerChannel, "per channel").axis  # type: ignore[no-any-return]


def _make_per_tensor_quantized_tensor(input: Tensor, scale: Any, zero_point: Any) -> QTensor:
    """Integers (int8, uint8 or int32) with their meaning; a copy."""
    return wrap(input.clone(), PerTensor(float(scale), int(zero_point)))


def _make_per_channel_quantized_tensor(
    input: Tensor, scale: Tensor, zero_point: Tensor, axis: int
) -> QTensor:
    """The same with a scale per index of ``axis``."""
    is_float = zero_point.is_floating_point()
    scheme = per_channel_affine_float_qparams if is_float else per_channel_affine
    return wrap(input.clone(), PerChannel(scale, zero_point, axis, scheme))


def _empty_affine_quantized(
    size: Any, *, scale: float = 1.0, zero_point: int = 0, dtype: d.dtype, device: Any = None
) -> QTensor:
    """Zeros of a quantized dtype (PyTorch leaves them uninitialised)."""
    limits(dtype)
    ints = full(tuple(size), zero_point, dtype=INTEGERS[dtype], device=device)
    return wrap(ints, PerTensor(float(scale), int(zero_point)))


def _empty_per_channel_affine_quantized(
    size: Any, *, scales: Tensor, zero_points: Tensor, axis: int, dtype: d.dtype, device: Any = None
) -> QTensor:
    """The same with a scale per index of ``axis``."""
    limits(dtype)
    ints = zeros(tuple(size), dtype=INTEGERS[dtype], device=device)
    return _make_per_channel_quantized_tensor(ints, scales, zero_points, axis)
