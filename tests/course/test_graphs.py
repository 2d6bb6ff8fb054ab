"""Graphs (003 L1134-1222)."""

from __future__ import annotations

from typing import Any

import numpy as np


def test_003_L1139_a_node_and_its_edges(run: Any) -> None:
    y = run("003 L1139").y
    [w, x] = [node for node, _ in y.grad_fn.next_functions]
    assert w.name().endswith("AccumulateGrad")
    assert x is None  # no gradient is asked of it


def test_003_L1171_a_graph_that_is_called_again(run: Any) -> None:
    """The loss is linear in w, so that each call takes alpha x off it."""
    names = run("003 L1171")
    expected = np.array(names.start.tolist()) - 300 * 0.01 * np.array([[1], [2]])
    np.testing.assert_allclose(names.w.tolist(), expected, rtol=1e-4)
    before = np.array(names.start.tolist()) - 299 * 0.01 * np.array([[1], [2]])
    np.testing.assert_allclose(names.loss.tolist(), [[1, 2]] @ before - 3, rtol=1e-4)


def test_003_L1195_a_graph_made_by_each_iteration(run: Any) -> None:
    names = run("003 L1195")
    x = np.array(names.x.tolist())
    expected = np.array(names.start.tolist()) - 300 * 0.01 * x.T
    np.testing.assert_allclose(names.w.tolist(), expected, rtol=1e-3, atol=1e-4)
    assert names.printed.startswith("Trying to backward through the graph a second time")
