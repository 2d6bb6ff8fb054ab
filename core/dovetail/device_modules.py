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
from dovetail.backend.loader import Loaded, registry
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
from dovetail.device_streams import AcceleratorStreams, DeviceStreams

__all__ = ["Accelerator", "DeviceModule", "accelerator", "module_for", "readable_bytes"]


class DeviceModule(DeviceStreams, DeviceGraphs):
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

    @property
    def amp(self) -> SimpleNamespace:
        """``autocast`` and ``GradScaler`` of ``dovetail.amp`` for this type, as of PyTorch 1.6."""
        from dovetail import amp

        autocast = partial(amp.autocast, self._name)
        scaler = partial(amp.GradScaler, self._name)
        return SimpleNamespace(autocast=autocast, GradScaler=scaler)

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

    # Memory; the numbers are the core's own count.

    def memory_stats(self, device: Any = None) -> OrderedDict[str, int]:
        """All counts by PyTorch's keys (``allocated_bytes.all.peak``); empty if unavailable."""
        if not self.is_available():
            return OrderedDict()
        from dovetail.backend import allocator

        counts = allocator.stats(self._device(device))
        stats = OrderedDict((key, counts[field]) for key, field in _MEMORY_KEYS.items())
        return OrderedDict(sorted(stats.items()))

    def memory_allocated(self, device: Any = None) -> int:
        """Bytes in use by tensors."""
        return self.memory_stats(device).get("allocated_bytes.all.current", 0)

    def max_memory_allocated(self, device: Any = None) -> int:
        """The most bytes that were in use by tensors since the last reset."""
        return self.memory_stats(device).get("allocated_bytes.all.peak", 0)

    def memory_reserved(self, device: Any = None) -> int:
        """Bytes taken from the device: in use, or kept for the next tensor."""
        return self.memory_stats(device).get("reserved_bytes.all.current", 0)

    def max_memory_reserved(self, device: Any = None) -> int:
        """The most bytes that were taken from the device since the last reset."""
        return self.memory_stats(device).get("reserved_bytes.all.peak", 0)

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        """Start both peaks again from what is in use."""
        from dovetail.backend import allocator

        allocator.reset_peak(self._device(device))

    def empty_cache(self) -> None:
        """Give every block that is kept for later back to its device."""
        if self.is_available():
            from dovetail.backend import allocator
            from dovetail.backend.state import state_of

            for where in self._devices():
                allocator.empty_cache(where)
                state_of(where).runtime.trim(where.index)

    def ipc_collect(self) -> None:
        """Nothing: memory is shared with no other process."""

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """(free, total) bytes of the device's memory, as the device itself says.

        Raises:
            RuntimeError: it does not say.
        """
        where = self._device(device)
        index = where.index or 0
        total = registry.info(self._name, index).memory_total
        free = self._loaded().runtime.memory_free(index)
        if total is None or free is None:
            raise RuntimeError(f"mem_get_info: {where} does not tell how much memory it has")
        return free, total

    def memory_summary(self, device: Any = None, abbreviated: bool = False) -> str:
        """The counts as a table for people; ``abbreviated`` leaves out the numbers of calls."""
        if not self.is_available():
            return f"{self._name}: not available, see `dovetail doctor {self._name}`"
        where = self._device(device)
        stats = self.memory_stats(where)
        lines = [f"Memory of {where}", f"{'':20}{'current':>14}{'peak':>14}"]
        for title, key in (("allocated", "allocated_bytes"), ("reserved", "reserved_bytes")):
            now, peak = (readable_bytes(stats[f"{key}.all.{w}"]) for w in ("current", "peak"))
            lines.append(f"{title:20}{now:>14}{peak:>14}")
        if not abbreviated:
            for title, key in (
                ("allocations", "allocation.all.allocated"),
                ("frees", "allocation.all.freed"),
                ("out of memory", "num_ooms"),
            ):
                lines.append(f"{title:20}{stats[key]:>14}")
        return "\n".join(lines)

    # Random numbers.

    def _generator(self, device: Any = None) -> Any:
        from dovetail.generator import default_generator

        return default_generator(self._device(device))

    def manual_seed(self, seed: int) -> None:
        """Seed the current device's generator; nothing happens where there is no device."""
        if self.is_available():
            self._generator().manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        """Seed the generators of all devices of this type; nothing happens where there is none."""
        if self.is_available():
            for where in self._devices():
                self._generator(where).manual_seed(seed)

    def seed(self) -> None:
        """Seed the current device's generator with a number from the operating system."""
        if self.is_available():
            self._generator().seed()

    def seed_all(self) -> None:
        """Seed all devices' generators with one number from the operating system."""
        if self.is_available():
            number = self._generator().seed()
            self.manual_seed_all(number)

    def initial_seed(self) -> int:
        """The seed of the current device's generator."""
        return int(self._generator().initial_seed())

    def get_rng_state(self, device: Any = None) -> Any:
        """The state of a device's generator, for :meth:`set_rng_state`."""
        return self._generator(device).get_state()

    def set_rng_state(self, new_state: Any, device: Any = None) -> None:
        """Bring a device's generator back to a state."""
        self._generator(device).set_state(new_state)

    def get_rng_state_all(self) -> list[Any]:
        """The states of all devices' generators."""
        return [self.get_rng_state(where) for where in self._devices()]

    def set_rng_state_all(self, new_states: Any) -> None:
        """Bring all devices' generators back to states."""
        for where, state in zip(self._devices(), new_states, strict=False):
            self.set_rng_state(state, where)


_MEMORY_KEYS = {
    "allocated_bytes.all.current": "allocated",
    "allocated_bytes.all.peak": "peak",
    "reserved_bytes.all.current": "reserved",
    "reserved_bytes.all.peak": "peak_reserved",
    "allocation.all.allocated": "allocations",
    "allocation.all.freed": "frees",
    "num_ooms": "out_of_memory",
}


def readable_bytes(count: int) -> str:
    """``1536`` -> ``1.5 KiB``."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


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
