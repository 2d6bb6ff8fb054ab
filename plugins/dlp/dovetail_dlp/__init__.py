"""A device ``dlp``: a simulated deep-learning processor, with its runtime, kernels and language.

``configure`` sets the machine's sizes, ``inject`` faults, latency and disorder, ``reset`` starts a
device again, ``profile`` counts cycles, ``operator`` makes an operator of a kernel; kernels are
written in ``dovetail_dlp.lang``.
"""

from __future__ import annotations

from typing import Any

from dovetail.backend import Backend, hookimpl
from dovetail_dlp import extend
from dovetail_dlp.control import FAULTS, configure, inject, reset
from dovetail_dlp.extend import install, operator
from dovetail_dlp.machine import VERSION as __version__
from dovetail_dlp.machine import settings
from dovetail_dlp.machine.errors import (
    DeviceError,
    DeviceLost,
    EccError,
    KernelError,
    KernelTimeout,
)
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
    "dovetail_ops",
    "dovetail_report_header",
    "inject",
    "install",
    "operator",
    "profile",
    "reset",
]


@hookimpl
def dovetail_backend() -> Backend:
    """The hook that the entry point leads to."""
    return Backend(DlpRuntime(), version=__version__, contract=(1, 1))


@hookimpl
def dovetail_ops(registry: Any) -> None:
    """The hook: the core's records, which operators of users join."""
    extend.handed_over(registry)


@hookimpl
def dovetail_report_header() -> str:
    """The hook: the machine's sizes, for reports."""
    machine = settings.current()
    return (
        f"{machine.name}: {machine.clusters} clusters of {machine.cores} cores, NRAM "
        f"{machine.nram >> 10} KiB, WRAM {machine.wram >> 10} KiB, {machine.clock / 1e9:g} GHz, "
        "simulated"
    )
