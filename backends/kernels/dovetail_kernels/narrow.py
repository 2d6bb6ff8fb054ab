"""Reductions of bytes by columns on the host's cores: ``src/bytes.cl``.

Elsewhere bytes are folded in numbers as large as the result, of which a vector holds an eighth as
many.
"""

from __future__ import annotations

import numpy as np

from dovetail.backend import Loops
from dovetail.dtypes import bool_, int8, int64, uint8
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.device import Device, Launch
from dovetail_kernels.folds import FOLDS
from dovetail_kernels.source import program
from dovetail_kernels.vectors import FETCH

__all__ = ["columns"]

LANES = 32
"""Bytes of a vector."""

SPAN = 1024
"""Columns of a work item, at most."""

NEAR = 256
"""The same, at least: of less, what a processor fetches beforehand is mostly another's."""

MOST = 1 << 22
"""Rows whose sum an int holds, and whose place the number of a group in 16 bits."""

_RESULTS = {"sum": int64, "amax": None, "amin": None, "argmax": int64, "argmin": int64}
"""By fold, the dtype of what comes out; None: the input's."""


def columns(
    device: Device, name: str, outer: Loops, inner: Loops, source: DType, out: DType
) -> Launch | None:
    """The kernel ``(out, in, places)`` where it serves; the loops' last strides are the input's.

    Args:
        name: the fold, of :data:`.folds.FOLDS`.
        outer: what is kept: rows of neighbours, in batches or not.
        inner: what is folded.
    """
    fits = device.is_cpu and source in (int8, uint8, *[bool_] * (name == "sum"))
    fits &= name in _RESULTS and len(inner.shape) == 1 and len(outer.shape) in (1, 2)
    if not fits or out is not (_RESULTS[name] or source):
        return None
    width, rows = outer.shape[-1], inner.shape[0]
    batches = outer.numel // width
    ends, begins = outer.strides[0], outer.strides[-1]
    is_near = ends[-1] == begins[-1] == 1 and width >= LANES
    if not is_near or outer.numel < device.units * NEAR or not 16 <= rows <= MOST:
        return None
    row_step = inner.strides[-1][0]
    if row_step < width or (batches > 1 and begins[0] < 0):
        return None
    fold, is_signed = FOLDS[name], source is int8
    beyond = fold.beyond or ">"
    kind = "short" if is_signed else "ushort"
    lowest, highest = ("-32768", "32767") if is_signed else ("0", "65535")
    macros = {
        "WORD": kind,
        "SIGNED": "short16",
        "OUT_MEMORY": dialect.TYPES[out.name],
        "IS_SUM": int(name == "sum"),
        "IS_BOOL": int(source is bool_),
        "HAS_PLACE": int(fold.has_place),
        "BEYOND": beyond,
        "WORST": "0" if name == "sum" else lowest if beyond == ">" else highest,
    }
    text = program(device, "bytes", macros, (source, out), text=FETCH)
    shares = -(-device.units * 2 // batches)
    blocks = max(1, min(-(-width // NEAR), max(shares, -(-width // SPAN))))
    span = -(-width // (blocks * 2 * LANES)) * 2 * LANES
    steps = (begins[0], ends[0]) if batches > 1 else (0, 0)
    numbers = [np.uint64(n) for n in (0, 0, batches, rows, width, row_step, *steps, span)]
    size = device.workers(batches * -(-width // span), max(1, 4096 // (rows * span)))
    return device.launch(text, "columns", 3, numbers, size, name)
