"""Attention of blocks of rows on the host's cores, beside PyTorch in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import dispatch, ops

torch = pytest.importorskip("torch")

BOUND = {"float32": 2e-6, "float64": 1e-14, "float16": 2e-3, "bfloat16": 2e-2}
SIZES = {
    "whole blocks": ((2, 3), 128, 128, 64, 64),
    "ragged": ((3,), 67, 65, 5, 33),
    "more keys": ((2,), 33, 150, 36, 20),
    "more rows": ((2,), 150, 40, 36, 64),
    "wide": ((1,), 40, 40, 200, 256),
    "one key": ((2, 2), 24, 1, 8, 8),
}
MASKS = ("none", "bool", "added", "causal")
CASES = [
    *((name, "float32", mask) for name in ("ragged", "more keys") for mask in MASKS),
    *((name, "float32", "causal") for name in SIZES if name not in ("ragged", "more keys")),
    ("ragged", "bfloat16", "causal"), ("more rows", "float64", "bool"),
    ("ragged", "float16", "none"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "mask"), CASES)
def test_beside_torch(opencl: dt.device, name: str, kind: str, mask: str) -> None:
    """Also the logsumexp and its gradient, and lines that lie apart."""
    lead, rows, keys, size, width = SIZES[name]
    random = np.random.default_rng(3)

    def both(*shape: int) -> tuple[Any, Any]:
        value = dt.tensor(random.standard_normal((*shape[:-1], shape[-1] + 3))).to(
            getattr(dt, kind)
        )
        reference = torch.tensor(value.double().numpy())[..., : shape[-1]]
        return value.to("opencl:0")[..., : shape[-1]], reference.requires_grad_()

    (q, tq), (k, tk), (v, tv), (g, tg) = (
        both(*lead, *shape) for shape in ((rows, size), (keys, size), (keys, width), (rows, width))
    )
    slopes = random.standard_normal((*lead, rows))
    given, hidden = None, torch.zeros(rows, keys, dtype=torch.float64)
    if mask == "bool":
        seen = random.random((rows, keys)) < 0.5
        seen[1] = False
        given = dt.tensor(seen).to("opencl:0")
        hidden = hidden.masked_fill(torch.tensor(~seen), -math.inf)
    elif mask == "added":
        given, hidden = (x.detach() for x in both(lead[-1], 1, keys))
    elif mask == "causal":
        hidden = hidden.masked_fill(torch.ones(rows, keys).tril() == 0, -math.inf)
    blind = (hidden == -math.inf).all(-1, keepdim=True)
    scores = tq @ tk.mT * 0.3 + hidden.masked_fill(blind, 0)
    made = scores.softmax(-1).masked_fill(blind, 0) @ tv
    sums = scores.logsumexp(-1).masked_fill(blind.squeeze(-1), -math.inf)
    loss = (made * tg).sum() + (sums.masked_fill(sums == -math.inf, 0) * torch.tensor(slopes)).sum()
    wanted = torch.autograd.grad(loss, (tq, tk, tv))

    record = ops.REGISTRY["scaled_dot_product_attention"]
    out, found = dispatch.call(record, (q, k, v, given), (mask == "causal", 0.3))
    of_sums = dt.tensor(slopes).to("opencl:0").to(found.dtype)
    back = ops.scaled_dot_product_attention_backward(
        g, q, k, v, given, out, found, of_sums, is_causal=mask == "causal", scale=0.3
    )
    names = ("out", "sums", "of query", "of key", "of value")
    for label, ours, theirs in zip(names, (out, found, *back), (made, sums, *wanted), strict=True):
        mine, other = torch.tensor(ours.cpu().double().numpy()), theirs.detach()
        assert torch.equal(mine.isinf(), other.isinf()), label
        error = (mine - other).nan_to_num().abs().max() / other.nan_to_num(neginf=0).abs().max()
        assert error <= BOUND[kind], (label, float(error))
