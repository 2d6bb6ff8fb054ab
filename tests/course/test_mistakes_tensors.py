"""Mistakes of tensors: M12 to M17, M41 to M45, M53, M55."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

import dovetail as dt

from .comparing import same
from .mistakes import says


def test_M12_a_target_that_would_grow_is_an_error_of_the_run(run: Any) -> None:
    with pytest.raises(RuntimeError) as caught:
        dt.ones(2, 3, 1).add_(dt.ones(2, 3, 3))
    says("M12", str(caught.value))
    assert run("003 L1110").my_data3.shape == (2, 3, 3)
    assert dt.ones(2, 3, 1).add(dt.ones(2, 3, 3)).shape == (2, 3, 3)


def test_M13_there_is_no_norm_in_place(device: Any) -> None:
    x = dt.tensor([3.0, 4.0], device=device)
    with pytest.raises(AttributeError) as caught:
        x.norm_()
    says("M13", str(caught.value))
    assert x.norm().item() == 5
    assert not hasattr(dt.ones(1), "norm_")
    # renorm_ is another thing: it shortens rows.
    assert x.view(1, 2).renorm_(2, 0, 1.0).norm().item() == pytest.approx(1, abs=1e-5)


def test_M14_tan_and_tanh(device: Any) -> None:
    x = np.array([0.3, -1.2])
    t = dt.tensor(x, device=device)
    same(t.tan(), np.tan(x), 1e-12)
    same(t.tanh(), np.tanh(x), 1e-12)


def test_M15_batch_norm_normalises(device: Any) -> None:
    x = np.random.default_rng(0).standard_normal((8, 3)) * 4 + 2
    y = dt.nn.functional.batch_norm(dt.tensor(x, device=device), None, None, training=True)
    same(y, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), 1e-8)


def test_M16_numbers_and_0_d_tensors_broadcast(device: Any) -> None:
    x = dt.ones(2, 3, device=device)
    for other in (2, 2.0, dt.tensor(2.0, device=device), dt.tensor(2.0)):
        assert (x + other).tolist() == [[3, 3, 3]] * 2
    assert (dt.tensor(1.0, device=device) + dt.tensor(2.0, device=device)).shape == ()


@pytest.mark.parametrize(
    "literal", ["[[[1],[2],[3]], [[4],[5],[6]])]", "[[[1],[2],[3]], [[4],[5],[6]])"]
)
def test_M17_brackets_and_dtypes(literal: str, run: Any) -> None:
    with pytest.raises(SyntaxError) as caught:
        ast.parse(f"torch.tensor({literal}")
    says("M17", str(caught.value))
    names = run("003 L1053")
    assert names.my_data2.dtype is dt.int64
    assert names.my_data3.dtype is dt.float32


def test_M41_a_layout_is_a_tensors_own(run: Any) -> None:
    names = run("003 L827")
    assert names.x.is_contiguous()
    assert names.y.is_contiguous(memory_format=dt.channels_last)
    assert not names.x.is_contiguous(memory_format=dt.channels_last)


def test_M42_empty_is_not_initialised_and_integers_stay(run_on_host: Any, device: Any) -> None:
    names = run_on_host("003 L293")
    assert names.my_data9.shape == (3, 2)
    assert names.my_data1.dtype == np.array([1]).dtype == np.int64
    assert dt.tensor([1, 2], device=device).dtype is dt.int64
    assert dt.tensor([1.0, 2], device=device).dtype is dt.float32


@pytest.mark.parametrize("kind", ["int32", "int64", "float32", "uint8"])
def test_M43_the_arrays_dtype(kind: str, device: Any) -> None:
    array = np.array([[1, 2], [3, 4]], kind)
    assert dt.tensor(array, device=device).dtype is getattr(dt, kind)
    assert dt.from_numpy(array).dtype is getattr(dt, kind)


def test_M45_reshape_may_be_a_view_and_clone_is_not(device: Any) -> None:
    x = dt.arange(6.0, device=device, requires_grad=True)
    plain = x.detach()
    reshaped, cloned = plain.reshape(2, 3), plain.clone().view(2, 3)
    plain[0] = 9
    assert (reshaped[0, 0].item(), cloned[0, 0].item()) == (9, 0)
    assert plain.view(2, 3).t().reshape(6).data_ptr() != plain.data_ptr()
    x.clone().view(2, 3).sum().backward()
    assert x.grad.tolist() == [1] * 6


def test_M53_cuda_1_is_the_second_gpu() -> None:
    assert (dt.device("cuda:1").type, dt.device("cuda:1").index) == ("cuda", 1)
    assert dt.device("cpu").index is None


def test_M55_three_dims_are_for_permute(device: Any) -> None:
    image = dt.zeros(3, 4, 5, device=device)
    with pytest.raises(TypeError) as caught:
        image.transpose(1, 2, 0)
    says("M55", str(caught.value))
    assert image.permute(1, 2, 0).shape == (4, 5, 3)
    assert image.cpu().numpy().transpose(1, 2, 0).shape == (4, 5, 3)
