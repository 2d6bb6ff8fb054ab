"""One step of a gated recurrent cell: what follows the matrix products, and its gradients.

Shapes: gates (N, 4 H) of an LSTM, (N, 3 H) of a GRU, states (N, H). Layers and their loops over
time are in ``nn.functional.recurrent``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import ops
from dovetail.ops.families import draw, of_floats
from dovetail.ops.schema import Inferred, Sample
from dovetail.spec import Spec

__all__: list[str] = []

_SIZES = ((3, 3), (5, 2), (1, 1), (0, 3), (2, 0))


_cell = of_floats(32)


def _drawn(*widths: int) -> Callable[[np.random.Generator, d.dtype], list[Sample]]:
    """Inputs of so many times the hidden size."""

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        return [
            Sample(tuple(draw(rng, (n, width * size), dtype, -2, 2) for width in widths))
            for n, size in _SIZES
        ]

    return samples


def _sigmoid(x: Any) -> Any:
    return 0.5 * (1 + np.tanh(x / 2))


# LSTM


def _lstm_reference(gates: Any, cx: Any) -> Any:
    i, f, g, o = np.split(gates, 4, 1)
    c = _sigmoid(f) * cx + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _lstm_backward_reference(gh: Any, gc: Any, gates: Any, cx: Any) -> Any:
    i, f, g, o = np.split(gates, 4, 1)
    si, sf, so, tg = _sigmoid(i), _sigmoid(f), _sigmoid(o), np.tanh(g)
    t = np.tanh(sf * cx + si * tg)
    dc = gc + gh * so / np.cosh(np.arctanh(t)) ** 2
    slopes = (
        dc * tg * si * _sigmoid(-i),
        dc * cx * sf * _sigmoid(-f),
        dc * si / np.cosh(g) ** 2,
        gh * t * so * _sigmoid(-o),
    )
    return np.concatenate(slopes, 1), dc * sf


@_cell(
    "fused_lstm_cell_backward",
    ("grad_h", "grad_c", "gates", "cx"),
    outputs=2,
    differentiable=(0, 1),
    infer=lambda grad_h, grad_c, gates, cx: Inferred(
        (None,) * 4, ((gates.shape, gates.dtype), (cx.shape, cx.dtype))
    ),
    reference=_lstm_backward_reference,
    samples=_drawn(1, 1, 4, 1),
)
def fused_lstm_cell_backward(grad_h: Any, grad_c: Any, gates: Any, cx: Any) -> Any:
    """Gradients of ``fused_lstm_cell`` for the gates and the old cell state."""
    i, f, g, o = gates.chunk(4, 1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    t = (f * cx + i * g).tanh()
    of_cell = grad_c + grad_h * o * (1 - t * t)
    slopes = [
        of_cell * g * i * (1 - i),
        of_cell * cx * f * (1 - f),
        of_cell * i * (1 - g * g),
        grad_h * t * o * (1 - o),
    ]
    return ops.cat(slopes, 1), of_cell * f


def _lstm_gradient(g: Any, gates: Any, cx: Any) -> Any:
    of_hidden, of_cell = (cx.new_zeros(cx.shape) if part is None else part for part in g)
    return ops.fused_lstm_cell_backward(of_hidden, of_cell, gates, cx)


@_cell(
    "fused_lstm_cell",
    ("gates", "cx"),
    outputs=2,
    differentiable=(0, 1),
    infer=lambda gates, cx: Inferred(
        (None, None), ((cx.shape, gates.dtype), (cx.shape, gates.dtype))
    ),
    gradient=_lstm_gradient,
    reference=_lstm_reference,
    samples=_drawn(4, 1),
)
def fused_lstm_cell(gates: Any, cx: Any) -> Any:
    """(h, c) from the gates i, f, g, o before their activations, and the old c.

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997, with forget gates.
    """
    i, f, g, o = gates.chunk(4, 1)
    cell = f.sigmoid() * cx + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


# GRU


def _gru_reference(input_gates: Any, hidden_gates: Any, hx: Any) -> Any:
    ir, iz, inew = np.split(input_gates, 3, 1)
    hr, hz, hnew = np.split(hidden_gates, 3, 1)
    z = _sigmoid(iz + hz)
    return (1 - z) * np.tanh(inew + _sigmoid(ir + hr) * hnew) + z * hx


def _gru_backward_reference(grad: Any, input_gates: Any, hidden_gates: Any, hx: Any) -> Any:
    ir, iz, inew = np.split(input_gates, 3, 1)
    hr, hz, hnew = np.split(hidden_gates, 3, 1)
    r, z = _sigmoid(ir + hr), _sigmoid(iz + hz)
    before = inew + r * hnew
    of_new = grad * _sigmoid(-iz - hz) / np.cosh(before) ** 2
    of_update = grad * (hx - np.tanh(before)) * z * _sigmoid(-iz - hz)
    of_reset = of_new * hnew * r * _sigmoid(-ir - hr)
    return (
        np.concatenate((of_reset, of_update, of_new), 1),
        np.concatenate((of_reset, of_update, of_new * r), 1),
        grad * z,
    )


@_cell(
    "fused_gru_cell_backward",
    ("grad", "input_gates", "hidden_gates", "hx"),
    outputs=3,
    differentiable=(0, 1, 2),
    infer=lambda grad, input_gates, hidden_gates, hx: Inferred(
        (None,) * 4, tuple((s.shape, s.dtype) for s in (input_gates, hidden_gates, hx))
    ),
    reference=_gru_backward_reference,
    samples=_drawn(1, 3, 3, 1),
)
def fused_gru_cell_backward(grad: Any, input_gates: Any, hidden_gates: Any, hx: Any) -> Any:
    """Gradients of ``fused_gru_cell`` for its three inputs."""
    reset, update, new, of_hidden = _gru_parts(input_gates, hidden_gates)
    of_new = grad * (1 - update) * (1 - new * new)
    of_update = grad * (hx - new) * update * (1 - update)
    of_reset = of_new * of_hidden * reset * (1 - reset)
    return (
        ops.cat([of_reset, of_update, of_new], 1),
        ops.cat([of_reset, of_update, of_new * reset], 1),
        grad * update,
    )


def _gru_parts(input_gates: Any, hidden_gates: Any) -> tuple[Any, ...]:
    """The reset and update gates, the new state, and what the reset gate scales."""
    (ir, iz, inew), (hr, hz, hnew) = input_gates.chunk(3, 1), hidden_gates.chunk(3, 1)
    reset = (ir + hr).sigmoid()
    return reset, (iz + hz).sigmoid(), (inew + reset * hnew).tanh(), hnew


def _gru_infer(input_gates: Spec, hidden_gates: Spec, hx: Spec) -> Inferred:
    return Inferred((None,) * 3, ((hx.shape, input_gates.dtype),))


@_cell(
    "fused_gru_cell",
    ("input_gates", "hidden_gates", "hx"),
    infer=_gru_infer,
    gradient=lambda g, input_gates, hidden_gates, hx: ops.fused_gru_cell_backward(
        g, input_gates, hidden_gates, hx
    ),
    reference=_gru_reference,
    samples=_drawn(3, 3, 1),
)
def fused_gru_cell(input_gates: Any, hidden_gates: Any, hx: Any) -> Any:
    """The state after the gates r, z, n, which come apart as what input and state add to them.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.
    """
    _, update, new, _ = _gru_parts(input_gates, hidden_gates)
    return new + update * (hx - new)
