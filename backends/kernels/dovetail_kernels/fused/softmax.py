"""softmax and log_softmax along any dim, and their gradients: a launch each."""

from __future__ import annotations

from math import prod
from typing import Any

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import offsets
from dovetail_kernels.device import Launch, device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused import softmax_host
from dovetail_kernels.fused.lines import Lines
from dovetail_kernels.fused.team import FLOATS, Team

__all__ = ["enter", "sides"]

NAMES = ("softmax", "log_softmax", "softmax_backward", "log_softmax_backward")


def sides(shape: tuple[int, ...], dim: int) -> tuple[int, int, int]:
    """(outer, n, inner) of a shape: elements before, along and after ``dim``."""
    if not shape:
        return 1, 1, 1
    dim %= len(shape)
    return prod(shape[:dim]), shape[dim], prod(shape[dim + 1 :])


def _specialised(facts: Any) -> Any:
    (out,) = facts.outputs
    name, first = facts.op.name, facts.inputs[0]
    if not out.numel:
        return lambda *arrays: None
    device, work = device_of(out.device), accumulated(out.dtype)
    outer, n, inner = sides(tuple(out.shape), facts.attributes["dim"])
    count = len(facts.inputs) + 1

    def general() -> Launch:
        sizes = (outer, n, inner)
        made = softmax_host.launch(device, work, name, sizes, first.dtype, out.dtype, count)
        if made is not None:
            return made
        team = Team(device, work, outer, n, inner)
        text = team.program("softmax", {}, IN=first.dtype, OUT=out.dtype)
        return team.launch(text, name, count)

    if not Lines.fit(device, n, inner):
        launch = general()

        def run(*arrays: Any) -> None:
            *inputs, target = arrays
            places = (target, *inputs)
            launch.with_numbers([a.buffer for a in places], offsets(*places))

        return run

    lines = Lines(device, work, outer, n, {"IN": first.dtype, "OUT": out.dtype}, kept=count - 1)
    text = lines.program("softmax_lines", {}, ("powers",))
    by_packs = lines.launch(text, name, count)
    singly: list[Launch] = []

    def run_lines(*arrays: Any) -> None:
        *inputs, target = arrays
        places = (target, *inputs)
        launch = by_packs
        if not lines.accepts(*places):
            if not singly:
                singly.append(device.fitting(general))
            launch = singly[0]
        launch.with_numbers([a.buffer for a in places], offsets(*places))

    return run_lines


def _is_one_dtype(facts: Any) -> bool:
    kinds = {s.dtype for s in facts.inputs}
    return len(kinds) == 1 and facts.outputs[0].numel < 1 << 31


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in NAMES:
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True,
            when=_is_one_dtype,
        )  # fmt: skip
