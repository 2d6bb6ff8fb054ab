"""Whole numbers divided by zero: PyTorch's error on every device, at once where a number is 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import dovetail as dt

CALLS: dict[str, Callable[[Any, Any], Any]] = {
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
KINDS = ("uint8", "int8", "int16", "int32", "int64")


def _raised(call: Callable[[], Any]) -> str:
    with pytest.raises(RuntimeError) as found:
        call()
    return str(found.value)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_tensors(name: str, dtype: str, device: Any) -> None:
    call = CALLS[name]
    pair = [[7, 1, 5], [2, 0, 3]]
    theirs = _raised(lambda: call(*(torch.tensor(x, dtype=getattr(torch, dtype)) for x in pair)))
    ours = [dt.tensor(x, dtype=getattr(dt, dtype), device=device) for x in pair]
    assert theirs in _raised(lambda: call(*ours).tolist())


@pytest.mark.parametrize("number", [0, False])
@pytest.mark.parametrize("name", CALLS)
def test_numbers(name: str, number: int, device: Any) -> None:
    call = CALLS[name]
    theirs = _raised(lambda: call(torch.ones(3, dtype=torch.int32), number))
    for _ in range(3):
        x = dt.ones(3, dtype=dt.int32, device=device)
        assert _raised(lambda x=x: call(x, number)) == theirs
        assert x.tolist() == [1, 1, 1]
    assert call(dt.full((3,), 7, dtype=dt.int32, device=device), 7).numel() == 3


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_divided(name: str, device: Any) -> None:
    """No element, no mistake, as in PyTorch."""
    call = CALLS[name]
    for zero in (0, None):
        made = []
        for lib, where in ((torch, "cpu"), (dt, device)):
            x = lib.zeros(0, 3, dtype=lib.int32, device=where)
            by = lib.zeros(3, dtype=lib.int32, device=where) if zero is None else zero
            made.append(tuple(call(x, by).shape))
        assert made[0] == made[1]


@pytest.mark.parametrize("name", CALLS)
def test_real_numbers_are_divided(name: str, device: Any) -> None:
    call = CALLS[name]
    for zero in (0, 0.0, None):
        made = []
        for lib, where in ((torch, "cpu"), (dt, device)):
            x = lib.tensor([1.0, -1.0, 0.0], device=where)
            made.append(call(x, lib.zeros(3, device=where) if zero is None else zero).cpu().numpy())
        assert str(made[0]) == str(made[1])


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
