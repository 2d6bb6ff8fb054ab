"""Poisson and binomial numbers, a launch each: every element goes its own number of rounds.

The core says what they are made of (``dovetail.ops.reduction.counts``); a rate that is none is told
of where values are next asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING, float32, float64
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.chances import drawing
from dovetail_kernels.device import Launch, device_of
from dovetail_kernels.faults import values_fault_of
from dovetail_kernels.mathematics import taken
from dovetail_kernels.random import APART
from dovetail_kernels.source import element, program

__all__ = ["enter"]

NO_RATE = "invalid Poisson rate, expected rate to be non-negative"
"""PyTorch's sentence."""

LIMITS = {"STEPS": 64, "ROUNDS": 64, "LARGE": 10}
"""Of a walk, of rejection, and the mean from which that is used: the core's."""

CALLED = ("exp", "log", "log1p")

UNIFORM = {
    "float": (4, ", ".join(f"UNIFORM(c.{x})" for x in "xyzw")),
    "double": (2, "UNIFORM_DOUBLE(c.x, c.y), UNIFORM_DOUBLE(c.z, c.w)"),
}
"""By what is computed in, elements of a block, and their uniform numbers."""

FEW = 64
"""Blocks that a work item of a host's core takes or more."""


def _launch(name: str, facts: Any, given: dict[str, Any], more: int, numbers: list[Any]) -> Launch:
    (out,), dtype = facts.outputs, facts.inputs[0].dtype
    device, kind = device_of(out.device), "double" if dtype is float64 else "float"
    per, made = UNIFORM[kind]
    names, functions = taken([(called, 1) for called in CALLED], kind, is_own=device.is_cpu)
    macros = {
        f"IS_{name.upper()}": 1,
        "T": kind,
        "PER": per,
        "MADE": f"const T made[PER] = {{{made}}};",
        **{f"{c.upper()}_ONE": own for c, own in zip(CALLED, names, strict=True)},
        **LIMITS,
        **element(device, "OUT", dtype),
        **element(device, "P", dtype),
        **given,
    }
    before = ("fault", "philox", "drawn")
    text = program(device, "counts", macros, (dtype,), before, text=APART + functions)
    blocks = -(-out.numel // per)
    fault = values_fault_of(name, NO_RATE)
    own = [NO_OFFSETS, np.uint64(out.numel), np.uint64(blocks), fault, *numbers]
    size = device.workers(blocks, FEW)
    return device.launch(text, "counted", 2 + len(facts.inputs) + more, own, size, name)


def _counted(name: str, facts: Any) -> Callable[..., None]:
    place = placing(1 + len(facts.inputs))
    queue = drawing(device_of(facts.outputs[0].device), partial(_launch, name, facts), 4)

    def run(*arrays: Any, seed: int, offset: int) -> None:
        *inputs, out = arrays
        queue(*place(out, *inputs), seed, offset)

    return run


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name, dtypes in (("poisson", FLOATING), ("binomial", (float32, float64))):
        make = partial(_counted, name)
        table.add(f"random_{name}", make, dtypes=dtypes, layout="contiguous", specialize=True)
