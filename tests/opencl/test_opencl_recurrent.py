"""Recurrent layers and cells beside PyTorch: outputs and all gradients, on both classes of device.

Records by themselves are the conformance suite's; here are whole modules, sizes at which rows and
units are shared out otherwise, and what they launch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

BESIDE = """
import numpy as np
import torch
import dovetail as dt

torch.manual_seed(0)
random = np.random.default_rng(0)
BOUNDS = {"float64": 1e-12, "float32": 1e-5, "float16": 6e-3, "bfloat16": 4e-2}

def flat(made):
    "All tensors of an output, those of packed sequences among them."
    if isinstance(made, (tuple, list)):
        return [t for part in made for t in flat(part)]
    return [] if made is None or not made.is_floating_point() else [made]

def beside(name, sizes, shapes, lengths=None, kind="float32", whole=True, **options):
    "Outputs and gradients of a module for inputs of these shapes, on both libraries."
    theirs = getattr(torch.nn, name)(*sizes, dtype=torch.float64, **options)
    mine = getattr(dt.nn, name)(*sizes, dtype=getattr(dt, kind), device="opencl:0", **options)
    state = {k: v.detach().numpy() for k, v in theirs.state_dict().items()}
    mine.load_state_dict({k: dt.tensor(v, dtype=getattr(dt, kind)) for k, v in state.items()})
    # What a narrow dtype keeps of them is what both begin with.
    kept = {k: v.double().cpu().numpy() for k, v in mine.state_dict().items()}
    theirs.load_state_dict({k: torch.tensor(v) for k, v in kept.items()})
    arrays = [dt.tensor(random.standard_normal(s), dtype=getattr(dt, kind)).double().numpy()
              for s in shapes]
    found = []
    both = ((dt, mine, "opencl:0", kind), (torch, theirs, "cpu", "float64"))
    for library, module, device, dtype in both:
        make = lambda a: library.tensor(a, dtype=getattr(library, dtype), device=device)
        leaves = [make(a).requires_grad_() for a in arrays]
        x, *states = leaves
        if lengths is not None:
            x = library.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        given = [] if not states else [states[0] if len(states) == 1 else tuple(states)]
        outs = flat(tuple(module(x, *given)))
        looked_at = outs if whole else outs[:1]
        total = 0
        for out in looked_at:
            ramp = np.cos(np.arange(out.numel())).reshape(tuple(out.shape))
            total = total + (out * make(ramp)).sum()
        total.backward()
        rows = [*outs, *(p.grad for p in (*leaves, *module.parameters()))]
        found.append([r.detach().cpu().double().numpy() for r in rows])
    for i, (ours, other) in enumerate(zip(*found, strict=True)):
        assert ours.shape == other.shape
        error = np.abs(ours - other).max() / max(np.abs(other).max(), 1e-30)
        assert error < BOUNDS[kind], (name, sizes, shapes, kind, options, i, error)

def layers(name, steps, rows, size, layers=1, inputs=7, **options):
    "A layer with first states given."
    both = (2 if options.get("bidirectional") else 1) * layers
    x = (rows, steps, inputs) if options.get("batch_first") else (steps, rows, inputs)
    state = [(both, rows, size)] * (2 if name == "LSTM" else 1)
    if options.get("proj_size"):
        state[0] = (both, rows, options["proj_size"])
    kept = {k: options.pop(k) for k in ("lengths", "kind", "whole") if k in options}
    beside(name, (inputs, size, layers), [x, *state], **kept, **options)
"""

KINDS = ("LSTM", "GRU", "RNN")
CHECKS = {
    **{
        name: f"""
for steps, rows, size in ((1, 1, 1), (3, 1, 40), (4, 5, 13), (3, 20, 37), (2, 40, 16), (2, 70, 20)):
    layers("{name}", steps, rows, size)
for kind in ("float64", "float16", "bfloat16"):
    layers("{name}", 4, 5, 19, kind=kind)
"""
        for name in KINDS
    },
    "options": """
for name in ("LSTM", "GRU", "RNN"):
    layers(name, 4, 3, 9, layers=2, bidirectional=True)
    layers(name, 4, 3, 9, layers=2, batch_first=True, bias=False)
    layers(name, 4, 3, 9, bidirectional=True, whole=False)
    layers(name, 6, 4, 9, layers=2, bidirectional=True, lengths=[2, 6, 1, 3])
    layers(name, 6, 4, 9, lengths=[6, 6, 3, 1])
layers("RNN", 4, 3, 9, nonlinearity="relu")
layers("RNN", 4, 3, 9, nonlinearity="relu", lengths=[2, 4, 1])
layers("LSTM", 4, 3, 9, layers=2, proj_size=5, bidirectional=True)
layers("LSTM", 4, 3, 9, proj_size=5, lengths=[4, 1, 2])
""",
    "cells": """
def cells(rows, inputs, size, kind="float32"):
    one = [(rows, inputs), (rows, size)]
    beside("LSTMCell", (inputs, size), [*one, one[1]], kind=kind)
    beside("GRUCell", (inputs, size), one, kind=kind)
    beside("RNNCell", (inputs, size), one, kind=kind)
for sizes in ((1, 3, 5), (6, 4, 16), (33, 5, 37)):
    cells(*sizes)
for kind in ("float64", "float16", "bfloat16"):
    cells(6, 4, 19, kind)
beside("RNNCell", (3, 5), [(2, 3), (2, 5)], nonlinearity="relu", bias=False)
beside("GRUCell", (3, 5), [(2, 3), (2, 5)], bias=False)
beside("LSTMCell", (3, 5), [(3,), (5,), (5,)])
""",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_both_classes_of_device_compute_what_pytorch_does(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    pytest.importorskip("torch")
    in_class(BESIDE + CHECKS[name], kind)


SHARED_OUT = """
from dovetail_kernels.fused import recurrent_shares
from dovetail_opencl.runtime import device_of
recurrent_shares.LAUNCH = 0
device_of(0).units = 6  # more than there are rows
for name in ("LSTM", "GRU", "RNN"):
    layers(name, 3, 1, 40, bidirectional=True)
    layers(name, 5, 3, 70)
    layers(name, 4, 2, 70, kind="bfloat16")
queue = device_of(0)
module = dt.nn.LSTM(7, 70, device="opencl:0")
labels = []
queue.watch = lambda label, event, buffers: labels.append(label)
with dt.no_grad():
    module(dt.ones(5, 3, 7, device="opencl:0"))
queue.synchronize()
print(labels.count("lstm_layer"))
"""


def test_few_rows_are_shared_out_by_their_units_a_launch_for_each_step(
    fresh: Callable[..., str],
) -> None:
    pytest.importorskip("torch")
    assert fresh(BESIDE + SHARED_OUT, DOVETAIL_OPENCL_CLASS="cpu").split() == ["6"]


def _queued(queue: Any, function: Callable[[], Any]) -> tuple[Counter[str], set[str]]:
    """What the driver was given, and who served the calls, when it is called again."""
    function()
    queue.synchronize()
    queued: Counter[str] = Counter()
    queue.watch = lambda label, event, buffers: queued.update([label])
    try:
        with dt.trace() as events:
            function()
        queue.synchronize()
    finally:
        queue.watch = None
    assert not [e.op for e in events if e.served_by == "host"]
    return queued, {e.op for e in events if e.served_by == "fused"}


def _total(made: Any) -> Any:
    """The sum of a tensor, or of a pair."""
    return sum(t.sum() for t in made) if isinstance(made, tuple) else made.sum()


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_layer_is_one_or_two_launches_however_many_steps(queue: Any, kind: str) -> None:
    module = getattr(dt.nn, kind)(24, 32, 2, device="opencl:0")
    x = dt.randn(11, 4, 24, device="opencl:0", requires_grad=True)
    queued, fused = _queued(queue, lambda: module(x)[0].sum().backward())
    name = f"{kind.lower()}_layer"
    assert {name, f"{name}_backward"} <= fused
    # Each of two layers: the weight in panels, then all steps, which is one launch where a single
    # work item does it all; on a GPU the first states, then a launch for each step; on the way back
    # one more step, for those states' gradients.
    each = 2 if kind == "RNN" else 4
    wanted = (each, each) if queue.is_cpu else (24, 24)
    assert (queued[name], queued[f"{name}_backward"]) == wanted
    assert queued.total() < (60 if queue.is_cpu else 120)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_cell_is_three_or_four_launches(queue: Any, kind: str) -> None:
    module = getattr(dt.nn, f"{kind}Cell")(24, 32, device="opencl:0")
    x, h = (dt.randn(4, n, device="opencl:0") for n in (24, 32))
    state = (h, h) if kind == "LSTM" else h
    with dt.no_grad():
        queued, fused = _queued(queue, lambda: module(x, state))
    assert f"fused_{kind.lower()}_cell" in fused
    # Two products, packed first on a GPU, the step; an LSTM's biases are added up before.
    product = 1 if queue.is_cpu else 3
    assert queued.total() == 2 * product + (2 if kind == "LSTM" else 1)
    x.requires_grad_()
    queued, fused = _queued(queue, lambda: _total(module(x, state)).backward())
    assert f"fused_{kind.lower()}_cell_backward" in fused
    assert queued[f"fused_{kind.lower()}_cell_backward"] == 1


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_weights_gradients_lie_as_the_weights_do(queue: Any, kind: str) -> None:
    """Optimizers' kernels ask for that; else a step of Adam is a hundred launches."""
    cell = getattr(dt.nn, f"{kind}Cell")(24, 32, device="opencl:0")
    _total(cell(dt.randn(4, 24, device="opencl:0"))).backward()
    layer = getattr(dt.nn, kind)(24, 32, device="opencl:0")
    layer(dt.randn(5, 4, 24, device="opencl:0"))[0].sum().backward()
    for parameter in (*cell.parameters(), *layer.parameters()):
        assert parameter.grad.is_contiguous()


def test_dropout_between_layers_is_that_of_the_host(opencl: dt.device) -> None:
    """Draws are the same on all devices, so a layer with dropout is too."""
    found = []
    for device in ("cpu", "opencl:0"):
        dt.manual_seed(0)
        module = dt.nn.LSTM(7, 9, 3, dropout=0.5).to(device)
        x = dt.randn(5, 4, 7).to(device)
        dt.manual_seed(1)
        module(x)[0].sum().backward()
        found.append([p.grad.cpu().numpy() for p in module.parameters()])
    for ours, theirs in zip(*found[::-1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
        assert np.abs(theirs).max() > 0
