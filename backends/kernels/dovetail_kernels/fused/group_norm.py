"""group_norm in one launch; where a gradient is wanted the core makes it of layer_norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import placing
from dovetail_kernels.device import device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS, Team

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter it."""
    table.add(
        "group_norm", _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
    )


def _fits(facts: Any) -> bool:
    return bool(0 < facts.outputs[0].numel < 1 << 31)


def _specialised(facts: Any) -> Callable[..., None]:
    x, weight, bias = facts.inputs
    (out,) = facts.outputs
    device, work = device_of(out.device), accumulated(out.dtype)
    groups = facts.attributes["num_groups"]
    channels = out.shape[1] // groups
    lines = out.shape[0] * groups
    n = out.numel // lines
    team = Team(device, work, lines, n)
    kinds = {
        "OUT": out.dtype,
        "IN": x.dtype,
        "WEIGHT": x.dtype if weight is None else weight.dtype,
        "BIAS": x.dtype if bias is None else bias.dtype,
    }
    macros = {"HAS_WEIGHT": int(weight is not None), "HAS_BIAS": int(bias is not None)}
    text = team.program("group_norm", macros, **kinds)
    eps = np.dtype(work.numpy).type(facts.attributes["eps"])
    sizes = (channels, groups)
    launch = team.launch(text, "group_norm", 4, [eps], facts.op.name, sizes)
    place, queue = placing(4), launch.with_numbers

    def run(x: Any, weight: Any, bias: Any, out: Any) -> None:
        # What is absent is not read, and an array that is there stands for it.
        queue(*place(out, x, x if weight is None else weight, x if bias is None else bias))

    return run
