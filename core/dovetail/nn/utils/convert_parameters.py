"""Parameters as one vector, and back (``torch.nn.utils.parameters_to_vector``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dovetail
from dovetail.facts import typename
from dovetail.tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def _on_one_device(parameters: Iterable[Any]) -> list[Any]:
    given = list(parameters)
    if len({p.device for p in given}) > 1:
        raise TypeError(
            "Found two parameters on different devices, this is currently not supported."
        )
    return given


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of all parameters as one vector; gradients flow through it.

    Raises:
        TypeError: they are on several devices.

    >>> import dovetail as dt
    >>> dt.nn.utils.parameters_to_vector([dt.ones(1, 2), dt.zeros(1)])
    tensor([1., 1., 0.])
    """
    made: Tensor = dovetail.cat([p.view(-1) for p in _on_one_device(parameters)])
    return made


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Let the parameters be views of parts of ``vec``, in their order.

    Raises:
        TypeError: ``vec`` is no tensor, or the parameters are on several devices.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {typename(vec)}")
    source: Any = vec
    place = 0
    for p in _on_one_device(parameters):
        count = p.numel()
        p.data = source[place : place + count].view_as(p).data
        place += count
