"""Activations: elementwise nonlinearities and gates, each with its gradient.

A gradient that is worth a kernel of its own is a ``*_backward`` composite; second order flows
through that one's decomposition. Values and gradients at kinks are PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.ops.families import (
    SHAPES,
    composite,
    draw,
    elementwise,
    elementwise_infer,
    same,
    to_float,
    uniform,
)
from dovetail.ops.schema import Sample, Tolerance
from dovetail.tensor import check_dim

__all__: list[str] = []

Record = Callable[[Callable[..., Any]], Callable[..., Any]]

inf, nan = float("inf"), float("nan")
SPECIAL = (0.0, -0.0, 1.0, -1.0, inf, -inf, nan)
FINITE = (0.0, -0.0, 1.0, -1.0, 3.0, -3.0, nan)
NUMBER = (*d.FLOATING, *d.INTEGRAL)

# Klambauer et al., "Self-Normalizing Neural Networks", 2017
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def _backward(name: str, inputs: tuple[str, ...] = ("grad", "input"), **fields: Any) -> Record:
    """The record of a gradient: elementwise, with an override point, no method of its own."""
    return composite(
        name,
        inputs=inputs,
        kind="elementwise",
        infer=elementwise_infer(name, same),
        accepts=d.FLOATING,
        compute=d.float32,
        method=False,
        public=False,
        **fields,
    )


def _with_attributes(
    name: str,
    *,
    gradient: Any,
    reference: Callable[..., Any],
    tried: tuple[tuple[Any, ...], ...],
    prepare: Callable[..., Any],
    accepts: tuple[d.dtype, ...] = d.FLOATING,
    **fields: Any,
) -> Record:
    """The record of an activation that has numbers as arguments; ``tried`` are some of them."""

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        return [
            Sample((draw(rng, shape, dtype, -4, 4), *arguments))
            for shape, arguments in zip(SHAPES, tried * len(SHAPES), strict=False)
        ]

    return composite(
        name,
        kind="elementwise",
        infer=elementwise_infer(name, same),
        gradient={"input": gradient},
        reference=reference,
        samples=samples,
        prepare=prepare,
        accepts=accepts,
        inplace=True,
        method=False,
        **fields,
    )


def _number(value: Any) -> Any:
    """An attribute as a Python number (a 0-d tensor or NumPy scalar is read)."""
    return value if isinstance(value, (int, float)) else value.item()


def _numbers(input: Any, *values: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    return (input,), tuple(_number(v) for v in values)


# threshold and relu


@_backward("threshold_backward")
def threshold_backward(grad: Any, input: Any, *, threshold: Any) -> Any:
    """``grad`` where ``input`` is above ``threshold`` (or NaN), 0 elsewhere."""
    return ops.where(input <= threshold, 0.0, grad)


elementwise(
    "relu",
    rule=same,
    accepts=NUMBER,
    gradient=lambda g, out: ops.threshold_backward(g, out, threshold=0.0),
    decompose=lambda input: input.maximum(0),
    reference=lambda x: np.maximum(x, 0),
    samples=uniform(-4, 4),
    special=SPECIAL,
    ulp=0,
    doc="``max(input, 0)``; its gradient at 0 is 0.",
)


@_with_attributes(
    "threshold",
    gradient=lambda g, input, threshold: ops.threshold_backward(g, input, threshold=threshold),
    reference=lambda x, threshold, value: np.where(x <= threshold, value, x),
    tried=((0.5, -2.0), (-1, 3)),
    prepare=_numbers,
    accepts=NUMBER,
)
def threshold(input: Any, threshold: Any, value: Any) -> Any:
    """``input`` where it is above ``threshold`` (or NaN), ``value`` elsewhere."""
    return input.masked_fill(input <= threshold, value)


@_backward("hardtanh_backward")
def hardtanh_backward(grad: Any, input: Any, *, min_val: Any, max_val: Any) -> Any:
    """``grad`` where ``input`` is strictly between the bounds (or NaN), 0 elsewhere."""
    return ops.where((input <= min_val) | (input >= max_val), 0.0, grad)


@_with_attributes(
    "hardtanh",
    gradient=lambda g, input, min_val, max_val: ops.hardtanh_backward(
        g, input, min_val=min_val, max_val=max_val
    ),
    reference=lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
    tried=((), (-2, 3), (-1.0, 2.0)),
    prepare=_numbers,
    accepts=NUMBER,
)
def hardtanh(input: Any, min_val: Any = -1.0, max_val: Any = 1.0) -> Any:
    """``input`` bounded to [``min_val``, ``max_val``]; the gradient at the bounds is 0."""
    if input.dtype.category == 1:
        min_val, max_val = int(min_val), int(max_val)
    return input.maximum(min_val).minimum(max_val)


@composite(
    "relu6",
    inplace=True,
    method=False,
    accepts=NUMBER,
    reference=lambda x: np.clip(x, 0, 6),
    samples=uniform(-4, 9),
)
def relu6(input: Any) -> Any:
    """``min(max(input, 0), 6)``."""
    return ops.hardtanh(input, 0.0, 6.0)


@_backward("leaky_relu_backward")
def leaky_relu_backward(grad: Any, input: Any, *, negative_slope: float) -> Any:
    """``grad`` where ``input`` is above 0, ``negative_slope * grad`` elsewhere."""
    return ops.where(input > 0, grad, grad * negative_slope)


@_with_attributes(
    "leaky_relu",
    gradient=lambda g, input, negative_slope: ops.leaky_relu_backward(
        g, input, negative_slope=negative_slope
    ),
    reference=lambda x, negative_slope=0.01: np.where(x > 0, x, x * negative_slope),
    tried=((), (0.3,)),
    prepare=_numbers,
)
def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """``input`` above 0, ``negative_slope * input`` below."""
    return ops.where(input > 0, input, input * negative_slope)


# the exponential family


def _elu_reference(x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) * input_scale))


@_backward("elu_backward")
def elu_backward(grad: Any, input: Any, *, alpha: float, scale: float, input_scale: float) -> Any:
    """The gradient of ``elu`` at ``input``."""
    low = ops.where(input < 0, input, 0.0)  # the other half could overflow
    low = grad * (low * input_scale).exp() * (alpha * scale * input_scale)
    return ops.where(input <= 0, low, grad * scale)


@_with_attributes(
    "elu",
    gradient=lambda g, input, alpha, scale, input_scale: ops.elu_backward(
        g, input, alpha=alpha, scale=scale, input_scale=input_scale
    ),
    reference=_elu_reference,
    tried=((), (0.7,), (1.5, 1.1, 0.6)),
    prepare=_numbers,
    compute=d.float32,
)
def elu(input: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    """``scale * input`` above 0, ``scale * alpha * (exp(input_scale * input) - 1)`` below.

    Source: Clevert et al., "Fast and Accurate Deep Network Learning by ELUs", 2016.
    """
    low = (input.minimum(0) * input_scale).expm1() * (alpha * scale)
    return ops.where(input <= 0, low, input * scale)


@composite(
    "selu",
    inplace=True,
    method=False,
    accepts=d.FLOATING,
    reference=lambda x: _elu_reference(x, SELU_ALPHA, SELU_SCALE),
    samples=uniform(-4, 4),
)
def selu(input: Any) -> Any:
    """Scaled ELU whose constants keep mean 0 and variance 1."""
    return ops.elu(input, SELU_ALPHA, SELU_SCALE)


def _celu_prepare(input: Any, alpha: float) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return (input,), (_number(alpha),)


@composite(
    "celu",
    inplace=True,
    method=False,
    accepts=d.FLOATING,
    prepare=_celu_prepare,
    reference=lambda x, alpha=1.0: _elu_reference(x, alpha, 1.0, 1 / alpha),
    samples=lambda rng, dtype: [
        Sample((draw(rng, (3, 5), dtype, -4, 4), *alpha)) for alpha in ((), (0.6,))
    ],
)
def celu(input: Any, alpha: float = 1.0) -> Any:
    """``input`` above 0, ``alpha * (exp(input / alpha) - 1)`` below."""
    return ops.elu(input, alpha, 1.0, 1.0 / alpha)


# sigmoids


@_backward("sigmoid_backward", ("grad", "output"))
def sigmoid_backward(grad: Any, output: Any) -> Any:
    """The gradient of ``sigmoid`` where its value is ``output``."""
    return grad * ((1 - output) * output)


def _sigmoid_reference(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


elementwise(
    "sigmoid",
    rule=to_float,
    accepts=(*NUMBER, d.bool_, *d.COMPLEX),
    gradient=lambda g, out: (
        g * ((1 - out) * out).conj() if out.dtype.is_complex else ops.sigmoid_backward(g, out)
    ),
    decompose=lambda input: 1 / ((-input).exp() + 1),
    compute=d.float32,
    reference=_sigmoid_reference,
    samples=uniform(-6, 6),
    special=SPECIAL,
    ulp=8,
    doc="``1 / (1 + exp(-input))``.",
)


@_backward("silu_backward")
def silu_backward(grad: Any, input: Any) -> Any:
    """The gradient of ``silu`` at ``input``."""
    gate = input.sigmoid()
    return grad * (gate * (input * (1 - gate) + 1))


elementwise(
    "silu",
    rule=same,
    accepts=(*d.FLOATING, *d.COMPLEX),
    gradient=lambda g, input: ops.silu_backward(g, input),
    decompose=lambda input: input / ((-input).exp() + 1),
    compute=d.float32,
    reference=lambda x: x * _sigmoid_reference(x),
    samples=uniform(-6, 6),
    special=FINITE,
    ulp=8,
    method=False,
    doc="``input * sigmoid(input)``.",
)


@_backward("mish_backward")
def mish_backward(grad: Any, input: Any) -> Any:
    """The gradient of ``mish`` at ``input``."""
    gate = ops.softplus(input).tanh()
    return grad * (gate + input * input.sigmoid() * (1 - gate * gate))


elementwise(
    "mish",
    rule=same,
    accepts=d.FLOATING,
    gradient=lambda g, input: ops.mish_backward(g, input),
    decompose=lambda input: input * ops.softplus(input).tanh(),
    compute=d.float32,
    reference=lambda x: x * np.tanh(np.logaddexp(0, x)),
    samples=uniform(-6, 6),
    special=FINITE,
    ulp=16,
    method=False,
    doc="``input * tanh(softplus(input))``.",
)


@_backward("log_sigmoid_backward")
def log_sigmoid_backward(grad: Any, input: Any) -> Any:
    """The gradient of ``logsigmoid`` at ``input``."""
    return grad * (-input).sigmoid()


elementwise(
    "logsigmoid",
    rule=same,
    accepts=d.FLOATING,
    gradient=lambda g, input: ops.log_sigmoid_backward(g, input),
    decompose=lambda input: input.minimum(0) - (-input.abs()).exp().log1p(),
    compute=d.float32,
    reference=lambda x: -np.logaddexp(0, -x),
    samples=uniform(-6, 6),
    special=SPECIAL,
    ulp=16,
    inplace=False,
    method=False,
    public=False,
    doc="``log(sigmoid(input))``.",
)


def _softplus_reference(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


@_backward("softplus_backward")
def softplus_backward(grad: Any, input: Any, *, beta: float, threshold: float) -> Any:
    """The gradient of ``softplus`` at ``input``."""
    scaled = input * beta
    return ops.where(scaled > threshold, grad, grad * scaled.sigmoid())


@_with_attributes(
    "softplus",
    gradient=lambda g, input, beta, threshold: ops.softplus_backward(
        g, input, beta=beta, threshold=threshold
    ),
    reference=_softplus_reference,
    tried=((), (2.0,), (0.5, 1.0)),
    prepare=_numbers,
    compute=d.float32,
    public=False,
    tolerance=Tolerance(16),
)
def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """``log(1 + exp(beta * input)) / beta``; ``input`` where ``beta * input > threshold``."""
    scaled = input * beta
    smooth = (scaled.maximum(0) + (-scaled.abs()).exp().log1p()) * (1 / beta)
    return ops.where(scaled > threshold, input, smooth)


# gelu

_ROOT = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


@_backward("gelu_backward")
def gelu_backward(grad: Any, input: Any, *, approximate: str) -> Any:
    """The gradient of ``gelu`` at ``input``."""
    square = input * input
    if approximate == "none":
        cdf = ((input * math.sqrt(0.5)).erf() + 1) * 0.5
        pdf = (square * -0.5).exp() * (0.5 * _ROOT)
        return grad * (cdf + input * pdf)
    t = (input * (square * _CUBIC + 1) * _ROOT).tanh()
    slope = (square * (3 * _CUBIC) + 1) * _ROOT
    return grad * ((t + 1 + input * slope * (1 - t * t)) * 0.5)


def _gelu_prepare(input: Any, approximate: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return (input,), (approximate,)


def _gelu_reference(x: Any, approximate: str = "none") -> Any:
    if approximate == "none":
        return 0.5 * x * (1 + np.vectorize(math.erf, otypes=[np.float64])(x * math.sqrt(0.5)))
    return 0.5 * x * (1 + np.tanh(_ROOT * (x + _CUBIC * x**3)))


@composite(
    "gelu",
    kind="elementwise",
    infer=elementwise_infer("gelu", same),
    gradient={
        "input": lambda g, input, approximate: ops.gelu_backward(g, input, approximate=approximate)
    },
    prepare=_gelu_prepare,
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    inplace=True,
    reference=_gelu_reference,
    tolerance=Tolerance(16),
    samples=lambda rng, dtype: [
        Sample((draw(rng, shape, dtype, -4, 4),), kwargs)
        for shape in SHAPES
        for kwargs in ({}, {"approximate": "tanh"})
    ],
)
def gelu(input: Any, *, approximate: str = "none") -> Any:
    """``input * Φ(input)``, with Φ the normal distribution; or its approximation by ``tanh``.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
    """
    if approximate == "none":
        return input * (((input * math.sqrt(0.5)).erf() + 1) * 0.5)
    inner = input * (input * input * _CUBIC + 1) * _ROOT
    return input * ((inner.tanh() + 1) * 0.5)


# piecewise linear and quadratic


@_backward("hardswish_backward")
def hardswish_backward(grad: Any, input: Any) -> Any:
    """The gradient of ``hardswish`` at ``input``."""
    middle = ops.where(input < 3, grad * (input * (1 / 3) + 0.5), grad)
    return ops.where(input <= -3, 0.0, middle)


elementwise(
    "hardswish",
    rule=same,
    accepts=d.FLOATING,
    gradient=lambda g, input: ops.hardswish_backward(g, input),
    decompose=lambda input: input * ((input + 3).maximum(0).minimum(6) * (1 / 6)),
    compute=d.float32,
    reference=lambda x: x * np.clip(x + 3, 0, 6) / 6,
    samples=uniform(-5, 5),
    special=FINITE,
    method=False,
    public=False,
    doc="``input * relu6(input + 3) / 6``.",
)


@_backward("hardsigmoid_backward")
def hardsigmoid_backward(grad: Any, input: Any) -> Any:
    """The gradient of ``hardsigmoid`` at ``input``."""
    return ops.where((input > -3) & (input < 3), grad * (1 / 6), 0.0)


elementwise(
    "hardsigmoid",
    rule=same,
    accepts=d.FLOATING,
    gradient=lambda g, input: ops.hardsigmoid_backward(g, input),
    decompose=lambda input: (input + 3).maximum(0).minimum(6) * (1 / 6),
    compute=d.float32,
    reference=lambda x: np.clip(x + 3, 0, 6) / 6,
    samples=uniform(-5, 5),
    special=SPECIAL,
    method=False,
    public=False,
    doc="``relu6(input + 3) / 6``.",
)


@_backward("shrink_backward")
def shrink_backward(grad: Any, input: Any, *, lambd: float) -> Any:
    """``grad`` where ``input`` is outside [-lambd, lambd] (or NaN), 0 inside."""
    return ops.where((input >= -lambd) & (input <= lambd), 0.0, grad)


def _shrink(g: Any, input: Any, lambd: float) -> Any:
    return ops.shrink_backward(g, input, lambd=lambd)


@_with_attributes(
    "hardshrink",
    gradient=_shrink,
    reference=lambda x, lambd=0.5: np.where(np.abs(x) <= lambd, 0, x),
    tried=((), (1.0,)),
    prepare=_numbers,
)
def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """``input`` outside [-lambd, lambd], 0 inside."""
    return input.masked_fill((input >= -lambd) & (input <= lambd), 0)


def _softshrink_prepare(input: Any, lambd: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    lambd = _number(lambd)
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    return (input,), (lambd,)


@_with_attributes(
    "softshrink",
    gradient=_shrink,
    reference=lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
    tried=((), (1.0,)),
    prepare=_softshrink_prepare,
    public=False,
)
def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """``input`` moved towards 0 by ``lambd``; 0 where it is nearer.

    Raises:
        RuntimeError: ``lambd`` is negative.
    """
    return input - input.maximum(-lambd).minimum(lambd)


@composite(
    "softsign",
    method=False,
    public=False,
    accepts=NUMBER,
    reference=lambda x: x / (1 + np.abs(x)),
    samples=uniform(-4, 4),
)
def softsign(input: Any) -> Any:
    """``input / (1 + |input|)``."""
    return input / (input.abs() + 1)


# with a weight, and gates


def _prelu_prepare(input: Any, weight: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if not hasattr(weight, "_spec"):
        raise TypeError(f"prelu(): argument 'weight' must be Tensor, not {type(weight).__name__}")
    if input.dtype is not weight.dtype:
        raise RuntimeError(
            f"prelu: Type promoting not supported. Got {input.dtype} and {weight.dtype}"
        )
    if weight.ndim > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}"
        )
    if weight.numel() != 1:
        if input.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.shape[1] if input.ndim > 1 else 1
        if channels != weight.numel():
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
    return (input, weight), ()


def _prelu_reference(x: Any, weight: Any) -> Any:
    shape = (1, -1, *[1] * (x.ndim - 2)) if weight.size > 1 else ()
    return np.where(x > 0, x, x * weight.reshape(shape))


@composite(
    "prelu",
    inputs=("input", "weight"),
    prepare=_prelu_prepare,
    accepts=d.FLOATING,
    compute=d.float32,
    reference=_prelu_reference,
    samples=lambda rng, dtype: [
        Sample((draw(rng, shape, dtype, -4, 4), draw(rng, weight, dtype, 0, 1)))
        for shape, weight in (
            ((3, 5), (5,)),
            ((2, 3, 4), (3,)),
            ((7,), (1,)),
            ((), ()),
            ((0, 3), (3,)),
        )
    ],
)
def prelu(input: Any, weight: Any) -> Any:
    """``input`` above 0, ``weight * input`` below; one weight, or one per channel (dim 1)."""
    if weight.numel() != 1:
        weight = weight.reshape((-1, *[1] * (input.ndim - 2)))
    elif weight.ndim:
        weight = weight.reshape(())
    return ops.where(input > 0, input, input * weight)


def _glu_prepare(input: Any, dim: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    if not input.ndim:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    dim = check_dim(dim, input.ndim)
    if input.shape[dim] % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}"
        )
    return (input,), (dim,)


def _glu_reference(x: Any, dim: int = -1) -> Any:
    a, b = np.split(x, 2, dim)
    return a * _sigmoid_reference(b)


@composite(
    "glu",
    prepare=_glu_prepare,
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=_glu_reference,
    samples=lambda rng, dtype: [
        Sample((draw(rng, (4, 6), dtype, -4, 4),)),
        Sample((draw(rng, (3, 4, 5), dtype, -4, 4), 1)),
        Sample((draw(rng, (0, 2), dtype, -4, 4),)),
    ],
)
def glu(input: Any, dim: int = -1) -> Any:
    """``a * sigmoid(b)``, with a and b the two halves of ``dim``.

    Source: Dauphin et al., "Language Modeling with Gated Convolutional Networks", 2017.
    """
    half = input.shape[dim] // 2
    return input.narrow(dim, 0, half) * input.narrow(dim, half, half).sigmoid()
