"""Losses (003 L2216-2247)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import nn


def test_003_L2222_a_loss_of_ones_own(run: Any) -> None:
    names = run("003 L2222")
    assert names.loss_compute.item() == pytest.approx((0 + 2 + 3) / 3)
    same = nn.L1Loss()(names.input, names.target)
    assert same.item() == names.loss_compute.item()


def test_003_L2244_a_loss_that_is_there(run: Any) -> None:
    names = run("003 L2244")
    y_n, y = (np.array(t.tolist()) for t in (names.y_n, names.y))
    assert names.my_loss.item() == pytest.approx(((y_n - y) ** 2).mean(), rel=1e-5)
    names.my_loss.backward()
    np.testing.assert_allclose(names.y_n.grad.tolist(), 2 * (y_n - y) / 5, rtol=1e-5)


def test_003_L2234_the_table(device: Any) -> None:
    p, t = np.array([0.2, 0.7, 0.9]), np.array([0.0, 1, 1])
    given = dt.tensor(p, device=device), dt.tensor(t, device=device)
    assert nn.L1Loss()(*given).item() == pytest.approx(np.abs(p - t).mean())
    assert nn.MSELoss()(*given).item() == pytest.approx(((p - t) ** 2).mean())
    entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    assert nn.BCELoss()(*given).item() == pytest.approx(entropy)
    x = np.array([[1.0, 2, 3], [0, 0, 5]])
    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    scores, labels = dt.tensor(x, device=device), dt.tensor([2, 0], device=device)
    expected = -(log_p[0, 2] + log_p[1, 0]) / 2
    assert nn.CrossEntropyLoss()(scores, labels).item() == pytest.approx(expected)
    assert nn.NLLLoss()(scores.log_softmax(1), labels).item() == pytest.approx(expected)
