"""The backend's environment variables, and the values of those that are more than a switch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

__all__ = ["VARIABLES", "class_of_kernels", "memory", "patience", "unknown"]

CLASS = "DOVETAIL_OPENCL_CLASS"
"""``cpu`` or ``gpu``: how kernels are written and launched, whatever the device says it is."""

MEMORY = "DOVETAIL_OPENCL_MEMORY"
"""Bytes of a device that are used at most."""

PATIENCE = "DOVETAIL_OPENCL_PATIENCE"
"""Calls with a layout until it gets a kernel of its own."""

PREFIX = "DOVETAIL_OPENCL"

VARIABLES = (
    PREFIX,
    f"{PREFIX}_CACHE",
    CLASS,
    f"{PREFIX}_DETERMINISTIC",
    f"{PREFIX}_LIMITS",
    MEMORY,
    PATIENCE,
    f"{PREFIX}_TUNE",
)
"""All that have a meaning; docs/opencl.md tells them."""

_BYTES = re.compile(r"(\d+(?:\.\d+)?(?:e\d+)?) ?(?:([kmgt])(i?))?b?", re.IGNORECASE)


def class_of_kernels() -> str:
    """``cpu`` or ``gpu``, or nothing where the device is to say it.

    Raises:
        ValueError: the variable says something else.
    """
    chosen = os.environ.get(CLASS, "").strip().lower()
    if chosen not in ("", "cpu", "gpu"):
        raise ValueError(f"{CLASS}: must be cpu or gpu, got {os.environ[CLASS]!r}")
    return chosen


def memory() -> int | None:
    """Bytes to use at most; None where the device is to say it.

    Raises:
        ValueError: the variable says no number of bytes.
    """
    text = os.environ.get(MEMORY, "").strip()
    if not text:
        return None
    found = _BYTES.fullmatch(text)
    if found is None:
        raise ValueError(f"{MEMORY}: must be bytes, such as 1e9, 1GB or 512MiB, got {text!r}")
    number, power, is_binary = found.groups()
    unit = (1024 if is_binary else 1000) ** (" kmgt".index(power.lower()) if power else 0)
    return int(number) * unit if number.isdigit() else int(float(number) * unit)


def patience(otherwise: int) -> int:
    """Calls until a layout gets a kernel of its own; ``otherwise`` where nothing is said.

    Raises:
        ValueError: the variable says no whole number.
    """
    text = os.environ.get(PATIENCE, "").strip()
    if text and not text.isdigit():
        raise ValueError(f"{PATIENCE}: must be a whole number of calls, got {text!r}")
    return int(text) if text else otherwise


def unknown(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like the backend's and have no meaning."""
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in VARIABLES)
