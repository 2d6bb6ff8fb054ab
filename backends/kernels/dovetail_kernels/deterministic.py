"""Whether sums must be added up in order, the same bits each time."""

from __future__ import annotations

import os

from dovetail.backend import are_deterministic_algorithms_enabled

__all__ = ["DETERMINISTIC", "is_ordered"]

DETERMINISTIC = "DOVETAIL_OPENCL_DETERMINISTIC"
"""1: as if every program said ``use_deterministic_algorithms(True)``."""


def is_ordered() -> bool:
    """Whether to, instead of by atomics in the order in which threads arrive."""
    return are_deterministic_algorithms_enabled() or os.environ.get(DETERMINISTIC) == "1"
