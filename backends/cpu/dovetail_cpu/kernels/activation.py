"""Activations and their gradients on NumPy arrays: few passes, a block at a time, no branches.

float32 and float64; the decompositions serve the other dtypes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64
from dovetail_cpu.kernels.blocks import BLOCK, flat, in_blocks, scratch, select
from dovetail_cpu.kernels.composed import by_steps, has_steps
from dovetail_cpu.onednn import pointwise
from dovetail_cpu.onednn.pointwise import Function
from dovetail_cpu.onednn.session import current

__all__ = ["enter", "erf32"]

Array = np.ndarray

_ROOT = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


def _like(out: Array, number: int = 0) -> Array:
    return scratch(out.dtype, out.size, number).reshape(out.shape)


def relu(facts: Any) -> Any:
    """max(x, 0). NumPy compares with a scalar slowly, and clips fast."""
    zero, most = (facts.outputs[0].dtype.numpy.type(v) for v in (0, np.inf))
    if facts.outputs[0].numel <= BLOCK >> 3:
        return lambda input, out: np.maximum(input, zero, out=out)
    return lambda input, out: np.clip(input, zero, most, out=out)


def leaky_relu(input: Array, out: Array, *, negative_slope: float) -> None:
    """x above 0, slope · x below; for slopes in (0, 1] the larger of the two."""
    np.multiply(input, negative_slope, out=out)
    np.maximum(input, out, out=out)


def _gate(input: Array, out: Array) -> None:
    """1 + exp(-x)."""
    np.negative(input, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)


def sigmoid(input: Array, out: Array) -> None:
    """1 / (1 + exp(-x))."""
    _gate(input, out)
    np.reciprocal(out, out=out)


def sigmoid_backward(grad: Array, output: Array, out: Array) -> None:
    """grad · (1 - y) · y."""
    np.subtract(1, output, out=out)
    np.multiply(out, output, out=out)
    np.multiply(out, grad, out=out)


def silu(input: Array, out: Array) -> None:
    """x / (1 + exp(-x))."""
    _gate(input, out)
    np.divide(input, out, out=out)


def silu_backward(grad: Array, input: Array, out: Array) -> None:
    """grad · σ(x) · (1 + x · (1 - σ(x)))."""
    gate = _like(out)
    sigmoid(input, gate)
    np.subtract(1, gate, out=out)
    np.multiply(out, input, out=out)
    np.add(out, 1, out=out)
    np.multiply(out, gate, out=out)
    np.multiply(out, grad, out=out)


def elu(input: Array, out: Array, *, alpha: float, scale: float, input_scale: float) -> None:
    """scale · (max(x, 0) + alpha · (exp(min(input_scale · x, 0)) - 1))."""
    low = _like(out)
    if input_scale != 1:
        np.multiply(input, input_scale, out=low)
    np.clip(low if input_scale != 1 else input, -np.inf, 0, out=low)
    np.expm1(low, out=low)
    if alpha != 1:
        np.multiply(low, alpha, out=low)
    np.clip(input, 0, np.inf, out=out)
    np.add(out, low, out=out)
    if scale != 1:
        np.multiply(out, scale, out=out)


def elu_backward(
    grad: Array, input: Array, out: Array, *, alpha: float, scale: float, input_scale: float
) -> None:
    """scale · grad above 0 (or at NaN), and that · alpha · input_scale · exp(input_scale · x)."""
    below, zeros = _like(out), _like(out, 1)
    zeros.fill(0)  # beside an array of them, fmin takes a fifth of its time beside a number
    np.multiply(input, input_scale, out=below)
    np.fmin(below, zeros, out=below)
    np.exp(below, out=below)
    slope = alpha * input_scale
    if slope != 1:  # exp(0) is not what is above 0, then
        np.multiply(below, slope, out=below)
        select(np.less_equal(input, 0), below, np.ones((), out.dtype), below)
    np.multiply(grad, below, out=out)
    if scale != 1:
        np.multiply(out, scale, out=out)


def hardtanh(input: Array, out: Array, *, min_val: float, max_val: float) -> None:
    """min(max(x, min_val), max_val)."""
    np.clip(input, min_val, max_val, out=out)


# erf(x) is x · P(x²) / Q(x²) on [-4, 4] to 2.5e-8, and ±1 in float32 beyond: a rational fit to
# math.erf, weighted until the largest relative errors were equal.
_ERF_P = (
    1.9867953e-06, 0.000284566161, 0.0038833228, 0.0531016771, 0.193544462, 1.12837914,
)  # fmt: skip
_ERF_Q = (3.7420326e-05, 0.00118556752, 0.015207206, 0.115349762, 0.504856869, 1.0)


def erf32(input: Array, out: Array) -> None:
    """The error function in float32. ``out`` is not ``input``."""
    x, square, bottom = _like(out, 1), _like(out, 2), _like(out, 3)
    np.clip(input, np.float32(-4), np.float32(4), out=x)
    np.multiply(x, x, out=square)
    _polynomial(_ERF_P, square, out)
    np.multiply(out, x, out=out)
    _polynomial(_ERF_Q, square, bottom)
    np.divide(out, bottom, out=out)
    np.clip(out, np.float32(-1), np.float32(1), out=out)


def _polynomial(coefficients: tuple[float, ...], x: Array, out: Array) -> None:
    np.multiply(x, coefficients[0], out=out)
    for c in coefficients[1:-1]:
        np.add(out, c, out=out)
        np.multiply(out, x, out=out)
    np.add(out, coefficients[-1], out=out)


def gelu(input: Array, out: Array, *, approximate: str) -> None:
    """x · Φ(x), or its approximation by tanh."""
    inner = _like(out)
    if approximate == "none":
        np.multiply(input, math.sqrt(0.5), out=inner)
        erf32(inner, out)
    else:
        np.multiply(input, input, out=inner)
        np.multiply(inner, _CUBIC * _ROOT, out=inner)
        np.add(inner, _ROOT, out=inner)
        np.multiply(inner, input, out=inner)
        np.tanh(inner, out=out)
    np.multiply(out, 0.5, out=out)
    np.add(out, 0.5, out=out)
    np.multiply(out, input, out=out)


def gelu_backward(grad: Array, input: Array, out: Array, *, approximate: str) -> None:
    """grad · (Φ(x) + x · φ(x)), or the derivative of the approximation."""
    work = _like(out)
    if approximate == "none":
        np.multiply(input, math.sqrt(0.5), out=work)
        erf32(work, out)
        np.multiply(work, work, out=work)
        np.negative(work, out=work)
        np.exp(work, out=work)
        np.multiply(work, input, out=work)
        np.multiply(work, _ROOT, out=work)
    else:
        slope = _like(out, 1)
        np.multiply(input, input, out=slope)
        np.multiply(slope, _CUBIC * _ROOT, out=work)
        np.add(work, _ROOT, out=work)
        np.multiply(work, input, out=work)
        np.tanh(work, out=out)
        np.multiply(slope, 3 * _CUBIC * _ROOT, out=slope)
        np.add(slope, _ROOT, out=slope)
        np.multiply(slope, input, out=slope)
        np.multiply(out, out, out=work)
        np.subtract(1, work, out=work)
        np.multiply(work, slope, out=work)
    # 0.5 · (1 + out + work)
    np.add(out, 1, out=out)
    np.add(out, work, out=out)
    np.multiply(out, 0.5, out=out)
    np.multiply(out, grad, out=out)


def _or_onednn(
    primitive: Any,
    function: Callable[[Any], Function],
    otherwise: Callable[[Any], Any],
    least: int = BLOCK >> 3,
) -> Callable[[Any], Any]:
    """A table entry: oneDNN's primitive from ``least`` elements on, else ``otherwise``."""

    def specialised(facts: Any) -> Any:
        plain, out = otherwise(facts), facts.outputs[0]
        alike = all(getattr(s, "strides", None) == out.strides for s in facts.inputs)
        if not (alike and out.is_dense) or out.numel < least or out.dtype is not float32:
            return plain
        wanted = function(facts)

        def run(*arrays: Array) -> None:
            session = current()
            if session is None or not primitive(session, wanted, *map(flat, arrays)):
                plain(*arrays)

        return run

    return specialised


def _named(name: str, *numbers: float) -> Callable[[Any], Function]:
    function = Function(name, *numbers)
    return lambda facts: function


_SURE = 18.0
"""The logistic function is 1 in float32 from here on."""


def _elu(facts: Any) -> Function:
    return Function("elu", facts.alpha)


def _soft_relu(facts: Any) -> Function:
    return Function("soft_relu", facts.beta)


def _always(facts: Any) -> bool:
    return True


def _has_steps(facts: Any, table: KernelTable, fits: Callable[[Any], bool]) -> bool:
    return fits(facts) and has_steps(facts, table)


def _gelu(facts: Any) -> Function:
    return Function("gelu_erf" if facts.approximate == "none" else "gelu_tanh")


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    floats = (float32, float64)
    table.add("relu", relu, dtypes=floats, specialize=True)
    for name, kernel in {
        "sigmoid_backward": sigmoid_backward,
        "elu": elu,
        "elu_backward": elu_backward,
        "hardtanh": hardtanh,
    }.items():
        table.add(name, in_blocks(kernel), dtypes=floats, specialize=True)
    table.add(
        "leaky_relu",
        in_blocks(leaky_relu),
        dtypes=floats,
        specialize=True,
        when=lambda f: 0 < f.negative_slope <= 1,
    )
    table.add("erf", in_blocks(erf32), dtypes=(float32,), specialize=True)
    forward, backward = pointwise.elementwise, pointwise.elementwise_backward
    logistic, swish = _named("logistic"), _named("swish")
    for name, entry, kinds in (
        ("sigmoid", _or_onednn(forward, logistic, in_blocks(sigmoid)), floats),
        ("silu", _or_onednn(forward, swish, in_blocks(silu), BLOCK), floats),
        ("silu_backward", _or_onednn(backward, swish, in_blocks(silu_backward), BLOCK), floats),
        ("gelu", _or_onednn(forward, _gelu, in_blocks(gelu), 1), (float32,)),
        ("gelu_backward", _or_onednn(backward, _gelu, in_blocks(gelu_backward), 1), (float32,)),
    ):
        table.add(name, entry, dtypes=kinds, specialize=True)
    steps = partial(by_steps, table=table)
    for name, primitive, function, fits in (
        ("mish_backward", backward, _named("mish"), _always),
        ("elu_backward", backward, _elu, lambda f: f.input_scale == 1 and f.scale == 1),
        ("softplus_backward", backward, _soft_relu, lambda f: f.threshold > _SURE),
    ):
        table.add(
            name, _or_onednn(primitive, function, steps), dtypes=(float32,), specialize=True,
            when=partial(_has_steps, table=table, fits=fits),
        )  # fmt: skip
