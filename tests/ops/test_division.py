"""Whole numbers divided by zero: PyTorch's error on every device, at once where a number is 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

Call = Callable[[Any, Any], Any]

CALLS: dict[str, Call] = {
    "a // b": lambda a, b: a // b,
    "a % b": lambda a, b: a % b,
    "fmod": lambda a, b: a.fmod(b),
    "div, floor": lambda a, b: a.div(b, rounding_mode="floor"),
    "div, trunc": lambda a, b: a.div(b, rounding_mode="trunc"),
    "floor_divide_": lambda a, b: a.floor_divide_(b),
    "remainder_": lambda a, b: a.remainder_(b),
    "fmod_": lambda a, b: a.fmod_(b),
    "a //= b": lambda a, b: a.__ifloordiv__(b),
}
NUMPYS: dict[str, Call] = {
    "a // b": np.floor_divide,
    "a % b": np.remainder,
    "fmod": np.fmod,
    "div, floor": np.floor_divide,
    "div, trunc": lambda a, b: np.trunc(a / b),
    "floor_divide_": np.floor_divide,
    "remainder_": np.remainder,
    "fmod_": np.fmod,
    "a //= b": np.floor_divide,
}
KINDS = ("uint8", "int8", "int16", "int32", "int64")
PAIR = [[7, 1, 5], [2, 0, 3]]
BY_ZERO = "ZeroDivisionError"
"""All that PyTorch says."""


def _raised(call: Callable[[], Any]) -> str:
    with pytest.raises(RuntimeError) as found:
        call()
    return str(found.value)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_what_pytorch_says(name: str, dtype: str, torch: Any) -> None:
    call = CALLS[name]
    a, b = (torch.tensor(x, dtype=getattr(torch, dtype)) for x in PAIR)
    assert _raised(lambda: call(a, b)) == BY_ZERO
    assert _raised(lambda: call(a, 0)) == BY_ZERO
    assert _raised(lambda: call(a, False)) == BY_ZERO


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_tensors(name: str, dtype: str, device: Any) -> None:
    call = CALLS[name]
    ours = [dt.tensor(x, dtype=getattr(dt, dtype), device=device) for x in PAIR]
    assert BY_ZERO in _raised(lambda: call(*ours).tolist())


@pytest.mark.parametrize("number", [0, False])
@pytest.mark.parametrize("name", CALLS)
def test_numbers(name: str, number: int, device: Any) -> None:
    call = CALLS[name]
    for _ in range(3):
        x = dt.ones(3, dtype=dt.int32, device=device)
        assert _raised(lambda x=x: call(x, number)) == BY_ZERO
        assert x.tolist() == [1, 1, 1]
    assert call(dt.full((3,), 7, dtype=dt.int32, device=device), 7).numel() == 3


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_divided(name: str, device: Any) -> None:
    """No element, no mistake, as in PyTorch."""
    call = CALLS[name]
    for zero in (0, dt.zeros(3, dtype=dt.int32, device=device)):
        x = dt.zeros(0, 3, dtype=dt.int32, device=device)
        assert call(x, zero).shape == (0, 3)


@pytest.mark.parametrize("name", CALLS)
def test_real_numbers_are_divided(name: str, device: Any) -> None:
    numbers = [1.0, -1.0, 0.0]
    with np.errstate(all="ignore"):
        wanted = NUMPYS[name](np.array(numbers), np.zeros(3))
    for zero in (0, 0.0, dt.zeros(3, device=device)):
        made = CALLS[name](dt.tensor(numbers, device=device), zero)
        np.testing.assert_array_equal(made.cpu().numpy(), wanted)


def test_a_batch_of_examples(device: Any) -> None:
    x = dt.arange(6, device=device).view(2, 3)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        dt.func.vmap(lambda a: a // 0)(x)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        dt.func.vmap(lambda a: 7 % a)(x).tolist()
    assert dt.func.vmap(lambda a: a // 2)(x).tolist() == [[0, 0, 1], [1, 2, 2]]


def test_without_data() -> None:
    x = dt.ones(3, dtype=dt.int32, device="meta")
    with pytest.raises(RuntimeError, match=r"^ZeroDivisionError$"):
        x // 0
    assert (x // x).shape == (3,)
