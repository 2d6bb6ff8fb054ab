"""What every factory function does with its arguments: sizes, dtype, device, ``out=``, numbers."""

from __future__ import annotations

import functools
import math
from typing import Any

from dovetail import dtypes as d
from dovetail.autograd.grad_mode import mode
from dovetail.device import accelerator_name, resolve
from dovetail.device import device as Device
from dovetail.dtypes import type_name
from dovetail.shapes import as_ints
from dovetail.tensor import Tensor
from dovetail.tensor import layout as Layout

__all__ = ["finish", "number_for", "place", "shape_of", "whole"]


def finish(made: Tensor, requires_grad: bool, pin_memory: bool = False) -> Tensor:
    """The last step of a factory: page-locked memory, the mark of inference mode, gradients.

    Raises:
        TypeError: ``requires_grad`` is no bool.
    """
    if requires_grad.__class__ is not bool:
        raise TypeError(f"argument 'requires_grad' must be bool, not {_kind(requires_grad)}")
    if pin_memory and made._spec.device.type != "meta":
        made = made.pin_memory()  # type: ignore[attr-defined]
    if mode.inference:
        made._inference = True
    return made.requires_grad_() if requires_grad else made


def shape_of(sizes: tuple[Any, ...], size: Any = None) -> tuple[int, ...]:
    """The shape from ``f(2, 3)``, ``f((2, 3))`` or ``f(size=(2, 3))``.

    Raises:
        TypeError: something is not an integer, or the shape is given twice.
        RuntimeError: a size is negative.
    """
    if size is not None:
        if sizes:
            raise TypeError(f"size: given both by position {sizes} and by name {size}")
        sizes = (size,)
    if not sizes:
        raise TypeError('missing 1 required positional arguments: "size"')
    if sizes[0].__class__ is bool:
        raise TypeError("argument 'size' (position 1) must be tuple of ints, not bool")
    shape = as_ints(sizes)
    if any(n < 0 for n in shape):
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}"
        )
    return shape


def place(
    dtype: Any, device: Any, out: Tensor | None = None, layout: Any = None, pin_memory: Any = False
) -> tuple[d.dtype, Device]:
    """The dtype (the default unless given) and the concrete device; those of ``out`` if given.

    Raises:
        TypeError: ``dtype`` or ``layout`` is none.
        RuntimeError: it is not that of ``out``; or memory shall be pinned, and there is no
            accelerator to pin it for.
    """
    if layout is not None or pin_memory is not False:
        _check_memory(layout, pin_memory)
    kind = None if dtype is None else d.as_dtype(dtype)
    if out is None:
        return kind or d.get_default_dtype(), resolve(device)
    have = out.dtype
    if kind is not None and kind is not have:
        raise RuntimeError(
            f"dtype {type_name(kind)} does not match dtype of out parameter ({type_name(have)})"
        )
    where = out.device if device is None else resolve(device)
    if where is not out.device:
        raise RuntimeError(f"device {where} does not match device of out parameter ({out.device})")
    return have, where


def _kind(value: Any) -> str:
    return type(value).__name__


def _check_memory(layout: Any, pin_memory: Any) -> None:
    if layout is not None and not isinstance(layout, Layout):
        raise TypeError(f"argument 'layout' must be torch.layout, not {_kind(layout)}")
    if pin_memory.__class__ is not bool:
        raise TypeError(f"argument 'pin_memory' must be bool, not {_kind(pin_memory)}")
    if pin_memory and accelerator_name() is None:
        raise RuntimeError(
            "pin_memory=True requires an accelerator; no pinned memory allocator is available "
            "on this system."
        )


def whole(function: str, label: str, value: Any) -> int:
    """``value`` as a Python integer.

    Raises:
        TypeError: it is none, or a bool.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{function}(): argument '{label}' must be int, not {_kind(value)}")
    return int(value.__index__())


_C_NAMES = {
    "uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int", "int64": "int64_t",
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
}  # fmt: skip


_limits = functools.cache(lambda kind: d.finfo(kind) if kind.category == 2 else d.iinfo(kind))


def number_for(kind: d.dtype, value: Any) -> Any:
    """A Python number as an element of ``kind``: truncated for integers, as it is for the others.

    Raises:
        RuntimeError: ``kind`` cannot hold it.
    """
    if kind.category == 3:
        return value
    if kind.category == 0:
        return bool(value)
    fits = not isinstance(value, complex)
    if fits and kind.category == 1:
        info = _limits(kind)
        # PyTorch lets negative integers, but not negative floats, wrap around in unsigned types.
        least = -info.max if not kind.is_signed and not isinstance(value, float) else info.min
        fits = least <= value <= info.max and not (
            isinstance(value, float) and value >= 2.0**63  # a float above int64's maximum
        )
    elif fits and isinstance(value, float):
        fits = not math.isfinite(value) or abs(value) <= _limits(kind).max
    if not fits:
        raise RuntimeError(
            f"value cannot be converted to type {_C_NAMES[kind.name]} without overflow "
            f"(got {value}, for {kind})"
        )
    if kind.category == 2:
        return float(value)
    whole = int(value)
    return whole + (1 << 8 * kind.itemsize) if whole < 0 and not kind.is_signed else whole
