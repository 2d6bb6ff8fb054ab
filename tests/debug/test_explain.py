"""explain: an operator that raised, and one that gave a wrong result."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.debug import explain


class DriverError(RuntimeError):
    """What a driver might raise."""


def raises(kernel: Any, *arrays: Any, **attributes: Any) -> None:
    raise DriverError("invalid work-group size")


def doubled(kernel: Any, *arrays: Any, **attributes: Any) -> None:
    kernel(*arrays, **attributes)
    arrays[-1].open()[...] *= 2


CALLS = {
    "cos": lambda x: x.cos(),
    "add": lambda x: x + 1.5,
    "mm": lambda x: x @ x.t(),
    "sum": lambda x: x.sum(1),
    "amax": lambda x: x.amax(0),
    "cumsum": lambda x: x.cumsum(0),
    "linear": lambda x: dt.nn.functional.linear(x, x),
    "max_dim": lambda x: x.max(1)[0],
    "fill": lambda x: dt.full((2, 2), 7.0, device=x.device),
    "copy": lambda x: x.t().contiguous(),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_a_failed_operator_should_have_given(name: str, spoiled: Any) -> None:
    device = spoiled(**{name: raises})
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = dt.tensor(values, device=device)
    for _ in range(2):  # the second call takes the short way past the dispatcher
        with pytest.raises(DriverError) as caught:
            CALLS[name](x)
        found = explain(caught.value)
        assert found is not None
        assert found.op in (name, {"mm": "matmul"}.get(name))
        assert found.device == f"{device}:0"
        assert found.error is caught.value
        assert found.host_error is None
        np.testing.assert_array_equal(found.expected[0], CALLS[name](dt.tensor(values)).numpy())
        assert "DriverError: invalid work-group size" in str(found)
        assert all(words.startswith("float32 [") for words in found.inputs[:1])
        assert found.inputs or name == "fill"
        assert __file__ in found.line
        assert "lambda x:" in found.line


def test_the_short_way(spoiled: Any) -> None:
    """A plan that worked once and fails later: no frame of the dispatcher is in the traceback."""
    broken = []

    def sometimes(kernel: Any, *arrays: Any, **attributes: Any) -> None:
        if broken:
            raise DriverError("the device was lost")
        kernel(*arrays, **attributes)

    names = ("cos", "add", "mm", "sum", "amax", "linear")
    device = spoiled(**dict.fromkeys(names, sometimes))
    for name in names:
        broken.clear()
        x = dt.ones(2, 3, device=device)
        for _ in range(3):
            CALLS[name](x)
        broken.append(True)
        with pytest.raises(DriverError) as caught:
            CALLS[name](x)
        found = explain(caught.value)
        assert found is not None
        np.testing.assert_array_equal(found.expected[0], CALLS[name](dt.ones(2, 3)).numpy())


def test_inside_a_decomposition_and_in_an_except_block(spoiled: Any) -> None:
    device = spoiled(exp=raises)
    x = dt.ones(3, device=device)
    try:
        dt.nn.functional.mish(x)
    except DriverError:
        found = explain()
    assert found is not None
    assert found.op == "exp"
    np.testing.assert_array_equal(found.expected[0], dt.exp(-dt.ones(3)).numpy())


def test_the_last_error_of_the_prompt(spoiled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DriverError) as caught:
        dt.ones(3, device=spoiled(cos=raises)).cos()
    monkeypatch.setattr(sys, "last_value", caught.value, raising=False)
    found = explain()
    assert found is not None
    assert found.op == "cos"


def test_nothing_to_explain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "last_value", raising=False)
    with pytest.raises(RuntimeError, match="there must be an exception to explain, got none"):
        explain()
    with pytest.raises(RuntimeError, match="none is in the traceback of ValueError: mine"):
        explain(ValueError("mine"))


def test_a_wrong_result(spoiled: Any) -> None:
    device = spoiled(tanh=doubled)
    x = dt.tensor([0.5, 1.0], device=device)

    def model(x: Any) -> Any:
        return (x * 2).tanh().exp()

    found = explain(model, x)
    assert found is not None
    assert (found.op, found.error) == ("tanh", None)
    np.testing.assert_allclose(found.expected[0], np.tanh([1.0, 2.0]), rtol=1e-6)
    assert found.difference is not None
    right, wrong = found.difference.values
    assert wrong == pytest.approx(2 * right)
    assert "(x * 2).tanh()" in found.line
    assert "is wrong" in str(found)


def test_a_wrong_gradient(spoiled: Any) -> None:
    x = dt.ones(3, device=spoiled(sin=doubled)).requires_grad_()
    found = explain(lambda: x.cos().sum().backward())
    assert found is not None
    assert found.op == "sin"


def test_random_numbers_and_filled_tensors_are_checked(spoiled: Any) -> None:
    def zeroed(kernel: Any, *arrays: Any, **attributes: Any) -> None:
        arrays[-1].open()[...] = 0

    for name, fn in (
        ("random_uniform", lambda device: dt.rand(5, device=device)),
        ("fill", lambda device: dt.full((2,), 3.0, device=device)),
        ("copy", lambda device: dt.ones(2, device=device).to(dt.float64)),
    ):
        found = explain(fn, spoiled(**{name: zeroed}))
        assert found is not None
        assert found.op in (name, "copy_to")


def test_nothing_wrong(spoiled: Any) -> None:
    x = dt.ones(3, 3, device=spoiled()).requires_grad_()
    assert explain(lambda: (x @ x).softmax(-1)[0].sum().backward()) is None


def test_an_error_of_the_function_itself(spoiled: Any) -> None:
    with pytest.raises(KeyError, match="mine"):
        explain(lambda: {}["mine"])
