"""What distributions are written with (``torch.distributions.utils``)."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import Any, Generic, TypeVar

import dovetail as dt
from dovetail.tensor import Tensor

__all__ = [
    "broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs",
    "probs_to_logits", "standard_normal", "sum_rightmost",
]  # fmt: skip

Made = TypeVar("Made")

euler_constant = 0.57721566490153286060


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Parameters as tensors of one shape; numbers take the dtype and device of the first tensor.

    Raises:
        ValueError: one is neither a tensor nor a number.
    """
    first = next((v for v in values if isinstance(v, Tensor)), None)
    dtype = dt.get_default_dtype() if first is None else first.dtype
    device = None if first is None else first.device
    for value in values:
        if not isinstance(value, (Tensor, numbers.Number)):
            raise ValueError(
                "Input arguments must all be instances of Number, Tensor or objects implementing "
                "__torch_function__."
            )
    tensors = (
        v if isinstance(v, Tensor) else dt.tensor(v, dtype=dtype, device=device) for v in values
    )
    return tuple(dt.broadcast_tensors(*tensors))


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities, 0 and 1 moved by one rounding error: their logarithms are finite."""
    eps = dt.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities of logits along the last dim; ``is_binary``: of the logarithms of odds."""
    return dt.sigmoid(logits) if is_binary else dt.softmax(logits, -1)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """The logarithms of probabilities; ``is_binary``: of their odds."""
    probs = clamp_probs(probs)
    return dt.log(probs) - dt.log1p(-probs) if is_binary else dt.log(probs)


def sum_rightmost(value: Tensor, dims: int) -> Tensor:
    """The sum over the last ``dims`` dims; none of them is the value itself."""
    return value.sum(tuple(range(-dims, 0))) if dims else value


def standard_normal(shape: Iterable[int], dtype: dt.dtype, device: dt.device) -> Tensor:
    """Numbers of the standard normal distribution."""
    return dt.randn(tuple(shape), dtype=dtype, device=device)


class lazy_property(Generic[Made]):
    """An attribute that is computed when it is first asked for.

    Gradients flow through it even if that is under ``no_grad``: who asks later may want them.
    """

    def __init__(self, wrapped: Callable[[Any], Made]) -> None:
        self.wrapped = wrapped
        update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: Any = None) -> Made:
        if instance is None:
            return self  # type: ignore[return-value]
        with dt.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


_standard_normal, _sum_rightmost = standard_normal, sum_rightmost
"""The names by which programs import the two from PyTorch's module."""
