"""Attention by tiles of a work group's memory, as on a GPU, beside PyTorch in float64."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CASES = """
import math
import numpy as np
import torch
import dovetail as dt
from dovetail import dispatch, ops
from dovetail_opencl.runtime import device_of

device = device_of(0)
assert not device.is_cpu
random = np.random.default_rng(3)
BOUND = {"float32": 2e-6, "float64": 1e-14, "float16": 2e-3, "bfloat16": 2e-2}


def run(lead, rows, keys, size, width, dtype="float32", causal=False, mask=None, apart=0):
    kind = getattr(dt, dtype)
    scale = 0.7 / math.sqrt(size)

    def on_device(*shape, like=None):
        values = random.standard_normal(shape) if like is None else like
        flat = dt.tensor(np.concatenate([np.zeros(apart), values.ravel()])).to(kind).to("opencl:0")
        made = flat[apart:].view(shape)
        return made, torch.from_numpy(made.cpu().to(dt.float64).numpy())

    shapes = [(*lead, rows, size), (*lead, keys, size), (*lead, keys, width), (*lead, rows, width)]
    (q, tq), (k, tk), (v, tv), (g, tg) = (on_device(*s) for s in shapes)
    slopes, tslopes = on_device(*lead, rows)
    hiding, thiding = None, torch.zeros(rows, keys, dtype=torch.float64)
    if mask == "bool":
        hidden = random.random((rows, keys)) < 0.5
        hidden[1] = False
        hiding = dt.tensor(hidden).to("opencl:0")
        thiding = torch.zeros_like(thiding).masked_fill(torch.from_numpy(~hidden), -math.inf)
    elif mask == "added":
        hiding, thiding = on_device(lead[-1], 1, keys)
    if causal:
        seen = torch.ones(rows, keys).tril() == 0
        thiding = thiding.expand(*thiding.shape[:-2], rows, keys).masked_fill(seen, -math.inf)
    inputs = [x.requires_grad_() for x in (tq, tk, tv)]
    blind = (thiding == -math.inf).all(-1, keepdim=True)
    scores = tq @ tk.mT * scale + thiding.masked_fill(blind, 0)
    made = scores.softmax(-1).masked_fill(blind, 0) @ tv
    sums = scores.logsumexp(-1).masked_fill(blind.squeeze(-1), -math.inf)
    loss = (made * tg).sum() + sums.masked_fill(sums == -math.inf, 0).mul(tslopes).sum()
    wanted = torch.autograd.grad(loss, inputs)

    record = ops.REGISTRY["scaled_dot_product_attention"]
    out, found = dispatch.call(record, (q, k, v, hiding), (causal, scale))
    slopes = slopes.to(found.dtype)
    labels = []
    device.watch = lambda label, event, buffers: labels.append(label)
    back = ops.scaled_dot_product_attention_backward(
        g, q, k, v, hiding, out, found, slopes, is_causal=causal, scale=scale
    )
    device.watch = None
    assert len(labels) == 3, labels
    bound = BOUND[dtype]
    for name, mine, other in zip(
        ("out", "sums", "of_query", "of_key", "of_value"), (out, found, *back),
        (made, sums, *wanted), strict=True,
    ):
        mine = torch.from_numpy(mine.cpu().to(dt.float64).numpy())
        other = other.detach()
        assert torch.equal(mine.isinf(), other.isinf()), name
        error = (mine - other).nan_to_num().abs().max() / other.nan_to_num(neginf=0).abs().max()
        assert error <= bound, (name, float(error), lead, rows, keys, size, width, dtype)
"""

CHECKS = {
    "whole tiles": "run((2, 3), 128, 128, 64, 64, causal=True)",
    "unlike": "run((2,), 70, 150, 64, 32)\nrun((2,), 150, 70, 36, 64, causal=True)",
    "ragged": "run((3,), 67, 65, 5, 33)\nrun((1,), 16, 100, 61, 7, causal=True)",
    "not at a quad": "run((2,), 66, 70, 64, 64, apart=3)",
    "bool mask": "run((2, 2), 80, 90, 64, 64, mask='bool')\n"
    "run((2,), 80, 80, 32, 32, mask='bool', causal=True)",
    "added mask": "run((2, 3), 80, 70, 16, 24, mask='added')",
    "wide": "run((2,), 70, 64, 128, 128, causal=True)\nrun((2,), 33, 70, 90, 40)",
    "float64": "run((2,), 70, 66, 64, 64, 'float64', causal=True)",
    "halves": "run((2,), 70, 66, 64, 64, 'bfloat16', causal=True)\n"
    "run((2,), 40, 66, 20, 32, 'float16')",
}


@pytest.mark.parametrize("name", list(CHECKS))
def test_tiles(in_class: Callable[[str, str], None], name: str) -> None:
    """Forward, logsumexp and all gradients, also of the logsumexp; rows that see nothing are 0."""
    in_class(CASES + CHECKS[name], "gpu")


RACES = """
import dovetail as dt
from dovetail_opencl import transfers
from dovetail_opencl.runtime import device_of

transfers.WRITING = transfers.PIECE  # the simulator makes a record of every byte that there is
labels = []
for rows, keys, size, width, causal in ((20, 18, 6, 5, True), (70, 66, 8, 8, False)):
    q, k, v = (
        dt.ones(1, *shape).to("opencl:0").requires_grad_()
        for shape in ((rows, size), (keys, size), (keys, width))
    )
    made = dt.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    device_of(0).watch = lambda label, event, buffers: labels.append(label)
    made.sum().backward()
    device_of(0).watch = None
print(labels.count("scaled_dot_product_attention_backward"))
"""


@pytest.mark.skipif(shutil.which("oclgrind") is None, reason="Oclgrind is not installed")
def test_tiles_do_not_race(opencl: Any, tmp_path: Path) -> None:
    """Nor read or write outside of a buffer, or of a group's memory."""
    log = tmp_path / "log"
    settings = {
        "DOVETAIL_OPENCL": "oclgrind", "DOVETAIL_OPENCL_CLASS": "gpu", "DOVETAIL_OPENCL_CACHE": "0",
    }  # fmt: skip
    done = subprocess.run(
        ["oclgrind", "--data-races", "--log", str(log), sys.executable, "-c", RACES],
        env={**os.environ, **settings}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.stdout.strip() == "6", done.stderr
    assert log.read_text() == ""
