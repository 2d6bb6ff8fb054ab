"""The device ``template`` for dovetail."""

from __future__ import annotations

from dovetail.backend import Backend, hookimpl
from dovetail_template.runtime import TemplateRuntime

__all__ = ["TemplateRuntime", "__version__", "dovetail_backend"]

__version__ = "0.1.0"


@hookimpl
def dovetail_backend() -> Backend:
    """The hook that the entry point in ``pyproject.toml`` leads to."""
    return Backend(TemplateRuntime(), version=__version__, contract=(1, 6))
