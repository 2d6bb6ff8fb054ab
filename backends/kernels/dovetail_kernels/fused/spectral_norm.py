"""spectral_norm, its gradient and its steps of the power method, each of small weights in one
launch of one work group; of larger ones the core's steps.

The core says what they compute, in ``ops/layers/weight_norm.py`` and ``spectral_norm_step.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import dtype as DType
from dovetail.dtypes import float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, joined_offsets, outputs_first
from dovetail_kernels.device import Device, Launch, device_of, owner_of
from dovetail_kernels.fused.similarity import FEW
from dovetail_kernels.fused.softmax import sides
from dovetail_kernels.source import element, program

__all__ = ["enter"]

WHOLE = (float32, float64)
"""Of halves the vectors would be rounded before their lengths are known."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("spectral_norm", "spectral_norm_backward"):
        table.add(
            name, _specialised, dtypes=WHOLE, layout="contiguous", specialize=True, when=_fits
        )
    table.add("spectral_norm_step", spectral_norm_step, dtypes=WHOLE)


def _fits(facts: Any) -> bool:
    return bool(0 < facts.weight.numel <= FEW)


def _launch(
    device: Device, dtype: DType, shape: tuple[int, ...], dim: int, buffers: int, name: str,
    *more: Any,
) -> Launch:  # fmt: skip
    group = 1 if device.is_cpu else device.group
    macros = {
        "T": dialect.VALUES[dtype.name],
        "GROUP": group,
        "IS_STEP": int(name == "spectral_norm_step"),
        "IS_SLOPE": int(name == "spectral_norm_backward"),
        **element(device, "IN", dtype),
        **element(device, "OUT", dtype),
    }
    text = program(device, "spectral_norm", macros, (dtype,), before=("fold",))
    numbers = [NO_OFFSETS, *(np.uint32(n) for n in sides(shape, dim)), *more]
    return device.launch(text, "spectral_norm", buffers, numbers, ((group,), (group,)), name)


def _specialised(facts: Any) -> Callable[..., None]:
    (out,), given = facts.outputs, len(facts.inputs)
    device, shape = device_of(out.device), tuple(out.shape)
    dim, name = facts.attributes["dim"], facts.op.name
    return outputs_first(_launch(device, out.dtype, shape, dim, given + 1, name), given, 1)


def spectral_norm_step(
    u: Any, v: Any, kept_u: Any, kept_v: Any, weight: Any, *, dim: int, steps: int, eps: float,
    is_u_first: bool,
) -> bool:  # fmt: skip
    """Whether it was done: the steps, in place, and copies of the vectors."""
    shape, dtype = weight.shape, weight.dtype
    if not 0 < prod(shape) <= FEW:
        return False
    device = owner_of(weight.buffer)

    def make() -> Launch:
        more = (np.uint32(2 * steps), np.uint32(is_u_first), dtype.numpy.type(eps))
        return _launch(device, dtype, shape, dim, 5, "spectral_norm_step", *more)

    key = ("spectral_norm_step", dtype, shape, dim, steps, eps, is_u_first)
    launch: Launch = device.keep(key, make)
    arrays = (u, v, kept_u, kept_v, weight)
    launch.with_numbers([a.buffer for a in arrays], joined_offsets(*arrays))
    return True
