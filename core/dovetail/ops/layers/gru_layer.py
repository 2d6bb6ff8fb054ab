"""A layer of gated recurrent units over all steps, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import ops
from dovetail.ops.layers.recurrent_layers import (
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


def _gru_reference(gates: Any, hx: Any, weight: Any, bias: Any, reverse: bool) -> Any:
    size = hx.shape[1]
    output = np.zeros((*gates.shape[:2], size), gates.dtype)
    activated = np.zeros((*gates.shape[:2], 4 * size), gates.dtype)
    for t in step_order(len(gates), reverse):
        added = hx @ weight.T + (0 if bias is None else bias)
        r, z = (sigmoid((gates[t] + added)[:, k * size : (k + 1) * size]) for k in (0, 1))
        hidden = added[:, 2 * size :]
        n = np.tanh(gates[t][:, 2 * size :] + r * hidden)
        hx = output[t] = (1 - z) * n + z * hx
        activated[t] = np.concatenate((r, z, n, hidden), 1)
    return output, activated


def _gru_backward_reference(
    grad_output: Any, grad_activated: Any, activated: Any, output: Any, hx: Any, weight: Any,
    reverse: bool,
) -> Any:  # fmt: skip
    size = hx.shape[1]
    of_gates, of_hidden = (np.zeros((*output.shape[:2], 3 * size), output.dtype) for _ in "ab")
    extra = np.zeros_like(activated) if grad_activated is None else grad_activated
    of_h = np.zeros_like(hx)
    steps = list(step_order(len(output), reverse))
    for place in range(len(steps) - 1, -1, -1):
        t = steps[place]
        first = output[steps[place - 1]] if place else hx
        r, z, n, hidden = np.split(activated[t], 4, 1)
        er, ez, en, eh = np.split(extra[t], 4, 1)
        of_h = grad_output[t] + of_h
        of_n = (of_h * (1 - z) + en) * (1 - n**2)
        of_z = (of_h * (first - n) + ez) * (z - z**2)
        of_r = (of_n * hidden + er) * (r - r**2)
        of_gates[t] = np.concatenate((of_r, of_z, of_n), 1)
        of_hidden[t] = np.concatenate((of_r, of_z, of_n * r + eh), 1)
        of_h = of_h * z + of_hidden[t] @ weight
    return of_gates, of_hidden, of_h


def _gru_backward_infer(*facts: Any, reverse: bool) -> Inferred:
    output, hx = facts[3], facts[4]
    gates = ((*output.shape[:2], 3 * hx.shape[1]), output.dtype)
    return Inferred((None,) * 6, (gates, gates, (hx.shape, output.dtype)))


@recurrent_record(
    "gru_layer_backward",
    ("grad_output", "grad_activated", "activated", "output", "hx", "weight"),
    outputs=3,
    differentiable=(0, 1, 2),
    infer=_gru_backward_infer,
    reference=_gru_backward_reference,
    samples=samples_of(
        lambda t, n, h: (
            (t, n, h), (t, n, 4 * h) if t > 3 else None, (t, n, 4 * h), (t, n, h), (n, h),
            (3 * h, h),
        )
    ),
)  # fmt: skip
def gru_layer_backward(
    grad_output: Any, grad_activated: Any, activated: Any, output: Any, hx: Any, weight: Any, *,
    reverse: bool,
) -> Any:  # fmt: skip
    """Gradients of ``gru_layer`` for its gates, the state's share of them, and the first state."""
    of_gates, of_hidden = [], []
    of_h = None
    steps = list(step_order(output.shape[0], reverse))
    for place in range(len(steps) - 1, -1, -1):
        t = steps[place]
        first = output[steps[place - 1]] if place else hx
        r, z, n, hidden = activated[t].chunk(4, 1)
        more = (None,) * 4 if grad_activated is None else grad_activated[t].chunk(4, 1)
        of_h = total(grad_output[t], of_h)
        of_n = total(of_h * (1 - z), more[2]) * (1 - n * n)
        of_z = total(of_h * (first - n), more[1]) * z * (1 - z)
        of_r = total(of_n * hidden, more[0]) * r * (1 - r)
        of_gates.append(ops.cat([of_r, of_z, of_n], 1))
        of_hidden.append(ops.cat([of_r, of_z, total(of_n * r, more[3])], 1))
        of_h = of_h * z + ops.matmul(of_hidden[-1], weight)
    return in_time(of_gates, not reverse), in_time(of_hidden, not reverse), of_h


def _gru_gradient(
    g: Any, hx: Any, weight: Any, bias: Any, out0: Any, out1: Any, reverse: bool
) -> Any:
    output, activated = out0, out1
    of_gates, of_hidden, of_h = ops.gru_layer_backward(
        *given(g, output), activated, output, hx, weight, reverse=reverse
    )
    of_bias = None if bias is None else of_hidden.sum((0, 1))
    return of_gates, of_h, weight_gradient(of_hidden, states_before(hx, output, reverse)), of_bias


def _gru_infer(gates: Spec, hx: Spec, weight: Spec, bias: Any, reverse: bool) -> Inferred:
    steps, size = gates.shape[:2], hx.shape[1]
    outs = (((*steps, size), gates.dtype), ((*steps, 4 * size), gates.dtype))
    return Inferred((None,) * 4, outs)


@recurrent_record(
    "gru_layer",
    ("gates", "hx", "weight", "bias"),
    outputs=2,
    differentiable=(0, 1),
    infer=_gru_infer,
    gradient=_gru_gradient,
    reference=_gru_reference,
    samples=samples_of(
        lambda t, n, h: ((t, n, 3 * h), (n, h), (3 * h, h), None if t == 3 else (3 * h,))
    ),
)
def gru_layer(gates: Any, hx: Any, weight: Any, bias: Any, *, reverse: bool) -> Any:
    """(h of each step; the gates r, z, n after their activations, and what r scales).

    ``bias`` is that of the state's share, which the reset gate scales too.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014.
    """
    turned = weight.t()
    outputs, activated = [], []
    for t in step_order(gates.shape[0], reverse):
        added = hx.matmul(turned) if bias is None else ops.addmm(bias, hx, turned)
        (ir, iz, inew), (hr, hz, hidden) = gates[t].chunk(3, 1), added.chunk(3, 1)
        r, z = (ir + hr).sigmoid(), (iz + hz).sigmoid()
        n = (inew + r * hidden).tanh()
        hx = n + z * (hx - n)
        outputs.append(hx)
        activated.append(ops.cat([r, z, n, hidden], 1))
    return in_time(outputs, reverse), in_time(activated, reverse)
