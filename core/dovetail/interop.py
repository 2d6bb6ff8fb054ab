"""Between tensors and Python: item, tolist, numpy, bool, iteration, copying and pickling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dovetail import raw
from dovetail.device import device as Device
from dovetail.dtypes import bfloat16
from dovetail.indexing import getitem, setitem
from dovetail.ops.views import row
from dovetail.spec import spec_of
from dovetail.tensor import Tensor, new_tensor, storage_of

__all__: list[str] = []


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
    return array.astype(dtype, copy=bool(copy))


def _bool(self: Tensor) -> bool:
    numel = self._spec.numel
    if numel != 1:
        what = "no values" if numel == 0 else "more than one value"
        raise RuntimeError(f"Boolean value of Tensor with {what} is ambiguous")
    return bool(item(self))


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
    if not self._spec.ndim and self.device.type != "meta" and form:
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
    made = _same_class(self, raw.cast(self, self._spec.dense()))
    memo[id(self)] = made
    if self._node is not None:
        made.requires_grad_()
    if self.grad is not None:
        made.grad = _deepcopy(self.grad, memo)
    return made


def _same_class(like: Tensor, made: Tensor) -> Tensor:
    if type(like) is Tensor:
        return made
    twin: Tensor = object.__new__(type(like))
    for name in ("_spec", "_array", "_storage", "_node", "_base"):
        setattr(twin, name, getattr(made, name))
    twin._offset = made._offset if made._storage is not None else 0
    return twin


def _rebuild(
    kind: type, data: bytes, shape: Any, strides: Any, dtype: Any, device: Any, grad: bool
) -> Tensor:
    from dovetail.backend.state import state_of

    flat = np.frombuffer(bytearray(data), np.uint8)
    size = dtype.itemsize
    host = np.ndarray(shape, dtype.numpy, flat, 0, tuple(s * size for s in strides))
    place = Device(device)
    here = Device("cpu")
    made = raw.cast(
        new_tensor(spec_of(shape, dtype, here, strides), host), spec_of(shape, dtype, here, strides)
    )
    if place != here:
        state_of(place)
        made = raw.move(made, place)
    made = _same_class(object.__new__(kind), made) if kind is not Tensor else made
    return made.requires_grad_() if grad else made


def _reduce(self: Tensor, protocol: Any) -> Any:
    if not self.is_leaf:
        raise RuntimeError("cannot pickle a tensor that autograd made; call .detach() on it first")
    spec = self._spec.dense()
    dense = raw.to_host(self if self._spec is spec else raw.cast(self, spec))
    strides = tuple(s // spec.dtype.itemsize for s in dense.strides)
    flat = np.lib.stride_tricks.as_strided(dense, (spec.numel,), (spec.dtype.itemsize,))
    data = np.ascontiguousarray(flat).tobytes()
    where = (tuple(spec.shape), strides, spec.dtype, str(spec.device), self._node is not None)
    state = {k: v for k, v in self.__dict__.items() if not k.startswith("_") and k != "grad"}
    return _rebuild, (type(self), data, *where), state or None


def _cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """This tensor in host memory."""
    return self.to("cpu")  # type: ignore[attr-defined, no-any-return]


def _cuda(self: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """This tensor on an NVIDIA GPU: the current one, or that of the given index."""
    target = "cuda" if device is None else device
    if isinstance(target, int):
        target = Device("cuda", target)
    return self.to(target)  # type: ignore[attr-defined, no-any-return]


def _type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The old type string (``torch.FloatTensor``), or a conversion to a dtype."""
    from dovetail.dispatch import type_name

    if dtype is None:
        return f"torch.{type_name(self.dtype)}Tensor"
    return self.to(dtype)  # type: ignore[attr-defined]


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
    "__index__": _index, "__int__": lambda self: int(item(self)),
    "__float__": lambda self: float(item(self)), "__complex__": lambda self: complex(item(self)),
    "__iter__": _iterate, "__contains__": _contains, "__format__": _format,
    "__deepcopy__": _deepcopy, "__reduce_ex__": _reduce, "cpu": _cpu, "cuda": _cuda, "type": _type,
}  # fmt: skip
for _name, _function in _METHODS.items():
    setattr(Tensor, _name, _function)
