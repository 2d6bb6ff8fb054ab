"""Tensors changed element by element by a Python function: apply_ map_ map2_; on the host only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import raw
from dovetail.autograd.inplace import check_writable
from dovetail.autograd.writes import note_write
from dovetail.backend.state import state_of
from dovetail.dtypes import type_name
from dovetail.ops.indexed.index_checks import need_tensor
from dovetail.tensor import Tensor, storage_of

__all__: list[str] = []


_NUMBERS: dict[int, Any] = {0: bool, 1: int, 2: float, 3: complex}
"""The Python type of a dtype's elements, by its category."""


def _write(name: str, target: Tensor, others: tuple[Any, ...], function: Any) -> Tensor:
    label = name + "_"
    for x in (target, *others):
        if x._node is not None:
            raise RuntimeError(
                f"Can't call {label}() on Variable that requires grad. Use var.detach().{label}() "
                "instead."
            )
    spec = target._spec
    if not state_of(spec.device).host_arrays:
        raise TypeError(f"{label} is only implemented on CPU tensors")
    for x in others:
        if x._spec.dtype is not spec.dtype or x._spec.device is not spec.device:
            raise TypeError(
                f"{label}: expected torch.{type_name(spec.dtype)}Tensor for 'other' (got "
                f"torch.{type_name(x._spec.dtype)}Tensor)"
            )
    check_writable(target, label)
    columns = [x.expand(tuple(spec.shape)) for x in others]
    convert = _NUMBERS[spec.dtype.category]
    source = [raw.to_host(x).reshape(-1).tolist() for x in (target, *columns)]
    values = []
    for row in zip(*source, strict=True):
        value = function(*row)
        if isinstance(value, str):
            raise TypeError(f"{label}: the function must return a number, got {value!r}")
        values.append(convert(value))
    kind: Any = np.int64 if convert is int else np.asarray(convert(0)).dtype
    made = np.array(values, kind).astype(spec.dtype.numpy).reshape(tuple(spec.shape))
    raw.copy(raw.from_host(made, spec.dtype, state_of(spec.device)), target)
    note_write(storage_of(target), label)
    return target


def _apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Every element replaced by ``callable(element)``, a Python number; slow, on the host only.

    Raises:
        RuntimeError: the tensor requires grad.
        TypeError: it is on another device, or the function returns something else.
    """
    return _write("apply", self, (), callable)


def _map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Every element replaced by ``callable(element, other element)``; slow, on the host only.

    Args:
        tensor: of the same dtype; broadcasts to this one's shape.

    Raises:
        RuntimeError: a tensor requires grad, or shapes that do not fit.
        TypeError: another dtype or device, or the function returns something else.
    """
    return _write("map", self, (need_tensor("map_", "other", 1, tensor),), callable)


def _map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """Every element replaced by ``callable(element, x's, y's)``; slow, on the host only.

    Raises:
        RuntimeError: a tensor requires grad, or shapes that do not fit.
        TypeError: another dtype or device, or the function returns something else.
    """
    others = (need_tensor("map2_", "x", 1, x), need_tensor("map2_", "y", 2, y))
    return _write("map2", self, others, callable)


for _name, _method in (("apply_", _apply_), ("map_", _map_), ("map2_", _map2_)):
    _method.__name__, _method.__qualname__ = _name, f"Tensor.{_name}"
    setattr(Tensor, _name, _method)
