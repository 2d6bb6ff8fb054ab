"""Which OpenCL devices there are, in which order, and why there is none.

GPUs come first, then accelerators, then CPUs; within a kind they are ordered by their platform's
name and version and its own order, so that ``opencl:0`` is the same device in every run, however
the loader finds the drivers.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any

__all__ = ["VARIABLE", "Discovery", "discover"]

VARIABLE = "DOVETAIL_OPENCL"
"""``platform[:device]``, several with commas. A platform is its number in ``clinfo -l`` or a part
of its name; a device likewise."""

INSTALL = "pip install 'dovetail[opencl]'"


@dataclass(frozen=True)
class Discovery:
    """What was found.

    Attributes:
        devices: pyopencl devices, in dovetail's order.
        reason: why there is none; empty where there is one.
        command: what mends that, where a command does.
        more: further reasons, or other ways, each with its command.
    """

    devices: tuple[Any, ...]
    reason: str = ""
    command: str = ""
    more: tuple[tuple[str, str], ...] = ()


@functools.lru_cache(maxsize=4)
def discover(chosen: str | None = None) -> Discovery:
    """The devices that ``DOVETAIL_OPENCL`` (or ``chosen``) names, or all; never raises."""
    wanted = os.environ.get(VARIABLE, "") if chosen is None else chosen
    try:
        import pyopencl as cl

        from dovetail_opencl.placement import devices_of
    except ImportError as error:
        if getattr(error, "name", "") == "pyopencl":
            return Discovery((), "PyOpenCL is not installed", INSTALL)
        reason = f"PyOpenCL cannot be loaded: {error}"
        return Discovery((), reason, "apt-get install ocl-icd-libopencl1")
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:
        if "PLATFORM_NOT_FOUND" in str(error):
            return _no_platform()
        return Discovery((), f"asking for OpenCL platforms failed: {error}")
    found, troubles = [], []
    for number, platform in enumerate(platforms):
        try:
            devices = devices_of(platform)
        except cl.Error as error:  # a platform without a device of its kind says so by an error
            troubles.append(f"{platform.name}: {error}")
            continue
        for index, device in enumerate(devices):
            if _is_usable(device, troubles):
                found.append((_rank(cl, device), platform.name, number, index, device))
    found.sort(key=lambda row: (*row[:2], row[4].platform.version, *row[2:4]))
    if not found:
        return Discovery((), "; ".join(["no OpenCL device", *troubles]))
    if not wanted.strip():
        return Discovery(tuple(row[4] for row in found))
    return _selected(wanted, found)


def _no_platform() -> Discovery:
    from dovetail_opencl.absence import without_platform

    (reason, command), *more = without_platform()
    return Discovery((), reason, command, tuple(more))


def _selected(wanted: str, found: list[Any]) -> Discovery:
    """The devices that the variable names, in its order."""
    picked: list[Any] = []
    for part in filter(None, (p.strip() for p in wanted.split(","))):
        platform, _, device = (word.strip() for word in part.partition(":"))
        fits = [
            row
            for row in found
            if _names(platform, row[2], row[1]) and _names(device, row[3], row[4].name)
        ]
        if not fits:
            have = "; ".join(f"{row[2]}:{row[3]} ({row[1]}, {row[4].name})" for row in found)
            return Discovery((), f"{VARIABLE}={part}: no such device; there are {have}")
        picked += [row[4] for row in fits if row[4] not in picked]
    return Discovery(tuple(picked))


def _names(word: str, number: int, name: str) -> bool:
    if not word:
        return True
    return number == int(word) if word.isdigit() else word.lower() in name.lower()


def _rank(cl: Any, device: Any) -> int:
    kinds = (cl.device_type.GPU, cl.device_type.ACCELERATOR, cl.device_type.CPU)
    return next((i for i, kind in enumerate(kinds) if device.type & kind), len(kinds))


def _is_usable(device: Any, troubles: list[str]) -> bool:
    """Whether the device can compile and is of version 1.2 at least."""
    version = tuple(int(n) for n in device.version.split()[1].split("."))
    if not device.available or not device.compiler_available:
        troubles.append(f"{device.name}: not available, or without a compiler")
    elif version < (1, 2):
        troubles.append(f"{device.name}: OpenCL {version[0]}.{version[1]}, 1.2 is needed")
    elif not device.endian_little:
        troubles.append(f"{device.name}: big-endian")
    else:
        return True
    return False
