"""The hooks of a plugin. Signatures and docstrings here are their documentation.

A plugin implements ``dovetail_backend`` and whichever of the others it has a use for; each
implementation carries ``@dovetail.backend.hookimpl`` and may leave out parameters it does not need.
A name that is not here is refused when the plugin is loaded, so a misspelt hook never goes unseen.
"""

from __future__ import annotations

from typing import Any

import pluggy

from dovetail.backend.api import Backend

__all__ = [
    "PROJECT",
    "dovetail_backend",
    "dovetail_conformance_items",
    "dovetail_ops",
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

    Called once, right after the plugin's backend was loaded. Each record needs a decomposition,
    so that the operator works on every other device too.

    Args:
        registry: the module :mod:`dovetail.ops`, whose record constructors enter what they make.
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
