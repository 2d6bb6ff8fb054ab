"""In-place forms of views: the tensor itself gets another shape, strides or size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail import raw
from dovetail.autograd.inplace import check_writable
from dovetail.autograd.writes import note_write
from dovetail.memory_formats import contiguous_format, target_spec
from dovetail.ops import expose
from dovetail.shapes import as_ints
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, storage_of

__all__: list[str] = []

_NAMES = ("t", "transpose", "swapaxes", "swapdims", "squeeze", "unsqueeze", "as_strided")


def _become(self: Tensor, spec: Spec, storage: Any, offset: int, label: str) -> Tensor:
    self._spec, self._array = spec, None
    self._storage, self._offset = storage, offset
    note_write(storage, label)
    return self


def _inplace_view(name: str) -> Callable[..., Tensor]:
    view = getattr(Tensor, name)
    label = name + "_"

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_writable(self, label, each_once=False)
        seen = view(self, *args, **kwargs)
        if seen is not self:
            if self._node is not None:
                self._node = seen._node
            _become(self, seen._spec, storage_of(seen), seen._offset, label)
            if seen._spec.batch is not None:
                self._array = seen._array  # inside of a vmap that is the tensor with all dims
        return self

    method.__name__ = label
    method.__qualname__ = f"Tensor.{label}"
    method.__doc__ = f"In-place version of :meth:`{name}`: the same memory, this very tensor."
    return method


def _refuse_rows(x: Tensor, label: str) -> None:
    if x._spec.batch is not None:
        raise RuntimeError(
            f"{label}: a tensor inside of vmap shares its memory with other rows and keeps it; use "
            "an operator that makes a new one"
        )


def _resize_(self: Tensor, *sizes: Any, memory_format: Any = contiguous_format) -> Tensor:
    """Another size over the same memory; more memory, its end unwritten, where that is too little.

    Views made before keep the old memory then.

    Raises:
        RuntimeError: the tensor requires grad, or a size is negative.
    """
    shape = as_ints(sizes)
    _refuse_rows(self, "resize_")
    if self._node is not None:
        raise RuntimeError("cannot resize variables that require grad")
    if any(n < 0 for n in shape):
        raise RuntimeError(f"resize_: sizes must not be negative, got {list(shape)}")
    have = self._spec
    if tuple(have.shape) == shape:
        return self
    spec = target_spec(spec_of(shape, have.dtype, have.device), memory_format)
    storage, offset = storage_of(self), self._offset
    item = have.dtype.itemsize
    if (offset + spec.span) * item > storage.nbytes:
        kept = storage.nbytes // item
        larger = raw.empty(spec_of((offset + spec.span,), have.dtype, have.device))
        if kept and storage.buffer is not None:
            flat = spec_of((kept,), have.dtype, have.device)
            raw.copy(raw.view(self, flat, -offset), raw.view(larger, flat, 0))
        storage = storage_of(larger)
    return _become(self, spec, storage, offset, "resize_")


def _resize_as_(self: Tensor, other: Tensor) -> Tensor:
    """``resize_`` to the size of ``other``."""
    return _resize_(self, tuple(other.shape))


def _set_(self: Tensor, source: Tensor | None = None) -> Tensor:
    """The memory, size and strides of ``source``; empty without one.

    Raises:
        RuntimeError: another dtype or device.
    """
    _refuse_rows(self, "set_")
    check_writable(self, "set_", each_once=False)
    if source is None:
        source = raw.empty(spec_of((0,), self.dtype, self.device))
    for what in ("dtype", "device"):
        if getattr(source, what) is not getattr(self, what):
            raise RuntimeError(
                f"set_: source must have the tensor's {what} {getattr(self, what)}, got "
                f"{getattr(source, what)}"
            )
    return _become(self, source._spec, storage_of(source), source._offset, "set_")


for _name in _NAMES:
    setattr(Tensor, _name + "_", _inplace_view(_name))
Tensor.resize_ = _resize_  # type: ignore[attr-defined]
Tensor.resize_as_ = _resize_as_  # type: ignore[attr-defined]
Tensor.set_ = _set_  # type: ignore[attr-defined]
for _name in ("squeeze_", "unsqueeze_", "t_", "as_strided_", "resize_as_"):
    expose.FUNCTIONS.setdefault(_name, getattr(Tensor, _name))
