"""Mistakes of gradients: M1 to M4, M9 to M11, M18, M48, M49."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import autograd
from dovetail.autograd import Function

from .mistakes import says


class TextsSine(Function):
    """003 L2361-2371 as it stands."""

    @staticmethod
    def forward(ctx: Any, input: Any) -> Any:
        output = dt.sin(input)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> Any:
        (output,) = ctx.saved_tensors
        return dt.cos(output) * grad_output


def test_M1_the_texts_sine_is_rejected_and_the_mended_one_is_not(run: Any) -> None:
    right = run("003 L2361").my_sin.apply
    for seed in range(5):
        dt.manual_seed(seed)
        x = dt.randn(10, dtype=dt.float64, requires_grad=True)
        with pytest.raises(RuntimeError) as caught:
            autograd.gradcheck(TextsSine.apply, x)
        says("M1", str(caught.value))
        assert autograd.gradcheck(right, x)


def test_M2_single_precision_is_warned_of(run: Any) -> None:
    right = run("003 L2361").my_sin.apply
    x = dt.randn(10, requires_grad=True)
    with pytest.warns(UserWarning, match="double precision") as told:
        autograd.gradcheck(right, x, eps=1e-3, raise_exception=False)
    says("M2", str(told[0].message))
    assert autograd.gradcheck(right, x.detach().double().requires_grad_())


def test_M3_the_difference_is_central(device: Any) -> None:
    """Of a parabola it is exact at any step; a forward difference would be off by the step."""
    x = dt.tensor([1.0, 3.0], dtype=dt.float64, device=device, requires_grad=True)
    assert autograd.gradcheck(lambda t: t * t, x, eps=0.1, atol=1e-9, rtol=0)


def test_M4_backward_of_ten_elements(run: Any) -> None:
    sin = run("003 L2361").sin
    x = dt.randn(10, requires_grad=True)
    with autograd.detect_anomaly(), pytest.raises(RuntimeError) as caught:
        sin(x).backward()
    says("M4", str(caught.value))
    sin(x).sum().backward()
    summed = x.grad.tolist()
    x.grad = None
    sin(x).backward(dt.ones(10))
    assert x.grad.tolist() == summed


def test_M9_a_write_to_a_detached_tensor_is_seen_and_found_out(device: Any) -> None:
    x = dt.zeros(3, device=device, requires_grad=True)
    y = x.exp()
    detached = y.detach()
    detached[0] = 5
    assert y.tolist() == [5, 1, 1]
    y[1] = 7
    assert detached.tolist() == [5, 7, 1]
    with pytest.raises(RuntimeError) as caught:
        y.sum().backward()
    says("M9", str(caught.value))


def test_M9_a_shape_is_the_detached_tensors_own(device: Any) -> None:
    torch = pytest.importorskip("torch")
    for x in (dt.zeros(2, 3, device=device, requires_grad=True), torch.zeros(2, 3)):
        y = x + 1
        detached = y.detach()
        detached.t_()
        assert (tuple(detached.shape), tuple(y.shape)) == ((3, 2), (2, 3))
        detached.resize_(2, 2)
        assert (tuple(detached.shape), tuple(y.shape)) == ((2, 2), (2, 3))


def test_M10_retain_grad_is_called(device: Any) -> None:
    x = dt.ones(3, device=device, requires_grad=True)
    y = x * 2
    y.retain_grad = True  # as a parameter, as the text has it
    y.sum().backward()
    with pytest.warns(UserWarning, match="not a leaf") as told:
        assert y.grad is None
    says("M10", str(told[0].message))
    y = x * 2
    y.retain_grad()
    y.sum().backward()
    assert y.grad.tolist() == [1, 1, 1]


def test_M11_a_value_that_backward_needs_is_not_to_be_written(device: Any) -> None:
    x = dt.zeros(3, device=device, requires_grad=True)
    y = x.sigmoid()
    y.mul_(2)
    with pytest.raises(RuntimeError) as caught:
        y.sum().backward()
    says("M11", str(caught.value))
    assert "y.mul_(2)" in str(caught.value)
    # Where nothing needs it, a write in place is as good as another.
    y = x.sigmoid()
    z = y + 1
    z.mul_(2)
    z.sum().backward()
    assert x.grad.tolist() == [0.5] * 3


def test_M18_the_texts_loop_learns_nothing_and_the_mended_one_does(run: Any) -> None:
    names = run("003 L1195")
    assert names.w.tolist() != names.start.tolist()
    w = names.start.clone().requires_grad_()
    for _ in range(3):
        loss = names.x.mm(w) - names.y
        loss.backward()
    assert w.tolist() == names.start.tolist()
    np.testing.assert_allclose(w.grad.tolist(), 3 * np.array(names.x.tolist()).T, rtol=1e-6)
    with pytest.raises(RuntimeError) as caught:
        loss.backward()
    says("M18", str(caught.value))


def test_M48_the_whole_jacobian(device: Any) -> None:
    x = dt.tensor([1.0, 2.0, 3.0], device=device)
    whole = autograd.functional.jacobian(lambda t: t * t, x)
    assert whole.tolist() == [[2, 0, 0], [0, 4, 0], [0, 0, 6]]
    v = dt.tensor([0.1, 1.0, 0.0001], device=device)
    np.testing.assert_allclose((v @ whole).tolist(), [0.2, 4, 6e-4], rtol=1e-6)


def test_M49_no_grad_is_how_it_is_spelled(device: Any) -> None:
    x = dt.ones(2, device=device, requires_grad=True)
    with pytest.raises(AttributeError) as caught:
        dt.np_grad()
    says("M49", str(caught.value))
    with dt.no_grad():
        assert not (x**2).requires_grad
