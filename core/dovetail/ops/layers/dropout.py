"""Dropout and its relatives: the input times noise that is drawn by one kernel.

The noise is of the input's dtype, so that the forward is one product, the gradient is the gradient
of a product, and both are differentiable any number of times. Source: Srivastava et al. (2014);
alpha dropout: Klambauer et al., "Self-normalizing neural networks" (2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dovetail.dtypes import type_name
from dovetail.generator import Generator
from dovetail.ops.expose import FUNCTIONS
from dovetail.ops.layers.dropout_step import dropout_step
from dovetail.ops.randomness.draws import draw_noise
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor

__all__: list[str] = []

_SELU_FLOOR = 1.7580993408473766
"""Minus what SELU tends to on the left: its scale times its alpha."""


_ALPHA = "alpha_dropout_step", None


def _checked(input: Tensor, p: float, train: bool) -> bool:
    """Whether anything is to be dropped.

    Raises:
        RuntimeError: p is no probability, or the input's dtype cannot hold scaled values.
    """
    if not 0 <= p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p}")
    if p == 0 or not train or not input._spec.numel:
        return False
    if input._spec.dtype.category < 2:
        raise RuntimeError(
            "result type Float can't be cast to the desired output type "
            f"{type_name(input._spec.dtype)}"
        )
    return True


def _noise_spec(input: Tensor, by_feature: bool) -> Spec:
    """The noise's spec: the input's, or one element per row and feature (N, C, 1, …)."""
    spec = input._spec
    if spec.is_contiguous and spec.dtype.category == 2 and spec.batch is None and not by_feature:
        return spec
    shape = tuple(spec.shape)
    if by_feature:
        if spec.ndim < 2:
            raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
        shape = (*shape[:2], *(1,) * (spec.ndim - 2))
    return spec_of(shape, spec.dtype.to_real(), spec.device)


def _plain(input: Any, p: float, train: bool, by_feature: bool, times: Any, generator: Any) -> Any:
    if not _checked(input, p, train):
        return input
    if p == 1:
        return times(input, input.new_zeros(()))
    kept, scale = float(1.0 - p), 1.0 / (1.0 - p)
    noise = _noise_spec(input, by_feature)
    if times is _mul:
        name, wide = ("feature_dropout_step", noise) if by_feature else ("dropout_step", None)
        made = dropout_step(input, generator, name, wide, p=kept, scale=scale)
        if made is not None:
            return made
    return times(input, draw_noise(noise, kept, scale, generator))


def _alpha(input: Any, p: float, train: bool, by_feature: bool, times: Any, generator: Any) -> Any:
    if not _checked(input, p, train):
        return input
    if p == 1:
        return times(input, input.new_zeros(()))
    # Dropped elements become SELU's floor; scale and shift bring mean and variance back.
    scale = 1.0 / math.sqrt((_SELU_FLOOR**2 * p + 1) * (1 - p))
    noise = _noise_spec(input, by_feature)
    if times is _mul:
        name, wide = ("feature_alpha_dropout_step", noise) if by_feature else _ALPHA
        shift = _SELU_FLOOR * scale * (p - 1)
        made = dropout_step(
            input, generator, name, wide, p=1.0 - p, scale=scale, slope=_SELU_FLOOR, shift=shift
        )
        if made is not None:
            return made
    kept: Any = draw_noise(noise, 1.0 - p, 1, generator)
    shift = (kept - 1) * (_SELU_FLOOR * scale) + _SELU_FLOOR * scale * p
    result = times(input, kept * scale)
    return result.add_(shift) if result is input else result + shift


def _mul(input: Any, noise: Any) -> Any:
    return input * noise


def _mul_(input: Any, noise: Any) -> Any:
    return input.mul_(noise)


def _publish(name: str, rule: Callable[..., Any], by_feature: bool, doc: str) -> None:
    for suffix, times in (("", _mul), ("_", _mul_)):

        def function(
            input: Tensor,
            p: float,
            train: bool,
            *,
            generator: Generator | None = None,
            _times: Any = times,
        ) -> Tensor:
            return rule(input, p, train, by_feature, _times, generator)  # type: ignore[no-any-return]

        function.__name__ = function.__qualname__ = name + suffix
        function.__doc__ = doc + (" In place." if suffix else "") + _MORE
        FUNCTIONS[name + suffix] = function


_MORE = """

    Returns the input itself when ``train`` is False or ``p`` is 0.

    Raises:
        RuntimeError: p is outside [0, 1], or the input is not a floating-point tensor.
    """
_publish(
    "dropout", _plain, False,
    "Each element 0 with chance ``p``, the others divided by ``1 - p``.",
)  # fmt: skip
_publish(
    "feature_dropout", _plain, True,
    "As ``dropout``, but for whole features (N, C, …) at a time.",
)  # fmt: skip
_publish(
    "alpha_dropout", _alpha, False,
    "Dropout that keeps the mean and variance of SELU's values.",
)  # fmt: skip
_publish(
    "feature_alpha_dropout", _alpha, True,
    "As ``alpha_dropout``, but for whole features (N, C, …) at a time.",
)  # fmt: skip
