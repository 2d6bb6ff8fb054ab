"""What a backend author imports: the contract, the hooks, and the registry of backends.

A backend package declares an entry point of group ``dovetail.backends``, named as its device, that
points at a module or object with hooks::

    from dovetail.backend import Backend, hookimpl

    @hookimpl
    def dovetail_backend():
        return Backend(MyRuntime(), version="1.0", contract=(1, 0))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.backend.api import (
    CONTRACT_VERSION,
    Backend,
    DeviceInfo,
    Kernel,
    KernelTable,
    Layout,
    Runtime,
)
from dovetail.backend.loader import GROUP, Loaded, Record, Registry, fallback_policy, registry
from dovetail.errors import (
    BackendUnavailable,
    ContractVersionError,
    OutOfMemoryError,
    Unsupported,
)

if TYPE_CHECKING:
    from dovetail.backend.hookspecs import hookimpl

__all__ = [
    "CONTRACT_VERSION",
    "GROUP",
    "Backend",
    "BackendUnavailable",
    "ContractVersionError",
    "DeviceInfo",
    "Kernel",
    "KernelTable",
    "Layout",
    "Loaded",
    "OutOfMemoryError",
    "Record",
    "Registry",
    "Runtime",
    "Unsupported",
    "fallback_policy",
    "hookimpl",
    "registry",
]


def __getattr__(name: str) -> Any:
    if name == "hookimpl":  # pluggy is imported with the first plugin, not with dovetail
        from dovetail.backend.hookspecs import hookimpl

        return hookimpl
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
