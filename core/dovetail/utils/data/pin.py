"""Batches in page-locked memory: ``DataLoader(pin_memory=True)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.utils.data.collate import rebuilt_mapping, rebuilt_sequence

__all__ = ["pin_memory"]


def pin_memory(data: Any, device: Any = None) -> Any:
    """``data`` with every tensor in page-locked memory, entry by entry in containers.

    What has a method ``pin_memory`` of its own (a batch of a class of yours) is asked; what is
    neither is left as it is.
    """
    if hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, Mapping):
        return rebuilt_mapping(data, {key: pin_memory(entry) for key, entry in data.items()})
    if isinstance(data, tuple):
        entries = [pin_memory(entry) for entry in data]
        return type(data)(*entries) if hasattr(data, "_fields") else type(data)(entries)
    if isinstance(data, Sequence):
        return rebuilt_sequence(data, [pin_memory(entry) for entry in data])
    return data
