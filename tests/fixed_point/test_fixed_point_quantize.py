"""``quantize``: exact values, the straight-through gradient, dtypes and errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fixed_point_reference import fixed

import dovetail as dt
from dovetail.fixed_point import Adjustment, Quantizer, quantize


def test_by_hand(device: dt.device) -> None:
    x = dt.tensor([0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 127.4, 128.0, -128.4, -129.0], device=device)
    expected = [0.0, 0.0, 2.0, 2.0, 0.0, -2.0, 127.0, 127.0, -128.0, -128.0]
    assert quantize(x, position=0, bits=8).tolist() == expected
    assert quantize(x / 8, position=-3, bits=8).tolist() == [v / 8 for v in expected]


@pytest.mark.parametrize("bits", [2, 5, 8, 16, 24])
@pytest.mark.parametrize("position", [-126, -120, -20, -3, 0, 9, 100])
def test_as_the_reference(bits: int, position: int, device: dt.device) -> None:
    rng = np.random.default_rng(bits)
    step = np.exp2(position)
    x = (rng.normal(size=2000) * 2.0 ** (bits - 2) * step).astype(np.float32)
    assert np.isfinite(x).all()
    found = quantize(dt.tensor(x, device=device), position, bits).cpu().numpy()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, fixed(x, position, bits))  # exactly, in float32
    integers = found.astype(np.float64) / step
    np.testing.assert_array_equal(integers, np.rint(integers))


def test_float64() -> None:
    x = dt.tensor([0.3, -2.0], dtype=dt.float64)
    found = quantize(x, -22, 24)
    assert found.dtype is dt.float64
    np.testing.assert_array_equal(found.numpy(), fixed(x.numpy(), -22, 24))


def test_what_is_not_finite_stays_so(device: dt.device) -> None:
    x = dt.tensor([math.inf, -math.inf, math.nan, 3e38], device=device)
    found = quantize(x, -126, 8).cpu().numpy()
    assert np.isnan(found[:3]).all()
    assert found[3] == 127 * 2.0**-126


def test_straight_through(device: dt.device) -> None:
    x = dt.tensor([0.3, 40.0, -1000.0, 0.0], device=device, requires_grad=True)
    weights = dt.tensor([1.0, -2.0, 0.5, 3.0], device=device)
    (quantize(x, -2, 8) * weights).sum().backward()
    assert x.grad.tolist() == weights.tolist()  # also where the value was cut off


def test_twice_differentiable() -> None:
    x = dt.tensor([1.3, -0.4], requires_grad=True)
    y = quantize(x, -4, 8)
    (first,) = dt.autograd.grad((y**3).sum(), x, create_graph=True)
    np.testing.assert_allclose(first.detach().numpy(), 3 * y.detach().numpy() ** 2)
    (second,) = dt.autograd.grad(first.sum(), x)
    np.testing.assert_allclose(second.numpy(), 6 * y.detach().numpy())


def test_errors() -> None:
    for dtype in (dt.float16, dt.bfloat16, dt.int8, dt.int64):
        with pytest.raises(TypeError, match="quantize: x must be float32 or float64"):
            quantize(dt.ones(2, dtype=dtype), 0, 8)
    for position, bits in ((0, 1), (0, 25), (-127, 8), (127, 8)):
        with pytest.raises(ValueError, match="quantize: bits must be 2 to 24"):
            quantize(dt.ones(2), position, bits)
    for position, bits in ((0, 8.5), (-2.5, 8)):  # the step would be no power of two
        with pytest.raises(TypeError, match="must be an int"):
            quantize(dt.ones(2), position, bits)


def test_state_goes_round() -> None:
    quantizer = Quantizer(Adjustment())
    fresh = quantizer.state_dict()
    for scale in (1.0, 100.0, 3.0):
        quantizer(dt.tensor([scale] + [scale / 300] * 100))
    state = quantizer.state_dict()
    assert list(state) == ["_extra_state"]
    other = Quantizer(Adjustment())
    other.load_state_dict(state)
    assert vars(other).keys() == vars(quantizer).keys()
    for name in ("bits", "position", "average", "error", "step", "next", "adjustments", "began"):
        assert getattr(other, name) == getattr(quantizer, name), name
        assert type(getattr(other, name)) is type(getattr(quantizer, name)), name
    assert (other.bits, other.step, other.adjustments) == (16, 3, 3)
    other.load_state_dict(fresh)
    assert other.position is None
    with pytest.raises(ValueError, match="must be a 1-D tensor of 8 numbers or more"):
        other.set_extra_state(dt.zeros(3))
    kept = dict(vars(other))
    for factor in (math.nan, 1000.0, -1.0):
        with pytest.raises(ValueError, match="must have 2 to 24 bits"):
            other.set_extra_state(state["_extra_state"] * factor)
        assert vars(other) == kept


def test_printing() -> None:
    quantizer = Quantizer(Adjustment(bits=16))
    assert repr(quantizer) == "Quantizer(int16, not adjusted)"
    quantizer(dt.ones(1))
    assert repr(quantizer) == "Quantizer(int16, step 2^-14)"
