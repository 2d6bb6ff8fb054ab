"""How tensors are put together again from what a file says of them, everything checked first.

The functions and their arguments are those of PyTorch's ``torch/_utils.py``; files name them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail.errors import CheckpointError
from dovetail.factories import empty_strided
from dovetail.interop import of_class
from dovetail.nn.parameter import Parameter
from dovetail.quantized.schemes import (
    per_channel_affine,
    per_channel_affine_float_qparams,
    per_tensor_affine,
)
from dovetail.quantized.tensor import INTEGERS, PerChannel, PerTensor, wrap
from dovetail.serialization.limits import Budget
from dovetail.serialization.storages import Place, TypedStorage, host_storage
from dovetail.spec import spec_of
from dovetail.tensor import Tensor, new_tensor

__all__ = ["Rebuild"]

_MOST_DIMS = 64
_MOST_BYTES = 1 << 63
_COST = 1200  # of a tensor with its spec, without its data


class Rebuild:
    """The functions by which a file puts tensors together.

    Args:
        budget: what the tensors' descriptions may cost.
        place: where storages go, by ``map_location``.
    """

    def __init__(self, budget: Budget, place: Place) -> None:
        self._budget = budget
        self._place = place
        self.functions: dict[str, Callable[..., Any]] = {
            "_rebuild_tensor": self._tensor,
            "_rebuild_tensor_v2": self._tensor_v2,
            "_rebuild_tensor_v3": self._tensor_v3,
            "_rebuild_qtensor": self._quantized,
            "_rebuild_parameter": self.parameter,
            "_rebuild_parameter_with_state": self._parameter_with_state,
            "_rebuild_meta_tensor_no_storage": self._meta,
            "_rebuild_device_tensor_from_cpu_tensor": self._device_tensor,
        }

    def _tensor(self, storage: Any, storage_offset: Any, size: Any, stride: Any) -> Tensor:
        return self._view(storage, storage_offset, size, stride, None)

    def _tensor_v2(
        self,
        storage: Any,
        storage_offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any,
        backward_hooks: Any,
        metadata: Any = None,
    ) -> Tensor:
        made = self._view(storage, storage_offset, size, stride, None)
        return self._finished(made, requires_grad, metadata)

    def _tensor_v3(
        self,
        storage: Any,
        storage_offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any,
        backward_hooks: Any,
        dtype: Any,
        metadata: Any = None,
    ) -> Tensor:
        _check_dtype(dtype)
        made = self._view(storage, storage_offset, size, stride, dtype)
        return self._finished(made, requires_grad, metadata)

    def parameter(
        self, data: Any, requires_grad: Any = True, backward_hooks: Any = None
    ) -> Parameter:
        """A parameter over a tensor's memory."""
        self._budget.spend(_COST)
        _check_tensor(data)
        return Parameter(data, _wants_grad(data, requires_grad))

    def _parameter_with_state(
        self, data: Any, requires_grad: Any, backward_hooks: Any, state: Any
    ) -> Parameter:
        made = self.parameter(data, requires_grad, backward_hooks)
        self.set_attributes(made, state)
        return made

    def _meta(self, dtype: Any, size: Any, stride: Any, requires_grad: Any) -> Tensor:
        self._budget.spend(_COST)
        _check_dtype(dtype)
        shape, strides = _shape(size, stride)
        _span(shape, strides, dtype)
        made = empty_strided(shape, strides, dtype=dtype, device="meta")
        return self._finished(made, requires_grad, None)

    def _quantized(
        self,
        storage: Any,
        storage_offset: Any,
        size: Any,
        stride: Any,
        quantizer_params: Any,
        requires_grad: Any,
        backward_hooks: Any,
    ) -> Tensor:
        kind = INTEGERS.get(getattr(storage, "dtype", None))  # type: ignore[arg-type]
        if kind is None:
            raise CheckpointError("load: a quantized tensor lies in no storage of its kind")
        ints = self._view(storage, storage_offset, size, stride, kind)
        return wrap(ints, _quantizer(quantizer_params, tuple(ints.shape)))

    def _device_tensor(self, data: Any, dtype: Any, device: Any, requires_grad: Any) -> Tensor:
        _check_dtype(dtype)
        self._charge_copy(data)
        target = self._place(host_storage(np.empty(0, np.uint8)), device).device
        return self._finished(data.to(target, dtype), requires_grad, None)

    def from_type(self, function: Any, kind: Any, arguments: Any, state: Any) -> Tensor:
        """A tensor of a subclass, or with attributes; ``function`` is one of the others."""
        if not any(function is known for known in self.functions.values()):
            raise CheckpointError("load: a tensor with attributes is made by no known function")
        if not (isinstance(kind, type) and issubclass(kind, Tensor)):
            raise CheckpointError(f"load: a tensor is said to be of class {kind!r}")
        made: Tensor = function(*arguments)
        if type(made) is not kind:
            grad = made.requires_grad
            made = of_class(kind, made.detach()).requires_grad_(grad)
        self.set_attributes(made, state)
        return made

    def set_attributes(self, made: Any, state: Any) -> None:
        """Hang on a tensor what the file says was hung on it."""
        if isinstance(state, tuple) and len(state) == 2:  # the second: of slots, which ours fill
            state = state[0]
        if state is None:
            return
        if not isinstance(state, dict):
            raise CheckpointError(f"load: a tensor's attributes are a {type(state).__name__}")
        for name, value in state.items():
            if not isinstance(name, str):
                raise CheckpointError(f"load: a tensor's attribute has the name {name!r}")
            if not hasattr(type(made), name):  # what its class has is not the file's to change
                self._budget.spend(200)
                made.__dict__[name] = value

    def _view(
        self, storage: Any, offset: Any, size: Any, stride: Any, dtype: DType | None
    ) -> Tensor:
        self._budget.spend(_COST)
        if not isinstance(storage, TypedStorage):
            raise CheckpointError(
                f"load: a tensor is said to lie in a {type(storage).__name__}, not in a storage"
            )
        kind = storage.dtype if dtype is None else dtype
        shape, strides = _shape(size, stride)
        if type(offset) is not int or offset < 0:
            raise CheckpointError(f"load: a tensor's offset must not be negative, got {offset!r}")
        span = _span(shape, strides, kind)
        there = storage.nbytes() // kind.itemsize
        if span and offset + span > there:
            raise CheckpointError(
                f"load: a tensor of shape {shape}, strides {strides} and offset {offset} needs "
                f"{offset + span} elements, and its storage has {there}"
            )
        start, left = divmod(storage.start, kind.itemsize)
        if left:
            raise CheckpointError("load: a part of a storage begins inside of an element")
        memory = storage._storage
        memory.state.check_dtype("load", kind)
        spec = spec_of(shape, kind, storage.device, strides)
        return new_tensor(spec, None, memory, start + offset)

    def _finished(self, made: Tensor, requires_grad: Any, metadata: Any) -> Tensor:
        if metadata:
            # PyTorch has a bit for each; here the elements change, which needs memory of its own.
            self._charge_copy(made)
            if not isinstance(metadata, dict) or not metadata.keys() <= {"conj", "neg"}:
                raise CheckpointError(f"load: a tensor has unknown metadata: {metadata!r}")
            if metadata.get("conj"):
                made = made.conj_physical()
            if metadata.get("neg"):
                made = -made
        return made.requires_grad_() if _wants_grad(made, requires_grad) else made

    def _charge_copy(self, x: Any) -> None:
        """A copy of an expanded tensor is larger than its storage."""
        _check_tensor(x)
        self._budget.spend(x._spec.nbytes)


def _check_tensor(x: Any) -> None:
    if not isinstance(x, Tensor):
        raise CheckpointError(f"load: a tensor is wanted, the file has a {type(x).__name__}")


def _wants_grad(x: Tensor, flag: Any) -> bool:
    if not isinstance(flag, int) or flag not in (0, 1):
        raise CheckpointError(f"load: requires_grad must be True or False, the file has {flag!r}")
    if flag and x.dtype.category < 2:
        raise CheckpointError(f"load: a tensor of {x.dtype} is said to require a gradient")
    return bool(flag)


def _quantizer(parameters: Any, shape: tuple[int, ...]) -> Any:
    """What integers stand for, from PyTorch's tuple of it."""
    scheme, *rest = parameters if isinstance(parameters, tuple) and parameters else (None,)
    if scheme is per_tensor_affine and [type(x) for x in rest] in ([float, int], [int, int]):
        return PerTensor(float(rest[0]), rest[1])
    if scheme in (per_channel_affine, per_channel_affine_float_qparams) and len(rest) == 3:
        scales, zero_points, axis = rest
        _check_tensor(scales)
        _check_tensor(zero_points)
        fits = type(axis) is int and 0 <= axis < len(shape)
        if fits and tuple(scales.shape) == tuple(zero_points.shape) == (shape[axis],):
            return PerChannel(scales, zero_points, axis, scheme)
    raise CheckpointError(f"load: a tensor is said to be quantized by {parameters!r:.200}")


def _check_dtype(dtype: Any) -> None:
    if not isinstance(dtype, DType):
        raise CheckpointError(f"load: a tensor's dtype is a {type(dtype).__name__}")


def _shape(size: Any, stride: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Size and stride as tuples of as many integers, none negative."""
    for what, value in (("size", size), ("stride", stride)):
        is_sequence = isinstance(value, (tuple, list)) and len(value) <= _MOST_DIMS
        if not is_sequence or not all(type(n) is int and 0 <= n < _MOST_BYTES for n in value):
            raise CheckpointError(
                f"load: a tensor's {what} must be at most {_MOST_DIMS} integers that are not "
                "negative"
            )
    if len(size) != len(stride):
        raise CheckpointError(
            f"load: a tensor has {len(size)} sizes and {len(stride)} strides; they must be as many"
        )
    return tuple(size), tuple(stride)


def _span(shape: tuple[int, ...], strides: tuple[int, ...], dtype: DType) -> int:
    """Elements from the first to the last.

    Raises:
        CheckpointError: they, or all elements, are more than an address can tell.
    """
    numel = 1
    for n in shape:
        numel *= n
    span = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if numel else 0
    if max(numel, span) * dtype.itemsize >= _MOST_BYTES:
        raise CheckpointError(f"load: a tensor of shape {shape} has too many elements")
    return span
