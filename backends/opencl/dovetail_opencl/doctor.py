"""What ``dovetail doctor opencl`` says: why there is no device, and the command that mends it."""

from __future__ import annotations

from dovetail_opencl.discovery import discover

__all__ = ["doctor"]


def doctor() -> list[tuple[str, str]]:
    """``[(what is wrong, command that mends it)]``; empty where a device was found."""
    found = discover()
    return [] if found.devices else [(found.reason, found.command), *found.more]
