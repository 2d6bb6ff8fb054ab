"""Running an operator on the host because the device has no kernel: policy, warning, ledger."""

from __future__ import annotations

import atexit
import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dovetail.backend.loader import fallback_policy
from dovetail.device import device as Device
from dovetail.errors import HostFallbackError, HostFallbackWarning
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.backend.state import DeviceState
    from dovetail.ops.schema import OpDef

__all__ = ["counted", "host_device", "ledger", "permitted"]

ledger: dict[tuple[str, str], list[float]] = {}
"""(operator, device) -> [calls, bytes moved, milliseconds]."""


_permitted: frozenset[str] = frozenset()


@contextlib.contextmanager
def permitted(names: Iterable[str]) -> Iterator[None]:
    """Let these operators run on the host inside, as with the policy ``allow``."""
    global _permitted
    before = _permitted
    _permitted = frozenset(names)
    try:
        yield
    finally:
        _permitted = before


def host_device() -> Device:
    """The device whose arrays are in host memory."""
    return Device("cpu")


def _lacks(op: OpDef, state: DeviceState) -> str:
    declines = bool(state.table.entries(op.name))
    return f"has no kernel of it{' that takes this call' if declines else ''}"


@contextlib.contextmanager
def counted(op: OpDef, state: DeviceState, inputs: tuple[Any, ...]) -> Iterator[None]:
    """Apply the policy to one host call, and count it.

    Raises:
        HostFallbackError: the policy is ``error``.
    """
    key = (op.name, str(state.device))
    policy = "allow" if op.name in _permitted else fallback_policy()
    if policy == "error":
        raise HostFallbackError(
            f"{op.name}: {state.device} {_lacks(op, state)} and DOVETAIL_FALLBACK=error; add the "
            "kernel to the backend, or set DOVETAIL_FALLBACK=warn"
        )
    if policy == "warn" and key not in ledger:
        warn(
            f"{op.name}: {state.device} {_lacks(op, state)}; running on the host "
            "(DOVETAIL_FALLBACK=error|warn|allow)",
            HostFallbackWarning,
        )
    if not ledger and policy == "warn":
        atexit.unregister(_summary)  # the ledger may have been emptied
        atexit.register(_summary)
    row = ledger.setdefault(key, [0, 0, 0.0])
    start = time.perf_counter()
    yield
    row[0] += 1
    row[1] += sum(x._spec.nbytes for x in inputs if hasattr(x, "_spec"))
    row[2] += (time.perf_counter() - start) * 1e3


def _summary() -> None:
    print("dovetail: operators that ran on the host:", file=sys.stderr)
    for (name, device), (calls, nbytes, ms) in sorted(ledger.items()):
        print(
            f"  {name} on {device}: {calls:.0f} call{'' if calls == 1 else 's'}, "
            f"{nbytes:.0f} bytes, {ms:.1f} ms",
            file=sys.stderr,
        )
