"""A test device ``loop``: every kernel goes to the cpu's, through the public contract only."""

from __future__ import annotations

from dovetail.backend import Backend, Layout, hookimpl
from dovetail_loopback.runtime import LoopbackRuntime

__all__ = ["LoopbackRuntime", "__version__", "backend", "dovetail_backend"]

__version__ = "0.1.0"


def backend(
    layout: Layout | None = None,
    memory: int | None = None,
    devices: int | None = None,
    caching: bool | None = None,
) -> Backend:
    """A loopback backend; what is not given comes from the environment (see the README)."""
    runtime = LoopbackRuntime(layout, memory, devices, caching)
    return Backend(runtime, version=__version__, contract=(1, 0))


@hookimpl
def dovetail_backend() -> Backend:
    """The hook: the backend as the environment sets it."""
    return backend()


@hookimpl
def dovetail_report_header() -> str:
    """The hook: one line for reports."""
    return f"loopback {__version__}: kernels are the cpu's"
