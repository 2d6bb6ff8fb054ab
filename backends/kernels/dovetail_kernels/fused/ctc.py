"""ctc_losses and their gradient: a launch each, a work group for each sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.backend.sentences import ALONG
from dovetail.dtypes import float32, float64
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, placing
from dovetail_kernels.device import Device, device_of
from dovetail_kernels.faults import fault_of
from dovetail_kernels.folds import iota
from dovetail_kernels.mathematics import taken
from dovetail_kernels.source import program

__all__ = ["enter"]


def _macros(device: Device, dtype: Any, states: int) -> tuple[dict[str, Any], str]:
    """(macros, the functions that they name)."""
    kind = dialect.VALUES[dtype.name]
    width = 64 // dtype.itemsize if device.is_cpu else 1
    (exp, log), text = taken([("exp", width), ("log", width)], kind, is_own=device.is_cpu)
    made: dict[str, Any] = {
        "IS_CPU": int(device.is_cpu), "W": width, "T": kind, "EXP": exp, "LOG": log,
        "V": kind, "IOTA": "0", "GROUP": _group(device, states),
    }  # fmt: skip
    if width > 1:
        number = "int" if dtype.itemsize == 4 else "long"
        made |= {
            "V": f"{kind}{width}",
            "IOTA": iota(number, width),
            "vloadW": f"vload{width}",
            "vstoreW": f"vstore{width}",
        }
    return made, text


def _group(device: Device, states: int) -> int:
    """Work items that a sequence has."""
    if device.is_cpu:
        return 1
    return min(device.group, max(32, 1 << (states - 1).bit_length()))


def _made(facts: Any) -> Callable[..., None]:
    is_forward = facts.op.name == "ctc_losses"
    log_probs, targets = facts.inputs[0 if is_forward else 1 :][:2]
    out = facts.outputs[0]
    if not out.numel:
        return lambda *arrays: None
    device, options, dtype = device_of(out.device), facts.attributes, out.dtype
    steps, sequences, classes = log_probs.shape
    most = targets.shape[1]
    states = 2 * most + 1
    macros, functions = _macros(device, dtype, states)
    macros["IS_FORWARD"] = int(is_forward)
    text = program(device, "ctc", macros, (dtype,), ("fault", "members"), text=functions)
    width, group = macros["W"], macros["GROUP"]
    row = -(-states // width) * width + 4
    numbers: list[Any] = [
        NO_OFFSETS,
        np.array([steps, sequences, classes, most], np.int32),
        np.int32(options["blank"]),
        np.int32(row),
        fault_of(facts.op, ALONG, 2),
    ]
    if not is_forward:
        numbers += [np.int32(not options["zero_infinity"]), np.int32(options["normalised"])]
    if device.is_cpu:
        size = device.workers(sequences, max(1, 1024 // (steps * row)))
    else:
        size = (min(sequences, device.units * 16) * group,), (group,)
    groups = size[0][0] // group
    rows = 4 if is_forward else steps + 5
    count = 5 if is_forward else 7
    launch = device.launch(text, facts.op.name, count + 2, numbers, size, facts.op.name)
    take, give = device.room(groups * rows * row * dtype.itemsize)
    place, queue, faults = placing(count), launch.with_numbers, device.faults

    def launched(*ordered: Any) -> None:
        arrays, begins = place(*ordered)
        memory = take()
        try:
            queue((*arrays, memory, faults), begins)
        finally:
            give(memory)
        device.suspect = True

    def run(log_probs: Any, targets: Any, steps: Any, labels: Any, out: Any) -> None:
        launched(out, log_probs, targets, steps, labels)

    def run_backward(
        grad: Any, log_probs: Any, targets: Any, steps: Any, labels: Any, losses: Any, out: Any
    ) -> None:
        launched(out, grad, losses, log_probs, targets, steps, labels)

    return run if is_forward else run_backward


def _fits(facts: Any) -> bool:
    """There are steps, classes and labels, and 32 bits count the elements."""
    out = facts.outputs[0]
    floats = [t for t in (*facts.inputs, out) if t.dtype.category == 2]
    if any(t.dtype is not out.dtype for t in floats):
        return False
    return not out.numel or all(0 < t.numel < 1 << 31 for t in facts.inputs)


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in ("ctc_losses", "ctc_loss_backward"):
        table.add(
            name, _made, dtypes=(float32, float64), layout="contiguous", specialize=True, when=_fits
        )
