"""A device ``dlp``: a simulated deep-learning processor, with its runtime, kernels and language."""

from __future__ import annotations

from dovetail.backend import Backend, hookimpl
from dovetail_dlp.machine import VERSION as __version__
from dovetail_dlp.runtime import DlpRuntime

__all__ = ["DlpRuntime", "__version__", "dovetail_backend"]


@hookimpl
def dovetail_backend() -> Backend:
    """The hook that the entry point leads to."""
    return Backend(DlpRuntime(), version=__version__, contract=(1, 1))
