"""local_response_norm, by its neighbouring channels.

A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet Classification with Deep Convolutional Neural
Networks (NeurIPS 2012), section 3.3, with the mean in the place of the sum, as PyTorch has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.ops.families import draw, of_floats, result_like
from dovetail.ops.schema import Inferred, Sample

__all__: list[str] = []


def _window_mean(x: Any, before: int, size: int) -> Any:
    """The mean over ``size`` channels, of which ``before`` stand before; of an even number the
    other half minus one, or the other way round, behind."""
    batch, channels = x.shape[:2]
    flat = x.reshape(batch, 1, channels, -1)
    padded = ops.pad(flat, (0, 0, before, size - 1 - before))
    mean = ops.avg_pool(
        padded, kernel_size=(size, 1), stride=(1, 1), padding=(0, 0), ceil_mode=False,
        count_include_pad=True, divisor_override=None,
    )  # fmt: skip
    return mean.reshape(tuple(x.shape))


def _bounds(x: Any, size: int, alpha: float, k: float) -> Any:
    return _window_mean(x * x, size // 2, size) * alpha + k


def _window_sum(x: np.ndarray, before: int, size: int) -> Any:
    widths = [(0, 0)] * x.ndim
    widths[1] = (before, size - 1 - before)
    return np.lib.stride_tricks.sliding_window_view(np.pad(x, widths), size, 1).sum(-1)


def _reference(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> Any:
    return x / (k + alpha / size * _window_sum(x * x, size // 2, size)) ** beta


def _slope(
    g: np.ndarray, x: np.ndarray, result: np.ndarray, size: int, alpha: float, beta: float, k: float
) -> Any:
    bounds = k + alpha / size * _window_sum(x * x, size // 2, size)
    shared = _window_sum(g * result / bounds, (size - 1) // 2, size)
    return g * bounds**-beta - 2 * alpha * beta / size * x * shared


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    cases: tuple[tuple[tuple[int, ...], int, float, float, float], ...] = (
        ((2, 5, 3), 3, 1e-4, 0.75, 1.0), ((2, 6, 2, 3), 4, 0.5, 0.75, 2.0),
        ((1, 3, 2, 2, 2), 5, 1.0, 0.5, 1.0), ((2, 7, 19), 2, 2.0, 1.25, 0.5),
        ((2, 3, 4), 1, 1.0, 0.75, 1.0), ((1, 2, 3), 9, 0.3, 0.75, 1.5),
    )  # fmt: skip
    names = ("size", "alpha", "beta", "k")
    return [
        Sample((draw(rng, shape, dtype, -2, 2),), dict(zip(names, values, strict=True)))
        for shape, *values in cases
    ]


def _slope_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for (x,), kwargs, _ in _samples(rng, dtype):
        result = _reference(x.astype(np.float64), **kwargs).astype(dtype.numpy)
        made.append(Sample((draw(rng, x.shape, dtype, -2, 2), x, result), kwargs))
    return made


@of_floats(64)(
    "local_response_norm_backward",
    ("grad", "input", "result"),
    infer=lambda grad, input, result, **_: Inferred((None,) * 3, (result_like(input),)),
    reference=_slope,
    samples=_slope_samples,
)
def local_response_norm_backward(
    grad: Any, input: Any, result: Any, *, size: int, alpha: float, beta: float, k: float
) -> Any:
    """The gradient of ``local_response_norm``, whose ``result`` is given."""
    bounds = _bounds(input, size, alpha, k)
    shared = _window_mean(grad * result / bounds, (size - 1) // 2, size)
    return grad / bounds**beta - input * shared * (2 * alpha * beta)


@of_floats(32)(
    "local_response_norm",
    ("input",),
    infer=lambda input, **_: Inferred((None,), (result_like(input),)),
    gradient={
        "input": lambda g, input, out, size, alpha, beta, k: ops.local_response_norm_backward(
            g, input, out, size=size, alpha=alpha, beta=beta, k=k
        )
    },
    reference=_reference,
    samples=_samples,
    node_name=lambda *_, **__: "div",
)
def local_response_norm(input: Any, *, size: int, alpha: float, beta: float, k: float) -> Any:
    """``input`` (N, C, \\*) over (k + alpha · mean of squares of ``size`` channels) ** beta."""
    return input / _bounds(input, size, alpha, k) ** beta
