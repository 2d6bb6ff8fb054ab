"""local_response_norm and its gradient in one launch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import dialect, mathematics
from dovetail_kernels.arrays import NO_OFFSETS, outputs_first
from dovetail_kernels.device import device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.source import program
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = ["enter"]


RING = 16
"""Neighbours at most that a work item keeps for a gradient."""

RUN = 32
"""Channels that it takes one after the other, on the host's cores."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("local_response_norm", "local_response_norm_backward"):
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )


def _reach(facts: Any) -> int:
    """Neighbours that count: twice all channels are as many as any more."""
    return int(min(facts.attributes["size"], 2 * facts.outputs[0].shape[1]))


def _fits(facts: Any) -> bool:
    shape = facts.outputs[0].shape
    is_near = len(facts.inputs) == 1 or _reach(facts) <= RING
    return (
        is_near
        and math.prod(shape) > 0
        and all(n < 1 << 31 for n in (shape[1], math.prod(shape[2:])))
    )


def _specialised(facts: Any) -> Callable[..., None]:
    (out,), given = facts.outputs, len(facts.inputs)
    alpha, beta, k = (facts.attributes[name] for name in ("alpha", "beta", "k"))
    device, work = device_of(out.device), accumulated(out.dtype)
    lines, channels, inner = out.shape[0] * out.shape[1], out.shape[1], math.prod(out.shape[2:])
    width = 64 // work.itemsize if device.is_cpu else 1
    kind = dialect.VALUES[work.name]
    (power,), text = mathematics.taken((("pow", width),), kind, is_own=device.is_cpu)
    macros = {
        "T": kind,
        "W": width,
        "VECTOR": f"{kind}{width}" if width > 1 else kind,
        "LOAD_LANES(p)": f"vload{width}(0, p)",
        "STORE_LANES(v, p)": f"vstore{width}(v, 0, p)",
        "POWER(x, y)": f"{power}(x, y)",
        "IS_SLOPE": int(given > 1),
        **lanes(device, "X", out.dtype, width, side=False),
    }
    text += vector_helpers((out.dtype, work), width)
    source = program(device, "response_norm", macros, (out.dtype, work), text=text)
    number = np.dtype(work.numpy).type
    numbers: list[Any] = [NO_OFFSETS, np.uint32(lines), np.int32(channels), np.uint32(inner)]
    numbers += [
        np.int32(_reach(facts)),
        number(alpha / facts.attributes["size"]),
        number(beta),
        number(k),
    ]
    items, each = lines * (-(-inner // width)), width * _reach(facts)
    if given > 1:
        run = RUN if device.is_cpu else 1
        numbers.append(np.int32(run))
        items, each = -(-items // min(run, channels)), each * min(run, channels)
    size = device.workers(items, max(1, 2048 // each))
    name = facts.op.name
    return outputs_first(
        device.launch(source, "response_norm", given + 1, numbers, size, name), given, 1
    )
