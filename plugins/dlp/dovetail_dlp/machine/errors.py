"""What can go wrong on the device, each under its own name."""

from __future__ import annotations

__all__ = ["DeviceError", "DeviceLost", "EccError", "KernelError", "KernelTimeout"]


class DeviceError(RuntimeError):
    """Hardware failed; everything on the device is refused until ``dovetail_dlp.reset``."""


class EccError(DeviceError):
    """A bit of device memory turned over, was noticed when read, and could not be mended."""


class KernelTimeout(DeviceError):
    """A kernel did not end in time; the watchdog stopped the device."""


class DeviceLost(DeviceError):
    """The device does not answer any more."""


class KernelError(RuntimeError):
    """A kernel uses the machine wrongly; the text names the kernel and its line."""
