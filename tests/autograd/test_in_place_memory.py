"""What an in-place operation that is recorded holds: one tensor, which is the written one."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import dovetail as dt
from dovetail.backend.allocator import pool_for

NAMES = ("relu_", "sigmoid_", "tanh_", "exp_", "sqrt_")
COUNT = 1 << 14


@pytest.fixture
def loop(need_device: Any) -> str:
    need_device("loop")
    return "loop:0"


@pytest.mark.parametrize("name", NAMES)
def test_one_tensor_is_held(loop: str, name: str) -> None:
    leaf = dt.ones(COUNT, device=loop, requires_grad=True)
    pool = pool_for(loop)
    gc.collect()
    before = pool.allocated
    y = leaf + 1
    pointer = y.data_ptr()
    version = y._version
    assert getattr(y, name)() is y
    assert pool.allocated - before < 5 * COUNT  # numbers that plans keep come with it
    assert y.data_ptr() != pointer  # it has the memory that the result was computed in
    assert y._version == version + 1
    y.sum().backward()
    expected = dt.full((3,), 2.0, requires_grad=True)
    getattr(expected, name[:-1])().sum().backward()
    assert leaf.grad[:3].tolist() == pytest.approx(expected.grad.tolist(), rel=1e-6)


@pytest.mark.parametrize("device", ["cpu", "loop:0"])
@pytest.mark.parametrize("name", NAMES)
def test_a_later_write_is_an_error(need_device: Any, device: str, name: str) -> None:
    """As in PyTorch: backward needs the values that the operation wrote."""
    need_device(device)
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    for library, place in ((torch, "cpu"), (dt, device)):
        leaf = library.ones(5, device=place, requires_grad=True)
        y = getattr(leaf + 1, name)()
        y.mul_(2)
        with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
            y.sum().backward()


@pytest.mark.parametrize("device", ["cpu", "loop:0"])
def test_who_shares_the_memory_sees_the_write(need_device: Any, device: str) -> None:
    need_device(device)
    leaf = dt.ones(4, device=device, requires_grad=True)
    for share in (lambda y: y.detach(), lambda y: y[1:], lambda y: y.data, lambda y: y.view(2, 2)):
        y = leaf * -3
        other = share(y)
        y.relu_()
        assert other.sum().item() == 0.0
    y = leaf * -3
    kept = y.tanh()  # holds y itself, and its own result
    y.relu_()
    assert kept[0].item() == pytest.approx(-0.9950547)
    y = leaf.tanh()  # backward needs it as it is
    y.relu_()
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        y.sum().backward()


def test_a_leaf_keeps_its_memory(loop: str) -> None:
    """So that it may be a graph's input."""
    weight = dt.ones(4, device=loop, requires_grad=True)
    x = dt.ones(4, device=loop)
    pointer = x.data_ptr()
    x.mul_(weight)
    assert x.data_ptr() == pointer
    assert x.requires_grad
