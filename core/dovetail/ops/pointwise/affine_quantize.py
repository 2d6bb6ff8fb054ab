"""Floats to whole numbers of a scale and back, and products of int8: what quantized tensors need.

The tensors here are ordinary integer tensors; :mod:`dovetail.quantized` puts them together with
their scales. Here the zero point is added before rounding, in ``fake_quantize`` after it: PyTorch's
two ways, which differ by a step at ties where it is odd.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.dtypes import type_name
from dovetail.ops.expose import publish
from dovetail.ops.families import broadcast_shapes, composite, result_like
from dovetail.ops.linear_algebra.operands import cannot_multiply
from dovetail.ops.pointwise.fake_quantize import (
    channel_samples,
    parameters,
    spread,
    steps,
    steps_reference,
    taken_in,
    tensor_samples,
)
from dovetail.ops.schema import Inferred, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__: list[str] = []

_INPUTS = ("input", "scale", "zero_point")


# quantize


def _integers(low: int, high: int) -> d.dtype:
    return d.uint8 if (low, high) == (0, 255) else d.int8


def _quantize_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for axis, samples in ((None, tensor_samples), (0, channel_samples)):
        for sample in samples(rng, dtype):
            x, scale, zero_point, *rest = sample.args
            low, high = rest[-2:]
            options = {
                "axis": None if axis is None else rest[0],
                "quant_min": low,
                "quant_max": high,
                "out_dtype": _integers(low, high),
            }
            made.append(Sample((x, scale, zero_point), options))
    return made


def _quantize_infer(input: Spec, scale: Any, zero_point: Any, **attributes: Any) -> Inferred:
    out = result_like(input, attributes["out_dtype"])
    return Inferred(taken_in(input, scale, zero_point), (out,))


def _quantize_reference(
    x: Any, scale: Any, zero_point: Any, axis: Any, quant_min: int, quant_max: int
) -> Any:
    whole = np.clip(steps_reference(x, scale, zero_point, axis, True), quant_min, quant_max)
    return whole.astype(np.int64)


@composite(
    "quantize_affine",
    inputs=_INPUTS,
    infer=_quantize_infer,
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    differentiable=(),
    reference=_quantize_reference,
    samples=_quantize_samples,
    tolerance=Tolerance(0, against="element"),
)
def quantize_affine(
    input: Any, scale: Any, zero_point: Any, *,
    axis: int | None, quant_min: int, quant_max: int, out_dtype: d.dtype,
) -> Any:  # fmt: skip
    """``clamp(round(input / scale + zero_point), quant_min, quant_max)``, of ``out_dtype``.

    Args:
        input: any shape.
        scale, zero_point: numbers or tensors of one element; with ``axis`` one per index of it.
        axis: a dim of ``input``, or None.
        quant_min, quant_max: the range; both must be whole numbers that float32 has.
        out_dtype: the integers.
    """
    scale, zero_point = parameters(input, scale, zero_point, axis)
    return steps(input, scale, zero_point, True).clamp(quant_min, quant_max).to(out_dtype)


# dequantize


def _dequantize_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    low, high = {d.uint8: (0, 255), d.int8: (-128, 127)}.get(dtype, (-1000, 1000))
    scale = np.array([0.5, 0.1, 3.0], np.float32)
    zero_point = np.array([0, 7, -2], np.int32)
    made = []
    for shape in ((), (7,), (3, 5), (0, 3)):
        x = rng.integers(low, high, shape, endpoint=True).astype(dtype.numpy)
        made.append(Sample((np.asarray(x), 0.25, 3), {"axis": None}))
    x = rng.integers(low, high, (3, 4), endpoint=True).astype(dtype.numpy)
    made.append(Sample((x, scale, zero_point), {"axis": 0}))
    made.append(Sample((x.T.copy(), scale, zero_point), {"axis": 1}))
    return made


def _dequantize_infer(input: Spec, scale: Any, zero_point: Any, axis: Any) -> Inferred:
    out = result_like(input, d.float32)
    return Inferred(taken_in(input, scale, zero_point), (out,))


@composite(
    "dequantize_affine",
    inputs=_INPUTS,
    infer=_dequantize_infer,
    accepts=(d.uint8, d.int8, d.int32),
    method=False,
    public=False,
    differentiable=(),
    reference=lambda x, scale, zero_point, axis: (
        (np.asarray(x, np.float64) - spread(zero_point, x, axis)) * spread(scale, x, axis)
    ),
    samples=_dequantize_samples,
    tolerance=Tolerance(2, against="element"),
)
def dequantize_affine(input: Any, scale: Any, zero_point: Any, *, axis: int | None) -> Any:
    """``(input - zero_point) * scale`` in float32: integers of any shape back as numbers."""
    scale, zero_point = parameters(input, scale, zero_point, axis)
    return (input.to(d.float32) - zero_point) * scale


# products


def _matmul_infer(input: Spec, other: Spec) -> Inferred:
    if other.dtype is not d.int8:
        raise RuntimeError(
            f"quantized_matmul: both must be of int8, got {type_name(input.dtype)} and "
            f"{type_name(other.dtype)}"
        )
    if input.shape[-1] != other.shape[-2]:
        raise cannot_multiply(input.shape[-2], input, other)
    batch = broadcast_shapes(tuple(input.shape[:-2]), tuple(other.shape[:-2]))
    return Inferred((None, None), (((*batch, input.shape[-2], other.shape[-1]), d.int32),))


_SHAPES = (
    ((2, 3), (3, 4)),
    ((1, 300), (300, 5)),
    ((2, 1, 3, 5), (4, 5, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((3, 2500), (2500, 2)),
)


def _matmul_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def whole(shape: tuple[int, ...]) -> Any:
        return rng.integers(-128, 128, shape).astype(np.int8)

    most = np.full((2, 2201), 127, np.int8)  # sums that float32 cannot tell
    return [
        *(Sample((whole(a), whole(b))) for a, b in _SHAPES),
        Sample((whole((5, 4)).T, whole((3, 5)).T)),
        Sample((most, most.T)),
    ]


@composite(
    "quantized_matmul",
    inputs=("input", "other"),
    infer=_matmul_infer,
    accepts=(d.int8,),
    method=False,
    public=False,
    differentiable=(),
    reference=lambda a, b: np.matmul(a.astype(np.int64), b.astype(np.int64)).astype(np.int32),
    samples=_matmul_samples,
    tolerance=Tolerance(0),
)
def quantized_matmul(input: Any, other: Any) -> Any:
    """Products of int8 summed in int32: (*, M, K) by (*, K, N) -> (*, M, N).

    Sums are exact while they stay below 2^31, which takes more than 2^17 products.
    """
    return input.to(d.int32).matmul(other.to(d.int32))


@publish(method=False)
def _int_mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two int8 matrices in int32 (PyTorch's ``torch._int_mm``).

    Raises:
        RuntimeError: another dtype, or no matrices.

    Example:
        >>> import dovetail as dt
        >>> a = dt.full((1, 3), 100, dtype=dt.int8)
        >>> dt._int_mm(a, a.t())
        tensor([[30000]], dtype=torch.int32)
    """
    if input.dim() != 2 or mat2.dim() != 2:
        raise RuntimeError(
            f"_int_mm: Expected self and mat2 to be of dimension 2, got {input.dim()} and "
            f"{mat2.dim()}"
        )
    for label, value in (("self", input), ("mat2", mat2)):
        if value.dtype is not d.int8:
            raise RuntimeError(
                f"_int_mm: Expected {label} dtype to be int8, got {type_name(value.dtype)}"
            )
    return quantized_matmul(input, mat2)  # type: ignore[no-any-return]
