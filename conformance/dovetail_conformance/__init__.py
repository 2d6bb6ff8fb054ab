"""The conformance suite: is a device right?

``python -m dovetail_conformance --device NAME`` asks and grades; ``pytest -p dovetail_conformance
--device NAME`` asks the same questions as tests of a backend's own repository; :func:`grade` is
the same for a program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovetail_conformance.model import Case, Mismatch, Outcome, Trial
    from dovetail_conformance.report import Report
    from dovetail_conformance.runner import grade

__all__ = ["Case", "Mismatch", "Outcome", "Report", "Trial", "grade"]

pytest_plugins = ["dovetail_conformance.pytest_plugin"]
"""What ``pytest -p dovetail_conformance`` loads; nothing is loaded without being asked."""

_HOMES = {
    **dict.fromkeys(("Case", "Mismatch", "Outcome", "Trial"), "model"),
    "Report": "report",
    "grade": "runner",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"dovetail_conformance.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
