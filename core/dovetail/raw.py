"""Work on tensors below autograd: cast, pack, view, move. Nothing here is recorded or promoted."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import page_locked
from dovetail.backend.state import DeviceState, state_of
from dovetail.device import device as Device
from dovetail.errors import Unsupported
from dovetail.kernels import bind_kernel, select_kernel
from dovetail.late_binding import BATCHED
from dovetail.ops.schema import REGISTRY, CallFacts
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor, new_tensor, storage_of

__all__ = [
    "cast",
    "copy",
    "empty",
    "expanded",
    "from_host",
    "move",
    "on_meta",
    "packed",
    "to_host",
    "view",
]


def empty(spec: Spec) -> Tensor:
    """A new, uninitialised tensor."""
    make = spec.memo.get("maker")
    if make is None:
        if spec.batch is not None:
            return BATCHED.empty(spec)
        make = spec.memo["maker"] = state_of(spec.device).maker(spec)
    made: Tensor = make()
    return made


def on_meta(spec: Spec) -> Tensor:
    """A tensor of the same facts without data."""
    return empty(spec.to(device=Device("meta")))


def view(x: Tensor, spec: Spec, offset: int) -> Tensor:
    """The same memory under another spec, ``offset`` elements on from x's first."""
    if x._spec.batch is not None:
        return BATCHED.view(x, spec, offset)
    storage = storage_of(x)
    return new_tensor(spec, None, storage, x._offset + offset)


def packed(spec: Spec) -> Spec:
    """The dense row-major spec of the same shape."""
    return spec_of(tuple(spec.shape), spec.dtype, spec.device)


def expanded(spec: Spec, shape: tuple[int, ...]) -> Spec:
    """``spec`` broadcast to ``shape`` with stride 0."""
    lead = len(shape) - spec.ndim
    strides = (0,) * lead + tuple(
        s if n == m else 0
        for n, s, m in zip(spec.shape, spec.strides, tuple(shape)[lead:], strict=True)
    )
    return spec_of(tuple(shape), spec.dtype, spec.device, strides)


def copy(source: Tensor, target: Tensor) -> None:
    """Write source's elements into target, casting; same device, source broadcast to target."""
    spec, key = target._spec, source._spec
    if key.shape != spec.shape:
        source = view(source, expanded(key, spec.shape), 0)
        key = source._spec
    kernel = spec.memo.get(key)
    if kernel is None:
        if key.batch is not None or spec.batch is not None:
            BATCHED.copy(source, target)
            return
        state = state_of(spec.device)
        op = REGISTRY["copy"]
        facts = CallFacts(op, (key,), (spec,), {})
        entry = select_kernel(op, facts, (key.dtype,), state)
        if entry is None:
            raise Unsupported(f"copy: {state.device} has no kernel of it; every backend needs one")
        kernel = spec.memo[key] = bind_kernel(entry, facts)
    if spec.numel:
        kernel(source._materialize(), target._materialize())


def cast(x: Tensor, spec: Spec) -> Tensor:
    """A new tensor of ``spec`` with x's values."""
    if x._spec.batch is not None:
        return BATCHED.cast(x, spec)
    made = empty(spec)
    copy(x, made)
    return made


def from_host(array: np.ndarray, dtype: Any, state: DeviceState) -> Tensor:
    """A new tensor on a device with the values of a NumPy array (copied)."""
    array = np.ascontiguousarray(array).reshape(array.shape)
    spec = spec_of(array.shape, dtype, state.device)
    if state.host_arrays:
        return new_tensor(spec, array.copy())
    made = empty(spec)
    state.write(storage_of(made), 0, array)
    return made


def to_host(x: Tensor) -> np.ndarray:
    """x's values as a NumPy array; shares memory where the device's arrays are NumPy's."""
    spec = x._spec
    if spec.batch is not None:
        raise BATCHED.no_data()
    state = state_of(spec.device)
    if state.host_arrays:
        array: np.ndarray = x._materialize()
        return array
    if spec.device.type == "meta":
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")
    dense = x if spec.is_dense else cast(x, packed(spec))
    spec = dense._spec
    flat = np.empty(spec.numel, spec.dtype.numpy)
    state.read(storage_of(dense), dense._offset * spec.dtype.itemsize, flat)
    strides = tuple(s * spec.dtype.itemsize for s in spec.strides)
    return np.ndarray(tuple(spec.shape), spec.dtype.numpy, flat.view(np.uint8), 0, strides)


def move(x: Tensor, device: Device, *, non_blocking: bool = False) -> Tensor:
    """A copy of x on another device, same dtype; of page-locked memory it may be queued."""
    if x._spec.batch is not None:
        return BATCHED.move(x, device)
    spec = x._spec.dense(device=device)
    if device.type == "meta":
        return empty(spec)
    target, source = state_of(device), state_of(x._spec.device)
    dense = x if x._spec.is_dense else cast(x, x._spec.dense())
    if target.runtime is source.runtime and not target.host_arrays:
        made = empty(spec)
        size = spec.dtype.itemsize
        here, there = storage_of(made), storage_of(dense)
        if target.runtime.copy_peer(
            here.buffer, 0, there.buffer, dense._offset * size, spec.nbytes
        ):
            return made
    values = to_host(dense)
    if target.host_arrays:
        return cast(new_tensor(dense._spec.to(device=device), values), spec)
    made = empty(spec)
    flat = np.lib.stride_tricks.as_strided(values, (spec.numel,), (spec.dtype.itemsize,))
    is_pinned = non_blocking and page_locked.block_of(values) is not None
    target.write(storage_of(made), 0, np.ascontiguousarray(flat), is_pinned=is_pinned)
    return made
