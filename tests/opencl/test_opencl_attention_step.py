"""Attention with dropout and with heads that share keys, beside PyTorch in float64, which gets the
noise that the generator's numbers stand for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

CASES = """
import math
import numpy as np
import torch
import dovetail as dt
from dovetail.generator import default_generator
from dovetail.ops.randomness.draws import NOISE, draw
from dovetail.spec import spec_of
from dovetail_opencl.runtime import device_of

device, place = device_of(0), "opencl:0"
random = np.random.default_rng(0)
BOUND = {"float32": 3e-6, "float64": 1e-13, "float16": 4e-3, "bfloat16": 3e-2}


def labels(call):
    seen = []
    device.synchronize()
    device.watch = lambda label, event, buffers: seen.append(label)
    try:
        made = call()
        device.synchronize()
    finally:
        device.watch = None
    return made, [label for label in seen if "attention" in label], len(seen)


def run(rows, keys, size, width, heads, shared, p=0.3, kind="float32", causal=False, masked=False,
        twice=False, turned=False):
    def both(*shape):
        value = dt.tensor(random.standard_normal(shape)).to(getattr(dt, kind))
        here = value.to(place)
        if turned:
            here = here.transpose(-2, -1).contiguous().transpose(-2, -1)
        return here.requires_grad_(), torch.tensor(value.double().numpy()).requires_grad_()

    (q, tq), (k, tk), (v, tv), (g, tg) = (
        both(2, *shape) for shape in (
            (heads, rows, size), (shared, keys, size), (shared, keys, width), (heads, rows, width)
        )
    )
    mask = random.random((rows, keys)) < 0.6
    mask[0] = False  # a row that sees nothing
    given = dt.tensor(mask).to(place) if masked else None
    seed, offset = default_generator(q.device).take(0)
    made, names, count = labels(lambda: dt.nn.functional.scaled_dot_product_attention(
        q, k, v, given, dropout_p=p, is_causal=causal, enable_gqa=True
    ))
    if not turned:
        assert count == 1 and len(names) == 1, names
    spec = spec_of((2, heads, rows, keys), dt.float64, q.device)
    noise = draw(NOISE, spec, seed, offset, p=1 - p, scale=1.0) if p else dt.ones(2, 1, 1, 1)
    noise = torch.tensor(noise.cpu().numpy()) / (1 - p)
    each = heads // shared
    scores = tq @ tk.repeat_interleave(each, 1).mT / math.sqrt(size)
    seen = torch.tensor(mask) if masked else torch.ones(rows, keys, dtype=bool)
    if causal:
        seen = seen.tril()
    blind = ~seen.any(-1, keepdim=True)
    weights = scores.masked_fill(~seen & ~blind, -math.inf).softmax(-1).masked_fill(blind, 0)
    wanted = (weights * noise) @ tv.repeat_interleave(each, 1)

    def close(name, ours, theirs):
        ours = torch.tensor(ours.detach().cpu().double().numpy())
        error = (ours - theirs).abs().max() / theirs.abs().max()
        assert error <= BOUND[kind], (name, float(error))

    close("out", made, wanted.detach())
    slope = g.detach().contiguous()
    found, names, count = labels(lambda: dt.autograd.grad(
        made, [q, k, v], slope, retain_graph=True
    ))
    if not turned:
        assert len(names) == count and (not device.is_cpu or count == 1), names
    theirs = torch.autograd.grad(wanted, [tq, tk, tv], tg, create_graph=True)
    for i, (one, other) in enumerate(zip(found, theirs)):
        close(i, one, other.detach())
    if twice:
        ours = dt.autograd.grad(made, [q, k, v], g, create_graph=True)
        second = dt.autograd.grad(sum((x * x).sum() for x in ours), [q, k, v, g])
        other = torch.autograd.grad(sum((x * x).sum() for x in theirs), [tq, tk, tv, tg])
        for i, (one, two) in enumerate(zip(second, other)):
            close(("second", i), one, two)
"""

CHECKS = {
    "few rows": "run(3, 7, 3, 2, 4, 4)\nrun(3, 20, 3, 2, 4, 2, causal=True)",
    "blocks of rows": "run(40, 70, 9, 8, 4, 4, masked=True)\nrun(37, 68, 8, 33, 4, 2, causal=True)",
    "shared alone": "run(5, 7, 3, 2, 4, 1, p=0)\nrun(70, 66, 8, 8, 4, 2, p=0)",
    "float64": "run(3, 7, 3, 2, 4, 2, kind='float64', twice=True, causal=True)\n"
    "run(40, 67, 8, 8, 2, 1, kind='float64')",
    "halves": "run(40, 20, 8, 8, 2, 1, kind='bfloat16')\nrun(3, 20, 8, 8, 2, 2, kind='float16')",
    "lines that are no neighbours": "run(33, 20, 8, 8, 2, 2, turned=True)",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", CHECKS)
def test_beside_torch(in_class: Callable[[str, str], None], name: str, kind: str) -> None:
    in_class(CASES + CHECKS[name], kind)


FAR = """
import dovetail as dt
from dovetail.ops.layers import attention_step

# A counter that runs over 32 and 64 bits within a call, beside noise that is written.
attend = dt.nn.functional.scaled_dot_product_attention
for rows in (3, 40):
    ones = dt.ones(1, rows, 4, device="opencl:0")
    values = dt.eye(rows, device="opencl:0")[None]
    for at in ((1 << 32) - 9, (1 << 64) - 9):
        attention_step.stream_of = lambda *_: (77, at)
        found = attend(ones, ones, values, dropout_p=0.5) * rows
        from dovetail.ops.randomness.draws import NOISE, draw
        noise = draw(NOISE, values._spec, 77, at, p=0.5, scale=2.0)
        assert (found - noise).abs().max().item() < 1e-5
"""


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_counters_that_run_over(in_class: Callable[[str, str], None], kind: str) -> None:
    in_class(FAR, kind)


LAYERS = """
import dovetail as dt
from dovetail_opencl.runtime import device_of

layer = dt.nn.MultiheadAttention(16, 4, dropout=0.1, batch_first=True).to("opencl:0")
x = dt.ones(2, 8, 16, device="opencl:0")
seen = []
for _ in range(2):
    device_of(0).synchronize()
    device_of(0).watch = lambda label, event, buffers: seen.append(label)
    layer(x, x, x, need_weights=False)
    device_of(0).synchronize()
    device_of(0).watch = None
    count, seen = len(seen), []
assert count == 4, count  # projections, attention, heads side by side, projection
"""


def test_an_attention_layer_with_dropout(in_class: Callable[[str, str], None]) -> None:
    in_class(LAYERS, "cpu")
