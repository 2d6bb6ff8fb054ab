"""layer_norm and rms_norm: one launch forward, two backward."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import offsets
from dovetail_kernels.device import device_of
from dovetail_kernels.fused.team import FLOATS, Team
from dovetail_kernels.reduce import accumulated

__all__ = ["enter"]


def _forward(facts: Any) -> Any:
    x, weight, *rest = facts.inputs
    bias = rest[0] if rest else None
    out = facts.outputs[0]
    is_centred = len(facts.outputs) == 3
    device, work = device_of(out.device), accumulated(out.dtype)
    n = prod(facts.attributes["normalized_shape"])
    team = Team(device, work, out.numel // n, n)
    macros = {
        "IS_FORWARD": 1,
        "IS_CENTRED": int(is_centred),
        "HAS_WEIGHT": int(weight is not None),
        "HAS_BIAS": int(bias is not None),
    }
    kinds = {
        "OUT": out.dtype,
        "IN": x.dtype,
        "WEIGHT": x.dtype if weight is None else weight.dtype,
        "BIAS": x.dtype if bias is None else bias.dtype,
    }
    text = team.program("layer_norm", macros, **kinds)
    eps = np.dtype(work.numpy).type(facts.attributes["eps"])
    launch = team.launch(text, "forward", 6, [eps], facts.op.name)

    def run(x: Any, weight: Any, *others: Any) -> None:
        # What is absent is not read, and stands for itself by an array that is there.
        bias = others[0] if is_centred else None
        out, *statistics = others[is_centred:]
        mean, root = statistics if is_centred else (statistics[0], statistics[0])
        places = (out, mean, root, x, x if weight is None else weight, x if bias is None else bias)
        launch.with_numbers([a.buffer for a in places], offsets(*places))

    return run


def _backward(facts: Any) -> Any:
    is_centred = len(facts.outputs) == 3
    grad, x, *statistics, weight = facts.inputs
    out = facts.outputs[0]
    device, work = device_of(out.device), accumulated(out.dtype)
    n = prod(facts.attributes["normalized_shape"])
    team = Team(device, work, out.numel // n, n, least=32, most=device.units * 4)
    macros = {
        "IS_FORWARD": 0,
        "IS_CENTRED": int(is_centred),
        "HAS_WEIGHT": int(weight is not None),
    }
    kinds = {
        "OUT": out.dtype,
        "G": grad.dtype,
        "IN": x.dtype,
        "MEAN": statistics[0].dtype,
        "ROOT": statistics[-1].dtype,
        "PART": work,
        "WEIGHT": x.dtype if weight is None else weight.dtype,
    }
    text = team.program("layer_norm", macros, **kinds)
    name = facts.op.name
    first = team.launch(text, "backward", 7, label=name)
    count = team.count
    numbers = [*[np.uint64(0)] * 3, np.uint64(count), np.int32(n)]
    size = device.workers(n, max(1, 4096 // count))
    last = device.launch(text, "gathered", 3, numbers, size, name)
    nbytes = count * n * (1 + is_centred) * work.itemsize

    def run(grad: Any, x: Any, *others: Any) -> None:
        mean = others[0]
        root, weight, out, of_weight, *of_bias = others[is_centred:]
        bias = of_bias[0] if is_centred else of_weight
        with device.scratch(nbytes) as (parts,):
            places = (grad, x, mean, root, x if weight is None else weight)
            numbers = [*offsets(out), *((i + 2, v) for i, v in offsets(*places))]
            first.with_numbers([out.buffer, parts, *(a.buffer for a in places)], numbers)
            last.with_numbers((of_weight.buffer, bias.buffer, parts), offsets(of_weight, bias))

    return run


def _fits(facts: Any) -> bool:
    return bool(0 < facts.outputs[0].numel < 1 << 31)


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("layer_norm", "rms_norm"):
        for suffix, function in (("", _forward), ("_backward", _backward)):
            table.add(
                name + suffix, function, dtypes=FLOATS, layout="contiguous", specialize=True,
                when=_fits,
            )  # fmt: skip
