"""PyTorch's old constructors: ``Tensor(2, 3)``, ``FloatTensor([1, 2])``, and type strings.

Source: PyTorch's page ``torch.Tensor``, "Data types".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.dtypes import type_name
from dovetail.factories import empty
from dovetail.from_data import from_sequence
from dovetail.spec import Size
from dovetail.tensor import Tensor

__all__ = ["TYPES", "dtype_of", "legacy_tensor", "set_default_tensor_type", "type_string"]


def legacy_tensor(*args: Any, device: Any = None, dtype: d.dtype | None = None) -> Tensor:
    """``Tensor(2, 3)`` is uninitialised, ``Tensor([1, 2])`` holds values; in the default dtype.

    Raises:
        TypeError: neither sizes nor a sequence of numbers.
    """
    kind = dtype or d.get_default_dtype()
    if not args:
        return empty(0, device=device, dtype=kind)
    if len(args) == 1:
        (data,) = args
        if isinstance(data, Tensor):
            if data.dtype is not kind:
                raise TypeError(
                    f"expected {kind} (got {data.dtype}); convert with .to(dtype) instead"
                )
            return data.detach()
        if isinstance(data, (list, tuple, np.ndarray)) and not isinstance(data, Size):
            return from_sequence(data, kind, device)
        if isinstance(data, str):
            raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    return empty(*args, device=device, dtype=kind)


class _Typed(type):
    """The type of ``FloatTensor`` and its like: a tensor of the dtype is an instance."""

    dtype: d.dtype

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.is_cpu and instance.dtype is cls.dtype

    def __call__(cls, *args: Any, device: Any = None) -> Tensor:
        return legacy_tensor(*args, device=device, dtype=cls.dtype)


TYPES: dict[str, Any] = {
    f"{type_name(kind)}Tensor": _Typed(
        f"{type_name(kind)}Tensor",
        (),
        {"dtype": kind, "__doc__": f"The old constructor of {kind} tensors in host memory."},
    )
    for kind in d.ALL
}
"""``FloatTensor`` and its like, by name."""


def type_string(x: Tensor) -> str:
    """``torch.FloatTensor``; with the device's name where that is not the host's."""
    name = f"{type_name(x.dtype)}Tensor"
    if x.dtype.category < 0:
        name = f"quantized.{name}"
    return f"torch.{name}" if x.is_cpu else f"torch.{x.device.type}.{name}"


def dtype_of(kind: Any) -> d.dtype:
    """The dtype of a type string or of a class such as ``FloatTensor``.

    Raises:
        ValueError: there is no such type.
    """
    if isinstance(kind, str):
        found = TYPES.get(kind.removeprefix("torch.").removeprefix("dovetail."))
        if found is None:
            raise ValueError(f"invalid type: '{kind}'")
        kind = found
    return kind.dtype if isinstance(kind, _Typed) else d.as_dtype(kind)


def set_default_tensor_type(t: Any, /) -> None:
    """Choose the default dtype by the old name of its tensors; see ``set_default_dtype``."""
    d.set_default_dtype(dtype_of(t))
