"""DeviceState: one device in use, its runtime, kernels and memory, and how tensors get there.

Two kinds of device. Where the runtime says ``host_arrays`` an output is one NumPy allocation and
its Storage is made only when somebody needs it (a view, an in-place write). Elsewhere the core
takes a block from the pool and asks the runtime for the array over it.
"""

from __future__ import annotations

import ctypes
import functools
import gc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dovetail.backend.allocator import Pool, rounded
from dovetail.backend.loader import registry
from dovetail.device import device as Device
from dovetail.device import resolve
from dovetail.device_methods import attach
from dovetail.dtypes import dtype as DType
from dovetail.errors import Unsupported
from dovetail.late_binding import DEVICES
from dovetail.spec import Spec, spec_of
from dovetail.storage import Storage
from dovetail.tensor import Tensor, new_tensor

__all__ = ["POOLED", "DeviceState", "clear_states", "forget_state", "small_bytes", "state_of"]

new = object.__new__

POOLED = 1 << 15
"""Host arrays of at least this many bytes come from the pool; smaller ones straight from NumPy."""


def _lent(give: Callable[[Any], None], nbytes: int) -> Any:
    """A type of buffers lent by a pool; one goes back when the last array over it is gone.

    Not an array type: NumPy lets a view refer past its base array to that one's memory, and the
    base would be gone while the view lives.
    """

    class Lent(ctypes.c_char * nbytes):  # type: ignore[misc]
        block = None

        def __del__(self) -> None:
            if self.block is not None:
                give(self.block)

    return Lent


@functools.cache
def _joint(count: int) -> Callable[..., Callable[[], tuple[Tensor, ...]]]:
    """Makes what :meth:`DeviceState.joint_maker` returns, written out for so many tensors."""
    fields = ("spec", "place", "begin", "shape", "strides", "dtype")
    names = ", ".join(f"{field}{i}" for i in range(count) for field in fields)
    each = "".join(
        f"        t{i} = new(Tensor)\n"
        f"        t{i}._array = view(block, begin{i}, shape{i}, strides{i}, dtype{i})\n"
        f"        t{i}._spec, t{i}._storage, t{i}._offset = spec{i}, storage, place{i}\n"
        f"        t{i}._node = t{i}._base = None\n"
        for i in range(count)
    )
    source = (
        f"def make(state, take, give, nbytes, view, {names}):\n"
        "    def pooled():\n"
        "        block = take(nbytes)\n"
        "        storage = new(Storage)\n"
        "        storage.state, storage.buffer = state, block\n"
        "        storage.nbytes, storage.give, storage.version = nbytes, give, 0\n"
        "        storage.owner = storage.writer = None\n"
        f"{each}"
        f"        return {''.join(f't{i}, ' for i in range(count))}\n"
        "    return pooled\n"
    )
    space: dict[str, Any] = {"new": new, "Storage": Storage, "Tensor": Tensor}
    exec(compile(source, "<dovetail tensors>", "exec"), space)
    make: Callable[..., Callable[[], tuple[Tensor, ...]]] = space["make"]
    return make


class DeviceState:
    """Everything the dispatcher needs to know about one device."""

    def __init__(self, device: Device) -> None:
        from dovetail.streams import number_of

        loaded = registry.get(device.type)
        self.device = device
        self.index = device.index or 0
        self.runtime = loaded.runtime
        self.table = loaded.table
        self.info = loaded.runtime.info(self.index)
        self.host_arrays = loaded.runtime.host_arrays
        self.dtypes = frozenset(self.info.dtypes)
        runtime, index = self.runtime, self.index
        if self.host_arrays:
            take: Callable[[int], Any] = lambda nbytes: np.empty(nbytes, np.uint8)
            give: Callable[[Any], None] = lambda block: None
        else:
            take = lambda nbytes: runtime.alloc(nbytes, index)
            give = runtime.free
        self.pool = Pool(
            take,
            give,
            lambda: runtime.synchronize(index),
            str(device),
            caching=runtime.caching,
            stream=number_of(runtime, index) if runtime.streams else None,
        )

    def check_dtype(self, name: str, dtype: DType) -> None:
        """Raise Unsupported if the device cannot hold ``dtype``."""
        if dtype not in self.dtypes:
            have = ", ".join(d.name for d in self.info.dtypes)
            raise Unsupported(
                f"{name}: {self.device} has no {dtype.name}; convert to one of {have} first"
            )

    def maker(self, spec: Spec) -> Callable[[], Tensor]:
        """A function that returns a new, uninitialised tensor of ``spec`` at each call."""
        self.check_dtype("empty", spec.dtype)
        if self.host_arrays:
            make_array = self.array_maker(spec)

            def host() -> Tensor:
                return new_tensor(spec, make_array())

            return host

        nbytes = spec.span * spec.dtype.itemsize
        take, give = self.pool.lender(rounded(nbytes))
        view = self.runtime.view
        shape, dtype = tuple(spec.shape), spec.dtype
        strides = tuple(s * dtype.itemsize for s in spec.strides)

        def pooled() -> Tensor:
            # As Storage() and new_tensor() make them, whose frames would cost as much again.
            block = take(nbytes)
            storage = new(Storage)
            storage.state, storage.buffer = self, block
            storage.nbytes, storage.give, storage.version = nbytes, give, 0
            storage.owner = storage.writer = None
            made: Tensor = new(Tensor)
            made._array = view(block, 0, shape, strides, dtype)
            made._spec, made._storage, made._offset = spec, storage, 0
            made._node = made._base = None
            return made

        return pooled

    def joint_maker(self, specs: Sequence[Spec]) -> Callable[[], tuple[Tensor, ...]]:
        """A function that returns new, uninitialised tensors of ``specs`` at each call, in a block
        that they share: it costs less than one each, and is given back with the last of them.

        For who keeps them to himself: they share the count of in-place writes too. Not for host
        arrays.
        """
        assert not self.host_arrays
        begins, end = [], 0
        for spec in specs:
            self.check_dtype("empty", spec.dtype)
            begins.append(end)
            end += rounded(spec.span * spec.dtype.itemsize)
        take, give = self.pool.lender(rounded(end))
        values = [
            (
                s,
                b // s.dtype.itemsize,
                b,
                tuple(s.shape),
                tuple(n * s.dtype.itemsize for n in s.strides),
                s.dtype,
            )
            for s, b in zip(specs, begins, strict=True)
        ]
        made: Callable[[], tuple[Tensor, ...]] = _joint(len(specs))(
            self, take, give, end, self.runtime.view, *[v for row in values for v in row]
        )
        return made

    def array_maker(self, spec: Spec) -> Callable[[], Any]:
        """For host arrays: a function that returns a new array of ``spec`` at each call."""
        if spec.is_contiguous and spec.nbytes < POOLED:
            return self.runtime.empty_maker(tuple(spec.shape), spec.dtype, self.index)
        kind = spec.dtype.numpy
        nbytes = spec.span * spec.dtype.itemsize
        shape = tuple(spec.shape)
        strides = tuple(s * spec.dtype.itemsize for s in spec.strides)
        if nbytes < POOLED:
            return lambda: np.ndarray(shape, kind, np.empty(nbytes, np.uint8), 0, strides)
        take, give = self.pool.lender(rounded(nbytes))
        lent = _lent(give, nbytes).from_buffer

        def pooled() -> Any:
            block = take(nbytes)
            buffer = lent(block)
            buffer.block = block
            return np.ndarray(shape, kind, buffer, 0, strides)

        return pooled

    def view(self, storage: Storage, spec: Spec, offset: int) -> Any:
        """The array over ``storage`` that kernels take; ``offset`` in elements."""
        dtype = spec.dtype
        size = dtype.itemsize
        if not spec.numel:  # no memory is reached, so the strides do not matter
            spec, offset = spec_of(tuple(spec.shape), dtype, spec.device), 0
        found = spec.memo.get("bytes")
        if found is None:
            strides = tuple(s * size for s in spec.strides)
            found = spec.memo["bytes"] = (tuple(spec.shape), strides)
        shape, strides = found
        return self.runtime.view(storage.buffer, offset * size, shape, strides, dtype)

    def storage_from_array(self, array: Any) -> Storage:
        """For host arrays: the Storage over an array's own memory (shared, not copied)."""
        flat = _flat_bytes(array)
        return Storage(self, flat, flat.nbytes)

    def runtime_address(self, buffer: Any) -> int:
        """Where ``buffer`` is, as far as the device has addresses."""
        if isinstance(buffer, np.ndarray):
            return int(buffer.ctypes.data)
        for name in ("ptr", "int_ptr"):
            if hasattr(buffer, name):
                return int(getattr(buffer, name))
        return int(buffer) if isinstance(buffer, int) else id(buffer)

    def write(
        self, storage: Storage, offset: int, data: np.ndarray, *, is_pinned: bool = False
    ) -> None:
        """Copy a contiguous NumPy array's bytes into ``storage`` at byte ``offset``.

        Args:
            is_pinned: in page-locked memory, which stays as it is until the device has read it.
        """
        if data.nbytes:
            source = data.reshape(-1).view(np.uint8).data.cast("B")
            copy = self.runtime.h2d_pinned if is_pinned else self.runtime.h2d
            copy(storage.buffer, offset, source)

    def read(self, storage: Storage, offset: int, out: np.ndarray) -> None:
        """Fill a contiguous NumPy array with the bytes of ``storage`` from byte ``offset``."""
        if out.nbytes:
            target = out.reshape(-1).view(np.uint8).data.cast("B")
            self.runtime.d2h(target, storage.buffer, offset)


def _flat_bytes(array: np.ndarray) -> np.ndarray:
    if array.flags.c_contiguous:
        return array.reshape(-1).view(np.uint8)
    first = array[(slice(0, 1),) * array.ndim].reshape(-1).view(np.uint8)
    steps = zip(array.shape, array.strides, strict=True)
    span = array.itemsize + sum((n - 1) * s for n, s in steps) if array.size else 0
    return np.lib.stride_tricks.as_strided(first, (span,), (1,))


_states: dict[Device, DeviceState] = {}


def state_of(device: Device) -> DeviceState:
    """The state of a concrete device, made on first use.

    Raises:
        BackendUnavailable: the backend is missing, broken or has no hardware.
    """
    found = _states.get(device)
    if found is None:
        attach()
        found = _states.setdefault(device, DeviceState(device))
    return found


def forget_state(device: Device) -> None:
    """Forget one device's state; its backend has gone."""
    _states.pop(device, None)


def clear_states() -> None:
    """Forget every device's state; tensors keep the one they were made with."""
    _states.clear()


def small_bytes(device: Any) -> int:
    """Bytes of live host-array tensors on ``device`` that are too small for the pool."""
    wanted = resolve(device)
    if not state_of(wanted).host_arrays:
        return 0
    seen: dict[int, int] = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), Tensor) and thing._spec.device == wanted:
            storage, array = thing._storage, thing._array
            if storage is not None:
                seen[storage.data_ptr()] = storage.nbytes
            elif isinstance(array, np.ndarray):
                seen[array.ctypes.data] = array.nbytes
    return sum(n for n in seen.values() if n < POOLED)


DEVICES.bind(state_of=state_of, small_bytes=small_bytes)
