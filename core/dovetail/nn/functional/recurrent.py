"""Recurrent layers over time: one product for the inputs of all steps, one cell per step.

Shapes: sequences (T, N, I), or packed (sum of batch sizes, I); states (N, H).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dovetail
from dovetail import ops

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["CELLS", "Cell", "GRUCell", "LSTMCell", "ReLUCell", "TanhCell", "run_layers"]

State = tuple["Tensor", ...]
Weights = dict[str, "Tensor"]


def _joined(weights: Weights) -> Tensor | None:
    """Both biases, which only ever count together."""
    bias = weights.get("bias_ih")
    return None if bias is None else bias + weights["bias_hh"]


def _hidden(gates: Tensor, state: Tensor, weight: Tensor) -> Tensor:
    return dovetail.addmm(gates, state, weight)


class Cell:
    """One direction of one layer, ready to make steps: weights are turned and joined once."""

    def __init__(self, weights: Weights) -> None:
        self.weight = weights["weight_hh"].t()
        self.of_input = (weights["weight_ih"], _joined(weights))

    def gates(self, input: Tensor) -> Tensor:
        """What the inputs of all steps add to the gates."""
        return ops.linear(input, *self.of_input)

    def step(self, gates: Tensor, state: State) -> State:
        """The next state."""
        raise NotImplementedError


class TanhCell(Cell):
    """tanh(gates + W h)."""

    def step(self, gates: Tensor, state: State) -> State:
        return (_hidden(gates, state[0], self.weight).tanh(),)


class ReLUCell(Cell):
    """max(0, gates + W h)."""

    def step(self, gates: Tensor, state: State) -> State:
        return (_hidden(gates, state[0], self.weight).relu(),)


class LSTMCell(Cell):
    """The state is (h, c); h may be a projection."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        projection = weights.get("weight_hr")
        self.projection = None if projection is None else projection.t()

    def step(self, gates: Tensor, state: State) -> State:
        h, c = ops.fused_lstm_cell(_hidden(gates, state[0], self.weight), state[1])
        return (h if self.projection is None else h.matmul(self.projection)), c


class GRUCell(Cell):
    """The state's share of the new gate is scaled by the reset gate, so biases stay apart."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.of_input = (weights["weight_ih"], weights.get("bias_ih"))
        self.bias = weights.get("bias_hh")

    def step(self, gates: Tensor, state: State) -> State:
        hidden = state[0]
        if self.bias is None:
            of_hidden = hidden.matmul(self.weight)
        else:
            of_hidden = _hidden(self.bias, hidden, self.weight)
        return (ops.fused_gru_cell(gates, of_hidden, hidden),)


CELLS: dict[str, type[Cell]] = {
    "RNN_TANH": TanhCell,
    "RNN_RELU": ReLUCell,
    "LSTM": LSTMCell,
    "GRU": GRUCell,
}


def _whole(cell: Cell, input: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """Sequences of one length: input (T, N, I)."""
    steps = cell.gates(input).unbind(0)
    made = []
    for gates in reversed(steps) if reverse else steps:
        state = cell.step(gates, state)
        made.append(state[0])
    return dovetail.stack(made[::-1] if reverse else made), state


def _packed(
    cell: Cell, input: Tensor, state: State, reverse: bool, sizes: list[int]
) -> tuple[Tensor, State]:
    """Sequences of falling lengths: the first ``sizes[t]`` have a step t."""
    steps = cell.gates(input).split(sizes)
    made = []
    if reverse:
        first = state
        state = tuple(part[: sizes[-1]] for part in first)
        for gates, size in zip(reversed(steps), reversed(sizes), strict=True):
            have = state[0].shape[0]
            if size > have:
                pairs = zip(state, first, strict=True)
                state = tuple(dovetail.cat([part, full[have:size]]) for part, full in pairs)
            state = cell.step(gates, state)
            made.append(state[0])
        return dovetail.cat(made[::-1]), state
    ended = []
    for gates, size in zip(steps, sizes, strict=True):
        if size < state[0].shape[0]:
            ended.append(tuple(part[size:] for part in state))
            state = tuple(part[:size] for part in state)
        state = cell.step(gates, state)
        made.append(state[0])
    ended.append(state)
    last = zip(*reversed(ended), strict=True)
    return dovetail.cat(made), tuple(dovetail.cat(list(parts)) for parts in last)


def run_layers(
    cell_type: Callable[[Weights], Cell],
    input: Tensor,
    state: State,
    layers: list[list[Weights]],
    batch_sizes: list[int] | None,
    between: Callable[[Tensor], Tensor] | None,
) -> tuple[Tensor, State]:
    """All layers of a recurrent network.

    Args:
        cell_type: makes the cell of one layer and direction; one of ``CELLS``.
        input: (T, N, I), or packed.
        state: (layers x directions, N, H) each.
        layers: weights by name, per layer and direction.
        batch_sizes: of packed sequences; None: of one length.
        between: what is done to the output of each layer but the last.

    Returns:
        The last layer's outputs, and the last states in the shape of ``state``.
    """
    made_states: list[Any] = []
    starts = [part.unbind(0) for part in state]
    for number, directions in enumerate(layers):
        outputs = []
        for reverse, weights in enumerate(directions):
            cell = cell_type(weights)
            place = number * len(directions) + reverse
            start = tuple(part[place] for part in starts)
            if batch_sizes is None:
                output, last = _whole(cell, input, start, bool(reverse))
            else:
                output, last = _packed(cell, input, start, bool(reverse), batch_sizes)
            outputs.append(output)
            made_states.append(last)
        input = outputs[0] if len(outputs) == 1 else dovetail.cat(outputs, -1)
        if between is not None and number + 1 < len(layers):
            input = between(input)
    return input, tuple(dovetail.stack(list(p)) for p in zip(*made_states, strict=True))
