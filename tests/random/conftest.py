"""The fixture ``served``: with the device's own kernels, and with the required ones only."""

from __future__ import annotations

from tests.ops.conftest import served

__all__ = ["served"]
