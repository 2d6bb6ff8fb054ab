"""Which GPUs the machine has, whatever drivers of OpenCL there are, as Linux tells it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["VENDORS", "closed_nodes", "distributions", "gpus", "has_nodes", "is_root"]

VENDORS = {0x1002: "AMD", 0x8086: "Intel", 0x10DE: "NVIDIA"}
"""Vendors by their number on the PCI bus, which is CL_DEVICE_VENDOR_ID, too."""

PCI = Path("/sys/bus/pci/devices")
NODES = Path("/dev/dri")
COMPUTE = Path("/dev/kfd")
"""What AMD's ROCm opens, besides a render node."""

DISPLAY = 0x03
"""The class of display controllers on the PCI bus: the highest of the three bytes."""


def gpus() -> dict[str, str]:
    """``{vendor: the place on the bus of its first GPU}``, of the vendors in :data:`VENDORS`."""
    found: dict[str, str] = {}
    for folder in sorted(PCI.glob("*")):
        try:
            kind, number = (int((folder / n).read_text(), 16) for n in ("class", "vendor"))
        except (OSError, ValueError):
            continue
        if kind >> 16 == DISPLAY and number in VENDORS:
            found.setdefault(VENDORS[number], folder.name)
    return found


def has_nodes() -> bool:
    """Whether a driver of the kernel offers a GPU to programs."""
    return any(NODES.glob("renderD*"))


def closed_nodes() -> list[Path]:
    """Files by which programs reach GPUs and that this user may not open."""
    nodes = [*sorted(NODES.glob("renderD*")), COMPUTE]
    return [n for n in nodes if n.exists() and not os.access(n, os.R_OK | os.W_OK)]


def is_root() -> bool:
    """Whether this user may install packages; a container's has no sudo."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def distributions() -> list[str]:
    """The distribution's name and those that it is like: ``["linuxmint", "ubuntu", "debian"]``."""
    try:
        told = platform.freedesktop_os_release()
    except OSError:
        return []
    return [told.get("ID", ""), *told.get("ID_LIKE", "").split()]
