"""Which OpenCL devices there are, in which order, and why there is none.

GPUs come first, then accelerators, then CPUs; within a kind they are ordered by their platform's
name and version and its own order, so that ``opencl:0`` is the same device in every run, however
the loader finds the drivers.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

__all__ = ["VARIABLE", "Discovery", "discover"]

VARIABLE = "DOVETAIL_OPENCL"
"""``platform[:device]``, several with commas. A platform is its number in ``clinfo -l`` or a part
of its name; a device likewise. Where no platform, or device of one, has a number, it is looked for
in the names, as a number of its own: 7900 is in "RX 7900 XTX", 1 is not in "gfx1100"."""

INSTALL = "pip install 'dovetail[opencl]'"

NO_DEVICE = "has no device"


@dataclass(frozen=True)
class Discovery:
    """What was found.

    Attributes:
        devices: pyopencl devices, in dovetail's order.
        reason: why there is none; empty where there is one.
        command: what mends that, where a command does.
        more: further reasons, or other ways, each with its command.
        unused: devices that could be used, and that the variable does not name.
        troubles: platforms without a device, or with one that cannot be used:
            ``(the platform's name, why)``.
    """

    devices: tuple[Any, ...]
    reason: str = ""
    command: str = ""
    more: tuple[tuple[str, str], ...] = ()
    unused: tuple[Any, ...] = ()
    troubles: tuple[tuple[str, str], ...] = ()


class _Found(NamedTuple):
    """A device in the order of devices, and the numbers by which it may be chosen."""

    rank: int
    platform: str
    version: str
    number: int
    place: int
    device: Any


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
    found: list[_Found] = []
    troubles: list[tuple[str, str]] = []
    sizes = []
    for number, platform in enumerate(platforms):
        name = platform.name.strip()
        devices, trouble = [], NO_DEVICE
        try:
            devices = devices_of(platform)
        except cl.Error as error:  # a platform without a device of its kind may say so by an error
            if "DEVICE_NOT_FOUND" not in str(error):
                trouble = str(error)
        sizes.append(len(devices))
        if not devices:
            troubles.append((name, trouble))
        for index, device in enumerate(devices):
            if trouble := _unusable(device):
                troubles.append((name, trouble))
            else:
                version = platform.version
                found.append(_Found(_rank(cl, device), name, version, number, index, device))
    found.sort(key=lambda row: row[:-1])
    return replace(_selected(wanted, found, sizes, troubles), troubles=tuple(troubles))


def _no_platform() -> Discovery:
    from dovetail_opencl.absence import without_platform

    (reason, command), *more = without_platform()
    return Discovery((), reason, command, tuple(more))


def _selected(
    wanted: str, found: list[_Found], sizes: list[int], troubles: list[tuple[str, str]]
) -> Discovery:
    """The devices that the variable names, in its order. ``sizes``: how many each platform has."""
    if not found:
        return Discovery((), "; ".join(["no OpenCL device", *map(": ".join, troubles)]))
    picked: list[_Found] = [] if wanted.strip() else found
    for part in filter(None, (p.strip() for p in wanted.split(","))):
        platform, _, device = (word.strip() for word in part.partition(":"))
        fits = [
            row
            for row in found
            if _names(platform, row.number, len(sizes), row.platform)
            and _names(device, row.place, sizes[row.number], row.device.name)
        ]
        if not fits:
            have = "; ".join(
                f"{row.number}:{row.place} ({row.platform}, {row.device.name})" for row in found
            )
            reason = f"{VARIABLE}={part}: no such device; there are {have}"
            return Discovery((), reason, f"unset {VARIABLE}", unused=_devices(found))
        picked += [row for row in fits if row not in picked]
    unused = [row for row in found if row not in picked]
    return Discovery(_devices(picked), unused=_devices(unused))


def _devices(rows: Sequence[_Found]) -> tuple[Any, ...]:
    return tuple(row.device for row in rows)


def _names(word: str, number: int, numbers: int, name: str) -> bool:
    """Whether a word is a thing's number, of so many, or a part of its name."""
    if not word.isdigit():
        return word.lower() in name.lower()
    if int(word) < numbers:
        return number == int(word)
    return re.search(rf"(?<!\d){word}(?!\d)", name) is not None


def _rank(cl: Any, device: Any) -> int:
    kinds = (cl.device_type.GPU, cl.device_type.ACCELERATOR, cl.device_type.CPU)
    return next((i for i, kind in enumerate(kinds) if device.type & kind), len(kinds))


def _unusable(device: Any) -> str:
    """Why the device cannot be used: it must compile and be of version 1.2 at least."""
    version = tuple(int(n) for n in device.version.split()[1].split("."))
    if not device.available or not device.compiler_available:
        return f"{device.name} is not available, or without a compiler"
    if version < (1, 2):
        return f"{device.name} has OpenCL {version[0]}.{version[1]}, 1.2 is needed"
    return "" if device.endian_little else f"{device.name} is big-endian"
