"""Quantizing and back at once, with the gradient passed straight through; and the two halves.

Per tensor there is one scale and zero point (numbers or tensors of one element), per channel one of
each per index along ``axis``. Scales are float32, as PyTorch's: a float64 input is divided by the
float32 nearest to the scale (and the result is float64's, where PyTorch rounds it to float32).
Source: Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", 2018; PyTorch's pages of these names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.backend.expressions import EXPRESSIONS
from dovetail.backend.state import state_of
from dovetail.ops.families import composite, result_like
from dovetail.ops.indexed.index_checks import host_values, true_anywhere
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.ops.schema import ErrorInput, Inferred, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__ = [
    "channel_samples", "parameters", "spread", "steps", "steps_reference",
    "taken_in", "tensor_samples",
]  # fmt: skip

_WITHIN = "zero_point_within"
_INPUTS = ("input", "scale", "zero_point")
_TENTH = float(np.float32(0.1))


# scales and zero points


def _inverse(scale: Any) -> Any:
    if isinstance(scale, Tensor):
        return scale.reciprocal()
    with np.errstate(divide="ignore"):
        return float(np.float32(1) / np.float32(scale))


def _along(value: Any, ndim: int, axis: int | None) -> Any:
    """A scale or zero point in a shape that broadcasts against the input."""
    if not isinstance(value, Tensor):
        return value
    shape = () if axis is None else [-1 if i == axis else 1 for i in range(ndim)]
    return value.reshape(shape)


def parameters(input: Any, scale: Any, zero_point: Any, axis: int | None) -> tuple[Any, Any]:
    """Scale and zero point, rounded to float32, in shapes that broadcast against the input."""
    if not isinstance(scale, Tensor):
        scale = float(np.float32(scale))
    return _along(scale, input.ndim, axis), _along(zero_point, input.ndim, axis)


def steps(input: Any, scale: Any, zero_point: Any, is_shifted: bool = False) -> Any:
    """The whole numbers of ``input``, not limited to a range yet.

    Args:
        is_shifted: round after the zero point was added, which differs at ties where it is odd.
    """
    if is_shifted or (isinstance(zero_point, Tensor) and zero_point.is_floating_point()):
        return (input * _inverse(scale) + zero_point).round()
    return (input * _inverse(scale)).round() + zero_point


# the same in NumPy


def spread(value: Any, x: Any, axis: int | None) -> Any:
    """A scale or zero point in float64, in a shape that broadcasts against ``x``."""
    value = np.asarray(value, np.float64)
    if axis is None:
        return value.reshape(())
    return value.reshape([-1 if i == axis else 1 for i in range(np.ndim(x))])


def steps_reference(
    x: Any, scale: Any, zero_point: Any, axis: int | None, is_shifted: bool = False
) -> Any:
    """:func:`steps` in float64."""
    is_shifted = is_shifted or np.asarray(zero_point).dtype.kind == "f"
    scale, zero_point = spread(scale, x, axis), spread(zero_point, x, axis)
    if is_shifted:
        return np.rint(np.asarray(x, np.float64) / scale + zero_point)
    return np.rint(np.asarray(x, np.float64) / scale) + zero_point


def _fake_reference(
    x: Any, scale: Any, zero_point: Any, axis: Any, quant_min: int, quant_max: int
) -> Any:
    whole = np.clip(steps_reference(x, scale, zero_point, axis), quant_min, quant_max)
    return (whole - spread(zero_point, x, axis)) * spread(scale, x, axis)


# samples: away from where two whole numbers are equally near, but where that is exact


def _values(rng: np.random.Generator, shape: tuple[int, ...], low: int, high: int) -> Any:
    """Numbers of steps within and beyond a range, none near the middle between two."""
    whole = rng.integers(low - 20, high + 20, shape)
    return whole + rng.uniform(-0.4, 0.4, shape)


_SCALES = (0.5, _TENTH, 0.25)
_TIES = np.array([-1.25, -0.75, -0.25, 0.0, 0.25, 0.75, 1.25, 300.0, -300.0])


def tensor_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    """(input, scale, zero point, quant_min, quant_max), one scale for all."""
    cases = (((), 0, 0, 255), ((7,), 10, 0, 127), ((3, 5), -3, -128, 127), ((0, 3), 0, 0, 15))
    made = []
    for (shape, zero_point, low, high), scale in zip(cases, _SCALES * 2, strict=False):
        counts = _values(rng, shape, low, high) - zero_point
        x = np.asarray(counts * scale).astype(dtype.numpy)
        made.append(Sample((x, scale, zero_point, low, high)))
    ties = _TIES.astype(dtype.numpy)
    made.append(Sample((ties, 0.5, 3, -8, 7)))
    one, none = np.array([0.5], np.float32), np.array([3], np.int32)
    made.append(Sample((ties, one, none, -8, 7)))
    return made


def channel_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    """(input, scales, zero points, axis, quant_min, quant_max)."""
    made = []
    scale = np.array([0.5, _TENTH, 0.25], np.float32)
    for shape, axis, low, high in (
        ((3, 4), 0, -128, 127),
        ((2, 3, 2), 1, 0, 255),
        ((3,), 0, 0, 15),
    ):
        zero_point = rng.integers(max(low, 0), 5, 3).astype(np.int32)
        counts = _values(rng, shape, low, high) - spread(zero_point, np.empty(shape), axis)
        x = (counts * spread(scale, counts, axis)).astype(dtype.numpy)
        made.append(Sample((x, scale, zero_point, axis, low, high)))
    empty = np.empty((3, 0), dtype.numpy)
    made.append(Sample((empty, scale, np.zeros(3, np.int32), 0, -128, 127)))
    return made


# checks


def _range(name: str, quant_min: Any, quant_max: Any) -> tuple[int, int]:
    quant_min = whole_number(name, "quant_min", quant_min)
    quant_max = whole_number(name, "quant_max", quant_max)
    if quant_min > quant_max:
        raise RuntimeError(
            f"`quant_min` should be less than or equal to `quant_max`, got {quant_min} and "
            f"{quant_max}"
        )
    return quant_min, quant_max


def _prepare_tensor(input: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int) -> Any:
    name = "fake_quantize_per_tensor_affine"
    quant_min, quant_max = _range(name, quant_min, quant_max)
    if isinstance(scale, Tensor) is not isinstance(zero_point, Tensor):
        raise TypeError(
            f"{name}: scale and zero_point must both be numbers or both tensors, got "
            f"{type(scale).__name__} and {type(zero_point).__name__}"
        )
    if isinstance(zero_point, Tensor):
        scale, zero_point = _of(scale, d.float32), _of(zero_point, d.int32)
    elif not quant_min <= whole_number(name, "zero_point", zero_point) <= quant_max:
        raise RuntimeError(
            f"{name}: `zero_point` must be between `quant_min` and `quant_max`, got {zero_point}, "
            f"not between {quant_min} and {quant_max}"
        )
    return (input, scale, zero_point), (quant_min, quant_max)


def _of(value: Any, dtype: d.dtype) -> Any:
    return value if value.dtype is dtype else value.to(dtype)


def _prepare_channel(
    input: Any, scale: Any, zero_point: Any, axis: int, quant_min: int, quant_max: int
) -> Any:
    name = "fake_quantize_per_channel_affine"
    for label, value in (("scale", scale), ("zero_point", zero_point)):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name}(): argument '{label}' must be Tensor, not {type(value).__name__}"
            )
    quant_min, quant_max = _range(name, quant_min, quant_max)
    if scale.dtype is not d.float32:
        raise RuntimeError(f"{name}: Scale must be Float, found {scale.dtype}")
    if zero_point.dtype not in (d.int32, d.float32, d.float16):
        raise RuntimeError(
            f"{name}: Zero-point must be Int32, Float or Half, found {zero_point.dtype}"
        )
    for label, value in (("scale", scale), ("zero_point", zero_point)):
        if value.dim() != 1:
            raise RuntimeError(f"{name}: {label} should be a 1-D tensor, got {value.dim()}-D")
    if not input.dim():
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    check_dim(axis, input.dim())
    if axis < 0:
        raise RuntimeError(
            f"`axis` must be between 0 and number of dimensions of input, got {axis}"
        )
    if not scale.shape[0] == zero_point.shape[0] == input.shape[axis]:
        raise RuntimeError(
            f"{name}: dimensions of scale ({scale.shape[0]}) and zero-point "
            f"({zero_point.shape[0]}) are not consistent with input tensor, which has "
            f"{input.shape[axis]} along dim {axis}"
        )
    return (input, scale, zero_point), (axis, quant_min, quant_max)


@composite(
    _WITHIN,
    inputs=("zero_point",),
    kind="elementwise",
    accepts=(d.int32,),
    differentiable=(),
    method=False,
    public=False,
    reference=lambda zero_point, low, high: zero_point,
    samples=lambda rng, dtype: [
        Sample((np.asarray(rng.integers(-3, 9, shape)).astype(np.int32), -3, 9))
        for shape in ((), (5,), (0,))
    ],
)
def zero_point_within(zero_point: Any, low: int, high: int) -> Any:
    """The same; a device's kernel of it refuses what is not between ``low`` and ``high``."""
    return zero_point.clone()


def _within(zero_point: Any, low: int, high: int) -> Any:
    """``zero_point``; raises RuntimeError for one outside, unless a kernel looks at them."""
    device = zero_point._spec.device
    state = state_of(device)
    if device.type == "meta":
        return zero_point
    if state.table.entries(_WITHIN):
        return ops.zero_point_within(zero_point, low, high)
    if state.host_arrays:
        values = host_values(zero_point)
        is_wrong = values.size and not low <= values.min() <= values.max() <= high
    else:
        is_wrong = true_anywhere(zero_point.lt(low) | zero_point.gt(high))
    if is_wrong:
        raise RuntimeError(EXPRESSIONS[_WITHIN].refuses[0].text)
    return zero_point


def _tensor_errors() -> list[ErrorInput]:
    x = np.ones(3, np.float32)
    return [
        ErrorInput((x, 0.1, 0, 5, 3), {}, RuntimeError, "less than or equal"),
        ErrorInput((x, 0.1, 300, 0, 255), {}, RuntimeError, "must be between"),
    ]


def _channel_errors() -> list[ErrorInput]:
    x, scale, zero_point = np.ones((2, 3), np.float32), np.ones(2, np.float32), np.ones(2, np.int32)
    return [
        ErrorInput((x, scale, zero_point, 1, 0, 255), {}, RuntimeError, "not consistent"),
        ErrorInput((x, scale[:, None], zero_point, 0, 0, 255), {}, RuntimeError, "1-D"),
        ErrorInput((x, scale, zero_point, 5, 0, 255), {}, IndexError, "out of range"),
        ErrorInput((x, scale, zero_point, -2, 0, 255), {}, RuntimeError, "axis"),
        ErrorInput((x, scale, zero_point * 256, 0, 0, 255), {}, RuntimeError, "must be between"),
    ]


# the records


def taken_in(*facts: Any) -> tuple[d.dtype | None, ...]:
    """The dtypes that a kernel takes inputs in: numbers in float32, tensors as they are."""
    return tuple(d.float32 if isinstance(fact, type) else None for fact in facts)


def _like_input(input: Spec, scale: Any, zero_point: Any, **attributes: Any) -> Inferred:
    return Inferred(taken_in(input, scale, zero_point), (result_like(input),))


def _like_grad(grad: Spec, input: Spec, scale: Any, zero_point: Any, **_: Any) -> Inferred:
    facts = (grad, input, scale, zero_point)
    return Inferred(taken_in(*facts), ((tuple(input.shape), grad.dtype),))


def _backward_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def with_grad(sample: Sample, axis: int | None) -> Sample:
        x, scale, zero_point, *rest = sample.args
        grad = rng.uniform(-2, 2, x.shape).astype(dtype.numpy)
        return Sample(
            (grad, x, scale, zero_point),
            {"axis": axis, "quant_min": rest[-2], "quant_max": rest[-1]},
        )

    return [
        *(with_grad(s, None) for s in tensor_samples(rng, dtype)),
        *(with_grad(s, s.args[3]) for s in channel_samples(rng, dtype)),
    ]


def _backward_reference(
    grad: Any, x: Any, scale: Any, zero_point: Any, axis: Any, quant_min: int, quant_max: int
) -> Any:
    whole = steps_reference(x, scale, zero_point, axis)
    return np.where((whole >= quant_min) & (whole <= quant_max), grad, 0.0)


@composite(
    "fake_quantize_backward",
    inputs=("grad", *_INPUTS),
    infer=_like_grad,
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=_backward_reference,
    samples=_backward_samples,
    tolerance=Tolerance(0, against="element"),
)
def fake_quantize_backward(
    grad: Any, input: Any, scale: Any, zero_point: Any, *,
    axis: int | None, quant_min: int, quant_max: int,
) -> Any:  # fmt: skip
    """``grad`` where the whole number of ``input`` is in the range, 0 where it was cut off."""
    scale, zero_point = parameters(input, scale, zero_point, axis)
    whole = steps(input, scale, zero_point)
    return ops.where((whole >= quant_min) & (whole <= quant_max), grad, 0.0)


def _fake(
    input: Any, scale: Any, zero_point: Any, axis: int | None, quant_min: int, quant_max: int
) -> Any:
    scale, zero_point = parameters(input, scale, zero_point, axis)
    whole = steps(input, scale, zero_point).clamp(quant_min, quant_max)
    return (whole - zero_point) * scale


@composite(
    "fake_quantize_per_tensor_affine",
    inputs=_INPUTS,
    infer=_like_input,
    prepare=_prepare_tensor,
    gradient={
        "input": lambda g, input, scale, zero_point, quant_min, quant_max: (
            ops.fake_quantize_backward(
                g, input, scale, zero_point, axis=None, quant_min=quant_min, quant_max=quant_max
            )
        )
    },
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    reference=lambda x, scale, zero_point, quant_min, quant_max: _fake_reference(
        x, scale, zero_point, None, quant_min, quant_max
    ),
    samples=tensor_samples,
    node_name=lambda input, scale, zero_point, **attributes: (
        "fake_quantize_per_tensor_affine_cachemask"
        + ("_tensor_qparams" if isinstance(scale, Spec) else "")
    ),
    errors=_tensor_errors,
    tolerance=Tolerance(4, against="element"),
)
def fake_quantize_per_tensor_affine(
    input: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int
) -> Any:
    """``input`` rounded to what whole numbers in a range can tell; gradients pass straight through.

    ``(clamp(round(input / scale) + zero_point, quant_min, quant_max) - zero_point) * scale``. The
    gradient is that of the output where nothing was cut off, 0 elsewhere.

    Args:
        input: any shape, floating point.
        scale, zero_point: two numbers, or two tensors of one element.
        quant_min, quant_max: the range of the whole numbers.

    Raises:
        RuntimeError: an empty range, or a zero point (a number) outside of it.

    Example:
        >>> import dovetail as dt
        >>> dt.fake_quantize_per_tensor_affine(dt.tensor([0.26, 0.9]), 0.25, 0, 0, 2)
        tensor([0.2500, 0.5000])
    """
    return _fake(input, scale, zero_point, None, quant_min, quant_max)


@composite(
    "fake_quantize_per_channel_affine",
    inputs=_INPUTS,
    infer=_like_input,
    prepare=_prepare_channel,
    gradient={
        "input": lambda g, input, scale, zero_point, axis, quant_min, quant_max: (
            ops.fake_quantize_backward(
                g, input, scale, zero_point, axis=axis, quant_min=quant_min, quant_max=quant_max
            )
        )
    },
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    reference=_fake_reference,
    samples=channel_samples,
    node_name=lambda *facts, **attributes: "fake_quantize_per_channel_affine_cachemask",
    errors=_channel_errors,
    tolerance=Tolerance(4, against="element"),
)
def fake_quantize_per_channel_affine(
    input: Any, scale: Any, zero_point: Any, axis: int, quant_min: int, quant_max: int
) -> Any:
    """As ``fake_quantize_per_tensor_affine``, with a scale and zero point per index of a dim.

    Args:
        input: any shape, floating point.
        scale: (C,) float32.
        zero_point: (C,) int32, or float32 to be added before rounding.
        axis: the dim of ``input`` that has C.
        quant_min, quant_max: the range of the whole numbers.

    Raises:
        RuntimeError: shapes or dtypes that do not fit, an empty range, or an int32 zero point
            outside of it, which a device may tell where values are next asked for.
    """
    if zero_point.dtype is d.int32:
        zero_point = _within(zero_point, quant_min, quant_max)
    return _fake(input, scale, zero_point, axis, quant_min, quant_max)
