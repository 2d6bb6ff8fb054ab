"""The hooks of a plugin. Signatures and docstrings here are their documentation.

A backend implements ``dovetail_backend``, an overlay ``dovetail_overlay``, and either of them
whichever of the others it has a use for; each
implementation carries ``@dovetail.backend.hookimpl`` and may leave out parameters it does not need.
A name that is not here is refused when the plugin is loaded, so a misspelt hook never goes unseen.

Example:
    >>> from dovetail.backend import hookimpl
    >>> @hookimpl
    ... def dovetail_report_header():
    ...     return "toy driver 1.2"
    >>> dovetail_report_header()
    'toy driver 1.2'
"""

from __future__ import annotations

from typing import Any

import pluggy

from dovetail.backend.api import Backend, KernelTable

__all__ = [
    "PROJECT",
    "dovetail_backend",
    "dovetail_conformance_items",
    "dovetail_ops",
    "dovetail_overlay",
    "dovetail_report_header",
    "hookimpl",
    "hookspec",
]

PROJECT = "dovetail"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def dovetail_backend() -> Backend | None:
    """Return the device's :class:`~dovetail.backend.Backend`: its runtime and kernel table.

    Called once, when the device is first used. It should be quick and must work without the
    hardware: finding devices is the business of ``Runtime.count``.
    """


@hookspec
def dovetail_ops(registry: Any) -> None:
    """Add operator records of the plugin's own to ``registry``.

    Called once, right after the plugin's backend was loaded, or before its overlay is applied. Each
    record needs a decomposition, so that the operator works on every other device too.

    Args:
        registry: the module :mod:`dovetail.ops`, whose record constructors enter what they make.
    """


@hookspec
def dovetail_overlay(device: str, table: KernelTable) -> None:
    """Add kernels to the table of a device that is somebody else's.

    Called once per device, when it is loaded; the plugin is an entry point of group
    ``dovetail.overlays`` whose name is the device's, or ``*``. What is added goes before the
    device's own kernels where its dtypes and ``when`` fit, and what raises leaves the table as it
    was. The device's own kernels are in ``table.entries(name)``, to be called where an overlay's
    cannot serve.

    Args:
        device: the device's name.
        table: to be changed in place.
    """


@hookspec
def dovetail_conformance_items(config: Any, items: list[Any]) -> None:
    """Add to, order or drop conformance cases in place, before they are run.

    Called by the conformance suite when it has collected the cases for one device.

    Args:
        config: the suite's options, among them ``config.device``.
        items: the cases, to be changed in place.
    """


@hookspec
def dovetail_report_header() -> str | None:
    """Return one line about the backend (library, driver, settings) for the head of a report."""
