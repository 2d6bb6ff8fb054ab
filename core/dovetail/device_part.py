"""What the parts of ``dt.<name>`` know of the whole (``device_modules.DeviceModule``)."""

from __future__ import annotations

from typing import Any

from dovetail.backend.loader import Loaded
from dovetail.device import device as Device

__all__ = ["DevicePart"]

_WHOLE = "DevicePart: is a part of DeviceModule, which says it"


class DevicePart:
    """A part; ``device`` is None, an index, a name or a device."""

    _name: str

    def _loaded(self) -> Loaded:
        """The backend."""
        raise TypeError(_WHOLE)

    def _device(self, device: Any = None) -> Device:
        """A concrete device of this type."""
        raise TypeError(_WHOLE)

    def _devices(self) -> list[Device]:
        """All that there are."""
        raise TypeError(_WHOLE)

    def is_available(self) -> bool:
        """Whether there is such a device."""
        raise TypeError(_WHOLE)
