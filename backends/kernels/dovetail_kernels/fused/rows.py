"""Rows by number: ``x[index]``, index_select and embedding, and the gradients of these two."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.backend.sentences import ALONG, IN_SELF
from dovetail.dtypes import float32, float64
from dovetail_kernels.arrays import START, Array, merged, offsets, packed
from dovetail_kernels.copy import WORDS, Copy
from dovetail_kernels.device import Device, device_of, known
from dovetail_kernels.elementwise import ghost, seen
from dovetail_kernels.faults import fault_of
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.softmax import sides
from dovetail_kernels.fused.team import FLOATS, Team
from dovetail_kernels.index import along, gathered
from dovetail_kernels.vectors import FETCH

__all__ = ["enter"]

SOON = {"AHEAD": 8}
"""How many rows of a bag before it is read one is fetched."""

LEAST = 4
"""Neighbours that a row has at least; shorter ones are gathered one by one."""


def _select(facts: Any) -> Any:
    x, index = map(ghost, seen(facts))
    out = ghost(facts.outputs[0])
    if not out.numel:
        return lambda *arrays: None
    device, name = device_of(facts.outputs[0].device), facts.op.name
    dim, fault, wraps = facts.attributes.get("dim", 0), fault_of(facts.op, IN_SELF), False
    if name == "index":
        fault = fault_of(facts.op, ALONG, dim)
        x = merged(x, dim, facts.attributes["count"]) or x
    elif name == "index_wrapped":
        dim, wraps = facts.attributes["position"], True
        fault = fault_of(facts.op, ALONG, facts.attributes["dim"])
    outer, rows, n = sides(x.shape, dim)
    if n < LEAST or out.itemsize == 16 or not all(a.is_contiguous for a in (x, index, out)):
        return _select_each(device, x, index, out, dim, name, fault, wraps)
    word, faults = WORDS[out.itemsize], device.faults
    team = Team(device, word, outer * index.numel, n)
    text = team.program("rows", {"IS_SELECT": 1, "WRAPS": int(wraps)}, ("fault",), X=word)
    more = [np.uint64(rows), np.uint64(index.numel), fault]
    launch = team.launch(text, "select_rows", 4, more, name)

    def run(x: Any, index: Any, out: Any) -> None:
        buffers = (out.buffer, x.buffer, index.buffer, faults)
        launch.with_numbers(buffers, offsets(out, x, index, START))
        device.suspect = True

    return run


def _select_each(
    device: Device, x: Array, index: Array, out: Array, dim: int, name: str, fault: Any,
    wraps: bool,
) -> Any:  # fmt: skip
    """Element by element, wherever they lie; one dim of ``x`` has become those of ``index``."""
    before, after = x.strides[:dim], x.strides[dim + 1 :]
    picks = (0,) * (out.ndim - len(before) - len(after))
    steps = index.strides if index.ndim == len(picks) else picks  # a 0-d index makes a dim too
    strides = (*[0] * len(before), *steps, *[0] * len(after))
    place = Array(None, 0, out.shape, strides, index.dtype)
    first = Array(None, 0, out.shape, before + picks + after, x.dtype)
    return gathered(device, first, place, out, along(x, dim), name, fault, wraps)


def _sum(facts: Any) -> Any:
    weight, index = facts.inputs
    (out,) = facts.outputs
    device, name = device_of(out.device), facts.op.name
    (rows, n), (bags, picks), faults = weight.shape, index.shape, device.faults
    team = Team(device, out.dtype, bags, n, each=picks)
    text = team.program("rows", {"IS_SUM": 1, **SOON}, ("fault",), FETCH, X=out.dtype)
    divisor = out.dtype.numpy.type(facts.attributes["divisor"])
    more = [np.uint64(rows), np.uint64(picks), divisor, fault_of(facts.op, IN_SELF)]
    launch = team.launch(text, "sum_rows", 4, more, name)

    def run(weight: Any, index: Any, out: Any) -> None:
        buffers = (out.buffer, weight.buffer, index.buffer, faults)
        launch.with_numbers(buffers, offsets(out, weight, index, START))
        device.suspect = True

    return run


def _sum_bags(facts: Any) -> Any:
    weight, index, _ = facts.inputs
    (out,) = facts.outputs
    device, name = device_of(out.device), facts.op.name
    (rows, n), bags, faults = weight.shape, out.shape[0], device.faults
    team = Team(device, out.dtype, bags, n, each=max(1, index.numel // bags))
    macros = {"IS_SUM": 1, "HAS_STARTS": 1, "IS_MEAN": int(facts.attributes["is_mean"]), **SOON}
    text = team.program("rows", macros, ("fault",), FETCH, X=out.dtype)
    more = [np.uint64(rows), np.uint64(index.numel), out.dtype.numpy.type(1)]
    more.append(fault_of(facts.op, IN_SELF))
    launch = team.launch(text, "sum_rows", 5, more, name)

    def run(weight: Any, index: Any, starts: Any, out: Any) -> None:
        buffers = (out.buffer, weight.buffer, index.buffer, starts.buffer, faults)
        launch.with_numbers(buffers, offsets(out, weight, index, starts, START))
        device.suspect = True

    return run


def _add_bags(facts: Any) -> Any:
    grad, index, _ = facts.inputs
    (out,) = facts.outputs
    device, work = device_of(out.device), accumulated(out.dtype)
    rows, n = out.shape
    runs = max(1, min(rows, device.units * 2, (rows + index.numel) * n // 4096))
    length = -(-rows // runs)
    runs = -(-rows // length)
    team = Team(device, work, runs, n, each=-(-(index.numel + rows) // runs))
    macros = {"IS_ADD_BAGS": 1, "IS_MEAN": int(facts.attributes["is_mean"])}
    text = team.program("rows", macros, ("fault",), X=work, G=grad.dtype)
    name, faults = facts.op.name, device.faults
    more: list[Any] = [np.uint64(v) for v in (rows, index.numel, grad.shape[0], length)]
    launch = team.launch(text, "add_bags", 5, [*more, fault_of(facts.op, IN_SELF)], name)

    def run(grad: Any, index: Any, starts: Any, out: Any) -> None:
        buffers = (out.buffer, grad.buffer, index.buffer, starts.buffer, faults)
        launch.with_numbers(buffers, offsets(out, grad, index, starts, START))
        device.suspect = True

    return run


def _can_add_bags(facts: Any) -> bool:
    device = known(facts.inputs[0].device)
    return device is not None and device.is_cpu and _length(facts, facts.outputs[0].shape) >= LEAST


def _add(facts: Any) -> Any:
    _, index = facts.inputs
    (out,) = facts.outputs
    device: Device = device_of(out.device)
    outer, rows, n = sides(tuple(out.shape), facts.attributes.get("dim", 0))
    skipped = facts.attributes.get("padding_idx", -1)
    work = accumulated(out.dtype)
    busy = device.units * (2 if device.is_cpu else 4)
    runs = max(1, min(rows, busy // outer, (rows + index.numel) * n // 4096))
    length = -(-rows // runs)
    runs = -(-rows // length)
    team = Team(device, work, outer * runs, n, each=-(-(index.numel + rows) // runs))
    text = team.program("rows", {"IS_ADD": 1}, ("fault",), X=work, G=facts.inputs[0].dtype)
    more: list[Any] = [np.uint64(v) for v in (rows, index.numel, runs, length)]
    name, faults = facts.op.name, device.faults
    more += [np.int64(skipped), fault_of(facts.op, IN_SELF)]
    launch = team.launch(text, "add_rows", 4, more, name)

    def run(grad: Any, index: Any, out: Any) -> None:
        buffers = (out.buffer, grad.buffer, index.buffer, faults)
        launch.with_numbers(buffers, offsets(out, grad, index, START))
        device.suspect = True

    if work is out.dtype:
        return run
    dense = packed(ghost(out))
    wide = packed(dense, work)
    narrow = Copy(device, wide, dense)

    def run_wide(grad: Any, index: Any, out: Any) -> None:
        with device.scratch(wide.numel * work.itemsize) as (block,):
            held = Array(block, 0, wide.shape, wide.strides, work)
            run(grad, index, held)
            narrow(held, out)

    return run_wide


def _length(facts: Any, shape: Any) -> int:
    """Neighbours of a row; 0: more than a kernel counts, or a tensor is empty."""
    n = sides(tuple(shape), facts.attributes.get("dim", 0))[2]
    tensors = (*facts.inputs, *facts.outputs)
    return n if n < 1 << 31 and all(t.numel for t in tensors) else 0


def _can_select(facts: Any) -> bool:
    return _length(facts, facts.inputs[0].shape) > 0


def _can_read(facts: Any) -> bool:
    return bool(facts.inputs[0].numel) if not facts.inputs[1].numel else _can_select(facts)


def _can_index(facts: Any) -> bool:
    """The indexed dims lie as one, and there is something to read."""
    if not facts.input.numel:
        return False
    whole = ghost(facts.input)
    return merged(whole, facts.attributes["dim"], facts.attributes["count"]) is not None


def _can_add(facts: Any) -> bool:
    if facts.attributes.get("scale_grad_by_freq"):
        return False
    return _length(facts, facts.outputs[0].shape) >= LEAST


def enter(table: KernelTable) -> None:
    """Enter them."""
    options: dict[str, Any] = {"layout": "contiguous", "specialize": True}
    # Of halves the sums would be rounded each time.
    whole: dict[str, Any] = {"dtypes": (float32, float64), **options}
    table.add("embedding_sum", _sum, when=_can_select, **whole)
    table.add("bag_sum", _sum_bags, when=_can_select, **whole)
    table.add("bag_sum_backward", _add_bags, when=_can_add_bags, **whole)
    for name in ("index_select", "embedding", "index_wrapped"):
        table.add(name, _select, when=_can_read, specialize=True)
    table.add("index", _select, when=_can_index, specialize=True)
    for name in ("index_select_backward", "embedding_backward"):
        table.add(name, _add, dtypes=FLOATS, when=_can_add, **options)
