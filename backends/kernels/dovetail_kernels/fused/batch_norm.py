"""batch_norm in training, its gradient, and with given statistics: a launch each."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import offsets
from dovetail_kernels.device import device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused import batch_group
from dovetail_kernels.fused.team import FLOATS, Team

__all__ = ["enter"]

KERNELS = {
    "batch_norm_train": ("train", "IS_TRAIN", ("IN", "WEIGHT", "BIAS")),
    "batch_norm_train_backward": (
        "backward",
        "IS_BACKWARD",
        ("G", "IN", "MEAN", "VAR", "WEIGHT"),
    ),
    "batch_norm_eval": ("evaluate", "IS_EVAL", ("IN", "MEAN", "VAR", "WEIGHT", "BIAS")),
}
"""By operator: the kernel, its macro, and the prefixes of its inputs."""


def _specialised(facts: Any) -> Any:
    kernel, macro, prefixes = KERNELS[facts.op.name]
    out = facts.outputs[0]
    device, work = device_of(out.device), accumulated(out.dtype)
    images, channels, *size = out.shape
    places = prod(size)
    has_statistics = kernel != "evaluate"
    if has_statistics and not device.is_cpu and images * places >= batch_group.MUCH:
        return batch_group.specialised(facts)
    team = Team(device, work, 1, images, channels)  # channels that are neighbours
    if places > 1 or not team.side:
        lines = channels if has_statistics else channels * images
        team = Team(device, work, lines, places, each=images if has_statistics else 1)
    macros = {macro: 1} | {
        f"HAS_{p}": int(fact is not None) for p, fact in zip(prefixes, facts.inputs, strict=True)
    }
    kinds = {
        p: out.dtype if fact is None else fact.dtype
        for p, fact in zip(prefixes, facts.inputs, strict=True)
    }
    text = team.program("batch_norm", macros, OUT=out.dtype, T=work, **kinds)
    number = np.dtype(work.numpy).type
    more = [np.uint64(channels), np.uint64(images), number(facts.attributes["eps"])]
    if has_statistics:
        more.append(number(images * places))
    outs = len(facts.outputs)
    launch = team.launch(text, kernel, outs + len(facts.inputs), more, facts.op.name)
    count = len(facts.inputs)

    def run(*arrays: Any) -> None:
        first = arrays[0]  # stands for what is absent, and is not read
        order = (*arrays[count:], *(first if a is None else a for a in arrays[:count]))
        launch.with_numbers([a.buffer for a in order], offsets(*order))

    return run


def _fits(facts: Any) -> bool:
    return bool(0 < facts.outputs[0].numel < 1 << 31)


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in KERNELS:
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )
