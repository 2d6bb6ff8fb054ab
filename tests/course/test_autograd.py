"""Autograd (003 L2256-2399, 004 L209-236)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import autograd


@pytest.mark.parametrize("place", ["003 L2267", "003 L2283"])
def test_003_L2267_L2283_no_graph(run: Any, place: str) -> None:
    names = run(place)
    assert names.my_data2.grad_fn is None
    np.testing.assert_allclose(
        names.my_data2.tolist(), 10 * np.array(names.my_data1.tolist()), rtol=1e-6
    )


def test_003_L2299_backward(run: Any) -> None:
    names = run("003 L2299")
    assert names.my_data2.requires_grad
    assert names.my_data1.grad.tolist() == [10]


def test_003_L2316_leaves(run: Any) -> None:
    names = run("003 L2316")
    names.my_data1.sum().backward()
    assert names.my_data1.grad.tolist() == [1, 1, 1]
    names.my_data4.retain_grad()
    (names.my_data4 * 2).sum().backward()
    assert names.my_data4.grad.tolist() == [2, 2, 2]


def test_003_L2343_detached(run: Any) -> None:
    names = run("003 L2343")
    assert names.my_data4.is_leaf
    names.my_data4[0] = 5
    assert names.my_data2.tolist()[0] == 5
    names.my_data2.sum().backward()  # an addition needs neither of its inputs
    assert names.my_data1.grad.tolist() == [1, 1, 1]


def test_003_L2361_a_sine_of_ones_own(run: Any) -> None:
    names = run("003 L2361")
    x = dt.tensor([0.0, 1.0, -2.0], requires_grad=True)
    y = names.sin(x)
    y.sum().backward()
    np.testing.assert_allclose(y.tolist(), np.sin([0, 1, -2]), rtol=1e-6)
    np.testing.assert_allclose(x.grad.tolist(), np.cos([0, 1, -2]), rtol=1e-6)


def test_003_L2381_gradcheck(run: Any) -> None:
    assert run("003 L2381").test is True


def test_003_L2394_anomalies_are_looked_for(run: Any) -> None:
    names = run("003 L2394")
    np.testing.assert_allclose(names.x.grad.tolist(), np.cos(names.x.tolist()), rtol=1e-5)


def test_003_L2394_an_anomaly_is_told_with_its_place(device: Any) -> None:
    x = dt.zeros(1, device=device, requires_grad=True)
    with autograd.detect_anomaly():
        y = x.sqrt() * 0  # a gradient of 0 times infinity
        with pytest.raises(RuntimeError, match="'SqrtBackward0' returned nan") as caught:
            y.sum().backward()
    assert "y = x.sqrt() * 0" in str(caught.value)


def test_004_L220_a_vector_times_the_jacobian(run: Any) -> None:
    names = run("004 L220")
    assert names.x.grad.tolist() == [0, 0, 0]  # cleared by .data.zero_()
    names.y = names.x * names.x
    for _ in range(2):
        names.y.backward(names.v, retain_graph=True)
    np.testing.assert_allclose(names.x.grad.tolist(), [0.4, 8, 1.2e-3], rtol=1e-5)


def test_004_L231_no_graph(run: Any) -> None:
    assert run("004 L231").x.requires_grad


def test_004_L236_data_is_not_followed(run: Any) -> None:
    names = run("004 L236")
    assert names.x.is_leaf
    assert names.x.data.requires_grad is False
