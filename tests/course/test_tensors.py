"""Tensors (003 L601-977)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

from .comparing import same


def test_003_L620_making_tensors(run: Any) -> None:
    names = run("003 L620")
    assert names.my_data1.requires_grad
    assert not names.my_data2.requires_grad
    same(names.my_data1, np.arange(4, dtype=np.float32))
    same(names.my_data2, np.ones((3, 2), np.float32))
    same(names.my_data3, np.zeros((3, 2), np.float32))
    assert names.my_data4.shape == (3, 2)
    assert 0 <= names.my_data4.min().item() <= names.my_data4.max().item() < 1


def test_003_L630_like_another(run: Any, device: Any) -> None:
    names = run("003 L630")
    assert 0 <= names.my_data5.min().item() <= names.my_data5.max().item() < 1
    assert names.my_data5.shape == (4,)
    assert names.my_data5.device == device
    same(names.my_data6, np.zeros(4, np.float32))
    same(names.my_data7, np.ones(4, np.float32))


def test_003_L640_an_array_and_its_tensor_share(run_on_host: Any) -> None:
    names = run_on_host("003 L640")
    assert names.my_data2.tolist() == [7, 1, 2, 3]
    names.my_data2[1] = 9
    assert names.my_data1.tolist() == [7, 9, 2, 3]


def test_003_L647_a_tensor_and_its_array_share(run_on_host: Any) -> None:
    names = run_on_host("003 L647")
    names.my_data4[1, 1] = 8
    assert names.my_data3.tolist() == [[0, 5], [0, 8]]


def test_003_L653_operations_that_make_tensors(device: Any) -> None:
    """The table: from_numpy, zeros, ones, eye, cat, concat, split, stack, take, normal, rand."""
    x = np.arange(6.0).reshape(2, 3)
    t = dt.from_numpy(x).to(device)
    same(dt.eye(2, device=device, dtype=dt.float64), np.eye(2))
    same(dt.cat((t, t), 1), np.concatenate((x, x), 1))
    same(dt.concat((t, t)), np.concatenate((x, x)))
    same(dt.split(t, [1, 2], 1)[1], x[:, 1:])
    same(dt.stack((t, t), 1), np.stack((x, x), 1))
    same(dt.take(t, dt.tensor([5, 0], device=device)), np.take(x, [5, 0]))
    dt.manual_seed(1)
    drawn = dt.normal(3.0, 0.5, (4000,), device=device)
    assert abs(drawn.mean().item() - 3) < 0.05
    assert abs(drawn.std().item() - 0.5) < 0.05
    assert abs(dt.randn(4000, device=device).std().item() - 1) < 0.1
    assert abs(dt.rand(4000, device=device).mean().item() - 0.5) < 0.05


def test_003_L660_attributes(device: Any) -> None:
    t = dt.tensor([[1.0, 2.0]], device=device, requires_grad=True)
    assert (t.dtype, t.shape, t.device, t.grad) == (dt.float32, dt.Size([1, 2]), device, None)
    (t * t).sum().backward()
    assert t.grad.tolist() == [[2, 4]]


@pytest.mark.parametrize(
    ("names", "itemsize"),
    [
        ("float16 half", 2), ("float32 float", 4), ("float64 double", 8), ("bfloat16", 2),
        ("uint8", 1), ("int8", 1), ("int16 short", 2), ("int32 int", 4), ("int64 long", 8),
        ("bool", 1),
    ],
)  # fmt: skip
def test_003_L669_dtypes(names: str, itemsize: int, device: Any) -> None:
    first, *others = (getattr(dt, name) for name in names.split())
    assert all(other is first for other in others)
    t = dt.zeros([2, 2], dtype=first, device=device)
    assert (t.dtype, t.itemsize, t.tolist()) == (first, itemsize, [[0, 0], [0, 0]])


def test_003_L678_a_dtype(run: Any) -> None:
    same(run("003 L678").my_data1, np.zeros((2, 2), np.int8))


def test_003_L767_reshape(run: Any) -> None:
    same(run("003 L767").my_data2, np.array([[0, 1], [2, 3]]))


def test_003_L774_a_dim_that_follows_from_the_others(run: Any) -> None:
    same(run("003 L774").my_data4, np.arange(6).reshape(3, 2))


def test_003_L810_a_clone_is_new_memory_in_the_graph(run: Any, device: Any) -> None:
    names = run("003 L810")
    names.my_data1[0] = 9
    assert names.my_data2.tolist() == [0, 1, 2, 3]
    x = dt.ones(2, device=device, requires_grad=True)
    (x.clone() * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_003_L827_the_same_elements_in_two_orders(run: Any) -> None:
    names = run("003 L827")
    assert names.x.stride() == (12, 4, 2, 1)
    assert names.y.stride() == (12, 1, 6, 3)
    assert names.y.tolist() == names.x.tolist()
    # The text's row of NHWC.
    in_memory = names.y.as_strided((24,), (1,))
    assert in_memory.tolist()[:12] == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]


def test_003_L847_writing_by_index(run: Any) -> None:
    same(run("003 L847").my_data1, np.array([0, 7, 8, 3]))


def test_003_L863_reading_by_index(run: Any) -> None:
    assert run("003 L863").my_data2[-1, -2].item() == 4


def test_003_L880_a_start_may_be_negative_and_a_step_may_not(device: Any) -> None:
    t = dt.arange(6, device=device)
    same(t[-4:], np.arange(6)[-4:])
    same(t[::2], np.arange(6)[::2])
    same(t[1:5:3], np.arange(6)[1:5:3])
    with pytest.raises(ValueError, match="step must be greater than zero"):
        t[::-1]


def test_003_L891_slices_of_pictures(run: Any) -> None:
    names = run("003 L891")
    x = np.arange(24).reshape(2, 3, 2, 2)
    same(names.my_data1[:, 0:2, 1, :], x[:, 0:2, 1, :])
    same(names.my_data1[0, -2:, 0:, 0], x[0, -2:, 0:, 0])


def test_003_L935_dims_of_1_removed(run: Any) -> None:
    names = run("003 L935")
    assert [tuple(getattr(names, f"my_data{n}").shape) for n in (2, 3, 4)] == [
        (3, 2, 5), (3, 1, 2, 1, 5), (3, 2, 1, 5),
    ]  # fmt: skip


def test_003_L953_dims_of_1_added(run: Any) -> None:
    names = run("003 L953")
    same(names.my_data2, np.array([[1, 2, 3, 4]]))
    same(names.my_data3, np.array([[1], [2], [3], [4]]))


def test_003_L974_a_result_needs_a_gradient_if_an_input_does(run: Any, device: Any) -> None:
    needs = run("003 L974").my_data1
    plain = dt.ones(4, device=device)
    assert needs.requires_grad
    assert not plain.requires_grad
    assert (needs + plain).requires_grad
    assert not (plain + plain).requires_grad
