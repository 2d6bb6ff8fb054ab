"""Fake quantization beside PyTorch's: values, straight-through gradients, modules, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from quantized_pairs import drawn, numbers, torch_quiet

import dovetail as dt
from dovetail.ao.quantization import fake_quantize

torch = pytest.importorskip("torch")

X = np.concatenate([drawn(20, spread=3.0), [0.25, 0.75, -0.25, -0.75, 1.25, 1e4, -1e4]])
LINES = drawn(3, 4, 5, seed=2, spread=3.0)

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "numbers": lambda lib, x: lib.fake_quantize_per_tensor_affine(x, 0.1, 3, 0, 255),
    "odd zero point": lambda lib, x: lib.fake_quantize_per_tensor_affine(x, 0.5, 3, -8, 7),
    "even zero point": lambda lib, x: lib.fake_quantize_per_tensor_affine(x, 0.5, 4, -8, 7),
    "tensors": lambda lib, x: lib.fake_quantize_per_tensor_affine(
        x, lib.tensor([0.3]), lib.tensor([2], dtype=lib.int32), -128, 127
    ),
    "channels": lambda lib, x: lib.fake_quantize_per_channel_affine(
        x[:24].reshape(3, 8), lib.tensor([0.1, 0.5, 0.3]),
        lib.tensor([0, 3, -2], dtype=lib.int32), 0, -128, 127,
    ),
    "last dim": lambda lib, x: lib.fake_quantize_per_channel_affine(
        x[:24].reshape(8, 3), lib.tensor([0.1, 0.5, 0.3]),
        lib.tensor([0, 3, -2], dtype=lib.int32), 1, -8, 7,
    ),
    "float zero points": lambda lib, x: lib.fake_quantize_per_channel_affine(
        x[:24].reshape(3, 8), lib.tensor([0.1, 0.5, 0.25]), lib.tensor([0.5, 3.25, 1.0]), 0, 0, 255,
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(name: str, dtype: str) -> None:
    made = []
    for lib in (torch, dt):
        x = lib.tensor(X, dtype=getattr(lib, dtype)).requires_grad_()
        y = CALLS[name](lib, x)
        assert str(y.dtype) == f"torch.{dtype}"
        (y * lib.arange(1, y.numel() + 1, dtype=y.dtype).reshape(y.shape)).sum().backward()
        made.append((y, x.grad))
    for a, b in zip(*made, strict=True):
        # PyTorch rounds what it makes of float64 to float32 on the way.
        np.testing.assert_allclose(numbers(a), numbers(b), rtol=1e-6, atol=1e-6)
    assert made[0][0].grad_fn.name() == made[1][0].grad_fn.name()


def test_the_gradient_stops_where_the_range_ends() -> None:
    x = dt.tensor([-1.0, 0.0, 0.4, 2.0, 2.2, 2.3], requires_grad=True)
    dt.fake_quantize_per_tensor_affine(x, 0.5, 0, 0, 4).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]  # 2.2 rounds to 4, 2.3 to 5


WRONG: dict[str, Callable[[Any], Any]] = {
    "range": lambda lib: lib.fake_quantize_per_tensor_affine(lib.ones(2), 0.1, 0, 5, 3),
    "zero point": lambda lib: lib.fake_quantize_per_tensor_affine(lib.ones(2), 0.1, 300, 0, 255),
    "sizes": lambda lib: lib.fake_quantize_per_channel_affine(
        lib.ones(2, 3), lib.ones(2), lib.zeros(2, dtype=lib.int32), 1, 0, 255
    ),
    "dims": lambda lib: lib.fake_quantize_per_channel_affine(
        lib.ones(2, 3), lib.ones(2, 1), lib.zeros(2, dtype=lib.int32), 0, 0, 255
    ),
    "scale": lambda lib: lib.fake_quantize_per_channel_affine(
        lib.ones(2, 3), lib.ones(2).double(), lib.zeros(2, dtype=lib.int32), 0, 0, 255
    ),
    "long zero points": lambda lib: lib.fake_quantize_per_channel_affine(
        lib.ones(2, 3), lib.ones(2), lib.zeros(2, dtype=lib.int64), 0, 0, 255
    ),
    "negative axis": lambda lib: lib.fake_quantize_per_channel_affine(
        lib.ones(2, 3), lib.ones(3), lib.zeros(3, dtype=lib.int32), -1, 0, 255
    ),
    "axis": lambda lib: lib.fake_quantize_per_channel_affine(
        lib.ones(2, 3), lib.ones(2), lib.zeros(2, dtype=lib.int32), 7, 0, 255
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls(name: str) -> None:
    with pytest.raises((RuntimeError, IndexError)) as theirs:
        WRONG[name](torch)
    with pytest.raises(theirs.type):
        WRONG[name](dt)


FACTORIES = [n for n in fake_quantize.__all__ if n.startswith(("default_", "fused_w", "fused_p"))]


@pytest.mark.parametrize("name", FACTORIES)
def test_modules(name: str) -> None:
    """PyTorch's ready-made fake quantizers: outputs, gradients, state and text, step by step."""
    with torch_quiet():
        theirs = getattr(torch.ao.quantization.fake_quantize, name)()
    ours = getattr(dt.ao.quantization, name)()
    for step, scale in enumerate((1.0, 3.0, 0.5, 2.0)):
        if step == 3:
            theirs.disable_observer()
            ours.disable_observer()
        x = LINES * scale + scale
        a, b = torch.tensor(x, requires_grad=True), dt.tensor(x, requires_grad=True)
        with torch_quiet():
            y, z = theirs(a), ours(b)
        y.square().sum().backward()
        z.square().sum().backward()
        np.testing.assert_allclose(numbers(y), numbers(z), rtol=1e-5, atol=1e-6)
        assert a.grad is not None
        assert b.grad is not None
        np.testing.assert_allclose(numbers(a.grad), numbers(b.grad), rtol=1e-5, atol=1e-5)
    assert repr(theirs) == repr(ours)
    state = ours.state_dict()
    assert list(theirs.state_dict()) == list(state)
    for key, value in theirs.state_dict().items():
        assert str(value.dtype) == str(state[key].dtype), key
        np.testing.assert_allclose(numbers(value), numbers(state[key]), rtol=1e-5, atol=1e-5)
    again = getattr(dt.ao.quantization, name)()
    again.load_state_dict({k: dt.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    np.testing.assert_allclose(numbers(again(dt.tensor(LINES))), numbers(ours(dt.tensor(LINES))))


def test_switches() -> None:
    module = dt.ao.quantization.default_fake_quant()
    x = dt.tensor(LINES)
    module.apply(dt.ao.quantization.disable_fake_quant)
    assert (module(x) == x).all()
    assert module.scale.item() != 1.0
    module.apply(dt.ao.quantization.disable_observer)
    module.apply(dt.ao.quantization.enable_fake_quant)
    scale = module.scale.item()
    assert not (module(x * 9) == x * 9).all()
    assert module.scale.item() == scale
    module.apply(dt.ao.quantization.enable_observer)
    module(x * 9)
    assert module.scale.item() != scale


def test_the_fused_function_writes_what_it_finds() -> None:
    made = []
    for lib in (torch, dt):
        on = lib.tensor([1])
        low, high = lib.tensor(float("inf")), lib.tensor(float("-inf"))
        scale, point = lib.tensor([1.0]), lib.tensor([0], dtype=lib.int32)
        for factor in (1.0, 2.0):
            y = lib.fused_moving_avg_obs_fake_quant(
                lib.tensor(LINES * factor), on, on, low, high, scale, point, 0.1, 0, 255, -1
            )
        made.append((y, low, high, scale, point))
    for a, b in zip(*made, strict=True):
        np.testing.assert_allclose(numbers(a), numbers(b), rtol=1e-6)


def test_a_range_beyond_the_dtype_is_refused() -> None:
    for lib in (torch, dt):
        with torch_quiet(), pytest.raises(AssertionError, match="out of bound"):
            lib.ao.quantization.FakeQuantize(quant_min=-1, quant_max=255)
