"""One step of LSTM and GRU cells after their products, and its gradients: a launch each."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail_kernels.arrays import offsets
from dovetail_kernels.device import device_of
from dovetail_kernels.fused.recurrent_arrays import RecurrentText
from dovetail_kernels.fused.team import FLOATS

__all__ = ["enter"]

CELLS = {
    "fused_lstm_cell": ("LSTM", ("h", "c")),
    "fused_lstm_cell_backward": ("LSTM", ("of_gates", "of_cx")),
    "fused_gru_cell": ("GRU", ("h",)),
    "fused_gru_cell_backward": ("GRU", ("of_input", "of_hidden", "of_hx")),
}
"""By record, the cell and the names of the outputs."""


def _specialised(facts: Any) -> Any:
    name, state = facts.op.name, facts.inputs[-1]
    kind, outputs = CELLS[name]
    device = device_of(state.device)
    text = RecurrentText(device, state.dtype, (*facts.op.inputs, *outputs))
    macros = {
        "IS_LSTM": int(kind == "LSTM"),
        "IS_GRU": int(kind == "GRU"),
        "IS_BACKWARD": int(name.endswith("_backward")),
    }
    rows, size = state.shape
    numbers = [*text.places(), np.uint64(rows), np.int32(size)]
    items = device.workers(rows * -(-size // text.width), max(1, 2048 // text.width))
    program = text.program("recurrent_step", macros)
    launch = device.launch(program, "cell", len(text.names), numbers, items, name)

    def run(*arrays: Any) -> None:
        launch.with_numbers([a.buffer for a in arrays], offsets(*arrays))

    return run


def _fits(facts: Any) -> bool:
    kinds = {s.dtype for s in facts.inputs}
    return len(kinds) == 1 and 0 < facts.outputs[0].numel < 1 << 31


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name in CELLS:
        table.add(
            name, _specialised, dtypes=FLOATS, layout="contiguous", specialize=True, when=_fits
        )
