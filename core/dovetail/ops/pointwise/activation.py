"""Activations in pieces (relu, hardtanh, shrinks, …) and gates; smooth ones are elsewhere.

A gradient that is worth a kernel of its own is a ``*_backward`` composite; second order flows
through that one's decomposition. Values and gradients at kinks are PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.fitting import check_fits, held
from dovetail.ops.families import (
    SHAPES,
    composite,
    draw,
    elementwise,
    elementwise_infer,
    same,
    uniform,
)
from dovetail.ops.schema import Inferred, Sample, Tolerance
from dovetail.tensor import Tensor, check_dim

__all__ = ["backward_record", "number", "numbers", "with_attributes"]

Record = Callable[[Callable[..., Any]], Callable[..., Any]]

inf, nan = float("inf"), float("nan")
SPECIAL = (0.0, -0.0, 1.0, -1.0, inf, -inf, nan)
FINITE = (0.0, -0.0, 1.0, -1.0, 3.0, -3.0, nan)
NUMBER = (*d.FLOATING, *d.INTEGRAL)


def backward_record(
    name: str,
    reference: Callable[..., Any],
    *options: dict[str, Any],
    inputs: tuple[str, ...] = ("grad", "input"),
    low: float = -4.0,
    against: str = "",
) -> Record:
    """The record of a gradient: elementwise, with an override point, no method of its own.

    Args:
        reference: the slope, ``reference(input, **options)``; the gradient is that times ``grad``.
        options: attributes to try.
        low: the least input to try; the largest is its magnitude.
        against: see ``Tolerance``.
    """

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        return [
            Sample((draw(rng, shape, dtype, -2, 2), draw(rng, shape, dtype, low, abs(low))), tried)
            for shape in SHAPES
            for tried in options or ({},)
        ]

    return composite(
        name,
        inputs=inputs,
        kind="elementwise",
        infer=elementwise_infer(name, same),
        accepts=d.FLOATING,
        compute=d.float32,
        method=False,
        public=False,
        reference=lambda g, x, **attributes: g * reference(x, **attributes),
        samples=samples,
        tolerance=Tolerance(32, against=against),
    )


def with_attributes(
    name: str,
    *,
    gradient: Any,
    reference: Callable[..., Any],
    tried: tuple[tuple[Any, ...], ...],
    edges: tuple[tuple[Any, ...], ...] = (),
    prepare: Callable[..., Any],
    accepts: tuple[d.dtype, ...] = d.FLOATING,
    method: bool = False,
    inplace: bool = True,
    **fields: Any,
) -> Record:
    """The record of an activation that has numbers as arguments; ``tried`` are some of them.

    ``edges``: inputs to try too, each with its numbers.
    """

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        return [
            *(
                Sample((draw(rng, shape, dtype, -4, 4), *arguments))
                for shape, arguments in zip(SHAPES, tried * len(SHAPES), strict=False)
            ),
            *(Sample((x.astype(dtype.numpy), *arguments)) for x, *arguments in edges),
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
        inplace=inplace,
        method=method,
        **fields,
    )


def number(value: Any) -> Any:
    """An attribute as a Python number (a 0-d tensor or NumPy scalar is read)."""
    return value if isinstance(value, (int, float)) else value.item()


def numbers(input: Any, *values: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Prepare an operator of one tensor and some numbers."""
    return (input,), tuple(number(v) for v in values)


# threshold and relu


def _in_dtype(value: Any, x: Any) -> Any:
    """A number as a kernel of x's dtype sees it: whole numbers wrap around."""
    return np.asarray(int(value)).astype(x.dtype) if x.dtype.kind in "iu" else value


@backward_record(
    "threshold_backward",
    lambda x, threshold: x > threshold,
    {"threshold": 0.0},
    {"threshold": 0.5},
)
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


def _threshold_prepare(input: Any, *values: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Both numbers as the input's integers hold them."""
    (input,), made = numbers(input, *values)
    if isinstance(input, Tensor) and input.dtype.category == 1:
        for value in made:
            check_fits(value, input.dtype)
        made = tuple(held(value, input.dtype) for value in made)
    return (input,), made


@with_attributes(
    "threshold",
    gradient=lambda g, input, threshold: ops.threshold_backward(g, input, threshold=threshold),
    reference=lambda x, threshold, value: np.where(
        x <= _in_dtype(threshold, x), _in_dtype(value, x), x
    ),
    tried=((0.5, -2), (-1, 3)),
    prepare=_threshold_prepare,
    accepts=NUMBER,
    out=True,
)
def threshold(input: Any, threshold: Any, value: Any) -> Any:
    """``input`` where it is above ``threshold`` (or NaN), ``value`` elsewhere."""
    return input.masked_fill(input <= threshold, value)


@backward_record(
    "hardtanh_backward",
    lambda x, min_val, max_val: (x > min_val) & (x < max_val),
    {"min_val": -1.0, "max_val": 2.0},
)
def hardtanh_backward(grad: Any, input: Any, *, min_val: Any, max_val: Any) -> Any:
    """``grad`` where ``input`` is strictly between the bounds (or NaN), 0 elsewhere."""
    return ops.where((input <= min_val) | (input >= max_val), 0.0, grad)


def _hardtanh_arguments(input: Any, min_val: Any, max_val: Any) -> Any:
    unsigned = isinstance(input, Tensor) and input.dtype.category == 1 and not input.dtype.is_signed
    if unsigned and (min_val < 0 or max_val < 0):
        raise RuntimeError(
            "cannot do hardtanh on an unsigned type with negative limits "
            f"(min_val {min_val}, max_val {max_val})"
        )
    return numbers(input, min_val, max_val)


@with_attributes(
    "hardtanh",
    gradient=lambda g, input, min_val, max_val: ops.hardtanh_backward(
        g, input, min_val=min_val, max_val=max_val
    ),
    reference=lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
    tried=((), (-2, 3), (-1.0, 2.0)),
    prepare=_hardtanh_arguments,
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


@backward_record(
    "leaky_relu_backward",
    lambda x, negative_slope: np.where(x > 0, 1, negative_slope),
    {"negative_slope": 0.2},
)
def leaky_relu_backward(grad: Any, input: Any, *, negative_slope: float) -> Any:
    """``grad`` where ``input`` is above 0, ``negative_slope * grad`` elsewhere."""
    return ops.where(input > 0, grad, grad * negative_slope)


@with_attributes(
    "leaky_relu",
    gradient=lambda g, input, negative_slope: ops.leaky_relu_backward(
        g, input, negative_slope=negative_slope
    ),
    reference=lambda x, negative_slope=0.01: np.where(x > 0, x, x * negative_slope),
    tried=((), (0.3,)),
    prepare=numbers,
)
def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """``input`` above 0, ``negative_slope * input`` below."""
    return ops.where(input > 0, input, input * negative_slope)


# piecewise linear and quadratic


@backward_record("hardswish_backward", lambda x: np.where(x < 3, x / 3 + 0.5, 1) * (x > -3))
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


@backward_record("hardsigmoid_backward", lambda x: (np.abs(x) < 3) / 6)
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


@backward_record("shrink_backward", lambda x, lambd: np.abs(x) > lambd, {"lambd": 0.5})
def shrink_backward(grad: Any, input: Any, *, lambd: float) -> Any:
    """``grad`` where ``input`` is outside [-lambd, lambd] (or NaN), 0 inside."""
    return ops.where((input >= -lambd) & (input <= lambd), 0.0, grad)


def _shrink(g: Any, input: Any, lambd: float) -> Any:
    return ops.shrink_backward(g, input, lambd=lambd)


def _hardshrink_prepare(input: Any, lambd: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The bound as a half of its input has it: what is equal to it is inside."""
    (input,), (lambd,) = numbers(input, lambd)
    if isinstance(input, Tensor) and input.dtype in (d.float16, d.bfloat16):
        lambd = float(np.asarray(lambd, input.dtype.numpy))
    return (input,), (lambd,)


@with_attributes(
    "hardshrink",
    gradient=_shrink,
    reference=lambda x, lambd=0.5: np.where(np.abs(x) <= lambd, 0, x),
    tried=((), (1.0,)),
    edges=((np.array([-1.0, 1.0, 1.5, -0.5]), 1.0),),
    prepare=_hardshrink_prepare,
    method=True,
    inplace=False,
)
def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """``input`` outside [-lambd, lambd], 0 inside."""
    return input.masked_fill((input >= -lambd) & (input <= lambd), 0)


def _softshrink_prepare(input: Any, lambd: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    lambd = number(lambd)
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd:g}.")
    return (input,), (lambd,)


@with_attributes(
    "softshrink",
    gradient=_shrink,
    reference=lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
    tried=((), (1.0,)),
    prepare=_softshrink_prepare,
    public=False,
    inplace=False,
)
def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """``input`` moved towards 0 by ``lambd``; 0 where it is nearer.

    Raises:
        RuntimeError: ``lambd`` is negative.
    """
    return input - input.maximum(-lambd).minimum(lambd)


@backward_record("softsign_backward", lambda x: 1 / (1 + np.abs(x)) ** 2)
def softsign_backward(grad: Any, input: Any) -> Any:
    """The gradient of ``softsign`` at ``input``."""
    size = input.abs() + 1
    return grad / (size * size)


def _softsign_complex(g: Any, input: Any) -> Any:
    size = input.abs() + 1
    return g / size - input.sgn() * ops.real(g * input.conj()) / (size * size)


@composite(
    "softsign",
    gradient={"input": lambda g, input: ops.softsign_backward(g, input)},
    complex_gradient={"input": _softsign_complex},
    node_name=lambda *_, **__: "div",
    method=False,
    public=False,
    accepts=d.NUMBER,
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


def _weight_beside(input: Any, weight: Any) -> Any:
    """The weight in a shape that broadcasts with the input."""
    if weight.numel() != 1:
        return weight.reshape((-1, *[1] * (input.ndim - 2)))
    return weight.reshape(()) if weight.ndim else weight


def _prelu_slopes(g: Any, x: Any, weight: Any) -> tuple[Any, Any]:
    shape = (1, -1, *[1] * (x.ndim - 2)) if weight.size > 1 else ()
    each = np.where(x > 0, 0, g * x)
    dims = tuple(i for i in range(x.ndim) if i != 1 or weight.size == 1)
    of_weight = each.sum(dims).reshape(weight.shape)
    return np.where(x > 0, g, g * weight.reshape(shape)), of_weight


_PRELU_SHAPES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((3, 5), (5,)), ((2, 3, 4), (3,)), ((7,), (1,)), ((), ()), ((0, 3), (3,)),
)  # fmt: skip


@composite(
    "prelu_backward",
    inputs=("grad", "input", "weight"),
    outputs=2,
    differentiable=(0, 1),
    infer=lambda grad, input, weight: Inferred(
        (None,) * 3, ((input.shape, input.dtype), (weight.shape, weight.dtype))
    ),
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=_prelu_slopes,
    samples=lambda rng, dtype: [
        Sample(
            (
                draw(rng, shape, dtype, -2, 2),
                draw(rng, shape, dtype, -4, 4),
                draw(rng, weight, dtype, 0, 1),
            )
        )
        for shape, weight in _PRELU_SHAPES
    ],
    tolerance=Tolerance(32, against="inputs"),
)
def prelu_backward(grad: Any, input: Any, weight: Any) -> tuple[Any, Any]:
    """The gradients of ``prelu`` for its input and its weight."""
    is_above = input > 0
    of_input = ops.where(is_above, grad, grad * _weight_beside(input, weight))
    each = ops.where(is_above, 0.0, grad * input)
    dims = tuple(i for i in range(input.ndim) if i != 1 or weight.numel() == 1)
    return of_input, (each.sum(dims) if dims else each).reshape(weight.shape)


@composite(
    "prelu",
    inputs=("input", "weight"),
    gradient=lambda g, input, weight: ops.prelu_backward(g, input, weight),
    node_name=lambda *_, **__: "prelu_kernel",
    prepare=_prelu_prepare,
    accepts=d.FLOATING,
    compute=d.float32,
    reference=_prelu_reference,
    samples=lambda rng, dtype: [
        Sample((draw(rng, shape, dtype, -4, 4), draw(rng, weight, dtype, 0, 1)))
        for shape, weight in _PRELU_SHAPES
    ],
)
def prelu(input: Any, weight: Any) -> Any:
    """``input`` above 0, ``weight * input`` below; one weight, or one per channel (dim 1)."""
    return ops.where(input > 0, input, input * _weight_beside(input, weight))


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
    return a / (1 + np.exp(-b))


def _glu_slope(g: Any, x: Any, dim: int = -1) -> Any:
    a, b = np.split(x, 2, dim)
    gate = 1 / (1 + np.exp(-b))
    return np.concatenate((g * gate, g * a * gate * (1 - gate)), dim)


_GLU_CALLS: tuple[tuple[tuple[int, ...], int], ...] = (((4, 6), -1), ((3, 4, 5), 1), ((0, 2), -1))


def _glu_slope_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for shape, dim in _GLU_CALLS:
        half = list(shape)
        half[dim] //= 2
        arrays = draw(rng, tuple(half), dtype, -2, 2), draw(rng, shape, dtype, -4, 4)
        made.append(Sample(arrays, {"dim": dim % len(shape)}))
    return made


@composite(
    "glu_backward",
    inputs=("grad", "input"),
    infer=lambda grad, input, dim: Inferred((None, None), ((input.shape, input.dtype),)),
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=_glu_slope,
    samples=_glu_slope_samples,
    tolerance=Tolerance(32, against="inputs"),
)
def glu_backward(grad: Any, input: Any, *, dim: int) -> Any:
    """The gradient of ``glu``."""
    half = input.shape[dim] // 2
    gate = input.narrow(dim, half, half).sigmoid()
    of_first = grad * gate
    return ops.cat((of_first, of_first * input.narrow(dim, 0, half) * (1 - gate)), dim)


@composite(
    "glu",
    gradient={"input": lambda g, input, dim: ops.glu_backward(g, input, dim=dim)},
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
