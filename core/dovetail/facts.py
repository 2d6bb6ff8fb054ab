"""What PyTorch programs ask of a tensor that has one fixed answer here, or a short one.

Also its storage as PyTorch shows it, and typed conversions by example (``type_as``).
"""

from __future__ import annotations

from typing import Any

from dovetail import raw
from dovetail.backend.allocator import rounded
from dovetail.backend.state import state_of
from dovetail.device import device as Device
from dovetail.device import resolve
from dovetail.dtypes import uint8
from dovetail.late_binding import TENSORS
from dovetail.ops import expose
from dovetail.spec import spec_of
from dovetail.storage import Storage, bytes_of
from dovetail.tensor import Tensor, new_tensor, storage_of

__all__ = ["UntypedStorage", "is_storage", "typename"]


class UntypedStorage:
    """The bytes that a tensor shares with its views.

    Source: PyTorch's page ``torch.UntypedStorage``.
    """

    start = 0
    """Where in the memory it begins, in bytes."""

    def __init__(self, tensor: Tensor) -> None:
        self._storage = storage_of(tensor)
        self.device = tensor.device

    @classmethod
    def of(cls, storage: Storage, device: Device) -> UntypedStorage:
        """The storage of tensors that are not made yet."""
        made = cls.__new__(cls)
        made._storage, made.device = storage, device
        return made

    def to(self, device: Any) -> UntypedStorage:
        """A copy on another device; itself where it is there already.

        Raises:
            BackendUnavailable: there is no such device here; the message says why.
        """
        where = resolve(device)
        if self.device == where:
            return self
        state, nbytes = state_of(where), self.nbytes()
        if where.type == "meta":
            return UntypedStorage.of(Storage(state, None, nbytes), where)
        data = bytes_of(self._storage)
        if state.host_arrays:
            return UntypedStorage.of(Storage(state, data.copy(), nbytes), where)
        take, give = state.pool.lender(rounded(nbytes))
        made = Storage(state, take(nbytes), nbytes, give)
        state.write(made, 0, data)
        return UntypedStorage.of(made, where)

    def cpu(self) -> UntypedStorage:
        """A copy in host memory; itself where it is there already."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> UntypedStorage:
        """A copy on an NVIDIA GPU: the current one, or that of the given index."""
        name = "cuda" if device is None else device
        return self.to(Device("cuda", name) if isinstance(name, int) else name)

    def nbytes(self) -> int:
        """How many bytes there are."""
        return self._storage.nbytes

    size = __len__ = nbytes

    def data_ptr(self) -> int:
        """The address of the first byte (a handle on devices without addresses)."""
        return 0 if self._storage.buffer is None else self._storage.data_ptr()

    def tolist(self) -> list[int]:
        """The bytes as numbers."""
        spec = spec_of((self.nbytes(),), uint8, self.device)
        return raw.to_host(new_tensor(spec, None, self._storage, self.start)).tolist()  # type: ignore[no-any-return]

    def __getitem__(self, index: Any) -> Any:
        return self.tolist()[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and other._storage is self._storage

    def __hash__(self) -> int:
        return id(self._storage)


def _get_device(self: Tensor) -> int:
    """The index of the tensor's device; -1 in host memory."""
    return -1 if self.is_cpu or self._spec.device.index is None else self._spec.device.index


def _is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both are the same view of the same memory."""
    return (
        self._spec is tensor._spec
        and self._storage is not None
        and self._storage is tensor._storage
        and self._offset == tensor._offset
    )


def _dim_order(self: Tensor) -> tuple[int, ...]:
    """The dims from the slowest to the fastest in memory."""
    spec = self._spec
    return tuple(sorted(range(spec.ndim), key=lambda i: (-spec.strides[i], i)))


def _type_as(self: Tensor, other: Tensor) -> Tensor:
    """This tensor with the dtype and device of ``other``."""
    return self.to(other)  # type: ignore[attr-defined, no-any-return]


def _record_stream(self: Tensor, stream: Any) -> None:
    """Have the memory wait, once it is given back, for what ``stream`` does with it until then.

    Needed where a tensor made on one stream is used on another; the memory is then not given to
    somebody else before that stream is done with it.

    Raises:
        RuntimeError: the stream is another device's.
    """
    storage = storage_of(self)
    if stream.device != self._spec.device:
        raise RuntimeError(
            f"record_stream: the stream must be of the tensor's device {self._spec.device}, got "
            f"one of {stream.device}"
        )
    storage.state.pool.record_stream(storage.buffer, stream)


def _sparse_dim(self: Tensor) -> int:
    """How many dims are sparse: none, ever."""
    return 0


def _legacy_new(self: Tensor, *args: Any) -> Tensor:
    """The old constructor with this tensor's dtype and device."""
    return _construct(*args, device=self.device, dtype=self.dtype)


def _construct(*args: Any, **options: Any) -> Tensor:
    """``Tensor(…)``, which few programs write."""
    from dovetail.legacy import legacy_tensor

    return legacy_tensor(*args, **options)


TENSORS.bind(construct=_construct)


def _false(name: str, why: str) -> Any:
    def answer(self: Tensor) -> bool:
        return False

    answer.__name__, answer.__doc__ = name, why
    return answer


_METHODS = {
    "get_device": _get_device, "is_set_to": _is_set_to,
    "dim_order": _dim_order, "type_as": _type_as,
    "record_stream": _record_stream, "new": _legacy_new,
    "dense_dim": Tensor.dim, "sparse_dim": _sparse_dim,
    "is_shared": _false("is_shared", "Whether other processes see the memory: never here."),
}  # fmt: skip
_PROPERTIES = {
    "is_sparse": "Whether the layout is sparse: never here.",
    "is_quantized": "Whether the elements are quantized: a QTensor says so.",
    "is_mkldnn": "Whether the layout is oneDNN's own: never here.",
}


def _of_quantized(name: str, found: str = "") -> Any:
    def method(self: Tensor, *args: Any) -> Any:
        from dovetail import quantized

        return getattr(quantized, found or name)(self, *args)

    method.__name__ = name
    method.__doc__ = f"See :func:`dovetail.quantized.{found or name}`."
    return method


for _name in ("dequantize", "int_repr", "q_scale", "q_zero_point", "q_per_channel_scales",
              "q_per_channel_zero_points", "q_per_channel_axis"):  # fmt: skip
    _METHODS[_name] = _of_quantized(_name)
_METHODS["qscheme"] = _of_quantized("qscheme", "qscheme_of")


def _untyped_storage(self: Tensor) -> UntypedStorage:
    """The memory that this tensor shares with its views."""
    return UntypedStorage(self)


_METHODS["untyped_storage"] = _untyped_storage
for _name, _function in _METHODS.items():
    setattr(Tensor, _name, _function)
for _name, _why in _PROPERTIES.items():
    setattr(Tensor, _name, property(_false(_name, _why)))
for _name in ("detach", "detach_", "is_inference", "get_device"):
    expose.FUNCTIONS[_name] = getattr(Tensor, _name)


def _is_signed(input: Tensor) -> bool:
    """Whether the dtype holds numbers below 0."""
    if not isinstance(input, Tensor):
        raise TypeError(
            f"is_signed(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}"
        )
    return input.is_signed()


expose.FUNCTIONS["is_signed"] = _is_signed


def typename(obj: Any, /) -> str:
    """The name of an object's type: ``torch.FloatTensor``, or module and class.

    Example:
        >>> import dovetail as dt
        >>> typename(dt.ones(1)), typename(3)
        ('torch.FloatTensor', 'int')
    """
    if isinstance(obj, Tensor):
        return str(obj.type())  # type: ignore[attr-defined]
    module = getattr(type(obj), "__module__", "") or ""
    name = getattr(type(obj), "__qualname__", type(obj).__name__)
    return name if module in ("", "builtins") else f"{module}.{name}"


def is_storage(obj: Any, /) -> bool:
    """Whether an object is the memory of tensors."""
    return isinstance(obj, UntypedStorage)


def _assert(condition: Any, message: Any) -> None:
    """``assert`` as a function, which others' models call by this name.

    Raises:
        AssertionError: the condition is false.
    """
    if not condition:
        raise AssertionError(message)
