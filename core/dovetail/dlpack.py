"""Exchange of tensors with other libraries without a copy: the DLPack protocol.

Host memory goes through NumPy, which implements the protocol; what NumPy has no dtype for
(bfloat16) travels as uint16 whose name in the capsule is changed. A tensor of a device whose memory
the host cannot read says so with BufferError. Source: the standard at dmlc.github.io/dlpack.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.backend.state import state_of
from dovetail.device import resolve
from dovetail.from_data import from_numpy
from dovetail.tensor import Tensor

__all__ = ["dlpack", "dlpack_device", "from_dlpack", "to_dlpack"]

_HOST, _EXTENSION = 1, 12
"""Kinds of device: the host's memory, and one that is nobody else's (``kDLExtDev``)."""

_UNSIGNED, _BFLOAT = 1, 4
"""Kinds of dtype."""


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
    )


_BEFORE = {b"dltensor": 0, b"dltensor_versioned": 32}
"""Name of a capsule -> bytes before the DLTensor in what it points to."""


def _opened(capsule: Any) -> _DLTensor:
    """The DLTensor inside a capsule that nobody has taken.

    Raises:
        RuntimeError: not a capsule, or one that was taken.
    """
    python = ctypes.pythonapi
    valid, pointer = python.PyCapsule_IsValid, python.PyCapsule_GetPointer
    valid.argtypes = pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    valid.restype, pointer.restype = ctypes.c_int, ctypes.c_void_p
    for name, before in _BEFORE.items():
        if valid(capsule, name):
            return _DLTensor.from_address(pointer(capsule, name) + before)
    raise RuntimeError(
        "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only "
        f"once, so you might have already constructed a tensor from it once (got {capsule!r})"
    )


# ------------------------------------------------------------------ giving


def dlpack_device(self: Tensor) -> tuple[int, int]:
    """The protocol's (kind, index) of this tensor's device."""
    if self.device.type == "meta":
        raise ValueError(f"Unknown device type {self.device} for Dlpack")
    if state_of(self.device).host_arrays:
        return _HOST, 0
    return _EXTENSION, self.device.index or 0


def dlpack(
    self: Tensor, *, stream: Any = -1, max_version: Any = None, dl_device: Any = None,
    copy: bool | None = None,
) -> Any:  # fmt: skip
    """A capsule that another library can make a tensor of, which shares this one's memory.

    Args:
        stream: None or -1; host memory is ready when it is given.
        max_version: the newest version of the protocol that the consumer understands.
        dl_device: (kind, index) where the consumer wants it.
        copy: True copies first.

    Raises:
        BufferError: it requires a gradient, or is where the host cannot read.
    """
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if stream is not None and type(stream) is not int:
        raise TypeError("stream must be ``int`` or ``none``")
    here = dlpack_device(self)
    if here[0] != _HOST:
        raise BufferError(
            f"__dlpack__: {self.device} has memory that the host cannot read; move the tensor "
            "with .cpu() first"
        )
    if stream not in (None, -1):
        raise AssertionError("stream should be None on cpu.")
    if dl_device is not None and tuple(dl_device) != here:
        raise BufferError(f"__dlpack__: must stay on device {here}, asked for {tuple(dl_device)}")
    array = self.detach().numpy()
    array = array.copy(order="K") if copy else array
    is_bfloat = self.dtype is d.bfloat16
    if is_bfloat:
        array = array.view(np.uint16)
    capsule = _capsule(array, max_version)
    if is_bfloat:
        _opened(capsule).code = _BFLOAT
    return capsule


def _capsule(array: np.ndarray, max_version: Any) -> Any:
    if max_version is not None and np.lib.NumpyVersion(np.__version__) >= "2.1.0":
        return array.__dlpack__(max_version=max_version)
    return array.__dlpack__()


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule of the tensor, for ``from_dlpack`` of any library; it can be taken once."""
    return dlpack(tensor)


# ------------------------------------------------------------------ taking


class _Source:
    """A capsule as the object that NumPy asks for one."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return _HOST, 0


class _Writable:
    """An array's memory as one that may be written to; NumPy marks what comes by DLPack."""

    def __init__(self, owner: np.ndarray) -> None:
        self.owner = owner
        facts = dict(owner.__array_interface__)
        facts["data"] = (facts["data"][0], False)
        self.__array_interface__ = facts


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of another library's, or of a capsule.

    Args:
        device: where the tensor shall be; another device than the memory's needs a copy.
        copy: True copies; False raises where it would have to be copied.

    Raises:
        RuntimeError: no capsule, or one that was taken.
        BufferError: the memory is not the host's, or it requires a gradient.

    Example:
        >>> import numpy as np
        >>> from_dlpack(np.arange(3))
        tensor([0, 1, 2])
    """
    if isinstance(ext_tensor, Tensor):
        if ext_tensor.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        made = ext_tensor.detach()
    else:
        made = _taken(ext_tensor)
    where = made.device if device is None else resolve(device)
    if copy is False and where is not made.device:
        raise ValueError(f"from_dlpack: must copy to move from {made.device} to {where}")
    return made.to(where, copy=bool(copy))  # type: ignore[attr-defined, no-any-return]


def _taken(given: Any) -> Tensor:
    ask = getattr(given, "__dlpack__", None)
    if ask is None:
        capsule = given
    else:
        kind = given.__dlpack_device__()[0]
        if int(kind) != _HOST:
            raise BufferError(
                f"from_dlpack: must be host memory (device kind {_HOST}), got kind {int(kind)}; "
                "copy it to the host first"
            )
        capsule = _asked(ask)
    facts = _opened(capsule)
    if facts.device_type != _HOST:
        raise BufferError(
            f"from_dlpack: must be host memory (device kind {_HOST}), got kind "
            f"{facts.device_type}; copy it to the host first"
        )
    is_bfloat = (facts.code, facts.bits) == (_BFLOAT, 16)
    if is_bfloat:
        facts.code = _UNSIGNED
    is_legacy = "versioned" not in repr(capsule)
    array = np.from_dlpack(_Source(capsule))
    if is_legacy and not array.flags.writeable:  # that version cannot say whether it may be
        array = np.asarray(_Writable(array))
    if is_bfloat:
        array = array.view(d.bfloat16.numpy)
    return from_numpy(array)


def _asked(ask: Any) -> Any:
    if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
        try:
            return ask(max_version=(1, 0))
        except TypeError:  # an older producer, which knows no versions
            return ask()
    return ask()


Tensor.__dlpack__ = dlpack  # type: ignore[attr-defined]
Tensor.__dlpack_device__ = dlpack_device  # type: ignore[attr-defined]
