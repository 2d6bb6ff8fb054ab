"""What a framework is for (003, 编程框架概述): gradients by hand, and by backward."""

from __future__ import annotations

from typing import Any

import numpy as np


def test_003_L57_sgd_by_hand_finds_the_line(run_on_host: Any) -> None:
    names = run_on_host("003 L57")
    np.testing.assert_allclose(names.theta, [2, -3], atol=1e-2)
    assert names.loss_list[-1] <= 1e-6 < names.loss_list[0]


def test_003_L76_operators_find_the_same(run: Any) -> None:
    names = run("003 L76")
    np.testing.assert_allclose(names.model.weight.tolist(), [[2, -3]], atol=1e-6)
    np.testing.assert_allclose(names.model.weight.tolist()[0], names.theta, atol=1e-2)


def test_003_L45_a_weights_derivative_is_the_chain_rules(run: Any) -> None:
    names = run("003 L45")
    np.testing.assert_allclose(names.w.grad.tolist(), names.by_hand.tolist(), rtol=1e-5)
    o, w = np.array([0.5, -1, 2]), np.array([0.1, 0.2, -0.3])
    phi = 1 / (1 + np.exp(-w @ o))
    np.testing.assert_allclose(names.w.grad.tolist(), (phi - 1) * phi * (1 - phi) * o, rtol=1e-5)


def test_003_L78_a_neuron_within_sums_over_its_successors(run: Any) -> None:
    names = run("003 L78")
    np.testing.assert_allclose(names.w1.grad.tolist(), names.by_hand.tolist(), rtol=1e-5)
    # The same by central differences in float64.
    o, target = np.array([0.5, -1, 2]), np.array([1.0, 0])
    w1, w2 = np.array(names.w1.tolist()), np.array(names.w2.tolist())

    def error(w: np.ndarray) -> float:
        hidden = 1 / (1 + np.exp(-w @ o))
        return float((((1 / (1 + np.exp(-w2 @ hidden))) - target) ** 2).sum() / 2)

    numerical = np.zeros_like(w1)
    for place in np.ndindex(*w1.shape):
        step = np.zeros_like(w1)
        step[place] = 1e-6
        numerical[place] = (error(w1 + step) - error(w1 - step)) / 2e-6
    np.testing.assert_allclose(names.w1.grad.tolist(), numerical, rtol=1e-4)


def test_003_L198_the_kernel_in_bang_is_a_kernel_of_the_simulated_dlp(
    need_device: Any, program: Any
) -> None:
    from pathlib import Path

    need_device("dlp")
    example = Path(__file__).parents[2] / "plugins" / "dlp" / "examples" / "proposal.py"
    done = program(f"import runpy\nrunpy.run_path({str(example)!r}, run_name='__main__')\n")
    assert done.returncode == 0, done.stderr
    assert "as on the cpu: True" in done.stdout
