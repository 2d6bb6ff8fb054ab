"""Gradients kept from growing too large (``torch.nn.utils.clip_grad_norm_`` and its like)."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any

import dovetail
from dovetail.ops.layers.gradient_norms import (
    bound_all,
    clip_all,
    norm_of_all,
    scale_all,
)
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
]

Tensors = Tensor | Iterable[Tensor]


def _listed(tensors: Tensors) -> list[Any]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: list[Any]) -> list[Any]:
    return [grad for p in parameters if (grad := p.grad) is not None]


@dovetail.no_grad()
def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors together, as if they were one vector; 0-d, on the first's device.

    Args:
        tensors: one or several, of any shapes.
        norm_type: the order; ``inf`` for the largest element.
        error_if_nonfinite: raise where the norm is NaN or infinite.
        foreach: accepted for PyTorch's sake; it changes nothing here.

    Raises:
        RuntimeError: see ``error_if_nonfinite``.
    """
    return _total_norm(_listed(tensors), norm_type, error_if_nonfinite)


def _total_norm(given: list[Any], norm_type: float, error_if_nonfinite: bool) -> Tensor:
    """As :func:`get_total_norm`, where nothing is recorded."""
    order = float(norm_type)
    if not given:
        return dovetail.tensor(0.0)
    total: Any = norm_of_all(given, order)
    if total is None:
        norms = [dovetail.linalg.vector_norm(t, order).to(given[0].device) for t in given]
        total = dovetail.linalg.vector_norm(dovetail.stack(norms), order)
    if error_if_nonfinite and not total.isfinite().item():
        raise RuntimeError(
            f"The total norm of order {order} for gradients from `parameters` is non-finite, so "
            "it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total  # type: ignore[no-any-return]


@dovetail.no_grad()
def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients in place so that their norm, which is known, is ``max_norm`` at most.

    Args:
        parameters: one or several; those without a gradient are passed over.
        max_norm: the largest norm.
        total_norm: what :func:`get_total_norm` gave for the gradients.
        foreach: accepted for PyTorch's sake; it changes nothing here.
    """
    _scale(_gradients(_listed(parameters)), max_norm, total_norm)


def _scale(gradients: list[Any], max_norm: float, total_norm: Tensor) -> None:
    """As :func:`clip_grads_with_norm_`, where nothing is recorded."""
    if not gradients or scale_all(gradients, total_norm, float(max_norm)):
        return
    # No look at the value: that would wait for the device.
    factor: Any = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.to(gradient.device))


@dovetail.no_grad()
def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients in place so that their norm together is ``max_norm`` at most.

    Args:
        parameters: one or several; those without a gradient are passed over.
        max_norm: the largest norm.
        norm_type: the order; ``inf`` for the largest element.
        error_if_nonfinite: raise where the norm is NaN or infinite.
        foreach: accepted for PyTorch's sake; it changes nothing here.

    Returns:
        The norm before, 0-d.

    Raises:
        RuntimeError: see ``error_if_nonfinite``.

    >>> import dovetail as dt
    >>> w = dt.zeros(2, requires_grad=True)
    >>> w.grad = dt.tensor([3.0, 4.0])
    >>> dt.nn.utils.clip_grad_norm_([w], 1.0), w.grad
    (tensor(5.), tensor([0.6000, 0.8000]))
    """
    given = _listed(parameters)
    if isinstance(parameters, types.GeneratorType) and not given:
        warn("`parameters` is an empty generator, no gradient clipping will occur.")
    gradients = _gradients(given)
    if gradients and not error_if_nonfinite:
        made = clip_all(gradients, float(norm_type), float(max_norm))
        if made is not None:
            return made
    total = _total_norm(gradients, norm_type, error_if_nonfinite)
    _scale(gradients, max_norm, total)
    return total


def clip_grad_norm(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """As :func:`clip_grad_norm_`, under its old name; warns of that."""
    warn(
        "`torch.nn.utils.clip_grad_norm` is now deprecated in favor of "
        "`torch.nn.utils.clip_grad_norm_`.",
        FutureWarning,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@dovetail.no_grad()
def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Bring every element of the gradients into [-clip_value, clip_value], in place.

    Args:
        parameters: one or several; those without a gradient are passed over.
        clip_value: the largest absolute value.
        foreach: accepted for PyTorch's sake; it changes nothing here.
    """
    bound, gradients = float(clip_value), _gradients(_listed(parameters))
    if not gradients or bound_all(gradients, bound):
        return
    for gradient in gradients:
        gradient.clamp_(-bound, bound)
