"""NumPy (003 L283-599): what the text prints is NumPy's, and dovetail's under the same names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

from .comparing import same


def test_003_L293_making_arrays(run_on_host: Any) -> None:
    names = run_on_host("003 L293")
    assert names.my_data2.dtype == np.float32
    assert names.my_data3.tolist() == [0, 1, 2]
    assert (names.my_data4 == 0).all()
    assert (names.my_data5 == 1).all()
    assert ((names.my_data6 >= 0) & (names.my_data6 < 1)).all()
    assert (names.my_data7 == 7).all()
    assert (names.my_data8 == np.identity(3)).all()
    shapes = [(2,), (3, 2), (3,), *[(3, 2)] * 4, (3, 3), (3, 2)]
    assert [getattr(names, f"my_data{n}").shape for n in range(1, 10)] == shapes


def test_003_L293_the_same_as_tensors(device: Any) -> None:
    made = [
        (dt.tensor([1, 2], device=device), np.array([1, 2])),
        (dt.tensor([[1.0, 2.0], [3.0, 4.0]], device=device), np.float32([[1, 2], [3, 4]])),
        (dt.arange(3, device=device), np.arange(3)),
        (dt.zeros(3, 2, device=device), np.zeros((3, 2), np.float32)),
        (dt.ones(3, 2, device=device), np.ones((3, 2), np.float32)),
        (dt.full((3, 2), 7, device=device), np.full((3, 2), 7)),
        (dt.eye(3, 3, device=device), np.eye(3, 3, dtype=np.float32)),
    ]
    for mine, theirs in made:
        same(mine, theirs)
    assert dt.empty(3, 2, device=device).shape == (3, 2)


def test_003_L321_dims_are_nested_lists(run_on_host: Any) -> None:
    names = run_on_host("003 L321")
    assert [a.shape for a in (names.my_data1, names.my_data2, names.my_data3)] == [
        (3,), (3, 2), (2, 3, 4),
    ]  # fmt: skip
    assert names.my_data3[1, 2].tolist() == [5, 5, 5, 5]


def test_003_L366_ranges(run_on_host: Any, device: Any) -> None:
    names = run_on_host("003 L366")
    same(dt.arange(3, dtype=dt.int32, device=device), names.my_data1)
    same(dt.arange(3, 9, 3, device=device), names.my_data2)
    same(dt.arange(3, 10, 3, device=device), names.my_data3)


def test_003_L384_ones_on_a_diagonal(run_on_host: Any, device: Any) -> None:
    names = run_on_host("003 L384")
    assert names.my_data2.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert names.my_data3.tolist() == [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    same(dt.eye(3, 2, device=device, dtype=dt.float64), names.my_data2)
    labels = dt.tensor([0, 1, 0, 2], device=device)
    same(dt.eye(3, device=device, dtype=dt.float64)[labels], names.my_data4)
    assert dt.nn.functional.one_hot(labels, 3).tolist() == names.my_data4.tolist()


def test_003_L449_attributes(device: Any) -> None:
    """The table of attributes: 0 dims to 3, and what each tensor says of itself."""
    for shape in ((), (3,), (2, 3), (2, 3, 4)):
        array = np.zeros(shape)
        tensor = dt.tensor(array, device=device)
        assert (tensor.ndim, tuple(tensor.shape)) == (array.ndim, array.shape)
        assert (tensor.numel(), tensor.itemsize) == (array.size, array.itemsize)
        assert tensor.dtype is dt.float64


def test_003_L475_reshape(run_on_host: Any) -> None:
    names = run_on_host("003 L475")
    assert names.my_data1.tolist() == [[0, 1], [2, 3]]
    assert names.my_data2.tolist() == [[0], [1], [2], [3]]


def test_003_L505_resize_repeats_and_the_method_adds_zeros(run_on_host: Any) -> None:
    names = run_on_host("003 L505")
    assert names.my_data2.tolist() == [[0, 1], [2, 3], [0, 1]]
    assert names.my_data1.tolist() == [[0, 1], [2, 3], [0, 0]]


def test_003_L545_indices(run_on_host: Any, device: Any) -> None:
    names = run_on_host("003 L545")
    mine = dt.arange(8, device=device)
    same(mine[dt.tensor([2, -2], device=device)], names.my_data2)
    same(mine.reshape((4, 2)), names.my_data3)
    assert mine.reshape((4, 2))[2, 1].item() == names.my_data4 == 5


UNARY = [
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "round", "floor", "ceil", "exp", "log",
    "sqrt", "square", "real",
]  # fmt: skip
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum"]


@pytest.mark.parametrize("name", UNARY)
def test_003_L573_functions_of_one_array(name: str, device: Any) -> None:
    x = np.array([0.1, 0.5, 0.75])
    same(getattr(dt, name)(dt.tensor(x, device=device)), getattr(np, name)(x), 1e-12)


@pytest.mark.parametrize("name", BINARY)
def test_003_L573_functions_of_two_arrays(name: str, device: Any) -> None:
    x, y = np.array([1.0, -2, 3]), np.array([2.0, 5, -3])
    mine = getattr(dt, name)(dt.tensor(x, device=device), dt.tensor(y, device=device))
    same(mine, getattr(np, name)(x, y))


def test_003_L573_the_other_functions(device: Any) -> None:
    x = np.array([[1.0, 4, 9], [2, 2, 0]])
    t = dt.tensor(x, device=device)
    same(t.sum(1), x.sum(1))
    same(dt.diff(t, dim=1), np.diff(x, axis=1))
    same(dt.clip(t, 1, 4), np.clip(x, 1, 4))
    z = np.array([1 + 2j, 3 - 4j])
    same(dt.imag(dt.tensor(z)), z.imag)
