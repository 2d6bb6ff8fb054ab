"""The part of ``dt.<name>`` that is about memory, by PyTorch's names: the core's own counts."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from dovetail.backend.allocator import pool_for
from dovetail.backend.allocator import stats as stats_of
from dovetail.backend.loader import registry
from dovetail.device import device as Device
from dovetail.device_part import DevicePart

__all__ = ["DeviceMemory", "readable_bytes"]


class DeviceMemory(DevicePart):
    """Counts and limits of one device type; ``device`` is None, an index, a name or a device."""

    def memory_stats(self, device: Any = None) -> OrderedDict[str, int]:
        """All counts by PyTorch's keys (``allocated_bytes.all.peak``); empty if unavailable."""
        if not self.is_available():
            return OrderedDict()
        counts = stats_of(self._device(device))
        stats = OrderedDict((key, counts[field]) for key, field in _MEMORY_KEYS.items())
        return OrderedDict(sorted(stats.items()))

    def memory_stats_as_nested_dict(self, device: Any = None) -> dict[str, Any]:
        """The counts of :meth:`memory_stats`, a dictionary within another for each dot."""
        nested: dict[str, Any] = {}
        for key, count in self.memory_stats(device).items():
            *above, last = key.split(".")
            inner = nested
            for word in above:
                inner = inner.setdefault(word, {})
            inner[last] = count
        return nested

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
        pool_for(self._device(device)).reset_peak()

    def reset_accumulated_memory_stats(self, device: Any = None) -> None:
        """Start the numbers of allocations, frees and refusals again from 0."""
        pool_for(self._device(device)).reset_calls()

    def empty_cache(self) -> None:
        """Give every block that is kept for later back to its device."""
        if self.is_available():
            from dovetail.backend.state import state_of

            for where in self._devices():
                pool_for(where).empty_cache()
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

    def set_per_process_memory_fraction(self, fraction: float, device: Any = None) -> None:
        """Let tensors take no more than this part of a device's memory; 1.0: all there is.

        Beyond it, idle blocks are given back first, then OutOfMemoryError is raised.

        Raises:
            TypeError: ``fraction`` is not a float.
            ValueError: it is not between 0 and 1.
            RuntimeError: the device does not tell how much memory it has.
        """
        where = self._device(device)
        if not isinstance(fraction, float):
            raise TypeError("Invalid type for fraction argument, must be `float`")
        if not 0 <= fraction <= 1:
            raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
        pool_for(where).limit = int(fraction * self._total(where)) if fraction < 1 else None

    def get_per_process_memory_fraction(self, device: Any = None) -> float:
        """The part of a device's memory that tensors may take."""
        where = self._device(device)
        limit = pool_for(where).limit
        return 1.0 if limit is None else limit / self._total(where)

    def _total(self, where: Device) -> int:
        total = registry.info(where.type, where.index or 0).memory_total
        if total is None:
            raise RuntimeError(f"{where} does not tell how much memory it has")
        return total

    # Names of earlier releases, which PyTorch keeps too.

    def memory_cached(self, device: Any = None) -> int:
        """:meth:`memory_reserved`, by its name before PyTorch 1.4."""
        return self.memory_reserved(device)

    def max_memory_cached(self, device: Any = None) -> int:
        """:meth:`max_memory_reserved`, by its name before PyTorch 1.4."""
        return self.max_memory_reserved(device)

    def reset_max_memory_allocated(self, device: Any = None) -> None:
        """:meth:`reset_peak_memory_stats`, which starts both peaks again."""
        self.reset_peak_memory_stats(device)

    def reset_max_memory_cached(self, device: Any = None) -> None:
        """:meth:`reset_peak_memory_stats`, which starts both peaks again."""
        self.reset_peak_memory_stats(device)


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
