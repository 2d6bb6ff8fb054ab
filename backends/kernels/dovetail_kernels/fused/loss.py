"""cross_entropy and nll_loss of class indices, with their gradients: one or two launches each."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.backend.sentences import TARGET
from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import START, joined_offsets, offsets, placing
from dovetail_kernels.device import Device, Launch, device_of
from dovetail_kernels.faults import fault_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.lines import Lines
from dovetail_kernels.fused.softmax import sides
from dovetail_kernels.fused.team import FLOATS, Team

__all__ = ["enter"]

REDUCTIONS = {"none": 0, "sum": 1, "mean": 2}

FEW = 4096
"""Targets whose weights are added up once more by every team, which saves a launch."""


class _Loss:
    """What the kernels of one call have in common.

    Args:
        facts: the call.
        shape: of the input, classes along dim 1 (or 0).
        packed: prefix and dtype of what is read or written along lines, where packs may be.
        options: of :class:`Team`.
    """

    def __init__(
        self, facts: Any, shape: tuple[int, ...], packed: dict[str, DType] | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        out, weight = facts.outputs[0], facts.inputs[-1]
        target = facts.inputs[-2]
        self.op, self.name = facts.op, facts.op.name
        self.device: Device = device_of(out.device)
        self.work: DType = accumulated(out.dtype)
        self.sides = sides(shape, 1 if len(shape) > 1 else 0)
        outer, n, inner = self.sides
        self.team: Team | Lines
        if packed is not None and Lines.fit(self.device, n, inner):
            self.team = Lines(self.device, self.work, outer, n, packed, most=4096)
        else:
            self.team = Team(self.device, self.work, *self.sides, alone=True, **options)
        self.lines = self.sides[0] * self.sides[2]
        smoothing = facts.attributes.get("label_smoothing", 0.0)
        self.ignored: int = facts.attributes["ignore_index"]
        self.smoothing = np.dtype(self.work.numpy).type(smoothing)
        self.reduction = REDUCTIONS[facts.attributes["reduction"]]
        self.has_weight = int(weight is not None)
        self.kinds = {
            "OUT": out.dtype,
            "TARGET": target.dtype,
            "WEIGHT": out.dtype if weight is None else weight.dtype,
            **dict.fromkeys(("IN", "PROBABILITY", "G"), out.dtype),
        }

    def launch(
        self, name: str, buffers: int, count: int = 0, macro: str = "IS_LOSS", **kinds: Any
    ) -> Launch:
        """A kernel over all lines."""
        every = {**self.kinds, **kinds}
        if isinstance(self.team, Lines):
            singles = {k: v for k, v in every.items() if k not in self.team.elements}
            macros = {
                "IS_FORWARD": int("PROBABILITY" in self.team.elements),
                "SMOOTHS": int(self.smoothing != 0),
            }
            text = self.team.program("loss_lines", macros, ("powers", "fault", "loss"), **singles)
        else:
            text = self.team.program("loss", {macro: 1}, ("fault",), **every)
        fault = int(fault_of(self.op, TARGET))
        sizes = (self.ignored, count, self.reduction, self.has_weight, fault)
        return self.team.launch(text, name, buffers, [self.smoothing], self.name, sizes)

    def accepts(self, *arrays: Any) -> bool:
        """Whether the arrays, of which lines are taken, begin where these kernels need it."""
        return not isinstance(self.team, Lines) or self.team.accepts(*arrays)

    def finish(self) -> Launch | None:
        """What puts the groups' parts together, where there are several."""
        if not self.reduction or self.team.groups == 1:
            return None
        team = Team(self.device, self.work, 1, self.team.groups)
        text = team.program("loss", {"IS_FINISH": 1}, ("fault",), **self.kinds)
        size = (team.size[1], team.size[1])  # one group
        numbers = [np.uint64(0), np.uint64(self.team.groups), np.int32(self.reduction)]
        return self.device.launch(text, "finish", 2, numbers, size, self.name)


def _forward(facts: Any) -> Any:
    x = facts.inputs[0]
    is_cross = len(facts.outputs) == 2
    device = device_of(facts.outputs[0].device)
    faults = device.faults
    along = {"IN": x.dtype, "PROBABILITY": x.dtype}

    def make(packed: dict[str, DType] | None) -> tuple[_Loss, Launch, Launch | None]:
        made = _Loss(facts, tuple(x.shape), packed, **({} if is_cross else {"single": True}))
        if is_cross:
            first = made.launch("cross_entropy", 7, **along)
        else:
            first = made.launch("nll_loss", 6, IN=x.dtype)
        return made, first, made.finish()

    usual = make(along if is_cross else None)
    singly: list[Any] = []

    outs = len(facts.outputs)
    place = placing(outs + 4)

    def run(x: Any, target: Any, weight: Any, out: Any, *probabilities: Any) -> None:
        made, first, finish = usual
        if not made.accepts(x, *probabilities):
            if not singly:
                singly.extend(device.fitting(lambda: make(None)))
            made, first, finish = singly
        # `out` stands for the parts of groups, which begin with their buffer.
        weight = x if weight is None else weight
        buffers, begins = place(out, *probabilities, out, x, target, weight)
        if finish is None:
            first.with_numbers((*buffers, faults), begins)
            device.suspect = True
            return
        with device.scratch(made.team.groups * 2 * made.work.itemsize) as (parts,):
            first.with_numbers((*buffers[:outs], parts, *buffers[outs + 1 :], faults), begins)
            finish.with_numbers((out.buffer, parts), offsets(out))
        device.suspect = True

    return run


def _backward(facts: Any) -> Any:
    grad, *others = facts.inputs
    (out,) = facts.outputs
    device, shape = device_of(out.device), tuple(out.shape)
    faults = device.faults
    is_cross = len(others) == 3
    kinds = {"G": grad.dtype, "IN": others[0].dtype if is_cross else grad.dtype}
    usual = _Loss(facts, shape, {"IN": kinds["IN"], "OUT": out.dtype} if is_cross else None)
    weights = None
    count = 0
    if usual.reduction == 2 and usual.lines > FEW:
        adding = _Loss(facts, shape, single=True, most=64)
        weights, count = adding.launch("weights", 3, macro="IS_WEIGHTS"), adding.team.groups
    buffers = 7 if is_cross else 6
    name = "cross_entropy_backward" if is_cross else "nll_loss_backward"
    by_packs = usual.launch(name, buffers, count, **kinds)
    singly: list[Launch] = []

    def general() -> Launch:
        return _Loss(facts, shape).launch(name, buffers, count, **kinds)

    def run(grad: Any, *arrays: Any) -> None:
        *rest, target, weight, out = arrays
        weight = grad if weight is None else weight
        last = by_packs
        if not usual.accepts(out, *rest):
            if not singly:
                singly.append(device.fitting(general))
            last = singly[0]
        with device.scratch(*[count * usual.work.itemsize] * bool(count)) as blocks:
            parts = blocks[0] if blocks else grad.buffer
            if weights is not None:
                begins = joined_offsets(START, target, weight)
                weights.with_numbers((parts, target.buffer, weight.buffer), begins)
            inputs = (grad, *rest, target, weight)
            given = [out.buffer, parts, *[a.buffer for a in inputs], faults]
            last.with_numbers(given, joined_offsets(out, START, *inputs))
        device.suspect = True

    return run


def _fits(facts: Any) -> bool:
    """There is something in every tensor, and 32 bits count the classes."""
    tensors = [x for x in (*facts.inputs, *facts.outputs) if x is not None]
    shape = facts.attributes.get("shape", facts.inputs[-3].shape)
    return all(x.numel for x in tensors) and prod(shape) < 1 << 31


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("cross_entropy", "nll_loss"):
        for suffix, function in (("", _forward), ("_backward", _backward)):
            table.add(
                name + suffix, function, dtypes=FLOATS, layout="contiguous", specialize=True,
                when=_fits,
            )  # fmt: skip
