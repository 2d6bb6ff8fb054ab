"""Devices: the ``device`` value, the default device of a thread, and its current device numbers.

The set of names is open: a name exists when a plugin has registered it. Nothing here loads a
plugin until a tensor is asked for (:func:`resolve`). Meanings follow PyTorch's ``torch.device``.
"""

from __future__ import annotations

import re
import threading
from typing import Any

from dovetail.backend.loader import HOST, registry

__all__ = [
    "ALWAYS",
    "NO_ACCELERATOR",
    "accelerator_name",
    "current_index",
    "default_device",
    "device",
    "get_default_device",
    "meaning",
    "means",
    "resolve",
    "set_current_index",
    "set_default_device",
]

_SYNTAX = re.compile(r"([A-Za-z_]\w*)(?::(0|[1-9]\d*))?", re.ASCII)
ALWAYS = frozenset({HOST, "cuda"})
"""Names that a program for PyTorch may always say; whether they can be used is another matter."""
NO_ACCELERATOR = "Cannot access accelerator device when none is available."
"""What PyTorch says where there is none."""


class device:
    """Where a tensor lives: a backend's name and, on numbered devices, an index.

    Objects are interned: equal devices are the same object.

    Args:
        type: ``"name"`` or ``"name:index"``, another device, or the index of an accelerator.
        index: the device's number, when ``type`` has none; from 0.

    Attributes:
        type: the backend's name.
        index: the number, or None where none was given.

    Raises:
        RuntimeError: the string is malformed, no plugin has registered the name, or the index
            is negative.
        TypeError: anything else came.

    Example:
        >>> device("cpu")
        device(type='cpu')
    """

    __slots__ = ("__weakref__", "_text", "index", "type")

    type: str
    index: int | None
    _text: str

    def __new__(cls, type: Any = None, index: int | None = None) -> device:
        if index is None:
            # The common forms are one look-up. No int here: 1 and True are the same key.
            found = _parsed.get(type) if isinstance(type, str) else None
            if found is not None:
                return found
            if isinstance(type, device):
                return type
        name, number = _parse(type, index)
        if name not in registry and name not in ALWAYS:
            raise RuntimeError(
                f"Expected one of {', '.join(registry.names())} device type at start of device "
                f"string: {name}"
            )
        made = _interned_device(name, number)
        if isinstance(type, str) and index is None:
            _parsed[type] = made
        return made

    def __setattr__(self, name: str, value: object) -> None:
        known = name in ("type", "index")
        text = f"attribute '{name}' of 'device' objects is not writable"
        raise AttributeError(text if known else f"'device' object has no attribute '{name}'")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __repr__(self) -> str:
        number = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{number})"

    def __str__(self) -> str:
        return self._text

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.type, self.index)

    def __enter__(self) -> device:
        _thread.stack = (*_thread.stack, self)
        _thread.chosen = self
        return self

    def __exit__(self, *error: object) -> None:
        _thread.stack = _thread.stack[:-1]
        _thread.chosen = _thread.stack[-1] if _thread.stack else _thread.default


_meanings: dict[str, str] = {}


def means(name: str, other: str) -> None:
    """In this process ``name`` is another word for the devices named ``other``."""
    _meanings[name] = other
    _forget()


def meaning(name: str) -> str:
    """The device name that ``name`` stands for: itself, unless :func:`means` says otherwise."""
    return _meanings.get(name, name)


_interned: dict[tuple[str, int | None], device] = {}
_parsed: dict[str, device] = {}
_resolved: dict[Any, device] = {}


def _interned_device(name: str, index: int | None) -> device:
    found = _interned.get((name, index))
    if found is None:
        made = object.__new__(device)
        text = name if index is None else f"{name}:{index}"
        for field, value in (("type", name), ("index", index), ("_text", text)):
            object.__setattr__(made, field, value)
        found = _interned.setdefault((name, index), made)
    return found


def _parse(type: Any, index: Any) -> tuple[str, int | None]:
    """Split what a caller gave into a name and a number; the texts are PyTorch's."""
    if index is not None:
        if not isinstance(type, str):
            raise TypeError(
                f"device(): argument 'type' (position 1) must be str, not {_kind(type)}"
            )
        number = _as_index(index)
        if number is None:
            raise TypeError(
                f"device(): argument 'index' (position 2) must be int, not {_kind(index)}"
            )
        if ":" in type:
            raise RuntimeError(
                "type (string) must not include an index because index was passed explicitly: "
                f"{type}"
            )
    elif isinstance(type, str):
        number = None
    else:
        number = _as_index(type)
        if number is None:
            raise TypeError(
                f"device(): expected a name such as 'cpu' or 'name:0', a device or the index of "
                f"an accelerator, got {_kind(type)}"
            )
    if number is not None and number < 0:
        raise RuntimeError("Device index must not be negative")
    if not isinstance(type, str):
        return _needed_accelerator(), number
    if not type:
        raise RuntimeError("Device string must not be empty")
    match = _SYNTAX.fullmatch(type)
    if match is None:
        raise RuntimeError(f"Invalid device string: '{type}'")
    name, digits = match.groups()
    return _meanings.get(name, name), number if digits is None else int(digits)


def _as_index(value: Any) -> int | None:
    """``value`` as an int where it is one (a NumPy integer too, a bool not), else None."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return None
    return int(value.__index__())


def _kind(value: object) -> str:
    return type(value).__name__


def accelerator_name() -> str | None:
    """The default device's type where that is an accelerator, else the first one present."""
    return registry.accelerator(default_device().type)


def _needed_accelerator() -> str:
    name = accelerator_name()
    if name is None:
        raise RuntimeError(NO_ACCELERATOR)
    return name


class _Thread(threading.local):
    """What each thread chose; class attributes are every thread's starting values."""

    chosen: device | None = None  # in force: the innermost ``with``, else ``default``
    default: device | None = None
    stack: tuple[device, ...] = ()
    indices: dict[str, int] | None = None


_thread = _Thread()


def default_device() -> device:
    """The default device as it was given, its index not filled in."""
    return _thread.chosen or device(HOST)


def set_default_device(device: device | str | int | None) -> None:
    """Choose where this thread's new tensors go; None goes back to the cpu.

    A ``with device`` block around a factory call goes before this, as in PyTorch.
    """
    chosen = None if device is None else _device(device)
    _thread.default = chosen
    if not _thread.stack:
        _thread.chosen = chosen


def get_default_device() -> device:
    """The device that this thread's new tensors go to."""
    return resolve(None)


def current_index(name: str) -> int:
    """The number that ``name`` without an index means in this thread: 0 unless set."""
    indices = _thread.indices
    return 0 if indices is None else indices.get(name, 0)


def set_current_index(name: str, index: int) -> int:
    """Choose the number that ``name`` without an index means in this thread; returns the old one.

    Raises:
        BackendUnavailable: the backend is absent, broken, disabled or has no hardware.
        RuntimeError: there is no device of that number.
    """
    old = current_index(name)
    number = resolve(_device(name, index)).index
    indices = dict(_thread.indices or {})
    indices[name] = number or 0
    _thread.indices = indices
    return old


def resolve(device: device | str | int | None = None) -> device:
    """The device as a tensor stores it: index filled in on numbered devices, dropped on others.

    Args:
        device: a device, its name, the index of an accelerator, or None for the default device.

    Raises:
        RuntimeError: malformed, unknown, or the index is out of range.
        BackendUnavailable: the backend is absent, broken, disabled or has no hardware.
    """
    if device is None:
        device = _thread.chosen or HOST
    try:
        found = _resolved.get(device)
    except TypeError:  # unhashable: let the constructor say what it wants
        found = None
    return _resolve(device) if found is None else found


def _resolve(given: Any) -> device:
    wanted = _device(given)
    loaded = registry.get(wanted.type)
    if not loaded.indexed:
        concrete = _device(wanted.type)
    else:
        index = current_index(wanted.type) if wanted.index is None else wanted.index
        if index >= loaded.count:
            raise RuntimeError(
                f"{wanted.type}:{index}: device index must be below {loaded.count}, the number "
                f"of {wanted.type} devices here; see `dovetail devices`"
            )
        concrete = _device(wanted.type, index)
    # An index that was filled in can change, and so can what a bare number means.
    if isinstance(given, str | device) and (wanted.index is not None or not loaded.indexed):
        _resolved[given] = concrete
    return concrete


_device = device  # the functions above have a parameter of that name, as PyTorch's have


def _forget() -> None:
    _parsed.clear()
    _resolved.clear()


registry.watch(_forget)
