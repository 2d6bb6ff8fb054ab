"""Factors before tensors, as programs of PyTorch's first years write them, beside PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")

CALLS = """
x.add(2, y) | x.add_(2, y) | lib.add(x, 2, y) | x.sub(0.5, y) | x.sub_(2, y) | lib.sub(x, 2, y)
x.subtract(2, y) | lib.add(x, 2, y, out=y) | x.addcmul(2, y, z) | x.addcmul_(0.5, y, z)
lib.addcmul(x, 2, y, z) | x.addcdiv(2, y, z) | x.addcdiv_(2, y, z) | lib.addcdiv(x, 2, y, z)
x.addmm(2, y, z) | x.addmm(2, 3, y, z) | x.addmm_(2, 3, y, z) | lib.addmm(2, x, y, z)
lib.addmm(2, x, 3, y, z) | lib.addmm(2, x, 3, y, z, out=x) | v.addmv(2, x, v) | v.addmv_(2, 3, x, w)
lib.addmv(2, v, 3, x, v) | x.addr(2, v, v) | lib.addr(2, x, 3, v, v) | x.addbmm(2, b, b)
lib.addbmm(2, x, 3, b, b) | b.baddbmm(2, b, b) | b.baddbmm_(2, 3, c, c) | lib.baddbmm(2, b, b, b)
lib.add(2, x, y) | x.add(y, 2, y) | x.addcmul(y, 2, z) | lib.addmm(x, 2, y, z) | x.add("2", y)
x.addcmul(2, y) | x.addmm(2, 3, 4, y, z)
""".replace("\n", "|").split("|")
CALLS = [call.strip() for call in CALLS if call.strip()]


def outcome(lib: Any, call: str) -> Any:
    rng = np.random.default_rng(0)
    names = {"lib": lib}
    shapes = {
        "x": (3, 3),
        "y": (3, 3),
        "z": (3, 3),
        "v": (3,),
        "w": (3,),
        "b": (2, 3, 3),
        "c": (2, 3, 3),
    }
    for name, shape in shapes.items():
        values = rng.integers(1, 8, shape).astype(np.float64)
        names[name] = (lib.from_numpy if lib is torch else dt.tensor)(values)
    try:
        result = eval(call, names)
    except Exception as error:
        return type(error)
    return np.concatenate([np.ravel(np.array(t.tolist())) for t in (result, names["x"])])


@pytest.mark.filterwarnings("ignore:This overload of")
@pytest.mark.parametrize("call", CALLS)
def test_as_in_pytorch(call: str) -> None:
    expected, found = outcome(torch, call), outcome(dt, call)
    if isinstance(expected, type):
        assert found is expected
    else:
        np.testing.assert_allclose(found, expected, 1e-14)


def test_it_warns_where_the_call_is() -> None:
    x = dt.ones(2)
    with pytest.warns(UserWarning, match="This overload of add_ is deprecated") as caught:
        x.add_(2, x.clone())
    assert caught[0].filename == __file__


def test_gradients() -> None:
    x, y = (dt.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    with pytest.warns(UserWarning, match="addcmul"):
        x.addcmul(3, y, y).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([1.0, 1.0], [6.0, 12.0])
