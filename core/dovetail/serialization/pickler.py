"""Objects as pickles that PyTorch reads: its names as text, tensors by their storages.

Source: ``torch/_tensor.py`` (``__reduce_ex__``) and ``torch/serialization.py`` (persistent ids).
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from dovetail.device import device as Device
from dovetail.dtypes import dtype as DType
from dovetail.dtypes import type_name, uint8
from dovetail.facts import UntypedStorage
from dovetail.nn.parameter import Parameter
from dovetail.quantized.tensor import PerTensor, QTensor
from dovetail.serialization.storages import root_of
from dovetail.spec import Size
from dovetail.storage import Storage
from dovetail.tensor import Tensor, layout, storage_of

__all__ = ["Name", "Pickled", "Saved", "pickled"]


class Name:
    """A global that a pickle names, whether or not there is such a module here."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __call__(self) -> None:
        """Picklers want a callable; the one who reads the pickle calls it."""
        raise TypeError(f"{self.module}.{self.name} is a name only")


class Saved(NamedTuple):
    """A storage that a pickle refers to, and the dtype in whose elements it is counted."""

    storage: Storage
    dtype: DType


class Pickled(NamedTuple):
    """A pickle, and the storages that it refers to by key."""

    data: bytes
    storages: dict[str, Saved]


class _Reference:
    """A storage in the place of a tensor's data."""

    __slots__ = ("device", "dtype", "is_untyped", "storage")

    def __init__(self, storage: Storage, device: Device, dtype: DType, is_untyped: bool) -> None:
        self.storage = storage
        self.device = device
        self.dtype = dtype
        self.is_untyped = is_untyped


_UTILS = "torch._utils"
_NAMES = {
    name: Name(module, name)
    for module, name in (
        (_UTILS, "_rebuild_tensor_v2"),
        (_UTILS, "_rebuild_tensor_v3"),
        (_UTILS, "_rebuild_parameter"),
        (_UTILS, "_rebuild_parameter_with_state"),
        (_UTILS, "_rebuild_meta_tensor_no_storage"),
        ("torch._tensor", "_rebuild_from_type_v2"),
        ("torch.serialization", "_get_layout"),
        ("torch.nn.parameter", "Parameter"),
        ("torch.storage", "UntypedStorage"),
        ("torch._utils", "_rebuild_qtensor"),
        ("torch", "per_tensor_affine"),
        ("torch", "per_channel_affine"),
        ("torch", "per_channel_affine_float_qparams"),
        ("torch", "Tensor"),
        ("torch", "Size"),
        ("torch", "device"),
    )
}
_FOR_CLASSES: dict[type, Name] = {
    Tensor: _NAMES["Tensor"], Parameter: _NAMES["Parameter"], Size: _NAMES["Size"],
    Device: _NAMES["device"],
}  # fmt: skip

Identify = Callable[[_Reference], tuple[Any, ...]]


class _Writer:
    """Keys for storages, in the order in which a pickle refers to them."""

    def __init__(self, *, with_view: bool) -> None:
        self.saved: dict[str, Saved] = {}
        self._keys: dict[int, str] = {}
        self._untyped: set[str] = set()
        self._with_view = with_view  # the legacy format has one part more
        self._types: dict[DType, Name] = {}

    def dtype_of(self, reference: _Reference) -> DType | None:
        """The dtype in which the storage is counted already; None where it is not yet saved."""
        key = self._keys.get(id(reference.storage))
        return None if key is None else self.saved[key].dtype

    def identity(self, reference: _Reference) -> tuple[Any, ...]:
        """The persistent id."""
        storage = reference.storage
        key = self._keys.get(id(storage))
        if key is None:
            key = self._keys[id(storage)] = str(len(self._keys))
            self.saved[key] = Saved(storage, reference.dtype)
            if reference.is_untyped:
                self._untyped.add(key)
        kind = self.saved[key].dtype
        name = _NAMES["UntypedStorage"] if key in self._untyped else self._type(kind)
        numel = storage.nbytes // kind.itemsize
        identity = ("storage", name, key, str(reference.device), numel)
        return (*identity, None) if self._with_view else identity

    def _type(self, dtype: DType) -> Name:
        name = self._types.get(dtype)
        if name is None:
            name = self._types[dtype] = Name("torch", f"{type_name(dtype)}Storage")
        return name


def pickled(
    obj: Any, pickle_module: Any = pickle, protocol: int = 2, *, is_legacy: bool = False
) -> Pickled:
    """An object as a pickle, its tensors' storages aside.

    Raises:
        TypeError: ``pickle_module`` has no pickler in Python to build on.
        pickle.PicklingError, AttributeError, TypeError: something in it cannot be pickled.
        RuntimeError: a tensor has no data of its own (inside of ``vmap``).
    """
    writer = _Writer(with_view=is_legacy)
    file = io.BytesIO()
    _pickler_of(pickle_module)(writer, file, protocol).dump(obj)
    return Pickled(file.getvalue(), writer.saved)


_made: dict[Any, Any] = {}


def _pickler_of(pickle_module: Any) -> Any:
    """The pickler of a module such as ``pickle`` or ``dill``, taught about tensors."""
    if pickle_module in _made:
        return _made[pickle_module]
    # Python's pickler in C imports what it names; the one in Python writes what it is told.
    base: Any = getattr(pickle_module, "_Pickler", getattr(pickle_module, "Pickler", None))
    if not (isinstance(base, type) and issubclass(base, pickle._Pickler)):
        raise TypeError(
            f"save: pickle_module must have a pickler that builds on Python's own, as pickle and "
            f"dill have, got {getattr(pickle_module, '__name__', pickle_module)!r}"
        )

    class Pickler(base):  # type: ignore[misc]
        dispatch = dict(base.dispatch)

        def __init__(self, writer: _Writer, file: Any, protocol: int) -> None:
            super().__init__(file, protocol=protocol)
            self._writer = writer
            self._kept: list[Any] = []

        def persistent_id(self, obj: Any) -> Any:
            if type(obj) is _Reference:
                return self._writer.identity(obj)
            if isinstance(obj, UntypedStorage):
                storage = root_of(obj._storage)
                dtype = getattr(obj, "dtype", uint8)
                return self._writer.identity(_Reference(storage, obj.device, dtype, dtype is uint8))
            return None

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, Tensor):
                return _reduce_tensor(obj, self._writer)
            reduce = _REDUCERS.get(type(obj))
            return NotImplemented if reduce is None else reduce(obj)

        def save_name(self, obj: Name) -> None:
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            self.memoize(obj)

        def save_dtype(self, obj: DType) -> None:
            self.write(pickle.GLOBAL + f"torch\n{obj.name}\n".encode())
            self.memoize(obj)

        def save_type(self, obj: type, name: str | None = None) -> None:
            known = _FOR_CLASSES.get(obj)
            if known is None:
                base.dispatch[type](self, obj)
            else:
                self.save(known)

        dispatch[Name] = save_name
        dispatch[DType] = save_dtype
        dispatch[type] = save_type

    _made[pickle_module] = Pickler
    return Pickler


def _reduce_tensor(x: Tensor, writer: _Writer) -> tuple[Any, ...]:
    if isinstance(x, Parameter):
        state = _attributes(x)
        name = "_rebuild_parameter_with_state" if state else "_rebuild_parameter"
        parts: tuple[Any, ...] = (x.detach(), x.requires_grad, OrderedDict())
        return _NAMES[name], (*parts, state) if state else parts
    if isinstance(x, QTensor):
        return _quantized_parts(x)
    function, arguments = _tensor_parts(x, writer)
    state = _attributes(x)
    if type(x) is Tensor and not state:
        return function, arguments
    return _NAMES["_rebuild_from_type_v2"], (function, type(x), arguments, state)


def _tensor_parts(x: Tensor, writer: _Writer) -> tuple[Name, tuple[Any, ...]]:
    spec = x._spec
    if spec.batch is not None:
        raise RuntimeError("save: a tensor inside of vmap has no data of its own; save it outside")
    size, grad = tuple(spec.shape), x.requires_grad
    if x.is_meta:
        return _NAMES["_rebuild_meta_tensor_no_storage"], (spec.dtype, size, spec.strides, grad)
    storage = root_of(storage_of(x))
    is_whole = storage.nbytes % spec.dtype.itemsize == 0
    dtype = spec.dtype if is_whole else uint8
    reference = _Reference(storage, spec.device, dtype, not is_whole)
    parts: tuple[Any, ...] = (reference, x._offset, size, spec.strides, grad, OrderedDict())
    counted = writer.dtype_of(reference) or dtype
    if counted is not spec.dtype:  # the storage is another dtype's
        return _NAMES["_rebuild_tensor_v3"], (*parts, spec.dtype)
    return _NAMES["_rebuild_tensor_v2"], parts


def _quantized_parts(x: QTensor) -> tuple[Any, ...]:
    ints, q = x._ints, x._quantizer
    reference = _Reference(root_of(storage_of(ints)), ints.device, x.dtype, False)
    if isinstance(q, PerTensor):
        parameters: tuple[Any, ...] = (_NAMES[q.scheme.name], q.scale, q.zero_point)
    else:
        parameters = (_NAMES[q.scheme.name], q.scales, q.zero_points, q.axis)
    place = (reference, ints._offset, tuple(ints.shape), ints.stride())
    return _NAMES["_rebuild_qtensor"], (*place, parameters, False, OrderedDict())


def _attributes(x: Tensor) -> dict[str, Any]:
    """What was hung on a tensor: what its class has not."""
    return {k: v for k, v in x.__dict__.items() if not hasattr(type(x), k)}


def _reduce_device(x: Device) -> tuple[Any, ...]:
    return _NAMES["device"], (x.type,) if x.index is None else (x.type, x.index)


_REDUCERS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    Size: lambda x: (_NAMES["Size"], (tuple(x),)),
    Device: _reduce_device,
    layout: lambda x: (_NAMES["_get_layout"], (repr(x),)),
}
