"""Smooth activations: the exponential family, sigmoids, softplus, gelu; each with its gradient.

Organised as ``activation.py`` says.
"""

from __future__ import annotations

import math
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
    pairs,
    same,
    to_float,
    uniform,
)
from dovetail.ops.pointwise.activation import (
    FINITE,
    NUMBER,
    SPECIAL,
    backward_record,
    number,
    numbers,
    with_attributes,
)
from dovetail.ops.schema import Sample, Tolerance

__all__: list[str] = []

# Klambauer et al., "Self-Normalizing Neural Networks", 2017
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


# the exponential family


def _elu_reference(x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) * input_scale))


@backward_record(
    "elu_backward",
    lambda x, alpha, scale, input_scale: (
        scale * np.where(x > 0, 1, alpha * input_scale * np.exp(np.minimum(x, 0) * input_scale))
    ),
    {"alpha": 1.0, "scale": 1.0, "input_scale": 1.0},
    {"alpha": 1.5, "scale": 1.1, "input_scale": 0.6},
)
def elu_backward(grad: Any, input: Any, *, alpha: float, scale: float, input_scale: float) -> Any:
    """The gradient of ``elu`` at ``input``."""
    low = ops.where(input < 0, input, 0.0)  # the other half could overflow
    low = grad * (low * input_scale).exp() * (alpha * scale * input_scale)
    return ops.where(input <= 0, low, grad * scale)


@with_attributes(
    "elu",
    gradient=lambda g, input, alpha, scale, input_scale: ops.elu_backward(
        g, input, alpha=alpha, scale=scale, input_scale=input_scale
    ),
    reference=_elu_reference,
    tried=((), (0.7,), (1.5, 1.1, 0.6)),
    prepare=numbers,
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
    return (input,), (number(alpha),)


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


@backward_record("sigmoid_backward", lambda y: y * (1 - y), inputs=("grad", "output"), low=-1.0)
def sigmoid_backward(grad: Any, output: Any) -> Any:
    """The gradient of ``sigmoid`` where its value is ``output``."""
    return grad * ((1 - output) * output)


def _sigmoid_reference(x: Any) -> Any:
    if np.iscomplexobj(x):
        return 1 / (1 + np.exp(-x))
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


@backward_record(
    "silu_backward",
    lambda x: _sigmoid_reference(x) * (1 + x * _sigmoid_reference(-x)),
    against="largest",  # the slope cancels near -1.28
)
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


@backward_record(
    "mish_backward",
    lambda x: (
        np.tanh(np.logaddexp(0, x)) + x * _sigmoid_reference(x) / np.cosh(np.logaddexp(0, x)) ** 2
    ),
)
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


@backward_record("log_sigmoid_backward", lambda x: _sigmoid_reference(-x))
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


@backward_record(
    "softplus_backward",
    lambda x, beta, threshold: np.where(x * beta > threshold, 1, _sigmoid_reference(x * beta)),
    {"beta": 1.0, "threshold": 20.0},
    {"beta": 2.0, "threshold": 1.0},
)
def softplus_backward(grad: Any, input: Any, *, beta: float, threshold: float) -> Any:
    """The gradient of ``softplus`` at ``input``."""
    scaled = input * beta
    return ops.where(scaled > threshold, grad, grad * scaled.sigmoid())


@with_attributes(
    "softplus",
    gradient=lambda g, input, beta, threshold: ops.softplus_backward(
        g, input, beta=beta, threshold=threshold
    ),
    reference=_softplus_reference,
    tried=((), (2.0,), (0.5, 1.0)),
    prepare=numbers,
    compute=d.float32,
    public=False,
    inplace=False,
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


def _gelu_slope(x: Any, approximate: str) -> Any:
    if approximate == "none":
        cdf = 0.5 * (1 + np.vectorize(math.erf, otypes=[np.float64])(x * math.sqrt(0.5)))
        return cdf + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    t = np.tanh(_ROOT * (x + _CUBIC * x**3))
    return 0.5 * (1 + t + x * (1 - t * t) * _ROOT * (1 + 3 * _CUBIC * x * x))


@backward_record(
    "gelu_backward",
    _gelu_slope,
    {"approximate": "none"},
    {"approximate": "tanh"},
    against="inputs",  # erf(x) + 1 and tanh(x) + 1 cancel below 0
)
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
    if not isinstance(approximate, str):
        raise TypeError(
            f"gelu(): argument 'approximate' must be str, not {type(approximate).__name__}"
        )
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
    reference=_gelu_reference,
    tolerance=Tolerance(16, against="inputs"),  # erf(x) + 1 and tanh(x) + 1 cancel below 0
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


# ------------------------------------------------------- with noise


def _noise_infer(input: Any, uniform: Any, least: float) -> Any:
    return elementwise_infer("gumbel_noise", same, tensors_only=True)(input, uniform)


def _noise_slope(g: Any, uniform: Any, least: float) -> Any:
    exponential = -(-uniform).log1p()
    slope = g / (exponential * (uniform - 1))
    return ops.where(exponential.lt(least), 0.0, slope)


@composite(
    "gumbel_noise",
    kind="elementwise",
    inputs=("input", "uniform"),
    infer=_noise_infer,
    gradient={"input": lambda g: g, "uniform": _noise_slope},
    accepts=d.FLOATING,
    compute=d.float32,
    reference=lambda x, u, least: x - np.log(np.maximum(-np.log1p(-u), least)),
    samples=lambda rng, dtype: [
        Sample((*s.args, least)) for s in pairs(-3, 3, 0, 0.9)(rng, dtype) for least in (1e-3, 0.25)
    ],
    tolerance=Tolerance(32, against="inputs"),
    method=False,
    public=False,
)
def gumbel_noise(input: Any, uniform: Any, least: float) -> Any:
    """``input`` with a number of the Gumbel distribution added: minus the logarithm of one of the
    exponential distribution, which is made of one from [0, 1), and not below ``least``."""
    return input - (-(-uniform).log1p()).clamp_min(least).log()
