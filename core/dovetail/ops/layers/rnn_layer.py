"""A plain recurrent layer (tanh or ReLU) over all steps, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail import ops
from dovetail.ops.layers.recurrent_layers import (
    in_time,
    recurrent_record,
    samples_of,
    states_before,
    step_order,
    total,
    weight_gradient,
)
from dovetail.ops.schema import Inferred, Sample

__all__: list[str] = []


def _rnn_reference(gates: Any, hx: Any, weight: Any, reverse: bool, relu: bool) -> Any:
    output = np.zeros_like(gates)
    for t in step_order(len(gates), reverse):
        x = gates[t] + hx @ weight.T
        hx = output[t] = np.where(x > 0, x, 0) if relu else np.tanh(x)
    return output


def _rnn_backward_reference(grad: Any, output: Any, weight: Any, reverse: bool, relu: bool) -> Any:
    of_gates, of_h = np.zeros_like(output), np.zeros_like(output[0])
    for t in step_order(len(output), not reverse):
        slope = output[t] > 0 if relu else 1 - output[t] ** 2
        of_gates[t] = (grad[t] + of_h) * slope
        of_h = of_gates[t] @ weight
    return of_gates, of_h


def _both_kinds(samples: Any) -> Any:
    return lambda rng, dtype: [
        Sample(s.args, {**s.kwargs, "relu": relu})
        for relu in (False, True)
        for s in samples(rng, dtype)
    ]


@recurrent_record(
    "rnn_layer_backward",
    ("grad", "output", "weight"),
    outputs=2,
    differentiable=(0, 1),
    infer=lambda grad, output, weight, reverse, relu: Inferred(
        (None,) * 3, ((output.shape, output.dtype), (output.shape[1:], output.dtype))
    ),
    reference=_rnn_backward_reference,
    samples=_both_kinds(samples_of(lambda t, n, h: ((t, n, h), (t, n, h), (h, h)))),
)
def rnn_layer_backward(grad: Any, output: Any, weight: Any, *, reverse: bool, relu: bool) -> Any:
    """Gradients of ``rnn_layer`` for its gates and the first state."""
    made = []
    of_h = None
    for t in step_order(output.shape[0], not reverse):
        h = output[t]
        slope = (h > 0).to(h.dtype) if relu else 1 - h * h
        made.append(total(grad[t], of_h) * slope)
        of_h = ops.matmul(made[-1], weight)
    return in_time(made, not reverse), of_h


def _rnn_gradient(g: Any, hx: Any, weight: Any, out: Any, reverse: bool, relu: bool) -> Any:
    of_gates, of_h = ops.rnn_layer_backward(g, out, weight, reverse=reverse, relu=relu)
    return of_gates, of_h, weight_gradient(of_gates, states_before(hx, out, reverse))


@recurrent_record(
    "rnn_layer",
    ("gates", "hx", "weight"),
    infer=lambda gates, hx, weight, reverse, relu: Inferred(
        (None,) * 3, ((gates.shape, gates.dtype),)
    ),
    gradient=_rnn_gradient,
    reference=_rnn_reference,
    samples=_both_kinds(samples_of(lambda t, n, h: ((t, n, h), (n, h), (h, h)))),
)
def rnn_layer(gates: Any, hx: Any, weight: Any, *, reverse: bool, relu: bool) -> Any:
    """h of each step: tanh, or with ``relu`` max(0, .), of gates and the state's share.

    Source: Elman, "Finding structure in time", 1990.
    """
    turned = weight.t()
    made = []
    for t in step_order(gates.shape[0], reverse):
        x = ops.addmm(gates[t], hx, turned)
        hx = x.relu() if relu else x.tanh()
        made.append(hx)
    return in_time(made, reverse)
