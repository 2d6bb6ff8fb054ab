"""What ``dovetail doctor opencl`` says: why there is no device, and the command that mends it."""

from __future__ import annotations

import os
from pathlib import Path

from dovetail_opencl.discovery import discover

__all__ = ["doctor"]

VENDORS = Path("/etc/OpenCL/vendors")
HIDING = ("OCL_ICD_VENDORS", "OPENCL_VENDOR_PATH")
"""Variables that name another folder to the loader, Debian's and others, so that it looks there."""


def doctor() -> list[tuple[str, str]]:
    """``[(what is wrong, command that mends it)]``; empty where a device was found."""
    found = discover()
    if found.devices:
        return []
    advice = [(found.reason, found.command)]
    for name in HIDING:
        folder = os.environ.get(name, "")
        if folder.startswith("/") and not Path(folder).exists():
            advice.append((f"{name} names {folder}, which does not exist", f"unset {name}"))
    for icd in sorted(VENDORS.glob("*.icd")) if VENDORS.is_dir() else ():
        library = icd.read_text(encoding="utf-8", errors="replace").strip()
        if library.startswith("/") and not Path(library).exists():
            advice.append((f"{icd} names {library}, which does not exist", f"rm {icd}"))
    return advice
