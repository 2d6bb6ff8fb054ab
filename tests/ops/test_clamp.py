"""Gradients of ``clamp`` between tensors whose bounds are equal, or crossed."""

from __future__ import annotations

from typing import Any

import dovetail as dt

VALUES = [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]
LOW = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
HIGH = [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]


def test_between_equal_and_crossed_bounds(device: Any, served: str) -> None:
    """PyTorch 2.13 gives these; below equal bounds none of the three gets a share."""
    x, low, high = (
        dt.tensor(v, dtype=dt.float64, device=device).requires_grad_() for v in (VALUES, LOW, HIGH)
    )
    dt.clamp(x, low, high).sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 0, 1, 0]
    assert low.grad.tolist() == [0, 1, 0, 0, 0, 0]
    assert high.grad.tolist() == [0, 0, 1, 1, 0, 1]
