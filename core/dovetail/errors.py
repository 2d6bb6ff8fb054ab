"""The exceptions that a program may want to catch, each a subclass of the one PyTorch raises."""

from __future__ import annotations

from pickle import UnpicklingError

__all__ = [
    "AcceleratorError",
    "BackendUnavailable",
    "CheckpointError",
    "ContractVersionError",
    "HostFallbackError",
    "HostFallbackWarning",
    "LinAlgError",
    "OutOfMemoryError",
    "OutOfRangeError",
    "Unsupported",
]


class AcceleratorError(RuntimeError):
    """Work that a device was given failed, which a wait found; the text names the last kernels."""


class BackendUnavailable(RuntimeError):
    """A device was asked for whose backend is absent, broken, disabled or has no hardware."""


class CheckpointError(RuntimeError, UnpicklingError):
    """A file cannot be loaded.

    It is damaged, hostile or of another kind, names what ``weights_only`` refuses, or has tensors
    of a device that is not here.
    """


class ContractVersionError(BackendUnavailable):
    """A backend was built for another major version of the backend contract."""


class OutOfMemoryError(RuntimeError):
    """A device could not give the memory asked for; the message has asked, allocated, reserved."""


class OutOfRangeError(IndexError, RuntimeError):
    """An index out of range, on every device; PyTorch raises the one or the other, by operator."""


class Unsupported(NotImplementedError, RuntimeError):
    """An operator is not defined for these dtypes, or this device has no way to run it."""


class HostFallbackError(RuntimeError):
    """An operator would have run on the host while the fallback policy is ``error``."""


class HostFallbackWarning(UserWarning):
    """An operator ran on the host because the device's backend has no kernel for it."""


class LinAlgError(RuntimeError):
    """A matrix cannot be inverted or factorized as asked; ``dovetail.linalg.LinAlgError``."""
