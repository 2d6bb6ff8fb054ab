"""What ``dovetail doctor opencl`` says: the devices, what keeps others away, and what mends it."""

from __future__ import annotations

import os
from typing import Any

from dovetail_opencl import drivers, settings
from dovetail_opencl.absence import NO_DRIVER
from dovetail_opencl.discovery import VARIABLE, Discovery, discover
from dovetail_opencl.hardware import VENDORS

__all__ = ["doctor"]

CPU = 1 << 1
"""CL_DEVICE_TYPE_CPU."""


def doctor() -> list[tuple[str, str]]:
    """``[(what is so or is wrong, command that mends it)]``: the devices in their order, then each
    platform without one, then each GPU of the machine that is none."""
    found = discover()
    rows = [*_settings(), *_devices(found)]
    if not found.devices:
        rows += [(found.reason, found.command), *found.more]
    known = [*found.devices, *found.unused]
    served = {VENDORS.get(int(d.vendor_id), "") for d in known if not d.type & CPU}
    rows += [drivers.of_platform(name, why, served) for name, why in found.troubles]
    gpus = drivers.of_gpus(served, {name for name, _ in found.troubles})
    # Before the CPU's driver, which who has a GPU does not look for.
    place = next((i for i, (reason, _) in enumerate(rows) if reason == NO_DRIVER), len(rows))
    rows[place:place] = gpus
    return rows


def _settings() -> list[tuple[str, str]]:
    """Variables whose value, or name, has no meaning."""
    rows = [
        (f"{name} has no meaning; there are {', '.join(settings.VARIABLES)}", f"unset {name}")
        for name in settings.unknown(os.environ)
    ]
    for asked in (settings.class_of_kernels, settings.memory, lambda: settings.patience(0)):
        try:
            asked()
        except ValueError as error:
            rows.append((str(error), f"unset {str(error).partition(':')[0]}"))
    return rows


def _devices(found: Discovery) -> list[tuple[str, str]]:
    """What is used, and what is there and not used."""
    chosen = os.environ.get(settings.CLASS, "").strip().lower()
    is_forced = chosen in ("cpu", "gpu")
    forced = f", with kernels for a {chosen} ({settings.CLASS})" if is_forced else ""
    rows = [
        (f"opencl:{index} is a {_described(device)}{forced}", "")
        for index, device in enumerate(found.devices)
    ]
    if found.devices and found.unused:
        names = "; ".join(map(_described, found.unused))
        rows.append((f"{VARIABLE}={os.environ.get(VARIABLE, '')} leaves out: {names}", ""))
    return rows


def _described(device: Any) -> str:
    kind = "cpu" if device.type & CPU else "gpu"
    platform = device.platform
    return (
        f"{kind}: {device.name.strip()} ({platform.name.strip()}, {device.version.strip()}, "
        f"driver {device.driver_version.strip()})"
    )
