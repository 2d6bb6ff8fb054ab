"""What is said of an index that is out of range: PyTorch's sentences, the same on every device.

A device that finds such an index itself raises ``dovetail.errors.OutOfRangeError`` with one of
them: ``facts.op.sentence`` where there is one, else that of the kernel's own operator. Behind it
may stand which operator it was (``facts.op.title``) and that it was found late.
"""

from __future__ import annotations

__all__ = [
    "ALONG", "ENDS", "FEW_ROWS", "FLAT", "IN_SELF", "LENGTHS", "NEGATIVE", "OTHER_ROWS", "PIVOTS",
    "TARGET",
]  # fmt: skip

ALONG = "index {index} is out of bounds for dimension {dim} with size {size}"
ENDS = "{name} [{low:g}, {high:g}] is not finite"
"""Of histograms: no index either."""
FLAT = "out of range: tried to access index {index} on a tensor of {size} elements."
IN_SELF = "index out of range in self: index {index}, size {size}"
"""PyTorch ends before the colon."""
TARGET = "Target {index} is out of bounds."
LENGTHS = (
    "lengths contains negative value!",
    "segment_reduce(): Expected all rows of lengths along axis to sum to "
    "data.size(lengths.dim()-1) when !unsafe.",
)
"""Of ``segment_reduce``: no index, but found as late."""
NEGATIVE = "cov(): {label} cannot be negative"
"""Of its weights."""
OTHER_ROWS = (
    "shape mismatch: value tensor of shape {given} cannot be broadcast to indexing result of shape "
    "{wanted}"
)
"""Of rows that are written where a mask is set in as many places as ``wanted`` begins with."""
FEW_ROWS = "Number of elements of source < number of ones in mask"
"""Of ``masked_scatter``."""
PIVOTS = {
    "lu_solve": tuple(
        f"Pivots given to lu_solve must all be {wanted}. Did you properly pass the result of "
        "lu_factor?"
        for wanted in ("greater or equal to 1", "smaller or equal to LU.size(-2)")
    ),
    "lu_unpack": (
        "pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive. Did you properly "
        "pass the result of lu_factor?",
    )
    * 2,
}
"""Of pivots that are too small, and too large."""
