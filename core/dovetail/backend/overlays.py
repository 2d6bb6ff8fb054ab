"""Overlays: kernels that somebody adds to a device that is not theirs.

An overlay is an entry point of group ``dovetail.overlays`` named as the device (``*``: every
device) whose plugin has the hook ``dovetail_overlay``. Names are read with those of the backends; a
plugin is imported when that device is loaded. One that fails leaves the device its own kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dovetail.backend.api import KernelTable
from dovetail.backend.discovery import Settings
from dovetail.backend.records import Found, Overlay, advice_for, one_line
from dovetail.errors import BackendUnavailable
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.backend.plugin import Hooks

__all__ = ["apply_overlays", "raise_failed", "warn_failed"]


def apply_overlays(
    device: str,
    table: KernelTable,
    offers: Sequence[Found],
    settings: Settings,
    hooks: Callable[[], Hooks],
) -> tuple[KernelTable, tuple[Overlay, ...]]:
    """A device's table with what its overlays add, and what became of each of them.

    Those for every device come first, so that one for this device goes before them.
    """
    made = []
    for found in sorted(offers, key=lambda f: (f.name != "*", f.distribution, f.module)):
        if found.name in ("*", device):
            table, overlay = _apply(device, table, found, settings, hooks)
            made.append(overlay)
    return table, tuple(made)


def _apply(
    device: str, table: KernelTable, found: Found, settings: Settings, hooks: Callable[[], Hooks]
) -> tuple[KernelTable, Overlay]:
    label = found.module.partition(":")[0]
    for name in (label, found.distribution):
        if name in settings.disable:
            failure = settings.failure(name)
            assert failure is not None
            about = (failure.reason, failure.advice, failure.command)
            return table, _overlay(found, device, "disabled", (), *about)
    twin = table.copy()  # a half-done overlay must leave nothing behind
    try:
        add = hooks().adopt_overlay(f"{found.distribution} {found.module}", found.load())
        add(device, twin)
    except (Exception, SystemExit) as error:  # a plugin may do anything at all
        advice, command = advice_for(found, error)
        reason = f"the overlay {label} failed: {one_line(error)}"
        return table, _overlay(found, device, "failed", (), reason, advice, command, error)
    changed = tuple(n for n in twin if twin.entries(n) != table.entries(n))
    return twin, _overlay(found, device, "applied", changed)


def _overlay(
    found: Found,
    device: str,
    status: str,
    kernels: tuple[str, ...],
    reason: str = "",
    advice: str = "",
    command: str = "",
    exception: BaseException | None = None,
) -> Overlay:
    return Overlay(
        found.module.partition(":")[0],
        device,
        found.distribution,
        found.version,
        status,
        kernels,
        reason,
        advice,
        command,
        exception,
    )


def warn_failed(overlays: Sequence[Overlay]) -> None:
    """One warning per overlay that failed; the device works with its own kernels."""
    for overlay in overlays:
        if overlay.status == "failed":
            warn(overlay.sentence(), RuntimeWarning)


def raise_failed(overlays: Sequence[Overlay]) -> None:
    """What DOVETAIL_STRICT wants.

    Raises:
        BackendUnavailable: an overlay failed; the cause is the plugin's own exception.
    """
    for overlay in overlays:
        if overlay.status == "failed":
            text = f"DOVETAIL_STRICT: {overlay.sentence()}"
            raise BackendUnavailable(text) from overlay.exception
