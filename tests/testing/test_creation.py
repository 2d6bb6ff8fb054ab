"""``make_tensor`` beside PyTorch's: dtypes, intervals, memory and errors."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import dovetail as dt
from dovetail import dtypes as d

torch = pytest.importorskip("torch", reason="PyTorch comes with the parity extra")

DTYPES = [t.name for t in d.ALL]
INTERVALS = [
    {},
    {"low": 2, "high": 5},
    {"low": -3.5, "high": 1.2},
    {"low": 0, "high": 1},
    {"low": 2},
    {"high": 4},
    {"low": 1.2, "high": 1.9},
    {"low": 2, "high": 2},
    {"low": 3, "high": 2},
    {"low": 20},
    {"low": 300, "high": 400},
    {"low": -5, "high": 400},
    {"low": float("nan"), "high": 2},
    {"low": -float("inf"), "high": float("inf")},
    {"low": -1e300, "high": 1e300},
    {"low": 0, "high": 2, "exclude_zero": True},
    {"low": -1, "high": 1, "exclude_zero": True},
]


def made(library: Any, dtype: str, *shape: Any, **options: Any) -> Any:
    library.manual_seed(0)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            result = library.testing.make_tensor(
                *shape, dtype=getattr(library, dtype), device="cpu", **options
            )
        except (ValueError, TypeError, RuntimeError) as error:
            result = type(error)
    return result, [w.category for w in seen]


def edges(x: Any) -> tuple[Any, Any, bool]:
    """The smallest and largest value (of both parts), and whether any is zero."""
    parts = [x.real, x.imag] if "complex" in str(x.dtype) else [x]
    wide = [p.to((dt if isinstance(p, dt.Tensor) else torch).float64) for p in parts]
    lowest, highest = min(p.min().item() for p in wide), max(p.max().item() for p in wide)
    return lowest, highest, bool((x == 0).any())


@pytest.mark.parametrize("interval", INTERVALS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_are_in_the_interval(dtype: str, interval: dict[str, Any]) -> None:
    theirs, their_warnings = made(torch, dtype, 4000, **interval)
    ours, our_warnings = made(dt, dtype, 4000, **interval)
    assert our_warnings == their_warnings
    if isinstance(theirs, type):
        assert ours is theirs
        return
    assert str(ours.dtype) == str(theirs.dtype)
    (low, high, zero), (low2, high2, zero2) = edges(ours), edges(theirs)
    if getattr(d, dtype if dtype != "bool" else "bool_").category < 2 and high2 - low2 < 100:
        assert (low, high, zero) == (low2, high2, zero2)
        return
    width = high2 - low2
    bounds = interval.get("low", -9), interval.get("high", 9)
    assert bounds[0] <= low
    assert high < bounds[1] or bounds[0] == bounds[1]
    if width < float("inf"):
        assert low == pytest.approx(low2, abs=0.02 * width + 1e-9)
        assert high == pytest.approx(high2, abs=0.02 * width + 1e-9)
    if interval.get("exclude_zero"):
        assert not zero


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((), {}),
        (((),), {}),
        ((2, 3), {}),
        (([2, 3],), {}),
        (((2, 3),), {}),
        ((2, 3), {"noncontiguous": True}),
        ((1,), {"noncontiguous": True}),
        ((0, 3), {"noncontiguous": True}),
        ((), {"noncontiguous": True}),
        ((2, 3, 4, 5), {"memory_format": "channels_last"}),
        ((2, 3, 4, 5), {"memory_format": "contiguous_format"}),
        ((2, 3, 4, 5), {"memory_format": "channels_last", "noncontiguous": True}),
        ((2, 3), {"requires_grad": True}),
        ((2, 3), {"requires_grad": True, "noncontiguous": True}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "complex64", "bfloat16"])
def test_memory(dtype: str, shape: Any, options: dict[str, Any]) -> None:
    def facts(library: Any) -> Any:
        given = dict(options)
        if "memory_format" in given:
            given["memory_format"] = getattr(library, given["memory_format"])
        x, _ = made(library, dtype, *shape, **given)
        if isinstance(x, type):
            return x
        return tuple(x.shape), x.stride(), x.requires_grad, x.is_contiguous(), x.is_leaf

    assert facts(dt) == facts(torch)


def test_on_a_device(device: Any) -> None:
    x = dt.testing.make_tensor(3, 4, dtype=dt.float32, device=device, exclude_zero=True)
    assert x.device == dt.zeros(1, device=device).device
    assert not (x == 0).any()


def test_what_is_no_dtype() -> None:
    with pytest.raises(TypeError, match=r"is not supported by torch\.testing"):
        dt.testing.make_tensor(2, dtype="float32", device="cpu")  # type: ignore[arg-type]
