"""A layer of long short-term memory over all steps, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import ops
from dovetail.ops.layers.recurrent_layers import (
    at,
    given,
    in_time,
    recurrent_record,
    samples_of,
    sigmoid,
    states_before,
    step_order,
    total,
    weight_gradient,
)
from dovetail.ops.schema import Inferred
from dovetail.spec import Spec

__all__: list[str] = []


def _lstm_reference(gates: Any, hx: Any, cx: Any, weight: Any, reverse: bool) -> Any:
    size = hx.shape[1]
    output, cells = (np.zeros((*gates.shape[:2], size), gates.dtype) for _ in range(2))
    activated = np.zeros_like(gates)
    for t in step_order(len(gates), reverse):
        x = gates[t] + hx @ weight.T
        i, f, o = (sigmoid(x[:, k * size : (k + 1) * size]) for k in (0, 1, 3))
        g = np.tanh(x[:, 2 * size : 3 * size])
        cx = cells[t] = f * cx + i * g
        hx = output[t] = o * np.tanh(cx)
        activated[t] = np.concatenate((i, f, g, o), 1)
    return output, cells, activated


def _lstm_backward_reference(
    grad_output: Any, grad_cells: Any, grad_activated: Any, activated: Any, cells: Any, cx: Any,
    weight: Any, reverse: bool,
) -> Any:  # fmt: skip
    of_gates, of_h, of_c = np.zeros_like(activated), np.zeros_like(cx), np.zeros_like(cx)
    grad_cells = np.zeros_like(cells) if grad_cells is None else grad_cells
    extra = np.zeros_like(activated) if grad_activated is None else grad_activated
    steps = list(step_order(len(cells), reverse))
    for place in range(len(steps) - 1, -1, -1):
        t = steps[place]
        first = cells[steps[place - 1]] if place else cx
        i, f, g, o = np.split(activated[t], 4, 1)
        of_h = grad_output[t] + of_h
        of_c = grad_cells[t] + of_c + of_h * o / np.cosh(cells[t]) ** 2
        slopes = (of_c * g, of_c * first, of_c * i, of_h * np.tanh(cells[t]))
        s = np.concatenate(slopes, 1) + extra[t]
        si, sf, sg, so = np.split(s, 4, 1)
        parts = (si * (i - i**2), sf * (f - f**2), sg * (1 - g**2), so * (o - o**2))
        of_gates[t] = np.concatenate(parts, 1)
        of_h, of_c = of_gates[t] @ weight, of_c * f
    return of_gates, of_h, of_c


def _lstm_backward_infer(*facts: Any, reverse: bool) -> Inferred:
    activated, cx = facts[3], facts[5]
    state = (cx.shape, activated.dtype)
    return Inferred((None,) * 7, ((activated.shape, activated.dtype), state, state))


@recurrent_record(
    "lstm_layer_backward",
    ("grad_output", "grad_cells", "grad_activated", "activated", "cells", "cx", "weight"),
    outputs=3,
    differentiable=(0, 1, 2),
    infer=_lstm_backward_infer,
    reference=_lstm_backward_reference,
    samples=samples_of(
        lambda t, n, h: (
            (t, n, h), None if t == 3 else (t, n, h), (t, n, 4 * h) if t > 3 else None,
            (t, n, 4 * h), (t, n, h), (n, h), (4 * h, h),
        )
    ),
)  # fmt: skip
def lstm_layer_backward(
    grad_output: Any, grad_cells: Any, grad_activated: Any, activated: Any, cells: Any, cx: Any,
    weight: Any, *, reverse: bool,
) -> Any:  # fmt: skip
    """Gradients of ``lstm_layer`` for its gates and both first states."""
    made = []
    of_h = of_c = None
    steps = list(step_order(cells.shape[0], reverse))
    for place in range(len(steps) - 1, -1, -1):
        t = steps[place]
        first = cells[steps[place - 1]] if place else cx
        i, f, g, o = activated[t].chunk(4, 1)
        top = cells[t].tanh()
        of_h = total(grad_output[t], of_h)
        of_c = total(of_h * o * (1 - top * top), of_c, at(grad_cells, t))
        slopes = [of_c * g, of_c * first, of_c * i, of_h * top]
        if grad_activated is not None:
            more = grad_activated[t].chunk(4, 1)
            slopes = [s + m for s, m in zip(slopes, more, strict=True)]
        si, sf, sg, so = slopes
        parts = [si * i * (1 - i), sf * f * (1 - f), sg * (1 - g * g), so * o * (1 - o)]
        made.append(ops.cat(parts, 1))
        of_h, of_c = ops.matmul(made[-1], weight), of_c * f
    return in_time(made, not reverse), of_h, of_c


def _lstm_gradient(
    g: Any, hx: Any, cx: Any, weight: Any, out0: Any, out1: Any, out2: Any, reverse: bool
) -> Any:
    output, cells, activated = out0, out1, out2
    of_gates, of_h, of_c = ops.lstm_layer_backward(
        *given(g, output), activated, cells, cx, weight, reverse=reverse
    )
    return of_gates, of_h, of_c, weight_gradient(of_gates, states_before(hx, output, reverse))


def _lstm_infer(gates: Spec, hx: Spec, cx: Spec, weight: Spec, reverse: bool) -> Inferred:
    state = ((*gates.shape[:2], hx.shape[1]), gates.dtype)
    return Inferred((None,) * 4, (state, state, (gates.shape, gates.dtype)))


@recurrent_record(
    "lstm_layer",
    ("gates", "hx", "cx", "weight"),
    outputs=3,
    differentiable=(0, 1, 2),
    infer=_lstm_infer,
    gradient=_lstm_gradient,
    reference=_lstm_reference,
    samples=samples_of(lambda t, n, h: ((t, n, 4 * h), (n, h), (n, h), (4 * h, h))),
)
def lstm_layer(gates: Any, hx: Any, cx: Any, weight: Any, *, reverse: bool) -> Any:
    """(h of each step, c of each step, the gates i, f, g, o after their activations).

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997, with forget gates.
    """
    turned = weight.t()
    outputs, cells, activated = [], [], []
    for t in step_order(gates.shape[0], reverse):
        i, f, g, o = ops.addmm(gates[t], hx, turned).chunk(4, 1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        cx = f * cx + i * g
        hx = o * cx.tanh()
        outputs.append(hx)
        cells.append(cx)
        activated.append(ops.cat([i, f, g, o], 1))
    return tuple(in_time(made, reverse) for made in (outputs, cells, activated))
