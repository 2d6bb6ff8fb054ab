"""Arguments of ``autograd.grad`` that programs give by name or by place."""

from __future__ import annotations

import pytest

import dovetail as dt


def test_only_inputs() -> None:
    """Programs of 2018 write it; it stands before ``allow_unused`` (PyTorch's signature)."""
    x, y = (dt.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    (found,) = dt.autograd.grad(
        x * y, x, dt.tensor(1.0), retain_graph=True, create_graph=True, only_inputs=True
    )
    assert found.item() == 3.0
    assert dt.autograd.grad(x * 2, (x, y), None, None, False, True, True)[1] is None
    with pytest.raises(RuntimeError, match="not have been used"):
        dt.autograd.grad(x * 2, (x, y), None, None, False, True, False)
    with pytest.warns(FutureWarning, match="only_inputs argument is deprecated"):
        dt.autograd.grad(x * 2, x, only_inputs=False)
    vectors = dt.eye(2)
    x = dt.ones(2, requires_grad=True)
    (rows,) = dt.autograd.grad(x * 3, x, vectors, is_grads_batched=True)
    assert rows.tolist() == [[3.0, 0.0], [0.0, 3.0]]
