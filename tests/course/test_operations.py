"""Operations, in place and broadcast (003 L979-1131)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

from .comparing import same

X = np.array([-1.3, 2.8, 3.5, -4.2, -5.6, 6.99], np.float32)


def test_003_L985_a_product(run: Any) -> None:
    same(run("003 L985").my_data2, X * 100)


def test_003_L995_three_ways_to_call(run: Any) -> None:
    names = run("003 L995")
    for tensor in (names.my_data1, names.my_data2, names.my_data3):
        same(tensor, X + np.float32(100))
    assert names.my_data4 is names.my_data1
    assert names.my_data2 is not names.my_data3


IN_PLACE: dict[str, tuple[Any, ...]] = {
    "add": (2.0,), "abs": (), "addcmul": ("y", "y"), "arcsin": (), "bitwise_not": (),
    "bitwise_xor": ("i",), "ceil": (), "clamp": (-0.5, 0.5), "clip": (-0.5, 0.5), "eq": ("y",),
    "exp": (), "logical_or": ("y",), "sigmoid": (),
}  # fmt: skip
"""The text's table, without ``norm_``, which there is not (M13)."""


@pytest.mark.parametrize("name", IN_PLACE)
def test_003_L1015_in_place_is_the_same_in_the_same_memory(name: str, device: Any) -> None:
    torch = pytest.importorskip("torch")
    y = np.array([0.25, -0.75, 0.0])
    i = np.array([6, 1, 3])
    x = i[::-1].copy() if name.startswith("bitwise") else np.array([0.25, 0.5, -0.75])

    def call(library: Any, suffix: str, **where: Any) -> tuple[Any, Any]:
        values = {k: library.tensor(v, **where) for k, v in (("x", x), ("y", y), ("i", i))}
        given = [values[a] if isinstance(a, str) else a for a in IN_PLACE[name]]
        return values["x"], getattr(values["x"], name + suffix)(*given)

    target, written = call(dt, "_", device=device)
    assert written is target
    _, theirs = call(torch, "_")
    same(written, theirs.numpy(), 1e-12)
    _, apart = call(dt, "", device=device)
    same(apart, call(torch, "")[1].numpy(), 1e-12)


def test_003_L1028_tensors_that_share_memory_see_it(device: Any) -> None:
    x = dt.zeros(4, device=device)
    seen = x.view(2, 2)
    x.add_(1)
    x += 1
    x *= 3
    assert seen.tolist() == [[6, 6], [6, 6]]


def test_003_L1033_a_number_broadcasts(run: Any) -> None:
    same(run("003 L1033").my_data2, X + np.float32(100))


def test_003_L1045_shapes_that_do_not_broadcast(run: Any) -> None:
    names = run("003 L1045")
    assert "at non-singleton dimension 1" in names.printed
    assert not hasattr(names, "my_data3")


COLUMNS = np.float32([[[1], [2], [3]], [[4], [5], [6]]])


@pytest.mark.parametrize(
    ("place", "added"),
    [
        ("003 L1053", COLUMNS), ("003 L1063", COLUMNS[:1]), ("003 L1071", COLUMNS),
        ("003 L1085", COLUMNS[0]),
    ],
)  # fmt: skip
def test_003_L1053_L1063_L1071_L1085_shapes_that_broadcast(
    run: Any, place: str, added: np.ndarray
) -> None:
    same(run(place).my_data3, np.ones((2, 3, 3), np.float32) + added)


def test_003_L1102_a_target_in_place_does_not_grow(run: Any) -> None:
    names = run("003 L1102")
    assert names.printed.startswith("output with shape [2, 3, 1]")
    assert names.my_data1.tolist() == np.ones((2, 3, 1)).tolist()


def test_003_L1110_what_is_added_in_place_may_be_smaller(run: Any) -> None:
    same(run("003 L1110").my_data3, np.full((2, 3, 3), 2, np.float32))


def test_003_L1118_new_tensors_of_a_tensor(device: Any) -> None:
    x = dt.ones(2, dtype=dt.float64, device=device)
    for made, values in (
        (x.new_tensor([1, 2]), [1, 2]), (x.new_zeros(3), [0, 0, 0]), (x.new_ones((1, 2)), [[1, 1]]),
    ):  # fmt: skip
        assert made.tolist() == values
        assert made.device == device
    assert x.new_zeros(3).dtype is dt.float64


@pytest.mark.parametrize(
    ("name", "numpys"),
    [
        ("add", np.add), ("subtract", np.subtract), ("multiply", np.multiply),
        ("divide", np.divide), ("sin", np.sin), ("cos", np.cos), ("tan", np.tan),
        ("tanh", np.tanh), ("round", np.rint), ("ceil", np.ceil), ("floor", np.floor),
    ],
)  # fmt: skip
def test_003_L1118_arithmetic(name: str, numpys: Any, device: Any) -> None:
    x, y = np.array([0.5, -1.5, 2.5]), np.array([2.0, 0.3, -0.7])
    arrays = (x, y)[: numpys.nin]
    tensors = [dt.tensor(a, device=device) for a in arrays]
    same(getattr(dt, name)(*tensors), numpys(*arrays), 1e-12)
    same(getattr(tensors[0], name)(*tensors[1:]), numpys(*arrays), 1e-12)


def test_003_L1118_bits_choices_orders(device: Any) -> None:
    a, b = np.array([6, 3, -1]), np.array([5, 1, 2])
    x, y = dt.tensor(a, device=device), dt.tensor(b, device=device)
    same(dt.bitwise_and(x, y), a & b)
    same(dt.bitwise_or(x, y), a | b)
    same(dt.bitwise_not(x), ~a)
    same(dt.where(x > y, x, y), np.where(a > b, a, b))
    m = np.array([[3.0, 1], [2, 5]])
    t = dt.tensor(m, device=device)
    same(t.sort(0).values, np.sort(m, 0))
    same(dt.sort(t, dim=1, descending=True).values, -np.sort(-m, 1))
    same(t.sort(0).indices, np.argsort(m, 0))
    same(t.transpose(0, 1), m.T)
    assert t.to(dt.int32).dtype is dt.int32
