"""Attention of heads that lie in one projection: a launch, for they are read where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch")


def test_heads_of_one_projection_are_read_where_they_lie(queue: Any) -> None:
    whole = np.random.default_rng(3).standard_normal((2, 9, 3 * 2 * 4), np.float32)

    def attended(library: Any, x: Any) -> Any:
        parts = (y.reshape(2, 9, 2, 4).transpose(1, 2) for y in x.split(8, -1))
        return library.nn.functional.scaled_dot_product_attention(*parts, is_causal=True)

    x = dt.tensor(whole, device="opencl:0")
    attended(dt, x)
    queue.synchronize()
    before = queue.launches
    attended(dt, x)
    queue.synchronize()
    assert queue.launches - before == 1
    ours, theirs = x.requires_grad_(), torch.tensor(whole, requires_grad=True)
    slopes = np.random.default_rng(4).standard_normal((2, 2, 9, 4), np.float32)
    attended(dt, ours).backward(dt.tensor(slopes, device="opencl:0"))
    attended(torch, theirs).backward(torch.tensor(slopes))
    assert ours.grad is not None
    np.testing.assert_allclose(ours.grad.cpu().numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-5)
