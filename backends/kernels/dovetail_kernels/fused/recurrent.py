"""Whole recurrent layers, and their gradients: LSTM, GRU and plain cells.

On the host's cores two launches: the weight in panels, then all steps, or a launch for each step
where there are too few rows to share out; one launch where a single work item does it all. On a
GPU a launch for each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels import dialect
from dovetail_kernels.arrays import START, offsets
from dovetail_kernels.device import Device, Launch, device_of, known
from dovetail_kernels.folds import accumulated
from dovetail_kernels.fused.recurrent_arrays import RecurrentText
from dovetail_kernels.fused.recurrent_shares import Shares
from dovetail_kernels.fused.team import FLOATS
from dovetail_kernels.tiles import Tile, woven

__all__ = ["enter"]


@dataclass(frozen=True)
class Layer:
    """What there is to know of a record.

    Attributes:
        kind: of which cell.
        outputs: their names, in order.
        sums: products of a row with the weight that a unit needs.
        depth: elements of the left operand of these products for each unit.
        states: what work memory begins with: h, then c.
        carried: something else than the left operand goes on from step to step.
        is_backward: it makes gradients.
    """

    kind: str
    outputs: tuple[str, ...]
    sums: int = 1
    depth: int = 1
    states: tuple[str, ...] = ()
    carried: bool = False
    is_backward: bool = False


LAYERS = {
    "lstm_layer": Layer(
        "LSTM", ("output", "cells", "activated"), sums=4, states=("hx", "cx"), carried=True
    ),
    "lstm_layer_backward": Layer(
        "LSTM", ("of_gates", "of_hx", "of_cx"), depth=4, carried=True, is_backward=True
    ),
    "gru_layer": Layer("GRU", ("output", "activated"), sums=3, states=("hx",)),
    "gru_layer_backward": Layer(
        "GRU", ("of_gates", "of_hidden", "of_hx"), depth=3, carried=True, is_backward=True
    ),
    "rnn_layer": Layer("RNN", ("output",), states=("hx",)),
    "rnn_layer_backward": Layer("RNN", ("of_gates", "of_hx"), is_backward=True),
}


PACKED_BY = ("IS_BACKWARD", "SUMS_EACH", "DEPTH", "STATES")
"""What ``src/recurrent_begin.cl`` knows a layer by."""


ALIGNED = 64
"""Elements: parts of work memory begin at multiples of it."""


class _Call:
    """One record with given shapes: what both classes of devices have in common."""

    def __init__(self, facts: Any) -> None:
        self.layer = layer = LAYERS[facts.op.name]
        self.label = facts.op.name
        self.device: Device = device_of(facts.outputs[0].device)
        self.names = (*facts.op.inputs, *layer.outputs)
        specs = dict(zip(self.names, (*facts.inputs, *facts.outputs), strict=True))
        whole = specs["cells" if layer.kind == "LSTM" else "output"]
        self.steps, self.rows, self.size = map(int, whole.shape)
        apart = {"weight", *layer.states}
        tensors = [n for n in self.names if specs[n] is not None and n not in apart]
        self.text = RecurrentText(self.device, whole.dtype, tensors)
        self.macros = {
            "IS_LSTM": int(layer.kind == "LSTM"),
            "IS_GRU": int(layer.kind == "GRU"),
            "IS_RNN": int(layer.kind == "RNN"),
            "IS_RELU": int(facts.attributes.get("relu", False)),
            "IS_BACKWARD": int(layer.is_backward),
            "SUMS_EACH": layer.sums,
            "DEPTH": layer.depth,
            "STATES": len(layer.states),
        }
        self.numbers = [
            np.uint64(self.rows), np.int32(self.size), np.int32(self.steps),
            np.int32(facts.attributes["reverse"]),
        ]  # fmt: skip
        carry = self.rows * self.size if layer.carried else 0
        self.carry_at = _rounded(2 * self.rows * self.size * layer.depth)
        self.panels_at = self.carry_at + _rounded(carry)

    @property
    def launched_steps(self) -> int:
        """Steps that are made; on the way back one more, for the first states' gradients."""
        return self.steps + self.layer.is_backward

    def flops(self) -> int:
        """Sums and products of numbers in the products."""
        layer = self.layer
        return 2 * self.steps * self.rows * self.size**2 * layer.sums * layer.depth

    @property
    def firsts(self) -> tuple[str, str, str]:
        """The tensors that work memory is filled from: two states, where there are so many."""
        return *(*self.layer.states, "weight", "weight")[:2], "weight"  # type: ignore[return-value]

    @property
    def parts(self) -> list[Any]:
        """Where the parts of work memory begin."""
        return [np.uint64(self.carry_at), np.uint64(self.panels_at)]

    def begin(self, macros: dict[str, Any], items: int) -> Launch:
        """The launch that fills work memory."""
        text = RecurrentText(self.device, self.text.dtype, ())
        own = {name: self.macros[name] for name in PACKED_BY}  # the others make copies of a kernel
        program = text.program("recurrent_begin", own | macros, ("recurrent_panels",))
        numbers = [*[np.uint64(0)] * 4, np.uint64(self.rows), np.int32(self.size), *self.parts]
        size = self.device.workers(items, 4096)
        return self.device.launch(program, "begin", 4, numbers, size, self.label)

    def run(
        self, text: RecurrentText, begin: Launch | None, panels: int, queue: Callable[..., None]
    ) -> Any:
        """The kernel.

        Args:
            text: of the steps.
            begin: what fills work memory, if it is a launch.
            panels: elements of the weight in panels; 0: the steps read it as it is.
            queue: queues the steps, given (buffers, places).
        """
        device, label, flops, work = self.device, self.label, self.flops(), self.text.work
        size = (self.panels_at + panels) * work.itemsize
        firsts = [self.names.index(name) for name in self.firsts]
        taken = [self.names.index(name) for name in text.names]
        take, give = device.room(size)

        def run(*arrays: Any) -> None:
            if device.worked is not None:
                device.worked(label, flops)
            block = take()
            try:
                if begin is not None:
                    found = [arrays[i] for i in firsts]
                    begin.with_numbers([block, *[a.buffer for a in found]], offsets(START, *found))
                found = [arrays[i] for i in taken]
                queue([*[a.buffer for a in found], block], offsets(*found))
            finally:
                give(block)

        return run


def _rounded(elements: int) -> int:
    """So that what follows begins at a vector's place."""
    return -(-elements // ALIGNED) * ALIGNED


def _woven(text: RecurrentText, columns: int) -> dict[str, Any]:
    """The macros that turn a panel in registers, where elements are what is computed in."""
    if text.dtype is not text.work:
        return {"IS_WOVEN": 0}
    kind = dialect.VALUES[text.work.name]
    return woven(text.width, text.width, kind, columns)


def _on_cores(call: _Call) -> Any:
    device, layer, text = call.device, call.layer, call.text
    shares = Shares(
        device, text.work, text.width, call.launched_steps, call.rows, call.size,
        layer.sums, layer.depth,
    )  # fmt: skip
    rows, vectors, width = shares.tile_rows, shares.vectors, text.width
    tile = Tile(rows, vectors * layer.sums, width)
    packed = {
        "PANELS": 1,
        "VECTORS": vectors,
        "COLUMNS": tile.columns,
        **_woven(text, tile.columns),
    }
    macros = {
        **packed,
        **tile.macros(dialect.VALUES[text.work.name], is_float=True, left="p{i}[k]"),
        "POINTERS": " ".join(
            f"global const T *p{i} = from + min({i}, rows - 1) * depth;" for i in range(rows)
        ),
    }
    size, begin, before = shares.chunks * shares.parts, None, ["recurrent_cells"]
    if size == 1:
        hx, cx, _ = call.firsts
        macros["FIRSTS"] = f"{hx}, {cx}"
        names = dict.fromkeys((*text.names, *call.firsts))
        text = RecurrentText(device, text.dtype, tuple(names))
        before.append("recurrent_panels")
    else:
        begin = call.begin(packed, call.size * call.size * layer.sums * layer.depth)
    program = text.program("recurrent", call.macros | macros, before)
    numbers = [
        *text.places(), *call.parts, *call.numbers, np.uint64(shares.each), np.int32(shares.parts),
        np.int32(0), np.int32(call.launched_steps),
    ]  # fmt: skip
    buffers = len(text.names) + 1
    launch = device.launch(program, "steps", buffers, numbers, ((size,), (1,)), call.label)
    panels = shares.blocks * tile.columns * call.size * layer.depth
    at = len(numbers) - 2

    def queue(buffers: Sequence[Any], places: list[Any]) -> None:
        if shares.parts == 1:
            launch.with_numbers(buffers, places)
            return
        for s in range(call.launched_steps):
            launch.with_numbers(buffers, [*places, (at, np.int32(s)), (at + 1, np.int32(s + 1))])

    return call.run(text, begin, panels, queue)


SIDE = 16
"""Units and rows of a work group's square; see ``src/recurrent_groups.cl``."""


def _by_groups(call: _Call) -> Any:
    device, layer = call.device, call.layer
    text = RecurrentText(device, call.text.dtype, (*call.text.names, "weight"))
    each = 1 if call.rows <= SIDE else 2 if call.rows <= 2 * SIDE else 4
    states = {"PANELS": 0, "VECTORS": 1, "COLUMNS": 1}
    begin = call.begin(states, call.rows * call.size) if layer.states else None
    own = {"EACH": each}
    program = text.program("recurrent_groups", call.macros | own, ("recurrent_cells",))
    numbers = [*text.places(), *call.parts, *call.numbers, np.int32(0)]
    groups = -(-call.size // SIDE) * -(-call.rows // (SIDE * each))
    size = (groups * SIDE * SIDE,), (SIDE * SIDE,)
    launch = device.launch(program, "steps", len(text.names) + 1, numbers, size, call.label)
    at = len(numbers) - 1

    def queue(buffers: Sequence[Any], places: list[Any]) -> None:
        for s in range(call.launched_steps):
            launch.with_numbers(buffers, [*places, (at, np.int32(s))])

    return call.run(text, begin, 0, queue)


def _specialised(facts: Any) -> Any:
    call = _Call(facts)
    return _on_cores(call) if call.device.is_cpu else _by_groups(call)


def _has_groups(facts: Any) -> bool:
    """Whether the device has such work groups, and memory for them."""
    device, out = known(facts.outputs[0].device), facts.outputs[0]
    if device is None or device.is_cpu:
        return True
    room = (4 + 4) * SIDE * (32 + 1) * accumulated(out.dtype).itemsize
    return device.group >= SIDE * SIDE and device.local_memory >= room


def _fits(facts: Any) -> bool:
    kinds = {s.dtype for s in facts.inputs if s is not None}
    sizes_fit = all(0 < s.numel < 1 << 31 for s in facts.outputs)
    return len(kinds) == 1 and sizes_fit and _has_groups(facts)


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in LAYERS:
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )
