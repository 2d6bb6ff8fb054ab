"""Whether a dispatch was served as the device's table says."""

from __future__ import annotations

from typing import Any

import dovetail as dt
from dovetail.backend.state import state_of
from dovetail.ops.schema import REGISTRY
from dovetail_conformance.model import Mismatch

__all__ = ["check_event"]


_KERNELS = {"copy_to": "copy", "clone_record": "copy"}
"""Records whose work another record's kernel does."""


def check_event(event: Any, what: str) -> None:
    """Compare a traced dispatch with the table.

    Raises:
        Mismatch: it was served in a way that the table does not offer.
    """
    name = _KERNELS.get(event.op, event.op)
    op = REGISTRY[name]
    entries = state_of(dt.device(event.device)).table.entries(name)
    label = event.served_by
    if label == "host":
        raise Mismatch(
            f"{what}: {event.op} ran on the host; the table must have a kernel of it", "label"
        )
    if label in ("kernel", "fused") and not entries:
        raise Mismatch(f"{what}: {event.op} was served as {label}, but the table has none", "label")
    if label == "decomposed" and any(k.dtypes is None and k.when is None for k in entries):
        raise Mismatch(
            f"{what}: {event.op} was decomposed, but the table has a kernel for every call of it",
            "label",
        )
    if op.required and op.decompose is None and label == "decomposed":
        raise Mismatch(f"{what}: {event.op} is a primitive and was decomposed", "label")
