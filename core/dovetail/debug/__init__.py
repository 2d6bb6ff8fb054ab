"""Finding the operator that a device gets wrong: two devices in step, or one against the host.

Example:
    >>> import dovetail as dt
    >>> found = dt.debug.compare(lambda x: (x * 2).exp().sum(), dt.ones(3), devices=("cpu", "cpu"))
    >>> found.agrees, found.calls
    (True, 3)
"""

from __future__ import annotations

from dovetail.debug.compare import Comparison, ControlFlowParted, Parting, compare
from dovetail.debug.explain import Explanation, explain
from dovetail.debug.judge import Difference, difference

__all__ = [
    "Comparison",
    "ControlFlowParted",
    "Difference",
    "Explanation",
    "Parting",
    "compare",
    "difference",
    "explain",
]
