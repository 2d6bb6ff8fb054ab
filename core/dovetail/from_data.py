"""Tensors from data: numbers and nested sequences, NumPy arrays, buffers, other tensors.

Which dtype a sequence gets, and what is refused, follows PyTorch's ``torch.tensor``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import raw
from dovetail.backend.state import state_of
from dovetail.device import device as Device
from dovetail.device import resolve
from dovetail.factory_arguments import finish, place
from dovetail.promotion import number_dtype, promote_types
from dovetail.spec import spec_of
from dovetail.tensor import Tensor, new_tensor
from dovetail.warning import warn

__all__ = [
    "as_tensor",
    "asarray",
    "elements",
    "from_numpy",
    "from_sequence",
    "frombuffer",
    "scalar_tensor",
    "tensor",
    "warn_of_copy",
]  # fmt: skip

_NUMBERS = frozenset((bool, int, float, complex))


def elements(array: np.ndarray, kind: d.dtype) -> np.ndarray:
    """``array`` converted to a dtype as ``.to(dtype)`` does, silently."""
    with np.errstate(all="ignore"):
        if array.dtype.kind == "c" and not kind.is_complex:
            array = array.real
        return np.asarray(array).astype(kind.numpy)


def from_sequence(data: Any, dtype: d.dtype | None, device: Any) -> Tensor:
    """A tensor of numbers, nested sequences or an array; the values are copied."""
    kind = None if dtype is None else d.as_dtype(dtype)
    if not isinstance(data, (list, tuple, np.generic)) and hasattr(data, "__array__"):
        array = np.asarray(data)
        kind = kind or d.from_numpy_dtype(array.dtype)
    else:
        array, kind = _from_python(data, kind)
    return raw.from_host(elements(array, kind), kind, state_of(resolve(device)))


def _from_python(data: Any, dtype: d.dtype | None) -> tuple[np.ndarray, d.dtype]:
    data = _as_lists(data)
    found: set[Any] = set()
    _kinds(data, found)
    if not found <= _NUMBERS:
        data = _plain(data, found)
    try:
        array = np.array(data)
    except ValueError:
        raise _ragged(data) from None
    inferred = _promoted(found)
    kind = dtype or inferred
    # Python's integers have no limit; NumPy takes those past int64 as uint64, float64 or objects.
    overflows = inferred.category == 1 and array.size and array.dtype.kind not in "iub"
    if overflows or array.dtype == np.uint64:
        if kind.category == 1:
            raise ValueError(
                "Overflow when unpacking long long: values must fit into int64; convert them to "
                "float first"
            )
        array = np.array(data, dtype=object).astype(np.float64)
    if kind.category == 1:
        _check_fits(array, kind)
    elif kind.category == 2 and array.dtype.kind == "c":
        raise TypeError(f"tensor(): must be real number, not complex, for dtype {kind}")
    return array, kind


def _as_lists(data: Any) -> Any:
    """Sequences that are neither list nor tuple (``range``, ``bytearray``) as lists."""
    if isinstance(data, (list, tuple)) or data.__class__ in _NUMBERS or isinstance(data, Tensor):
        return data
    if isinstance(data, (str, bytes)):
        raise TypeError(f"tensor(): invalid data type '{type(data).__name__}'; give numbers")
    is_sequence = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    return list(data) if is_sequence and not hasattr(data, "keys") else data


def _kinds(data: Any, found: set[Any]) -> None:
    """Collect the types of the leaves; for arrays and tensors, their dtypes."""
    if not isinstance(data, (list, tuple)):
        found.add(_kind_of(data))
        return
    types = set(map(type, data))
    if types <= _NUMBERS:
        found |= types
        return
    for x in data:
        if isinstance(x, (list, tuple)):
            _kinds(x, found)
        else:
            found.add(_kind_of(x))


def _kind_of(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.dtype
    return x.dtype if isinstance(x, (np.generic, np.ndarray)) else type(x)


def _promoted(found: Iterable[Any]) -> d.dtype:
    result: d.dtype | None = None
    for kind in found:
        if kind in _NUMBERS:
            kind = number_dtype(kind)
        elif not isinstance(kind, d.dtype):
            kind = d.from_numpy_dtype(kind)
        result = kind if result is None else promote_types(result, kind)
    return result or d.get_default_dtype()


def _plain(data: Any, found: set[Any]) -> Any:
    """``data`` with tensors as numbers and other sequences as lists.

    Raises:
        TypeError, ValueError, RuntimeError: something is not a number, in PyTorch's words.
    """
    if isinstance(data, Tensor):
        if data.numel() != 1:
            kind = TypeError if data.dtype.category < 2 else ValueError
            raise kind(
                "only one element tensors can be converted to Python scalars; tensor() got one of "
                f"shape {tuple(data.shape)} in a sequence: use stack()"
            )
        return data.item()  # type: ignore[attr-defined]
    if isinstance(data, (list, tuple)):
        return [_plain(x, found) for x in data]
    if data.__class__ in _NUMBERS or isinstance(data, (np.generic, np.ndarray)):
        return data
    found.discard(type(data))
    if isinstance(data, str):
        is_first = not found
        raise (ValueError if is_first else TypeError)(
            f"too many dimensions 'str' (tensor() takes numbers, got {data!r})"
        )
    if isinstance(data, range):
        found.add(int)
        return list(data)
    if isinstance(data, (bool, int, float, complex)):  # subclasses, such as enumerations
        base: Any = next(k for k in (bool, int, float, complex) if isinstance(data, k))
        found.add(base)
        return base(data)
    raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")


def _ragged(data: Any) -> Exception:
    """What is wrong with sequences that make no array."""
    sizes, first = [], data
    while isinstance(first, (list, tuple, np.ndarray)) and not (
        isinstance(first, np.ndarray) and not first.ndim
    ):
        sizes.append(len(first))
        first = first[0] if len(first) else None

    def check(x: Any, dim: int) -> Exception | None:
        is_sequence = isinstance(x, (list, tuple)) or (isinstance(x, np.ndarray) and x.ndim)
        if dim == len(sizes):
            return TypeError("must be a number, not a sequence") if is_sequence else None
        if not is_sequence:
            return TypeError(f"not a sequence: {x!r} at dim {dim}")
        if len(x) != sizes[dim]:
            return ValueError(
                f"expected sequence of length {sizes[dim]} at dim {dim} (got {len(x)})"
            )
        return next((e for e in (check(y, dim + 1) for y in x) if e is not None), None)

    return check(data, 0) or ValueError("tensor(): the sequences make no array")


def _check_fits(array: np.ndarray, kind: d.dtype) -> None:
    """Raise where a number does not fit the integer dtype, as PyTorch does for each element."""
    if array.dtype.kind == "c":
        raise TypeError("tensor(): 'complex' object cannot be interpreted as an integer")
    if not array.size or array.dtype.kind not in "if":
        return
    info = d.iinfo(kind)
    least = info.min if kind.is_signed or array.dtype.kind == "f" else -info.max
    with np.errstate(invalid="ignore"):
        low, high = array.min(), array.max()
    # As a float, int64's maximum is rounded up to 2**63, which does not fit.
    below = high < 2.0**63 if array.dtype.kind == "f" and kind is d.int64 else high <= info.max
    if not (low >= least and below):
        raise RuntimeError(f"value cannot be converted to type {kind.name} without overflow")


def tensor(
    data: Any,
    *,
    dtype: d.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new tensor holding a copy of ``data``: numbers, nested sequences, an array or a tensor.

    The dtype is inferred unless given: bool, int64, the default float or complex for Python's
    numbers; NumPy's and tensors' own.

    Raises:
        TypeError, RuntimeError: something in it is not a number, or does not fit ``dtype``.
        ValueError: sequences of unequal length.
    """
    if isinstance(data, Tensor):
        warn_of_copy()
        where = data.device if device is None else resolve(device)
        kind = data.dtype if dtype is None else d.as_dtype(dtype)
        made = data.detach().to(where, kind, copy=True)  # type: ignore[attr-defined]
        return finish(made, requires_grad, pin_memory)
    return finish(from_sequence(data, dtype, device), requires_grad, pin_memory)


def warn_of_copy() -> None:
    """Say that a tensor is better copied by ``clone``."""
    warn(
        "To copy construct from a tensor, it is recommended to use sourceTensor.detach()."
        "clone() or sourceTensor.detach().clone().requires_grad_(True), rather than "
        "tensor(sourceTensor).",
        UserWarning,
    )


def from_numpy(array: np.ndarray) -> Tensor:
    """A cpu tensor that shares the array's memory, in both directions.

    Raises:
        TypeError: not an array, or of a dtype that has no counterpart.
        ValueError: negative strides, or another byte order.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported."
        )
    kind = d.from_numpy_dtype(array.dtype)
    size = kind.itemsize
    if any(s < 0 for s in array.strides) and array.size:
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array  with array.copy().) "
        )
    if any(s % size for s in array.strides):
        raise ValueError(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy "
            "array to reallocate the memory."
        )
    if not array.flags.writeable:
        warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable "
            "tensors. It was copied, so that writes to the tensor do not reach it; copy it "
            "yourself to silence this: from_numpy(array.copy()).",
            UserWarning,
        )
        array = array.copy(order="K")
    if array.__class__ is not np.ndarray:
        array = array.view(np.ndarray)
    strides = tuple(s // size for s in array.strides) if array.size else None
    return new_tensor(spec_of(array.shape, kind, Device("cpu"), strides), array)


def frombuffer(
    buffer: Any,
    *,
    dtype: d.dtype,
    count: int = -1,
    offset: int = 0,
    requires_grad: bool = False,
) -> Tensor:
    """A 1-D cpu tensor over the memory of a Python buffer, shared in both directions.

    Args:
        count: how many elements; -1: as many as there are.
        offset: bytes to skip first.

    Raises:
        ValueError: the buffer has too few bytes, or not a whole number of elements.
    """
    try:
        size = memoryview(buffer).nbytes
    except TypeError:
        raise ValueError(
            f"object does not implement Python buffer protocol. (got {type(buffer).__name__})"
        ) from None
    if not size or not count:
        raise ValueError(f"both buffer length ({size}) and count ({count}) must not be 0")
    array = np.frombuffer(buffer, d.as_dtype(dtype).numpy, count, offset)
    return finish(from_numpy(array), requires_grad)


def as_tensor(data: Any, dtype: d.dtype | None = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, sharing memory where that is possible."""
    kind = None if dtype is None else d.as_dtype(dtype)
    if isinstance(data, Tensor):
        where = data.device if device is None else resolve(device)
        return data.to(where, kind or data.dtype)  # type: ignore[no-any-return,attr-defined]
    if isinstance(data, np.ndarray) and data.flags.writeable and min(data.strides, default=0) >= 0:
        shared = from_numpy(data)
        return shared.to(resolve(device), kind or shared.dtype)  # type: ignore[no-any-return,attr-defined]
    return from_sequence(data, kind, device)


def asarray(
    obj: Any,
    *,
    dtype: d.dtype | None = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """As :func:`as_tensor`; ``copy=True`` always copies, ``copy=False`` never does.

    Raises:
        ValueError: ``copy=False``, and the memory cannot be shared.
    """
    is_buffer = isinstance(obj, (bytes, bytearray, memoryview))
    made = _of_buffer(obj, dtype, device) if is_buffer else as_tensor(obj, dtype, device)
    if copy is False and made is not obj and not is_buffer:
        if isinstance(obj, Tensor):
            raise ValueError(
                f"asarray: copy=False, but {obj.dtype} on {obj.device} cannot be seen as "
                f"{made.dtype} on {made.device}"
            )
        shares = isinstance(obj, np.ndarray) and made.is_cpu and made.dtype.numpy == obj.dtype
        if not shares:
            raise ValueError("asarray: copy=False, but the data must be copied to make a tensor")
    if copy:
        made = made.clone()  # type: ignore[attr-defined]
    return finish(made, requires_grad)


def _of_buffer(buffer: Any, dtype: d.dtype | None, device: Any) -> Tensor:
    """The memory of a Python buffer; ``bytes`` may not be written to, and are copied."""
    writable = bytearray(buffer) if isinstance(buffer, bytes) else buffer
    made = frombuffer(writable, dtype=dtype or d.get_default_dtype())
    return made.to(resolve(device))  # type: ignore[no-any-return,attr-defined]


def scalar_tensor(
    s: Any,
    *,
    dtype: d.dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A 0-d tensor of the default dtype unless given.

    Raises:
        TypeError: not a number.
        RuntimeError: the dtype cannot hold it.
    """
    kind, _ = place(dtype, device, None, layout, pin_memory)
    if isinstance(s, Tensor) and not s.ndim:
        s = s.item()  # type: ignore[attr-defined]
    if not isinstance(s, (bool, int, float, complex, np.generic)):
        raise TypeError(
            f"scalar_tensor(): argument 's' (position 1) must be Number, not {type(s).__name__}"
        )
    if isinstance(s, complex) and not kind.is_complex:
        raise RuntimeError(f"value cannot be converted to type {kind.name} without overflow")
    return finish(from_sequence(s, kind, device), requires_grad, pin_memory)
