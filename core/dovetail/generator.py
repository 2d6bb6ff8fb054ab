"""Where random numbers come from: a seed and an offset per generator, one generator per device.

Every draw of n 32-bit words takes ``ceil(n / 4)`` Philox blocks from its generator: they are the
blocks from the generator's offset on, and the offset moves past them. What the words become is said
in ``dovetail.ops.randomness.draws``. Names and meanings follow PyTorch's ``torch.Generator`` and
``torch.random``.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from dovetail.device import device as Device
from dovetail.device import resolve
from dovetail.dtypes import uint8
from dovetail.from_data import from_numpy

__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "only_draws_on",
    "seed",
    "set_rng_state",
    "thread_safe_generator",
]

_DEFAULT_SEED = 67280421310721  # PyTorch's; a Generator nobody has seeded repeats in every process
_WORD = 1 << 64
_STATE_BYTES = 16


class Generator:
    """A stream of Philox4x32-10 blocks: the key is the seed, the counter starts at the offset.

    The whole state is these two 64-bit numbers; :meth:`get_state` gives them as 16 bytes, seed
    first, both little-endian. Threads may share a generator: each draw gets blocks of its own.

    Args:
        device: where the tensors are that it will fill.

    Example:
        >>> import dovetail as dt
        >>> first = dt.rand(2, generator=dt.Generator().manual_seed(7))
        >>> again = dt.rand(2, generator=dt.Generator().manual_seed(7))
        >>> bool((first == again).all())
        True
    """

    def __init__(self, device: Device | str | int = "cpu") -> None:
        self._device = resolve(device)
        self._seed = _DEFAULT_SEED
        self._offset = 0
        self._lock = threading.Lock()

    @property
    def device(self) -> Device:
        """The device whose tensors it fills."""
        return self._device

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of ``seed`` from its beginning; returns the generator.

        Args:
            seed: from -2**63 to 2**64 - 1; a negative one counts from 2**64 down.

        Raises:
            RuntimeError: not an integer.
            ValueError: out of that range.
        """
        self._go_to(_checked_seed(seed), 0)
        return self

    def seed(self) -> int:
        """Take a seed from the operating system and return it."""
        number = _random_seed()
        self.manual_seed(number)
        return number

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return self._seed

    def get_offset(self) -> int:
        """How many blocks have been taken."""
        return self._offset

    def set_offset(self, offset: int) -> None:
        """Go to a place in the stream, counted in blocks.

        Raises:
            ValueError: negative, or 2**64 and more.
        """
        if not 0 <= offset < _WORD:
            raise ValueError(f"set_offset: offset must be in [0, 2**64), got {offset}")
        self._go_to(self._seed, int(offset))

    def get_state(self) -> Any:
        """Seed and offset as a uint8 tensor of 16 elements on the cpu."""
        with self._lock:
            numbers = np.array([self._seed, self._offset], "<u8")
        return from_numpy(numbers.view(np.uint8))

    def set_state(self, new_state: Any) -> None:
        """Go to a state that :meth:`get_state` gave.

        Raises:
            TypeError: not a uint8 tensor.
            RuntimeError: not 16 elements.
        """
        if getattr(new_state, "dtype", None) is not uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if new_state.numel() != _STATE_BYTES:
            raise RuntimeError(
                f"set_state: expected a state of {_STATE_BYTES} bytes from get_state, got "
                f"{new_state.numel()}"
            )
        state = bytes(new_state.tolist())
        self._go_to(int.from_bytes(state[:8], "little"), int.from_bytes(state[8:], "little"))

    def clone_state(self) -> Generator:
        """An independent generator at the same place of the same stream."""
        twin = object.__new__(Generator)
        twin.__setstate__(self.__getstate__())
        return twin

    def graphsafe_get_state(self) -> Generator:
        """The state as a generator of its own, for :meth:`graphsafe_set_state`."""
        return self.clone_state()

    def graphsafe_set_state(self, state: Generator) -> None:
        """Go to where another generator is.

        Raises:
            TypeError: not a Generator.
        """
        if not isinstance(state, Generator):
            raise TypeError(
                f"graphsafe_set_state: state must be a Generator, got {type(state).__name__}"
            )
        _, seed, offset = state.__getstate__()
        self._go_to(seed, offset)

    def take(self, words: int) -> tuple[int, int]:
        """Seed and offset for a draw of so many words; the offset moves past its blocks.

        Raises:
            RuntimeError: draws on the device are captured, and from another generator.
        """
        if _only and _only.get(self._device, self) is not self:
            raise RuntimeError(
                "Generator: only the default generator's draws can be captured in a graph; draw "
                "from another one before the capture"
            )
        with self._lock:
            offset = self._offset
            self._offset = (offset + (words + 3) // 4) % _WORD
            return self._seed, offset

    def _go_to(self, seed: int, offset: int) -> None:
        with self._lock:
            self._seed, self._offset = seed, offset

    def __getstate__(self) -> tuple[Device, int, int]:
        with self._lock:
            return self._device, self._seed, self._offset

    def __setstate__(self, state: tuple[Device, int, int]) -> None:
        self._device, self._seed, self._offset = state
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Generator on {self._device}, seed {self._seed}, offset {self._offset}>"


def _checked_seed(seed: Any) -> int:
    if not hasattr(seed, "__index__") or hasattr(seed, "_spec"):
        raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
    number = int(seed.__index__())
    if not -(1 << 63) <= number < _WORD:
        raise ValueError(
            "Overflow when unpacking long long (manual_seed: seed must be in [-2**63, 2**64), got "
            f"{number})"
        )
    return number % _WORD


def _random_seed() -> int:
    # As PyTorch's: 53 bits, so that the number survives a trip through a float.
    return int.from_bytes(os.urandom(8), "little") >> 11


class _Defaults:
    """The default generator of every device in use, and the seed that the next one starts with."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.generators: dict[Device, Generator] = {}
        self.seed = _random_seed()


_defaults = _Defaults()
_only: dict[Device, Generator] = {}


def only_draws_on(device: Device, generator: Generator | None) -> None:
    """Let no other generator than this one draw on a device; None: any."""
    if generator is None:
        _only.pop(device, None)
    else:
        _only[device] = generator


def default_generator(device: Device | str | int | None = "cpu") -> Generator:
    """The generator that draws on ``device`` use when none is given (None: the default device).

    It starts with the seed of the last :func:`manual_seed`, so every device has the same stream.
    """
    found = _defaults.generators.get(device)  # type: ignore[arg-type]  # as a tensor has it
    if found is not None:
        return found
    place = resolve(device)
    found = _defaults.generators.get(place)
    if found is None:
        made = Generator(place)
        with _defaults.lock:
            made.manual_seed(_defaults.seed)
            found = _defaults.generators.setdefault(place, made)
    return found


def manual_seed(seed: int) -> Generator:
    """Seed the default generators of all devices; returns the cpu's.

    Args:
        seed: from -2**63 to 2**64 - 1; floats and numeric strings are made integers.

    Raises:
        ValueError: out of that range.
    """
    number = _checked_seed(int(seed))
    with _defaults.lock:
        _defaults.seed = number
        for generator in _defaults.generators.values():
            generator.manual_seed(number)
    return default_generator()


def seed() -> int:
    """Seed the default generators of all devices with a number from the operating system."""
    number = _random_seed()
    manual_seed(number)
    return number


def initial_seed() -> int:
    """The seed of the cpu's default generator."""
    return default_generator().initial_seed()


def get_rng_state() -> Any:
    """The state of the cpu's default generator, as :meth:`Generator.get_state` gives it."""
    return default_generator().get_state()


def set_rng_state(new_state: Any) -> None:
    """Bring the cpu's default generator to a state."""
    default_generator().set_state(new_state)


@contextlib.contextmanager
def fork_rng(
    devices: Iterable[Device | str | int] | None = None,
    enabled: bool = True,
    *,
    device_type: str | None = None,
) -> Iterator[None]:
    """Draws inside the block leave the default generators as they were before it.

    Args:
        devices: devices besides the cpu that this holds for; None: all.
        enabled: False makes the block do nothing.
        device_type: what a bare index in ``devices`` counts; None: the accelerator's.
    """
    if not enabled:
        yield
        return
    default_generator()
    named = None
    if devices is not None:
        places = [Device(device_type, d) if device_type and type(d) is int else d for d in devices]
        named = {default_generator(place).device for place in (*places, "cpu")}
    with _defaults.lock:
        seed = _defaults.seed
        before = {
            place: (g._seed, g._offset)
            for place, g in _defaults.generators.items()
            if named is None or place in named
        }
    try:
        yield
    finally:
        with _defaults.lock:
            _defaults.seed = seed
            for place, generator in _defaults.generators.items():
                if place in before:
                    generator._go_to(*before[place])
                elif named is None:  # came into use inside the block
                    generator._go_to(seed, 0)


def thread_safe_generator() -> Generator | None:
    """The generator of a data loader's worker thread; None, for data is loaded in no threads.

    None makes draws use the default generators, which threads may share.
    """
    return None
