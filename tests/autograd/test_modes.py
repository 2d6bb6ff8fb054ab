"""no_grad, enable_grad, set_grad_enabled, inference_mode: contexts and decorators."""

from __future__ import annotations

import pytest

import dovetail as dt


@pytest.fixture
def x() -> dt.Tensor:
    return dt.ones(3, requires_grad=True)


def test_no_grad_as_context_and_decorator(x: dt.Tensor) -> None:
    with dt.no_grad():
        assert not (x * 2).requires_grad
        with dt.enable_grad():
            assert (x * 2).requires_grad
    assert (x * 2).requires_grad

    @dt.no_grad()
    def with_call() -> dt.Tensor:
        return x * 2

    @dt.no_grad
    def bare() -> dt.Tensor:
        return x * 2

    assert not with_call().requires_grad
    assert not bare().requires_grad


def test_no_grad_is_left_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), dt.no_grad():
        _ = 1 / 0
    assert dt.is_grad_enabled()


def test_decorated_generator_runs_each_step_in_the_mode(x: dt.Tensor) -> None:
    @dt.no_grad()
    def steps() -> object:
        yield (x * 2).requires_grad
        yield (x * 2).requires_grad

    found = []
    for r in steps():
        found.append((r, dt.is_grad_enabled()))
    assert found == [(False, True), (False, True)]


def test_set_grad_enabled_works_at_once_and_as_context(x: dt.Tensor) -> None:
    with dt.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert dt.is_grad_enabled()
    dt.set_grad_enabled(False)
    try:
        assert not dt.is_grad_enabled()
    finally:
        dt.set_grad_enabled(True)


def test_inference_tensors_cannot_be_written_or_require_grad_outside(x: dt.Tensor) -> None:
    with dt.inference_mode():
        y = x * 2
        view = y[0]
        fresh = dt.zeros(3)
        assert dt.is_inference_mode_enabled()
    assert y.is_inference()
    assert view.is_inference()
    assert fresh.is_inference()
    assert not y.requires_grad
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor"):
        y.add_(1)
    with pytest.raises(RuntimeError, match="inference tensor outside"):
        y.requires_grad_()
    assert not (x * 2).is_inference()


def test_inference_tensors_cannot_be_saved_for_backward(x: dt.Tensor) -> None:
    with dt.inference_mode():
        y = dt.ones(3)
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        x * y
