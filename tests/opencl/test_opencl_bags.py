"""embedding_bag of bags of one length: one launch, with its gradient, and wrong indices told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="PyTorch's embedding_bag is the reference")

SIZES = [((1000, 100), (50, 21)), ((7, 5), (3, 4)), ((7, 1), (3, 1)), ((50, 33), (200, 7))]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_bags_of_one_length(dtype: str, mode: str, queue: Any) -> None:
    rng = np.random.default_rng(5)
    last = {"float16": 4e-3, "float32": 2e-6, "float64": 4e-15}[dtype]
    for table, bags in SIZES:
        weight = rng.standard_normal(table).astype(dtype)
        index = rng.integers(0, table[0], bags)
        slopes = rng.standard_normal((bags[0], table[1])).astype(dtype)
        wide = torch.from_numpy(weight).double().requires_grad_()
        wanted = torch.nn.functional.embedding_bag(torch.from_numpy(index), wide, mode=mode)
        wanted.backward(torch.from_numpy(slopes).double())
        x = dt.tensor(weight, device="opencl:0").requires_grad_()
        places = dt.tensor(index, device="opencl:0")
        before = queue.launches
        got = dt.nn.functional.embedding_bag(places, x, mode=mode)
        assert dtype == "float16" or queue.launches == before + 1
        got.backward(dt.tensor(slopes, device="opencl:0"))
        for made, right in ((got.detach(), wanted.detach()), (x.grad, wide.grad)):
            most = last * float(right.abs().max()) * 4
            np.testing.assert_allclose(made.cpu().numpy(), right.numpy(), rtol=last, atol=most)


@pytest.mark.parametrize("place", [0, 5])
def test_an_index_out_of_range_is_told(place: int, opencl: dt.device) -> None:
    index = np.ones((3, 6), np.int64)
    index[1, place] = 9
    with pytest.raises(IndexError, match="index out of range in self: index 9, size 5"):
        dt.nn.functional.embedding_bag(
            dt.tensor(index, device=opencl), dt.ones(5, 8, device=opencl)
        ).cpu()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("width", [3, 70, 300])
def test_bags_of_any_length(dtype: str, mode: str, width: int, queue: Any) -> None:
    rng = np.random.default_rng(6)
    last = {"float16": 4e-3, "float32": 2e-6, "float64": 4e-15}[dtype]
    for starts, count in (([0, 0, 5, 5, 40], 60), ([0], 33), ([0, 30, 60], 60)):
        weight = rng.standard_normal((50, width)).astype(dtype)
        index = rng.integers(0, 50, count)
        slopes = rng.standard_normal((len(starts), width)).astype(dtype)
        wide = torch.from_numpy(weight).double().requires_grad_()
        given = torch.from_numpy(index), wide, torch.tensor(starts)
        wanted = torch.nn.functional.embedding_bag(*given, mode=mode)
        wanted.backward(torch.from_numpy(slopes).double())
        x = dt.tensor(weight, device="opencl:0").requires_grad_()
        places = dt.tensor(index, device="opencl:0")
        offsets = dt.tensor(starts, device="opencl:0")
        got = dt.nn.functional.embedding_bag(places, x, offsets, mode=mode)
        got.backward(dt.tensor(slopes, device="opencl:0"))
        for made, right in ((got.detach(), wanted.detach()), (x.grad, wide.grad)):
            most = last * float(right.abs().max()) * 8
            np.testing.assert_allclose(made.cpu().numpy(), right.numpy(), rtol=last, atol=most)


@pytest.mark.parametrize("width", [8, 64])
@pytest.mark.parametrize("is_backward", [False, True])
def test_a_wrong_index_in_a_bag_is_told(width: int, is_backward: bool, opencl: dt.device) -> None:
    index, starts = np.array([1, 0, 9, 2]), np.array([0, 3, 4])
    places, bounds = dt.tensor(index, device=opencl), dt.tensor(starts, device=opencl)
    if is_backward:
        made = dt.ops.bag_sum_backward(dt.ones(2, width, device=opencl), places, bounds, 5)
    else:
        made = dt.ops.bag_sum(dt.ones(5, width, device=opencl), places, bounds)
    with pytest.raises(IndexError, match="index 9, size 5"):
        made.cpu()
