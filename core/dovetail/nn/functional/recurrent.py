"""Recurrent layers over time: one product for the inputs of all steps, then the steps.

Shapes: sequences (T, N, I), or packed (sum of batch sizes, I); states (N, H).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

import dovetail
from dovetail import ops

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["CELLS", "Cell", "GRUCell", "LSTMCell", "ReLUCell", "TanhCell", "run_layers"]

State = tuple["Tensor", ...]
Weights = dict[str, "Tensor"]


class Cell:
    """One direction of one layer, ready to make steps: biases are joined once.

    What the state adds is a ``linear`` whose bias are the gates, so that the weight's gradient lies
    in memory as the weight does, which optimizers' kernels ask for.
    """

    has_layer = False
    """Whether one operator makes all steps: ``states``."""
    is_bounded = True
    """Whether states stay finite however many steps are made."""

    def __init__(self, weights: Weights) -> None:
        self.of_state = weights["weight_hh"]
        self.of_input = (weights["weight_ih"], self.bias_of_input(weights))

    def bias_of_input(self, weights: Weights) -> Tensor | None:
        """Both biases, which only ever count together."""
        bias = weights.get("bias_ih")
        return None if bias is None else bias + weights["bias_hh"]

    def gates(self, input: Tensor) -> Tensor:
        """What the inputs of all steps add to the gates."""
        return ops.linear(input, *self.of_input)

    def step(self, gates: Tensor, state: State) -> State:
        """The next state."""
        raise NotImplementedError

    def states(self, gates: Tensor, state: State, reverse: bool) -> State:
        """The states after each step of sequences of one length, where ``has_layer``.

        gates: (T, N, G H) -> (T, N, H) each.
        """
        raise NotImplementedError


class TanhCell(Cell):
    """tanh(gates + W h)."""

    has_layer = True

    def step(self, gates: Tensor, state: State) -> State:
        return (ops.linear(state[0], self.of_state, gates).tanh(),)

    def states(self, gates: Tensor, state: State, reverse: bool) -> State:
        return (ops.rnn_layer(gates, state[0], self.of_state, reverse=reverse, relu=False),)


class ReLUCell(Cell):
    """max(0, gates + W h)."""

    has_layer = True
    is_bounded = False

    def step(self, gates: Tensor, state: State) -> State:
        return (ops.linear(state[0], self.of_state, gates).relu(),)

    def states(self, gates: Tensor, state: State, reverse: bool) -> State:
        return (ops.rnn_layer(gates, state[0], self.of_state, reverse=reverse, relu=True),)


class LSTMCell(Cell):
    """The state is (h, c); h may be a projection."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.projection = weights.get("weight_hr")
        self.has_layer = self.projection is None

    def step(self, gates: Tensor, state: State) -> State:
        h, c = ops.fused_lstm_cell(ops.linear(state[0], self.of_state, gates), state[1])
        return (h if self.projection is None else ops.linear(h, self.projection)), c

    def states(self, gates: Tensor, state: State, reverse: bool) -> State:
        output, cells, _ = ops.lstm_layer(gates, *state, self.of_state, reverse=reverse)
        return output, cells


class GRUCell(Cell):
    """The state's share of the new gate is scaled by the reset gate, so biases stay apart."""

    has_layer = True

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.bias = weights.get("bias_hh")

    def bias_of_input(self, weights: Weights) -> Tensor | None:
        return weights.get("bias_ih")

    def step(self, gates: Tensor, state: State) -> State:
        of_hidden = ops.linear(state[0], self.of_state, self.bias)
        return (ops.fused_gru_cell(gates, of_hidden, state[0]),)

    def states(self, gates: Tensor, state: State, reverse: bool) -> State:
        output, _ = ops.gru_layer(gates, state[0], self.of_state, self.bias, reverse=reverse)
        return (output,)


CELLS: dict[str, type[Cell]] = {
    "RNN_TANH": TanhCell,
    "RNN_RELU": ReLUCell,
    "LSTM": LSTMCell,
    "GRU": GRUCell,
}


def _whole(cell: Cell, input: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """Sequences of one length: input (T, N, I)."""
    gates = cell.gates(input)
    if cell.has_layer:
        states = cell.states(gates, state, reverse)
        return states[0], tuple(part[0 if reverse else -1] for part in states)
    made = []
    steps = gates.unbind(0)
    for step in reversed(steps) if reverse else steps:
        state = cell.step(step, state)
        made.append(state[0])
    return dovetail.stack(made[::-1] if reverse else made), state


@functools.lru_cache(32)
def _places(sizes: tuple[int, ...], reverse: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Between packed rows and (T, N) with each sequence's first step at 0: there, back, the last.

    In reverse a sequence's first step is its end. Steps that a sequence has not got take any row.
    """
    t, n = np.arange(len(sizes))[:, None], np.arange(sizes[0])
    lengths = (np.array(sizes)[:, None] > n).sum(0)
    is_there = t < lengths
    step = np.where(is_there, lengths - 1 - t if reverse else t, 0)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    last = (lengths - 1) * len(n) + n
    return (starts[step] + n).reshape(-1), (step * len(n) + n)[is_there], last


def _padded(
    cell: Cell, gates: Tensor, state: State, reverse: bool, sizes: list[int]
) -> tuple[Tensor, State]:
    """Packed sequences as if they had one length; what is made after their ends is not looked at.

    It must be finite, for gradients have 0 times that.
    """
    places = _places(tuple(sizes), reverse)
    there, back, last = (dovetail.tensor(a, device=gates.device) for a in places)
    rows = gates.index_select(0, there).unflatten(0, (len(sizes), sizes[0]))
    flat = [part.flatten(0, 1) for part in cell.states(rows, state, False)]
    return flat[0].index_select(0, back), tuple(part.index_select(0, last) for part in flat)


def _packed(
    cell: Cell, input: Tensor, state: State, reverse: bool, sizes: list[int]
) -> tuple[Tensor, State]:
    """Sequences of falling lengths: the first ``sizes[t]`` have a step t."""
    every = cell.gates(input)
    if cell.has_layer and cell.is_bounded:
        return _padded(cell, every, state, reverse, sizes)
    steps = every.split(sizes)
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
