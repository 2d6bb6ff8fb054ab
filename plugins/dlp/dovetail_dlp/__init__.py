"""A device ``dlp``: a simulated deep-learning processor, with its runtime, kernels and language.

``configure`` sets the machine's sizes, ``inject`` faults, latency and disorder, ``reset`` starts a device
again, ``profile`` counts cycles, ``operator`` makes an operator of a kernel; kernels are written in
``dovetail_dlp.lang``.
"""

from __future__ import annotations

from dovetail.backend import Backend, hookimpl
from dovetail_dlp.control import FAULTS, configure, inject, reset
from dovetail_dlp.machine import VERSION as __version__
from dovetail_dlp.machine.errors import DeviceError, DeviceLost, EccError, KernelError, KernelTimeout
from dovetail_dlp.machine.settings import PRESETS, Machine
from dovetail_dlp.profiler import Profile, profile
from dovetail_dlp.runtime import DlpRuntime

__all__ = [
    "FAULTS",
    "PRESETS",
    "DeviceError",
    "DeviceLost",
    "DlpRuntime",
    "EccError",
    "KernelError",
    "KernelTimeout",
    "Machine",
    "Profile",
    "__version__",
    "configure",
    "dovetail_backend",
    "inject",
    "profile",
    "reset",
]


@hookimpl
def dovetail_backend() -> Backend:
    """The hook that the entry point leads to."""
    return Backend(DlpRuntime(), version=__version__, contract=(1, 1))
