"""Between tensors and Python: item, tolist, numpy, bool, iteration, copying and pickling."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from dovetail import raw
from dovetail.backend.loader import registry
from dovetail.backend.state import state_of
from dovetail.device import device as Device
from dovetail.device import meaning
from dovetail.dtypes import bfloat16, uint8
from dovetail.from_data import from_numpy
from dovetail.indexing import getitem, setitem
from dovetail.late_binding import BATCHED
from dovetail.ops.layout.view_parts import row
from dovetail.spec import spec_of
from dovetail.tensor import Tensor, new_tensor, storage_of

__all__ = [
    "attributes",
    "item",
    "numpy",
    "of_class",
    "tolist",
]


def item(self: Tensor) -> Any:
    """The single element as a Python number.

    Raises:
        RuntimeError: not exactly one element.
    """
    if self._spec.numel != 1:
        raise RuntimeError(
            f"a Tensor with {self._spec.numel} elements cannot be converted to Scalar "
            f"(shape {tuple(self._spec.shape)}; use .tolist(), or reduce it first)"
        )
    value = raw.to_host(self).reshape(-1)[0]
    return float(value) if self._spec.dtype is bfloat16 else value.item()


def tolist(self: Tensor) -> Any:
    """The elements as nested lists of Python numbers (one number for a 0-d tensor)."""
    array = raw.to_host(self)
    return array.astype(np.float32).tolist() if self._spec.dtype is bfloat16 else array.tolist()


def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
    """A NumPy array that shares this cpu tensor's memory, in both directions.

    Raises:
        RuntimeError: the tensor requires grad.
        TypeError: it is not in host memory.
    """
    if self._node is not None and not force:
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    if self._spec.batch is not None:
        return raw.to_host(self)
    state = storage_of(self).state
    if not state.host_arrays:
        if not force:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to "
                "copy the tensor to host memory first."
            )
        return raw.to_host(self)
    array = self._materialize()
    return array  # type: ignore[no-any-return]


def _array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    array = numpy(self)
    if dtype is None:
        return array.copy() if copy else array
    if copy is False and array.dtype != dtype:
        raise ValueError(f"a tensor of {self.dtype} must be copied to make an array of {dtype}")
    return array.astype(dtype, copy=bool(copy))


def _bool(self: Tensor) -> bool:
    numel = self._spec.numel
    if numel != 1:
        what = "no values" if numel == 0 else "more than one value"
        raise RuntimeError(f"Boolean value of Tensor with {what} is ambiguous")
    if self._spec.batch is not None:
        raise BATCHED.data_dependent()
    return bool(item(self))


def _wrap(
    self: Tensor, array: np.ndarray, context: Any = None, return_scalar: Any = None
) -> Tensor:
    """What a NumPy function of a tensor returns: a tensor again."""
    return from_numpy(np.asarray(array))


def _number(kind: type) -> Any:
    def convert(self: Tensor) -> Any:
        if self._spec.numel != 1:
            raise ValueError(
                "only one element tensors can be converted to Python scalars, got shape "
                f"{tuple(self._spec.shape)}"
            )
        value = item(self)
        if isinstance(value, complex) and kind is not complex:
            if value.imag:
                name = {int: "int64_t", float: "double"}[kind]
                raise RuntimeError(f"value cannot be converted to type {name} without overflow")
            value = value.real
        return kind(value)

    convert.__name__ = f"__{kind.__name__}__"
    return convert


def _index(self: Tensor) -> int:
    if self._spec.dtype.category > 1 or self._spec.numel != 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(item(self))


def _iterate(self: Tensor) -> Iterator[Tensor]:
    if not self._spec.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))  # type: ignore[attr-defined]


def _contains(self: Tensor, element: Any) -> bool:
    if isinstance(element, (Tensor, int, float, bool, complex)):
        return bool((self == element).any())  # type: ignore[attr-defined]
    raise RuntimeError(
        f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}."
    )


def _format(self: Tensor, form: str) -> str:
    is_plain = type(self) is Tensor and self._spec.batch is None
    if not self._spec.ndim and not self.is_meta and is_plain:
        return format(item(self), form)
    return object.__format__(self, form)


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment.  If you were attempting to deepcopy a module, this may be "
            "because of a torch.nn.utils.weight_norm usage, see "
            "https://github.com/pytorch/pytorch/pull/103001"
        )
    if id(self) in memo:
        return memo[id(self)]  # type: ignore[no-any-return]
    made = of_class(type(self), _copied_storage(self, memo))
    memo[id(self)] = made
    if self._node is not None:
        made.requires_grad_()
    if self.grad is not None:
        made.grad = _deepcopy(self.grad, memo)
    for name, value in attributes(self).items():
        setattr(made, name, copy.deepcopy(value, memo))
    return made


def attributes(self: Tensor) -> dict[str, Any]:
    """What the user has hung on a tensor."""
    return {k: v for k, v in self.__dict__.items() if not k.startswith("_")}


def _copied_storage(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A copy of the tensor; tensors that share memory share it again in one deep copy."""
    storage = self._storage
    if self._spec.batch is not None:
        return raw.cast(self, self._spec.dense())
    if storage is None or storage.buffer is None or not storage.nbytes:
        return raw.cast(self, self._spec.dense() if storage is None else self._spec)
    twin = memo.get(id(storage))
    if twin is None:
        spec = spec_of((storage.nbytes,), uint8, self.device)
        twin = storage_of(raw.cast(new_tensor(spec, None, storage), spec))
        memo[id(storage)] = twin
    return new_tensor(self._spec, None, twin, self._offset)


def _copy(self: Tensor) -> Tensor:
    """A second tensor over the same memory, without history; it requires grad as this one does."""
    made = of_class(type(self), self.detach())
    if self._node is not None:
        made.requires_grad_()
    made.__dict__.update(attributes(self))
    return made


def of_class(kind: type, made: Tensor) -> Tensor:
    """``made``, without history, as a tensor of a subclass."""
    if kind is Tensor:
        return made
    twin: Tensor = object.__new__(kind)
    for name in ("_spec", "_array", "_storage", "_node", "_base"):
        setattr(twin, name, getattr(made, name))
    twin._offset = made._offset if made._storage is not None else 0
    return twin


def _rebuild(
    kind: type, data: bytes, shape: Any, strides: Any, dtype: Any, device: Any, grad: bool
) -> Tensor:
    place = Device(device)
    spec = spec_of(shape, dtype, place, strides)
    if place.type == "meta":
        made = raw.empty(spec)
    else:
        flat = np.frombuffer(bytearray(data), np.uint8)
        steps = tuple(s * dtype.itemsize for s in strides)
        host = np.ndarray(shape, dtype.numpy, flat, 0, steps)
        here = spec.to(device=Device("cpu"))
        made = raw.cast(new_tensor(here, host), here)
        if place is not here.device:
            state_of(place)
            made = raw.move(made, place)
    made = of_class(kind, made)
    return made.requires_grad_() if grad else made


def _reduce(self: Tensor, protocol: Any) -> Any:
    spec = self._spec.dense()
    data = b""
    if not self.is_meta:
        dense = raw.to_host(self if self._spec is spec else raw.cast(self, spec))
        flat = np.lib.stride_tricks.as_strided(dense, (spec.numel,), (spec.dtype.itemsize,))
        data = np.ascontiguousarray(flat).tobytes()
    where = (tuple(spec.shape), spec.strides, spec.dtype, str(spec.device), self._node is not None)
    return _rebuild, (type(self), data, *where), attributes(self) or None


def _cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """This tensor in host memory."""
    return self.to("cpu", memory_format=memory_format)  # type: ignore[attr-defined, no-any-return]


def _cuda(
    self: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None
) -> Tensor:
    """This tensor on an NVIDIA GPU: the current one, or that of the given index.

    Raises:
        BackendUnavailable: there is no such device here; the message says why.
    """
    registry.load(meaning("cuda"))
    target = "cuda" if device is None else device
    if isinstance(target, int):
        target = Device("cuda", target)
    return self.to(target, non_blocking=non_blocking, memory_format=memory_format)  # type: ignore[attr-defined, no-any-return]


def _is_cuda(self: Tensor) -> bool:
    """Whether the data is on an NVIDIA GPU."""
    return self._spec.device.type == meaning("cuda")


def _type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The old type string (``torch.FloatTensor``), or a conversion to a dtype.

    An old type moves the tensor to the device that it names, too: ``torch.cuda.FloatTensor``.
    """
    from dovetail.legacy import meant_by, type_string

    if dtype is None:
        return type_string(self)
    kind, place = meant_by(dtype)
    where = None if place == self._spec.device.type else place
    return self.to(where, kind, non_blocking)  # type: ignore[attr-defined]


def _repr(self: Tensor, *, tensor_contents: Any = None) -> str:
    from dovetail.printing import tensor_repr

    return tensor_repr(self, tensor_contents=tensor_contents)


def _getitem(self: Tensor, index: Any) -> Tensor:
    if index.__class__ is int:
        return row(self, index)
    return getitem(self, index)


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    setitem(self, index, value)


_METHODS = {
    "__repr__": _repr, "__getitem__": _getitem, "__setitem__": _setitem,
    "item": item, "tolist": tolist, "numpy": numpy, "__array__": _array, "__bool__": _bool,
    "__index__": _index, "__int__": _number(int), "__float__": _number(float),
    "__complex__": _number(complex), "__array_wrap__": _wrap, "__copy__": _copy,
    "__iter__": _iterate, "__contains__": _contains, "__format__": _format,
    "__deepcopy__": _deepcopy, "__reduce_ex__": _reduce, "cpu": _cpu, "cuda": _cuda, "type": _type,
    "is_cuda": property(_is_cuda),
}  # fmt: skip
for _name, _function in _METHODS.items():
    setattr(Tensor, _name, _function)
