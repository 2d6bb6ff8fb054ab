"""Losses of rows, with their gradients: triplet_margin_loss, cosine_embedding_loss, distances of
pairs, and the margins of classes and labels.

Few elements are one launch, of one work group. More of them are a launch that writes what each row
loses, and those of a reduction. Gradients are one launch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, Array, dense_strides, placing
from dovetail_kernels.device import Size, device_of
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.faults import fault_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.reduce_group import reduction_of
from dovetail_kernels.source import element, program

__all__ = ["enter"]

FEW = 1 << 12
"""Elements that one work group adds up."""

TINY = 1e-12


class RowLoss(NamedTuple):
    """A loss of rows.

    Attributes:
        file: what says in C what is lost.
        macro: what chooses it there.
        targets: the input that has a whole number, or a sign, for rows; -1: none.
        parameters: numbers, made of the call's attributes.
        sentence: what is said of such a number that there is not; empty: nothing is looked at.
    """

    file: str
    macro: str
    targets: int = -1
    parameters: Callable[[Any], tuple[float, ...]] = lambda attributes: ()
    sentence: str = ""


LOSSES = {
    "pairwise_distance": RowLoss("row_distances", "IS_DISTANCE", parameters=lambda a: (a["eps"],)),
    "triplet_margin_loss": RowLoss(
        "row_distances", "IS_TRIPLET", parameters=lambda a: (a["eps"], a["margin"], a["p"])
    ),
    "cosine_embedding_loss": RowLoss(
        "row_distances", "IS_COSINE", 2, lambda a: (TINY, a["margin"])
    ),
    "multi_margin_loss": RowLoss(
        "row_margins", "IS_MULTI", 1, lambda a: (a["margin"],), "target out of range"
    ),
    "multilabel_margin_loss": RowLoss(
        "row_margins", "IS_LABELS", 1, sentence="argument #2 'target' is out of range"
    ),
}


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in LOSSES:
        for suffix, function in (("", _forward), ("_backward", _backward)):
            table.add(
                name + suffix, function, dtypes=FLOATS, layout="contiguous", specialize=True,
                when=_fits,
            )  # fmt: skip


def _fits(facts: Any) -> bool:
    """There is something in every tensor, numbers of 32 bits count it, and all are of one dtype
    but for whole numbers."""
    inputs = [s for s in facts.inputs if s is not None]
    kinds = {s.dtype for s in inputs if s.dtype.category == 2}
    numels = [s.numel for s in (*inputs, *facts.outputs)]
    return len(kinds) == 1 and min(numels) > 0 and max(numels) < 1 << 31


class _Call:
    """What forward and backward have in common.

    Args:
        facts: the call.
        inputs: those of the loss.
        outs: the outputs' names.
    """

    def __init__(self, facts: Any, inputs: tuple[Any, ...], outs: tuple[str, ...]) -> None:
        name = facts.op.name.removesuffix("_backward")
        self.loss = LOSSES[name]
        self.inputs = [s for s in inputs if s is not None]
        first = self.inputs[0]
        self.n = first.shape[-1]
        self.rows = first.numel // self.n
        out = facts.outputs[0]
        self.device, self.work = device_of(out.device), accumulated(out.dtype)
        self.facts = facts
        self.group = 1 if self.device.is_cpu else self.device.group
        self.is_faulty = bool(self.loss.sentence)
        before = outs if outs == ("out",) else (*outs, "grad")
        self.names = (*before, *(f"x{i}" for i in range(len(self.inputs))))
        kinds = ["TARGET" if i == self.loss.targets else "IN" for i in range(len(self.inputs))]
        target = self.inputs[self.loss.targets].dtype
        self.macros: dict[str, Any] = {
            "T": dialect.VALUES[self.work.name],
            self.loss.macro: 1,
            "IS_FAULTY": int(self.is_faulty),
            "POWER": int(facts.attributes.get("p", 1)),
            "NORM": int(facts.attributes.get("p", 2) in (1, 2)) * int(facts.attributes.get("p", 2)),
            "IS_SWAPPED": int(facts.attributes.get("swap", False)),
            "HAS_WEIGHT": int(len(self.inputs) == 3),
            "ARGUMENTS": ", ".join(
                f"global const {kind}_MEMORY *x{i}" for i, kind in enumerate(kinds)
            ),
            "OUTPUTS": ", ".join(f"global OUT_MEMORY *{name}" for name in outs),
            "MOVED": " ".join(f"{x} += begin.s{i};" for i, x in enumerate(self.names)),
            **element(self.device, "IN", first.dtype),
            **element(self.device, "TARGET", target),
        }

    def launch(
        self, kernel: str, divisor: float, out: Any, size: Any, more: Any, **macros: int
    ) -> Any:
        """A kernel, its numbers behind sizes given."""
        kinds = {out.dtype, self.work, self.inputs[0].dtype}
        given = {
            **self.macros,
            **macros,
            "GROUP": self.group,
            **element(self.device, "OUT", out.dtype),
        }
        text = program(
            self.device, "row_loss", given, tuple(kinds), before=("fault", self.loss.file)
        )
        kind = np.dtype(self.work.numpy).type
        numbers: list[Any] = [NO_OFFSETS, np.uint32(self.rows), np.uint32(self.n), *more]
        numbers += [kind(divisor), *map(kind, self.loss.parameters(self.facts.attributes))]
        if self.is_faulty:
            numbers.append(fault_of(self.facts.op, self.loss.sentence))
        buffers = len(self.names) + self.is_faulty
        return self.device.launch(text, kernel, buffers, numbers, size, self.facts.op.name)

    def queued(self, launch: Any) -> Callable[..., None]:
        """What queues it for arrays in the kernel's order."""
        place, queue, device = placing(len(self.names)), launch.with_numbers, self.device
        if not self.is_faulty:
            return lambda *arrays: queue(*place(*arrays))

        def run(*arrays: Any) -> None:
            buffers, begins = place(*arrays)
            queue((*buffers, device.faults), begins)
            device.suspect = True

        return run


def _outputs_first(
    call: Callable[..., None], count: int, inputs: tuple[Any, ...]
) -> Callable[..., None]:
    """``call`` with the outputs, which come last, before the inputs that are there."""
    if all(s is not None for s in inputs):
        return lambda *arrays: call(*arrays[-count:], *arrays[:-count])
    there = [i for i, s in enumerate(inputs) if s is not None]
    return lambda *arrays: call(*arrays[-count:], *[arrays[i] for i in there])


def _forward(facts: Any) -> Callable[..., None]:
    (out,) = facts.outputs
    made = _Call(facts, facts.inputs, ("out",))
    device, rows, reduction = made.device, made.rows, facts.attributes.get("reduction", "none")
    size: Size
    if reduction != "none" and rows * made.n <= FEW:
        size = (made.group,), (made.group,)
        divisor = rows if reduction == "mean" else 1
        launch = made.launch("row_loss", divisor, out, size, (), IS_REDUCED=1)
        return _outputs_first(made.queued(launch), 1, facts.inputs)
    size = device.workers(rows, max(1, 4096 // made.n))
    if reduction == "none":
        launch = made.launch("row_loss", 1, out, size, ())
        return _outputs_first(made.queued(launch), 1, facts.inputs)
    work = made.work
    between = Array(None, 0, (rows,), dense_strides((rows,), work.itemsize), work)
    each = made.queued(made.launch("row_loss", 1, between, size, ()))
    fold = reduction_of(device)(device, reduction, between, ghost(out), (0,), work)
    there = [i for i, s in enumerate(facts.inputs) if s is not None]

    def run(*arrays: Any) -> None:
        with device.scratch(rows * work.itemsize) as (block,):
            parts = Array(block, 0, between.shape, between.strides, work)
            each(parts, *[arrays[i] for i in there])
            fold(parts, arrays[-1])

    return run


def _backward(facts: Any) -> Callable[..., None]:
    outs = facts.outputs
    made = _Call(facts, facts.inputs[1:], tuple(f"y{i}" for i in range(len(outs))))
    reduction = facts.attributes.get("reduction", "none")
    size = made.device.workers(made.rows, max(1, 2048 // made.n))
    divisor = made.rows if reduction == "mean" else 1
    more = (np.uint32(reduction == "none"),)
    launch = made.launch("row_loss_backward", divisor, outs[0], size, more, IS_BACKWARD=1)
    return _outputs_first(made.queued(launch), len(outs), facts.inputs)
