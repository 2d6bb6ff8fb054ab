"""PyTorch's old constructors: ``Tensor(2, 3)``, ``FloatTensor([1, 2])``, and type strings.

Source: PyTorch's page ``torch.Tensor``, "Data types".
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.backend.loader import HOST, registry
from dovetail.device import ALWAYS, default_device, meaning, set_default_device
from dovetail.device import device as Device
from dovetail.dtypes import type_name
from dovetail.factories import empty
from dovetail.from_data import from_sequence
from dovetail.spec import Size
from dovetail.tensor import Tensor

__all__ = [
    "TYPES",
    "legacy_tensor",
    "meant_by",
    "set_default_tensor_type",
    "type_string",
    "types_of",
]


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
    """The type of ``FloatTensor`` and its like: a tensor of the dtype there is an instance."""

    dtype: d.dtype
    place: str

    def __instancecheck__(cls, instance: Any) -> bool:
        return (
            isinstance(instance, Tensor)
            and instance.device.type == cls.place
            and instance.dtype is cls.dtype
        )

    def __call__(cls, *args: Any, device: Any = None) -> Tensor:
        if cls.place != HOST:
            given = args[0].device if args and isinstance(args[0], Tensor) else device
            if given is not None and Device(given).type != cls.place:
                raise RuntimeError(
                    f"legacy constructor expects device type: {cls.place} but device type: "
                    f"{Device(given).type} was passed"
                )
            device = cls.place if device is None else device
        return legacy_tensor(*args, device=device, dtype=cls.dtype)


@functools.cache
def types_of(place: str) -> dict[str, Any]:
    """``FloatTensor`` and its like on a device type, by name."""
    module = "dovetail" if place == HOST else f"dovetail.{place}"
    return {
        f"{type_name(kind)}Tensor": _Typed(
            f"{type_name(kind)}Tensor",
            (),
            {
                "dtype": kind,
                "place": place,
                "__module__": module,
                "__doc__": f"The old constructor of {kind} tensors on {place}.",
            },
        )
        for kind in d.ALL
    }


TYPES = types_of(HOST)
"""``FloatTensor`` and its like in host memory, by name."""


def type_string(x: Tensor) -> str:
    """``torch.FloatTensor``; with the device's name where that is not the host's."""
    name = f"{type_name(x.dtype)}Tensor"
    if x.dtype.category < 0:
        name = f"quantized.{name}"
    return f"torch.{name}" if x.is_cpu else f"torch.{x.device.type}.{name}"


def meant_by(kind: Any) -> tuple[d.dtype, str | None]:
    """The dtype of a type string or of a class such as ``FloatTensor``, and the device type.

    Args:
        kind: ``"torch.cuda.FloatTensor"``, a class such as ``dt.FloatTensor``, or a dtype, which
            says nothing of a device.

    Raises:
        ValueError: there is no such type.
    """
    if kind is Tensor or kind in ("torch.Tensor", "dovetail.Tensor"):
        return d.get_default_dtype(), default_device().type
    if isinstance(kind, str):
        package, _, name = kind.rpartition(".")
        package = package.removeprefix("torch").removeprefix("dovetail").removeprefix(".")
        place = meaning(package or HOST)
        found = types_of(place).get(name) if place in ALWAYS or place in registry else None
        if found is None:
            raise ValueError(f"invalid type: '{kind}'")
        kind = found
    if isinstance(kind, _Typed):
        return kind.dtype, kind.place
    return d.as_dtype(kind), None


def set_default_tensor_type(t: Any, /) -> None:
    """Choose the default dtype, and where new tensors go, by the old name of such tensors.

    See ``set_default_dtype`` and ``set_default_device``.
    """
    dtype, place = meant_by(t)
    d.set_default_dtype(dtype)
    if place is not None:
        set_default_device(None if place == HOST else place)
