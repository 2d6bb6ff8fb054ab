"""``assert_close`` beside PyTorch's: who passes, the error's class, and every word of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="PyTorch comes with the parity extra")
nan, inf = float("nan"), float("inf")


def outcome(library: Any, make: Callable[[Any], tuple[Any, Any]], **options: Any) -> Any:
    try:
        library.testing.assert_close(*make(library), **options)
    except Exception as error:
        text = str(error).replace("dovetail.tensor.", "torch.").replace("dovetail.nn", "torch.nn")
        return type(error), text
    return None


CASES: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "equal": lambda t: (t.tensor([1.0, 2.0]), t.tensor([1.0, 2.0])),
    "one element": lambda t: (t.tensor([1.0, 2.0, 3.0]), t.tensor([1.0, 2.0, 4.0])),
    "0-d": lambda t: (t.tensor(1.0), t.tensor(2.0)),
    "0-d whole": lambda t: (t.tensor(1), t.tensor(2)),
    "floats": lambda t: (1.0, 2.0),
    "close floats": lambda t: (1.0, 1.0 + 1e-8),
    "ints": lambda t: (1, 2),
    "expected zero": lambda t: (1.0, 0.0),
    "bools": lambda t: (True, False),
    "complex": lambda t: (1 + 1j, 2 + 1j),
    "int and float": lambda t: (1, 1.0),
    "whole": lambda t: (t.tensor([1, 2]), t.tensor([1, 3])),
    "bytes": lambda t: (t.tensor([3, 255], dtype=t.uint8), t.tensor([3, 0], dtype=t.uint8)),
    "truth": lambda t: (t.tensor([True, False]), t.tensor([True, True])),
    "shape": lambda t: (t.tensor([1.0]), t.tensor([1.0, 2.0])),
    "dtype": lambda t: (t.tensor([1.0]), t.tensor([1])),
    "list": lambda t: ([t.tensor([1.0]), t.tensor([2.0])], [t.tensor([1.0]), t.tensor([3.0])]),
    "tuple and list": lambda t: ((1, 2), [1, 2]),
    "length": lambda t: ([t.tensor([1.0])], [t.tensor([1.0]), t.tensor([3.0])]),
    "keys": lambda t: ({"a": 1, "c": 2}, {"b": 1, "a": 1}),
    "nested": lambda t: ({"a": 1.0, "b": [t.tensor(1.0)]}, {"a": 1.0, "b": [t.tensor(3.0)]}),
    "inner list": lambda t: ([[1, 2], [3, 4]], [[1, 2], [3, 5]]),
    "NumPy": lambda t: (np.array([1.0, 2.0]), np.array([1.0, 3.0])),
    "NumPy float32": lambda t: (np.array([1.0], "f4"), np.array([1.0 + 5e-6], "f4")),
    "NumPy numbers": lambda t: (np.float32(1), np.float32(2)),
    "None": lambda t: (None, None),
    "None and 1": lambda t: (None, 1),
    "text": lambda t: ("a", "a"),
    "objects": lambda t: (object, object),
    "a text behind": lambda t: ([1.0, "a"], [2.0, "a"]),
    "NaN": lambda t: (t.tensor([nan]), t.tensor([nan])),
    "NaN number": lambda t: (nan, nan),
    "NaN apart": lambda t: (t.tensor([nan, 1.0]), t.tensor([1.0, nan])),
    "infinite": lambda t: (t.tensor([1.0, inf]), t.tensor([1.0, 2.0])),
    "both infinite": lambda t: (t.tensor([inf, -inf]), t.tensor([inf, inf])),
    "to zero": lambda t: (t.tensor([[1.0, 2.0], [3.0, 4.0]]), t.tensor([[0.0, 2.0], [0.0, 0.0]])),
    "empty": lambda t: (t.tensor([]), t.tensor([])),
    "half": lambda t: (t.tensor([1.0]).half(), t.tensor([1.1]).half()),
    "close half": lambda t: (t.tensor([1.0]).half(), t.tensor([1.0009]).half()),
    "bfloat16": lambda t: (t.tensor([1.0]).bfloat16(), t.tensor([1.1]).bfloat16()),
    "close bfloat16": lambda t: (t.tensor([1.0]).bfloat16(), t.tensor([1.01]).bfloat16()),
    "double": lambda t: (t.tensor([1.0]).double(), t.tensor([1.0 + 3e-7]).double()),
    "complex tensors": lambda t: (t.tensor([1 + 1j]), t.tensor([1 + 2j])),
    "strides": lambda t: (t.tensor([[1.0, 2.0]] * 2).t(), t.tensor([[1.0, 1.0], [2.0, 2.0]])),
    "meta": lambda t: (t.ones(2, device="meta"), t.zeros(2, device="meta")),
    "meta and not": lambda t: (t.ones(2, device="meta"), t.zeros(2)),
    "parameter": lambda t: (t.nn.Parameter(t.tensor([1.0])), t.tensor([1.0])),
    "parameter apart": lambda t: (t.nn.Parameter(t.tensor([1.0])), t.tensor([2.0])),
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "equal_nan": {"equal_nan": True},
    "no dtype": {"check_dtype": False},
    "no device": {"check_device": False},
    "no layout": {"check_layout": False},
    "strides": {"check_stride": True},
    "no subclasses": {"allow_subclasses": False},
    "wide": {"rtol": 0.3, "atol": 0.5},
    "exact": {"rtol": 0, "atol": 0},
    "atol": {"rtol": 0, "atol": 0.25},
    "only rtol": {"rtol": 1.0},
    "only atol": {"atol": 1.0},
    "msg": {"msg": "mine"},
    "msg function": {"msg": lambda text: f"before\n{text}\nafter"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_says_what_pytorch_says(make: Any, options: dict[str, Any]) -> None:
    expected = outcome(torch, make, **options)
    ours = outcome(dt, make, **options)
    if expected is not None and "<class 'numpy." in expected[1]:
        assert ours is not None
        assert ours[0] is expected[0]
        return
    assert ours == expected


def test_an_array_is_no_tensor() -> None:
    for pair in ((np.ones(2), dt.ones(2)), (dt.ones(2), [1.0, 1.0]), (dt.tensor(1.0), 1.0)):
        with pytest.raises(TypeError, match="No comparison pair was able to handle inputs"):
            dt.testing.assert_close(*pair)


def test_another_device_is_compared_on_request(need_device: Any) -> None:
    there = dt.ones(2, device=need_device("loop"))
    with pytest.raises(AssertionError, match="attribute 'device' do not match: loop:0 != cpu"):
        dt.testing.assert_close(there, dt.ones(2))
    dt.testing.assert_close(there, dt.ones(2), check_device=False)
    with pytest.raises(AssertionError, match="Mismatched elements: 1 / 2"):
        dt.testing.assert_close(there, dt.tensor([1.0, 2.0], device=there.device))


ALLCLOSE = [
    (lambda t: (t.tensor([1.0]), t.tensor([1.1])), {}),
    (lambda t: (t.tensor([1.0]), t.tensor([1.00009])), {}),
    (lambda t: (t.tensor([1.0]), [1.0]), {}),
    (lambda t: ([1.0, nan], t.tensor([1.0, nan])), {}),
    (lambda t: (t.tensor([nan]), t.tensor([nan])), {"equal_nan": False}),
    (lambda t: (t.tensor([1.0]), t.tensor([1], dtype=t.int64)), {}),
    (lambda t: (t.tensor([1.0]).double(), t.tensor([1.00002]).double()), {}),
    (lambda t: (t.tensor([1.0]), t.tensor([1.4])), {"rtol": 0.5, "atol": 0.1}),
    (lambda t: (t.tensor([1.0]), t.tensor([1.4])), {"rtol": 0.5}),
    (lambda t: (t.tensor([1.0]), t.tensor([1.4])), {"msg": "mine"}),
]


@pytest.mark.parametrize(("make", "options"), ALLCLOSE)
def test_the_deprecated_form(make: Any, options: dict[str, Any]) -> None:
    def ask(library: Any) -> Any:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            try:
                library.testing.assert_allclose(*make(library), **options)
                found = None
            except Exception as error:
                found = (type(error), str(error))
        assert [w.category for w in seen] == [FutureWarning]
        return found

    assert ask(dt) == ask(torch)
