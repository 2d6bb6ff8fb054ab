"""The part of ``dt.<name>`` that is about random numbers, by PyTorch's names."""

from __future__ import annotations

from typing import Any

from dovetail.device_part import DevicePart
from dovetail.generator import default_generator

__all__ = ["DeviceRandom"]


class DeviceRandom(DevicePart):
    """Generators of one device type; ``device`` is None, an index, a name or a device."""

    def _generator(self, device: Any = None) -> Any:
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
