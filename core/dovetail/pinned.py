"""Tensors of the cpu in page-locked memory, of which a copy to the accelerator may be queued."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import page_locked, raw
from dovetail.backend.state import state_of
from dovetail.device import NO_ACCELERATOR, accelerator_name, resolve
from dovetail.device import device as Device
from dovetail.ops.layout.convert import record_copy
from dovetail.tensor import Tensor, new_tensor

__all__ = ["is_pinned", "pin_memory"]


def is_pinned(self: Tensor, device: Any = None) -> bool:
    """Whether the memory is page-locked, for the type of ``device`` where one is given."""
    if not self.is_cpu:
        return False
    storage = self._storage
    block = page_locked.block_of(self._array if storage is None else storage.buffer)
    return block is not None and (device is None or Device(device).type == block.reader.type)


def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """A copy in page-locked memory, for which ``to(device, non_blocking=True)`` does not wait.

    The tensor itself where it is pinned, or where the accelerator's runtime has no such memory
    (``is_pinned()`` stays False then).

    Args:
        device: the accelerator that it is meant for; the current one unless given.

    Raises:
        RuntimeError: not in host memory, or there is no accelerator.
        OutOfMemoryError: the driver cannot lock that much.
    """
    if not self.is_cpu:
        raise RuntimeError(f"cannot pin '{self.type()}' only dense CPU tensors can be pinned")  # type: ignore[attr-defined]
    name = accelerator_name() if device is None else device
    if name is None or Device(name).type == self.device.type:
        raise RuntimeError(NO_ACCELERATOR)
    target = Device(name)
    if is_pinned(self, target):
        return self
    target, spec = resolve(target), self._spec.dense()
    block = page_locked.block(spec.nbytes, target, state_of(target).runtime.pinned_memory)
    if block is None:
        return self
    steps = tuple(step * spec.dtype.itemsize for step in spec.strides)
    made = new_tensor(spec, np.ndarray(tuple(spec.shape), spec.dtype.numpy, block, 0, steps))
    raw.copy(self, made)
    record_copy(self, made)
    return made


for _method in (pin_memory, is_pinned):
    setattr(Tensor, _method.__name__, _method)
