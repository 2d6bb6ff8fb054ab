"""layer_norm and rms_norm: one launch forward, two backward, or one of few elements."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import ALL_AT_START, START, joined_offsets, offsets, placing
from dovetail_kernels.device import Device, Launch, device_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.lines import Lines
from dovetail_kernels.fused.team import FLOATS, Team

__all__ = ["enter"]


def _forward(facts: Any) -> Any:
    x, weight, *rest = facts.inputs
    bias = rest[0] if rest else None
    out = facts.outputs[0]
    is_centred = len(facts.outputs) == 3
    device, work = device_of(out.device), accumulated(out.dtype)
    n = prod(facts.attributes["normalized_shape"])
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
    eps = np.dtype(work.numpy).type(facts.attributes["eps"])

    def general() -> Launch:
        team = Team(device, work, out.numel // n, n)
        text = team.program("layer_norm", macros, **kinds)
        return team.launch(text, "forward", 6, [eps], facts.op.name, ())

    by_packs: Launch | None = None
    lines: Lines | None = None
    if Lines.fit(device, n):
        lines = Lines(device, work, out.numel // n, n, kinds)
        if lines.held:
            text = lines.program("layer_norm_lines", macros)
            by_packs = lines.launch(text, "forward", 6, [eps], facts.op.name, ())
    singly = [] if by_packs else [general()]
    place = placing(6)

    def run(x: Any, weight: Any, bias: Any, out: Any, mean: Any, root: Any) -> None:
        # What is absent is not read, and an array that is there stands for it.
        weight = x if weight is None else weight
        bias = x if bias is None else bias
        buffers, begins = place(out, mean, root, x, weight, bias)
        launch = by_packs
        # What begins with its buffer begins where packs do.
        if begins is not ALL_AT_START and (
            lines is None or not lines.accepts(out, x, weight, bias)
        ):
            launch = None
        if launch is None:
            if not singly:
                singly.append(device.fitting(general))
            launch = singly[0]
        launch.with_numbers(buffers, begins)

    if is_centred:
        return run
    return lambda x, weight, out, root: run(x, weight, None, out, root, root)


def _backward(facts: Any) -> Any:
    is_centred = len(facts.outputs) == 3
    grad, x, *statistics, weight = facts.inputs
    out = facts.outputs[0]
    device, work = device_of(out.device), accumulated(out.dtype)
    n = prod(facts.attributes["normalized_shape"])
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
    name = facts.op.name

    team = Team(device, work, out.numel // n, n, least=32, most=device.units * 4)

    def general() -> tuple[Launch, Launch, int]:
        text = team.program("layer_norm", macros, **kinds)
        numbers = [*[np.uint64(0)] * 3, np.uint64(team.count), np.int32(n)]
        size = device.workers(n, max(1, 4096 // team.count))
        first = team.launch(text, "backward", 7, label=name, sizes=())
        return first, device.launch(text, "gathered", 3, numbers, size, name), team.count

    if team.count == 1 and device.is_cpu:
        return _alone(team, macros, kinds, name)
    lines = _lines_backward(device, work, out.numel // n, n, kinds)
    held: tuple[Launch, Launch, int] | None = None
    singly: tuple[Launch, Launch, int] | None = None
    if lines is None:
        singly = general()
    else:
        held = _launched_backward(lines, macros, kinds, name)

    def run(grad: Any, x: Any, *others: Any) -> None:
        nonlocal singly
        mean = others[0]
        root, weight, out, of_weight, *of_bias = others[is_centred:]
        bias = of_bias[0] if is_centred else of_weight
        places = (grad, x, mean, root, x if weight is None else weight)
        steps = held
        if steps is None or lines is None or not lines.accepts(out, grad, x, places[4]):
            steps = singly = singly or device.fitting(general)
        first, last, count = steps
        with device.scratch(count * n * (1 + is_centred) * work.itemsize) as (parts,):
            buffers = [out.buffer, parts, *[a.buffer for a in places]]
            first.with_numbers(buffers, joined_offsets(out, START, *places))
            last.with_numbers((of_weight.buffer, bias.buffer, parts), offsets(of_weight, bias))

    return run


def _alone(team: Team, macros: dict[str, Any], kinds: dict[str, DType], name: str) -> Any:
    """The gradients where one team takes all lines: one launch."""
    text = team.program("layer_norm", macros | {"IS_ALONE": 1}, **kinds)
    queue = team.launch(text, "backward", 8, label=name, sizes=()).with_numbers
    place = placing(8)

    def centred(
        grad: Any, x: Any, mean: Any, root: Any, weight: Any, out: Any, of_weight: Any, of_bias: Any
    ) -> None:
        weight = x if weight is None else weight
        queue(*place(out, of_weight, grad, x, mean, root, weight, of_bias))

    def scaled(grad: Any, x: Any, root: Any, weight: Any, out: Any, of_weight: Any) -> None:
        weight = x if weight is None else weight
        queue(*place(out, of_weight, grad, x, root, root, weight, of_weight))

    return centred if macros["IS_CENTRED"] else scaled


SINGLE = ("MEAN", "ROOT")
"""Arrays that have one element for a line."""


def _lines_backward(
    device: Device, work: DType, count: int, n: int, kinds: dict[str, DType]
) -> Lines | None:
    """The lines of the gradient's kernel, where they are read once."""
    if not Lines.fit(device, n):
        return None
    walked = {prefix: kind for prefix, kind in kinds.items() if prefix not in SINGLE}
    lines = Lines(device, work, count, n, walked, kept=2, most=512, alone=True)
    return lines if lines.held else None


def _launched_backward(
    lines: Lines, macros: dict[str, Any], kinds: dict[str, DType], name: str
) -> tuple[Launch, Launch, int]:
    """(the lines' gradients and parts of the others', the sums of those, how many parts)."""
    device, n = lines.device, lines.n
    own = {"GATHER": device.group, "COLUMNS": 8}
    text = lines.program("layer_norm_lines", macros | own, (), **{p: kinds[p] for p in SINGLE})
    numbers = [*[np.uint64(0)] * 3, np.uint64(lines.count), np.int32(n)]
    groups = min(-(-n * (1 + macros["IS_CENTRED"]) // 8), device.units * 16)
    size = (groups * device.group,), (device.group,)
    first = lines.launch(text, "backward", 7, label=name, sizes=())
    return first, device.launch(text, "gathered", 3, numbers, size, name), lines.count


def _fits(facts: Any) -> bool:
    """Whether there is something to do, and all of it in one dtype, or half of it in float32."""
    out = facts.outputs[0]
    kinds = {accumulated(spec.dtype) for spec in (*facts.inputs, out) if spec is not None}
    return len(kinds) == 1 and bool(0 < out.numel < 1 << 31)


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("layer_norm", "rms_norm"):
        for suffix, function in (("", _forward), ("_backward", _backward)):
            table.add(
                name + suffix, function, dtypes=FLOATS, layout="contiguous", specialize=True,
                when=_fits,
            )  # fmt: skip
