"""softmax on the host's cores: ``src/softmax_rows.cl`` and ``src/softmax_columns.cl``.

softmax and log_softmax along lines of neighbours; these and their gradients along lines side by
side.
"""

from __future__ import annotations

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail_kernels.device import Device, Launch
from dovetail_kernels.paired import exponentials
from dovetail_kernels.source import program
from dovetail_kernels.vectors import FETCH, lanes, vector_helpers

__all__ = ["launch"]

HELD = 32 << 10
"""Bytes of a line that are held between two walks along it."""

SPAN = 4096
"""Bytes of lines side by side, at most: what is kept of them stays in the nearest cache."""

CACHE = 4 << 20
"""Bytes of such lines that a work item reads a second time: of longer ones it takes fewer."""


def launch(
    device: Device, work: DType, name: str, sizes: tuple[int, int, int], source: DType, out: DType,
    buffers: int,
) -> Launch | None:  # fmt: skip
    """A kernel whose arguments are buffers and an offset for each; None: there is none for these
    ``sizes`` (outer, n, inner)."""
    if not device.is_cpu:
        return None
    outer, n, inner = sizes
    width = 64 // work.itemsize
    is_side = inner >= width
    if not is_side and (inner != 1 or name.endswith("_backward")):
        return None
    calls = (("log", width if is_side else 1), ("exp", width))
    made, (log, exp), own = exponentials(work, width, calls, out, "exp")
    macros = {
        **made,
        "HELD": HELD // work.itemsize,
        "SPAN": SPAN // work.itemsize,
        "LOG(x)": f"{log}(x)",
        "EXP_ANY(x)": f"{exp}(x)",
        "HELD_V(p, i)": f"vload{width}(0, (p) + (i))",
        "HELD_SET_V(p, i, v)": f"vstore{width}(v, 0, (p) + (i))",
        **lanes(device, "IN", source, width, side=False),
        **lanes(device, "OUT", out, width, side=False),
    }
    helpers = vector_helpers((source, out), width) + FETCH + own
    text = program(
        device, "softmax_columns" if is_side else "softmax_rows", macros, (source, out),
        before=("exponentials",), text=helpers,
    )  # fmt: skip
    numbers = [np.uint64(0)] * buffers + [np.uint64(outer), np.int32(n)]
    if not is_side:
        size = device.workers(outer, max(1, 4096 // n))
        return device.launch(text, name, buffers, numbers, size, name)
    span = _span(device, outer, n * (buffers - 1), inner, work)
    numbers += [np.uint64(inner), np.uint64(span)]
    size = device.workers(outer * -(-inner // span), max(1, 4096 // (n * span)))
    return device.launch(text, name, buffers, numbers, size, name)


def _span(device: Device, outer: int, n: int, inner: int, work: DType) -> int:
    """Lines of a block: as many as stay in a cache, and as many blocks for each work item."""
    width = 64 // work.itemsize
    most = min(SPAN, max(CACHE // n, 1)) // work.itemsize
    teams = -(-device.units * 4 // outer)
    blocks = teams * -(-inner // (teams * max(most, width)))
    return max(4 * width, -(-inner // (blocks * width)) * width)
