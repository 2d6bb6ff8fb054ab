"""What a file may name: the allow-list of ``weights_only=True``, and what programs add to it.

Nothing here imports a module because a file says so. Meanings follow PyTorch's page
``torch.serialization``.
"""

from __future__ import annotations

import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from dovetail import dtypes as d
from dovetail.device import device as Device
from dovetail.errors import CheckpointError
from dovetail.legacy import TYPES
from dovetail.nn.parameter import Parameter
from dovetail.quantized import schemes
from dovetail.serialization.limits import Budget, check_key
from dovetail.serialization.rebuild import Rebuild
from dovetail.serialization.storages import Place, storage_type
from dovetail.spec import Size
from dovetail.tensor import Tensor, strided

__all__ = [
    "Allowed",
    "add_safe_globals",
    "clear_safe_globals",
    "counterpart",
    "get_safe_globals",
    "modern_name",
    "refusal",
    "safe_globals",
]

_BLOCKED = frozenset({"sys", "os", "posix", "nt"})
"""Modules that no program may allow."""

_LACKING = {
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_wrapper_subclass": "a tensor of a class that wraps others",
    "_rebuild_device_tensor_from_numpy": "a tensor saved as a NumPy array",
    "_rebuild_xla_tensor": "a tensor saved as a NumPy array",
}
_DTYPES = {kind.name: kind for kind in (*d.ALL, d.qint8, d.quint8, d.qint32)}
_SCHEMES = {
    scheme.name: scheme
    for scheme in (
        schemes.per_tensor_affine, schemes.per_tensor_symmetric, schemes.per_channel_affine,
        schemes.per_channel_symmetric, schemes.per_channel_affine_float_qparams,
    )
}  # fmt: skip
_NO_DTYPES = frozenset({
    "uint16", "uint32", "uint64", "complex32", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
    "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2", "quint4x2", "quint2x4",
})  # fmt: skip

Entry = Any  # a class, a function, or a pair of one and the name that files have for it

_added: dict[str, Any] = {}


def _names(entries: list[Entry]) -> dict[str, Any]:
    names = {}
    for entry in entries:
        if isinstance(entry, tuple):
            if len(entry) != 2:
                raise ValueError(
                    "Expected tuple of length 2 (global, str of callable full path), but got tuple "
                    f"of length: {len(entry)}"
                )
            thing, name = entry
            if not isinstance(name, str):
                raise TypeError(
                    "Expected second item in tuple to be str of callable full path, but got: "
                    f"{type(name)}"
                )
        else:
            thing, name = entry, f"{entry.__module__}.{entry.__qualname__}"
        names[name] = thing
    return names


def add_safe_globals(safe_globals: list[Entry]) -> None:
    """Let files that are loaded with ``weights_only=True`` name these classes and functions.

    A class that is allowed may be made and filled, a function called, with what the file says.

    Args:
        safe_globals: each a class or function, or a pair of one and the name that the file has for
            it, such as ``"torch.nn.modules.linear.Linear"``.

    Raises:
        ValueError, TypeError: a tuple is not such a pair.
    """
    _added.update(_names(safe_globals))


def get_safe_globals() -> list[Entry]:
    """What :func:`add_safe_globals` added."""
    return [
        thing if f"{thing.__module__}.{thing.__qualname__}" == name else (thing, name)
        for name, thing in _added.items()
    ]


def clear_safe_globals() -> None:
    """Take back all that :func:`add_safe_globals` added."""
    _added.clear()


class safe_globals:
    """:func:`add_safe_globals` inside of a ``with`` block only.

    Example:
        >>> import dovetail as dt
        >>> with dt.serialization.safe_globals([dt.nn.Linear]):
        ...     dt.serialization.get_safe_globals() == [dt.nn.Linear]
        True
    """

    def __init__(self, safe_globals: list[Entry]) -> None:
        self._names = _names(safe_globals)

    def __enter__(self) -> None:
        self._before = dict(_added)
        _added.update(self._names)

    def __exit__(self, *error: object) -> None:
        _added.clear()
        _added.update(self._before)


def modern_name(module: str, name: str) -> tuple[str, str]:
    """A global's name in Python 3, where protocol 2 has Python 2's."""
    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[module, name]
    return IMPORT_MAPPING.get(module, module), name


def refusal(path: str, ours: Any = None) -> CheckpointError:
    """That a name is not allowed, and what to do; ``ours``: the class that PyTorch's name means."""
    name = path if ours is None else f"{ours.__module__}.{ours.__qualname__}"
    return CheckpointError(
        f"load: Weights only load failed. Unsupported global: GLOBAL {path} was not an allowed "
        "global by default (tensors, containers, numbers and strings are). If you trust the file, "
        f"allow this: dovetail.serialization.add_safe_globals([{name}]), or inside of "
        f"with dovetail.serialization.safe_globals([{name}]); or load with weights_only=False, "
        "which runs whatever code the file names"
    )


def counterpart(module: str, name: str) -> Any:
    """Our public class or function behind PyTorch's name of it; None: there is none.

    PyTorch writes the module in which a thing is defined. Public names are unique in a package, so
    the package and the last part are enough. Looked for in what is imported already.
    """
    parts = module.split(".")
    if parts[0] != "torch" or "." in name or name.startswith("_"):
        return None
    for ours in (f"dovetail.{parts[1]}" if parts[1:] else "", f"dovetail{module[5:]}"):
        found = vars(sys.modules[ours]).get(name) if ours in sys.modules else None
        if getattr(found, "__module__", "").startswith("dovetail."):
            return found
    return None


class Allowed:
    """What the names in one file mean.

    Args:
        budget: what the file may cost.
        place: where storages go, by ``map_location``.
    """

    def __init__(self, budget: Budget, place: Place) -> None:
        self._budget = budget
        self.rebuild = rebuild = Rebuild(budget, place)
        # A bound method is another object at each look, and these are told apart by identity.
        from_type, encode = rebuild.from_type, self._encode
        self._meanings: dict[str, Any] = {
            **{f"torch._utils.{name}": function for name, function in rebuild.functions.items()},
            "torch._tensor._rebuild_from_type_v2": from_type,
            "torch.Tensor": Tensor,
            "torch.nn.parameter.Parameter": Parameter,
            "torch.nn.Parameter": Parameter,
            "torch.Size": Size,
            "torch.device": Device,
            "torch.serialization._get_layout": _layout,
            "collections.OrderedDict": OrderedDict,
            "collections.Counter": Counter,
            "_codecs.encode": encode,
            "builtins.bytearray": bytearray,
            "builtins.set": set,
            "builtins.frozenset": frozenset,
            "builtins.bytes": bytes,
            "builtins.complex": complex,
        }
        makers: dict[Any, Callable[..., Any]] = {
            Size: self._size,
            Device: _device,
            OrderedDict: self._ordered_dict,
            Counter: self._counter,
            bytearray: self._bytearray,
            set: self._set,
            frozenset: lambda *values: frozenset(self._set(*values)),
            bytes: _no_bytes,
            complex: _complex,
            Parameter: rebuild.parameter,
        }
        self._makers = {id(thing): maker for thing, maker in makers.items()}
        others: list[Callable[..., Any]] = [from_type, encode, _layout]
        for function in (*rebuild.functions.values(), *others):
            self._makers[id(function)] = function

    def meaning(self, module: str, name: str) -> Any:
        """What a global of the file stands for.

        Raises:
            CheckpointError: it is not allowed, or dovetail has nothing like it.
        """
        module, name = modern_name(module, name)
        path = f"{module}.{name}"
        if module.split(".")[0] in _BLOCKED:
            raise CheckpointError(
                f"load: Weights only load failed. Trying to load unsupported GLOBAL {path} whose "
                f"module {module} is blocked: no file may name it with weights_only=True"
            )
        found = self.known(module, name)
        if found is None:
            found = _added.get(path)
        if found is None:
            ours = counterpart(module, name)
            if ours is not None and any(ours is thing for thing in _added.values()):
                return ours
            raise refusal(path, ours)
        return found

    def known(self, module: str, name: str) -> Any:
        """As :meth:`meaning`, without what programs have added; None: not on the list.

        Raises:
            CheckpointError: PyTorch allows it, and dovetail has nothing like it.
        """
        found = self._meanings.get(f"{module}.{name}")
        if found is not None or module.split(".")[0] != "torch":
            return found
        if name.endswith("Storage"):
            return storage_type(name)
        if name.endswith("Tensor"):
            return TYPES.get(name)
        if name in _LACKING or (module == "torch" and name in _NO_DTYPES):
            raise CheckpointError(
                f"load: the file has {_LACKING.get(name, f'torch.{name}')}, which dovetail does "
                "not have; convert it where the file was written"
            )
        return _DTYPES.get(name, _SCHEMES.get(name)) if module == "torch" else None

    def call(self, function: Any, arguments: Any) -> Any:
        """Call what the file wants called.

        Raises:
            CheckpointError: it may not be.
        """
        if not isinstance(arguments, tuple):
            raise CheckpointError(f"load: arguments in the file are {type(arguments).__name__}")
        maker = self._makers.get(id(function))
        if maker is None:
            if not self.is_added(function):
                raise CheckpointError(
                    f"load: Weights only load failed. Trying to call reduce for unrecognized "
                    f"function {function!r:.200}"
                )
            maker = function
            self._budget.spend(500)
        return maker(*arguments)

    def new(self, kind: Any, arguments: Any, keywords: Any = None) -> Any:
        """``kind.__new__(kind, *arguments)``, for what may be made so."""
        if id(kind) in self._makers or not (isinstance(kind, type) and self.is_added(kind)):
            return self.call(kind, arguments)
        self._budget.spend(500)
        return kind.__new__(kind, *arguments, **(keywords or {}))

    def is_added(self, thing: Any) -> bool:
        """Whether a program allowed it."""
        return any(thing is added for added in _added.values())

    def _size(self, *sizes: Any) -> Size:
        (items,) = sizes or ((),)
        self._budget.spend(56 + 8 * len(items))
        return Size(items)

    def _ordered_dict(self, *pairs: Any) -> OrderedDict[Any, Any]:
        self._budget.spend(400)
        made: OrderedDict[Any, Any] = OrderedDict()
        for key, value in pairs[0] if pairs else ():
            check_key(key)
            self._budget.spend(250)
            made[key] = value
        return made

    def _counter(self, *counts: Any) -> Counter[Any]:
        (items,) = counts or ({},)
        if not isinstance(items, dict):
            raise CheckpointError("load: a Counter of no dict")
        self._budget.spend(400 + 130 * len(items))
        return Counter(items)

    def _set(self, *values: Any) -> set[Any]:
        (items,) = values or ((),)
        if not isinstance(items, (list, tuple)):
            raise CheckpointError("load: a set of no list")
        self._budget.spend(250 + 120 * len(items))
        for item in items:
            check_key(item)
        return set(items)

    def _encode(self, text: Any, encoding: Any = "utf-8") -> bytes:
        return self._encoded(text, encoding)

    def _bytearray(self, *arguments: Any) -> bytearray:
        (data, *encoding) = arguments or (b"",)
        if isinstance(data, str):
            data = self._encoded(data, *encoding)
        if not isinstance(data, (bytes, bytearray)) or len(encoding) > 1:
            raise CheckpointError("load: a bytearray of no bytes")
        self._budget.spend(60 + len(data))
        return bytearray(data)

    def _encoded(self, text: Any, encoding: Any) -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
            raise CheckpointError(f"load: bytes in an encoding {encoding!r:.40}")
        self._budget.spend(40 + sys.getsizeof(text))
        return text.encode(encoding)


def _device(*arguments: Any) -> Device:
    if not arguments or not isinstance(arguments[0], str) or len(arguments) > 2:
        raise CheckpointError("load: a device without a name")
    try:
        return Device(*arguments)
    except RuntimeError as error:
        raise CheckpointError(
            f"load: the file has a device that is unknown here: {error}"
        ) from error


def _no_bytes() -> bytes:
    """How protocol 2 writes ``b""``; other bytes are encoded text."""
    return b""


def _complex(*parts: Any) -> complex:
    if not all(type(part) in (int, float) for part in parts):
        raise CheckpointError("load: a complex number of what is no number")
    return complex(*parts)


def _layout(name: Any) -> Any:
    if name != "torch.strided":
        raise CheckpointError(f"load: the file has a layout {name!r:.60}; dovetail has strided")
    return strided
