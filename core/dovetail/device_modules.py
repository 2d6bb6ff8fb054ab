"""``dt.<name>`` for every registered device, and ``dt.accelerator``: what ``torch.cuda`` offers.

The functions are the same for each device because the core counts memory and seeds generators
itself. Names follow PyTorch's pages ``torch.cuda`` and ``torch.accelerator``.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from types import SimpleNamespace
from typing import Any

from dovetail import page_locked
from dovetail.backend.loader import HOST, Loaded, registry
from dovetail.device import (
    ALWAYS,
    NO_ACCELERATOR,
    accelerator_name,
    current_index,
    meaning,
    resolve,
    set_current_index,
)
from dovetail.device import device as Device
from dovetail.device_graphs import AcceleratorGraphs, DeviceGraphs
from dovetail.device_memory import DeviceMemory
from dovetail.device_random import DeviceRandom
from dovetail.device_streams import AcceleratorStreams, DeviceStreams
from dovetail.errors import OutOfMemoryError

__all__ = ["Accelerator", "DeviceModule", "accelerator", "get_device_module", "module_for"]


class DeviceModule(DeviceStreams, DeviceGraphs, DeviceMemory, DeviceRandom):
    """The module of one device type; ``device`` below is None, an index, a name or a device.

    Where no index is given, the thread's current device is meant.

    Example:
        >>> module_for("cpu").device_count()
        1
    """

    __path__: tuple[str, ...] = ()
    __spec__ = None
    """Both as packages have them: programs write ``from torch.cuda.amp import autocast``."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.__name__ = f"dovetail.{name}"

    def __repr__(self) -> str:
        return f"<device module '{self._name}'>"

    def __reduce__(self) -> tuple[Any, ...]:
        return module_for, (self._name,)

    def _loaded(self) -> Loaded:
        return registry.get(self._name)

    def _device(self, device: Any = None) -> Device:
        """A concrete device of this type."""
        if device is None:
            return resolve(self._name)
        if isinstance(device, int) and not isinstance(device, bool):
            return resolve(Device(self._name, device))
        found = resolve(device)
        if found.type != self._name:
            raise ValueError(f"Expected a {self._name} device, but got: {found}")
        return found

    def _devices(self) -> list[Device]:
        loaded = self._loaded()
        return [resolve(Device(self._name, i)) for i in range(loaded.count)]

    def _present(self) -> list[Device]:
        return self._devices() if self.is_available() else []

    @property
    def amp(self) -> SimpleNamespace:
        """What ``dovetail.amp`` has, for this type, as of PyTorch 1.6."""
        from dovetail import amp

        return SimpleNamespace(
            autocast=partial(amp.autocast, self._name),
            GradScaler=partial(amp.GradScaler, self._name),
            custom_fwd=partial(amp.custom_fwd, device_type=self._name),
            custom_bwd=partial(amp.custom_bwd, device_type=self._name),
        )

    @property
    def memory(self) -> DeviceModule:
        """This module: PyTorch keeps its parts in ``memory``, ``random``, ``streams`` too."""
        return self

    random = streams = graphs = memory
    OutOfMemoryError = OutOfMemoryError

    def __getattr__(self, name: str) -> Any:
        # FloatTensor and its like.
        from dovetail.legacy import types_of

        found = types_of(self._name).get(name)
        if found is None:
            raise AttributeError(f"'{self.__name__}' has no attribute '{name}'")
        return found

    # Devices.

    def is_available(self) -> bool:
        """Whether a tensor can be put on such a device; never raises."""
        if self._name not in registry:
            return False
        loaded = registry.load(self._name)
        return loaded is not None and loaded.count > 0

    def device_count(self) -> int:
        """How many there are; 0 where the backend is absent or broken."""
        return self._loaded().count if self.is_available() else 0

    def current_device(self) -> int | str:
        """The index of this thread's current device; the name where devices have no number.

        Raises:
            BackendUnavailable: there is none.
        """
        return current_index(self._name) if self._loaded().indexed else self._name

    def set_device(self, device: Any) -> None:
        """Choose this thread's current device.

        Raises:
            BackendUnavailable, RuntimeError: there is no such device.
        """
        set_current_index(self._name, self._device(device).index or 0)

    def device(self, device: Any) -> _DeviceContext:
        """A context in which ``device`` is the current one; None or a negative index: no change."""
        return _DeviceContext(self, device)

    def device_of(self, tensor: Any) -> _DeviceContext:
        """A context in which the device of ``tensor`` is current, if it is of this type."""
        here = tensor.device
        return _DeviceContext(self, here if here.type == self._name else None)

    def get_device_name(self, device: Any = None) -> str:
        """The hardware's own name."""
        return registry.info(self._name, self._device(device).index or 0).name

    def get_device_properties(self, device: Any = None) -> SimpleNamespace:
        """``name``, ``total_memory`` (bytes or None), ``version``, ``dtypes`` and the limits."""
        info = registry.info(self._name, self._device(device).index or 0)
        facts = dict(info.limits)
        facts.update(
            name=info.name,
            total_memory=info.memory_total,
            version=info.version,
            dtypes=info.dtypes,
        )
        return SimpleNamespace(**facts)

    def get_device_capability(self, device: Any = None) -> tuple[int, int]:
        """The hardware's (major, minor) compute capability.

        Raises:
            RuntimeError: the device has none.
        """
        limits = registry.info(self._name, self._device(device).index or 0).limits
        if "major" not in limits:
            raise RuntimeError(f"get_device_capability: {self._name} does not tell of one")
        return int(limits["major"]), int(limits["minor"])

    def get_arch_list(self) -> list[str]:
        """What kernels are compiled for, which is done when they are needed: the devices here."""
        found = (registry.info(self._name, where.index or 0).limits for where in self._present())
        return sorted({f"sm_{info['major']}{info['minor']}" for info in found if "major" in info})

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        """Whether tensors may be of bfloat16."""
        from dovetail.dtypes import bfloat16

        return self.is_available() and bfloat16 in registry.info(self._name, 0).dtypes

    def init(self) -> None:
        """Load the backend, which happens of itself at first use.

        Raises:
            BackendUnavailable: it is absent or broken.
        """
        self._device()

    def is_initialized(self) -> bool:
        """Whether the backend is loaded and has a device."""
        return self.is_available()

    def synchronize(self, device: Any = None) -> None:
        """Wait for all work on a device; errors of asynchronous work surface here."""
        where = self._device(device)
        self._loaded().runtime.synchronize(where.index or 0)


class _DeviceContext:
    """``with dt.<name>.device(1):`` makes number 1 the thread's current device of that type."""

    def __init__(self, module: DeviceModule, device: Any) -> None:
        self._module = module
        is_none = device is None or (isinstance(device, int) and device < 0)
        self._index = None if is_none else module._device(device).index or 0
        self._old: list[int] = []

    def __enter__(self) -> None:
        if self._index is not None:
            self._old.append(set_current_index(self._module._name, self._index))

    def __exit__(self, *error: object) -> None:
        if self._index is not None:
            set_current_index(self._module._name, self._old.pop())


_modules: dict[str, DeviceModule] = {}


def get_device_module(device: Any = None) -> DeviceModule:
    """The module of a device's type; None: of the accelerator, or the cpu's where there is none.

    Raises:
        RuntimeError: not a device or the name of one.

    Example:
        >>> dt.get_device_module("cpu") is dt.cpu
        True
    """
    if device is None:
        return module_for(accelerator_name() or HOST)
    if not isinstance(device, (Device, str)):
        raise RuntimeError(f"Invalid value of device '{device}', expect torch.device, str, or None")
    return module_for(Device(device).type)


def module_for(name: str) -> DeviceModule:
    """The module of a registered device, or of one whose PyTorch module always exists.

    Raises:
        AttributeError: no plugin has registered the name.
    """
    name = meaning(name)
    if name not in ALWAYS and name not in registry:
        raise AttributeError(f"no device named {name!r}; there are {', '.join(registry.names())}")
    return _modules.setdefault(name, DeviceModule(name))


class Accelerator(AcceleratorStreams, AcceleratorGraphs):
    """PyTorch's ``torch.accelerator``: the same functions for whichever accelerator there is.

    It is the default device's type where that is an accelerator, else the first one present, in
    the order of ``dovetail.backend.registry.names()`` (DOVETAIL_BACKENDS decides, if it is set).
    """

    __name__ = "dovetail.accelerator"

    def __repr__(self) -> str:
        return "<module 'dovetail.accelerator'>"

    def __reduce__(self) -> str:
        return "accelerator"

    def _name(self) -> str | None:
        return accelerator_name()

    def _module(self, device: Any = None) -> DeviceModule:
        """The module for ``device``, which may be of any type, or the current accelerator's."""
        if device is not None and (isinstance(device, bool) or not isinstance(device, int)):
            return module_for(Device(device).type)
        name = self._name()
        if name is None:
            raise RuntimeError(NO_ACCELERATOR)
        return module_for(name)

    def is_available(self) -> bool:
        """Whether there is an accelerator; never raises."""
        return self._name() is not None

    def current_accelerator(self, check_available: bool = False) -> Device | None:
        """The accelerator's device without an index, or None."""
        name = self._name()
        return None if name is None else Device(name)

    def device_count(self) -> int:
        """How many devices of the current accelerator there are; 0 without one."""
        name = self._name()
        return 0 if name is None else module_for(name).device_count()

    def current_device_index(self) -> int:
        """The index of this thread's current device."""
        return int(self._module().current_device())

    def set_device_index(self, device: Any, /) -> None:
        """Choose this thread's current device."""
        self._module(device).set_device(device)

    current_device_idx = current_device_index
    set_device_idx = set_device_index

    def device_index(self, device: int | None, /) -> Any:
        """A context in which ``device`` is the current one; None: no change."""
        return self._module().device(device)

    def synchronize(self, device: Any = None, /) -> None:
        """Wait for all work on a device."""
        self._module(device).synchronize(device)

    def empty_cache(self) -> None:
        """Give every block that is kept for later back to its device."""
        self._module().empty_cache()

    def empty_host_cache(self) -> None:
        """Give page-locked memory that no tensor has back to the system."""
        page_locked.empty_cache()

    def memory_stats(self, device: Any = None, /) -> OrderedDict[str, int]:
        """All memory counts, by PyTorch's keys."""
        return self._module(device).memory_stats(device)

    def memory_allocated(self, device: Any = None, /) -> int:
        """Bytes in use by tensors."""
        return self._module(device).memory_allocated(device)

    def max_memory_allocated(self, device: Any = None, /) -> int:
        """The most bytes that were in use by tensors since the last reset."""
        return self._module(device).max_memory_allocated(device)

    def memory_reserved(self, device: Any = None, /) -> int:
        """Bytes taken from the device."""
        return self._module(device).memory_reserved(device)

    def max_memory_reserved(self, device: Any = None, /) -> int:
        """The most bytes that were taken from the device since the last reset."""
        return self._module(device).max_memory_reserved(device)

    def reset_peak_memory_stats(self, device: Any = None, /) -> None:
        """Start both peaks again from what is in use."""
        self._module(device).reset_peak_memory_stats(device)

    def memory_summary(self, device: Any = None, /) -> str:
        """The counts as a table for people."""
        return self._module(device).memory_summary(device)

    def get_device_capability(self, device: Any = None, /) -> dict[str, Any]:
        """``{"supported_dtypes": …}``: what tensors may be of."""
        module = self._module(device)
        return {"supported_dtypes": set(module.get_device_properties(device).dtypes)}

    def get_memory_info(self, device: Any = None, /) -> tuple[int, int]:
        """(free, total) bytes, as the device itself says."""
        return self._module(device).mem_get_info(device)

    def manual_seed(self, seed: int, /) -> None:
        """Seed the current device's generator; nothing happens without an accelerator."""
        if self.is_available():
            self._module().manual_seed(seed)

    def manual_seed_all(self, seed: int, /) -> None:
        """Seed the generators of all its devices; nothing happens without an accelerator."""
        if self.is_available():
            self._module().manual_seed_all(seed)


accelerator = Accelerator()
