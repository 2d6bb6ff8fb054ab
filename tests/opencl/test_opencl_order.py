"""Sorts and topk of opencl beside PyTorch's stable sort: values, indices, ties, NaN, both zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="PyTorch's stable sort is the reference")

pytestmark = pytest.mark.usefixtures("opencl")
DEVICE = "opencl:0"
DTYPES = (
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
)  # fmt: skip
SHAPES = [
    ((1,), 0), ((40,), 0), ((41,), 0), ((40_001,), 0), ((3, 16_384), 1), ((16_400, 3), 0),
    ((300, 16), 1), ((7, 300), 1), ((300, 7), 0), ((3, 39, 4), 1), ((2, 0), 1), ((0, 3), 1),
]  # fmt: skip
"""Each element compared with all others, or bytes; a line for an item, or in parts; strided."""


def _pair(shape: tuple[int, ...], dtype: str, kind: str) -> tuple[Any, Any]:
    """The same numbers on the device and of PyTorch."""
    draw = np.random.default_rng(sum(shape)).standard_normal(shape)
    numbers = {"many": draw * 1e4, "ties": draw * 2, "same": draw * 0}[kind]
    target = getattr(torch, dtype)
    there = torch.tensor(np.abs(numbers) % 200 if dtype in ("uint8", "bool") else numbers)
    there = there.to(target)
    if target.is_floating_point and kind == "ties" and there.numel() > 30:
        flat, n = there.view(-1), there.numel()
        places = (n // 3, n // 2, n // 5, n // 7, n // 7 + 1, n - 1, 1)
        for at, value in zip(
            places, (np.nan, np.inf, -np.inf, -0.0, 0.0, -np.nan, -0.0), strict=True
        ):
            flat[at] = value
    wide = there.float() if dtype == "bfloat16" else there
    return dt.from_numpy(wide.numpy()).to(getattr(dt, dtype)).to(DEVICE), there


def _same(made: Any, wanted: Any) -> None:
    found, expected = made.double().cpu().numpy(), wanted.double().numpy()
    np.testing.assert_array_equal(found, expected)
    is_number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[is_number], np.signbit(expected)[is_number])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["many", "ties", "same"])
def test_a_sort_is_stable_both_ways(dtype: str, kind: str) -> None:
    for shape, dim in SHAPES:
        here, there = _pair(shape, dtype, kind)
        for descending in (False, True):
            values, indices = here.sort(dim, descending)
            wanted = there.sort(dim=dim, descending=descending, stable=True)
            np.testing.assert_array_equal(indices.cpu().numpy(), wanted[1].numpy())
            _same(values, wanted[0])


@pytest.mark.parametrize("dtype", DTYPES[:-1])
@pytest.mark.parametrize("kind", ["many", "ties", "same"])
def test_topk_is_how_a_stable_sort_begins(dtype: str, kind: str) -> None:
    for shape, dim in SHAPES:
        here, there = _pair(shape, dtype, kind)
        for k in (1, 5, 256, 257):
            if k > shape[dim]:
                continue
            for largest in (False, True):
                values, indices = here.topk(k, dim, largest=largest)
                wanted = there.sort(dim=dim, descending=largest, stable=True)
                first = [part.narrow(dim, 0, k) for part in wanted]
                np.testing.assert_array_equal(indices.cpu().numpy(), first[1].numpy())
                _same(values, first[0])


def test_views_are_read_and_written_where_they_lie(opencl: dt.device) -> None:
    x = dt.randn(5, 700, device=opencl)
    part = x.t()[3:600:2]
    wanted = torch.tensor(part.cpu().numpy()).sort(dim=0, stable=True)
    values, indices = dt.zeros(299, 10, device=opencl), dt.zeros(299, 10, device=opencl).long()
    dt.sort(part, dim=0, out=(values[:, ::2], indices[:, 1::2]))
    np.testing.assert_array_equal(values[:, ::2].cpu().numpy(), wanted[0].numpy())
    np.testing.assert_array_equal(indices[:, 1::2].cpu().numpy(), wanted[1].numpy())
    top = part.topk(3, 0)
    again = torch.tensor(part.cpu().numpy()).topk(3, 0)
    np.testing.assert_array_equal(top[0].cpu().numpy(), again[0].numpy())


def test_few_launches(queue: Any) -> None:
    rows, line = dt.randn(100, 300, device=DEVICE), dt.randn(50_000, device=DEVICE)
    if not queue.is_cpu:
        pytest.skip("GPUs merge")
    for call, launches in (
        (lambda: rows.sort(1), 1),
        (lambda: rows.topk(3, 1), 1),
        (lambda: line.sort(), 10),
        (lambda: line.topk(3), 2),
    ):
        call()
        before = queue.launches
        call()
        assert queue.launches - before == launches


def test_gradients_go_where_values_came_from() -> None:
    x = dt.randn(3, 500, device=DEVICE, requires_grad=True)
    values, indices = x.topk(4, 1)
    values.sum().backward()
    marks = np.zeros((3, 500), np.float32)
    np.put_along_axis(marks, indices.cpu().numpy(), 1, 1)
    np.testing.assert_array_equal(x.grad.cpu().numpy(), marks)


PICKED = [
    ((1,), 0), ((64,), 0), ((65,), 0), ((5, 64), 1), ((16_383,), 0), ((300, 16), 1), ((7, 300), 1),
    ((300, 7), 0), ((3, 39, 4), 1), ((20, 17_000), 1),
]  # fmt: skip
"""Each element compared with all others, or keys found byte by byte; strided."""


def _at(there: Any, dim: int, place: Any) -> list[Any]:
    """(value, index) of PyTorch's stable sort at a place of each line (dim kept)."""
    return [part.gather(dim, place) for part in there.sort(dim=dim, stable=True)]


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "bool"])
@pytest.mark.parametrize("kind", ["many", "ties", "same"])
def test_one_element_of_the_order(dtype: str, kind: str) -> None:
    for shape, dim in PICKED:
        here, there = _pair(shape, dtype, kind)
        n = shape[dim]
        nans = (there != there).sum(dim, keepdim=True)
        middle = torch.where(nans > 0, n - nans, (n - 1) // 2)
        places = [
            (here.kthvalue((n + 2) // 3, dim, True), torch.full_like(nans, (n + 2) // 3 - 1)),
            (here.median(dim, True), middle),
            (here.nanmedian(dim, True), (n - 1 - nans).clamp(min=0) // 2),
        ]
        for made, place in places:
            wanted = _at(there, dim, place)
            np.testing.assert_array_equal(made[1].cpu().numpy(), wanted[1].numpy())
            _same(made[0], wanted[0])
        for name in ("median", "nanmedian"):  # which of two zeros is not said
            wanted = getattr(there.flatten(), name)()
            assert_equal = np.testing.assert_array_equal
            assert_equal(getattr(here, name)().double().cpu().numpy(), wanted.double().numpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_most_frequent(dtype: str) -> None:
    random = np.random.default_rng(3)
    for shape, dim in (((9,), 0), ((70, 64), 1), ((64, 70), 0), ((3, 1), 1), ((2, 65), 1)):
        array = random.integers(0, 5, shape)
        there = torch.tensor(array).to(getattr(torch, dtype))
        here = dt.tensor(array, device=DEVICE).to(getattr(dt, dtype))
        values, indices = here.mode(dim)
        wanted = there.mode(dim)
        np.testing.assert_array_equal(values.double().cpu().numpy(), wanted[0].double().numpy())
        equal = there == wanted[0].unsqueeze(dim)
        order = torch.arange(shape[dim]).reshape([-1 if i == dim else 1 for i in range(len(shape))])
        last = torch.where(equal, order, -1).amax(dim)
        np.testing.assert_array_equal(indices.cpu().numpy(), last.numpy())


def test_nan_is_none_of_several() -> None:
    x = dt.tensor([float("nan"), 2.0, float("nan"), 3.0, 3.0, float("nan")], device=DEVICE)
    assert [t.item() for t in x.mode(0)] == [3.0, 4]
    assert x[:1].mode(0)[1].item() == 0
    assert dt.isnan(x[[0, 2]].mode(0)[0]).item()


def test_a_small_line_is_one_launch(queue: Any) -> None:
    x = dt.arange(64.0, device=DEVICE).reshape(8, 8).sin()
    calls = (
        lambda: x.topk(5), lambda: x.sort(), lambda: x.kthvalue(3), lambda: x.median(),
        lambda: x.median(0), lambda: x.nanmedian(), lambda: x.nanmedian(1), lambda: x.mode(),
    )  # fmt: skip
    for call in calls:
        call()
        before = queue.launches
        call()
        assert queue.is_cpu is False or queue.launches == before + 1
    out = dt.empty(7, device=DEVICE), dt.empty(7, device=DEVICE, dtype=dt.int64)
    dt.kthvalue(x.t()[:, 1:], 2, 0, out=out)
    wanted = torch.arange(64.0).reshape(8, 8).sin().t()[:, 1:].kthvalue(2, 0)
    np.testing.assert_allclose(out[0].cpu().numpy(), wanted[0].numpy(), rtol=1e-5)
    assert out[1].tolist() == wanted[1].tolist()
