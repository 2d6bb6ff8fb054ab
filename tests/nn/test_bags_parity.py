"""``embedding_bag`` beside PyTorch's, values and gradients: ties, empty bags, padding, weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="PyTorch's embedding_bag is the reference")

INDEX = np.array([5, 1, 2, 1, 0, 4, 4, 3, 2, 0, 5, 2])
OFFSETS = np.array([0, 3, 3, 4, 9])  # the third bag holds row 1 alone
CASES: list[dict[str, Any]] = [
    {"mode": mode, "padding_idx": padding}
    for mode in ("sum", "mean", "max", "weighted")
    for padding in (None, 1)
]


def _run(library: Any, table: Any, index: Any, offsets: Any, factors: Any, **how: Any) -> Any:
    if how["mode"] == "weighted":
        how |= {"mode": "sum", "per_sample_weights": factors}
    return library.nn.functional.embedding_bag(index, table, offsets, **how)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("how", CASES, ids=str)
@pytest.mark.parametrize("end", [None, 12, 10])
@pytest.mark.parametrize("kind", ["int64", "int32"])
def test_bags(kind: str, end: int | None, how: dict[str, Any], dtype: str, device: Any) -> None:
    how = {**how, "include_last_offset": end is not None}
    rng = np.random.default_rng(3)
    # Few values: most bags have several largest elements.
    table = rng.integers(-2, 2, (6, 7)).astype(dtype)
    offsets = OFFSETS if end is None else np.append(OFFSETS, end)
    slopes, factors = rng.standard_normal((5, 7)), rng.standard_normal(12).astype(dtype)
    # PyTorch needs the last bag's end to be the input's; ours leaves away what is behind.
    index = INDEX[:end]

    wide = [torch.from_numpy(a).double().requires_grad_() for a in (table, factors)]
    given = torch.from_numpy(index), torch.from_numpy(offsets)
    wanted = _run(torch, wide[0], *given, wide[1][:end], **how)
    wanted.backward(torch.from_numpy(slopes))
    mine = [dt.tensor(a, device=device).requires_grad_() for a in (table, factors)]
    places = [dt.tensor(a.astype(kind), device=device) for a in (INDEX, offsets)]
    made = _run(dt, mine[0], *places, mine[1], **how)
    made.backward(dt.tensor(slopes.astype(dtype), device=device))
    pairs = [(made.detach(), wanted.detach()), (mine[0].grad, wide[0].grad)]
    if how["mode"] == "weighted":
        pairs.append((mine[1].grad, wide[1].grad))
    near = {"float32": 1e-5, "float16": 2e-2}[dtype]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours.cpu().numpy(), theirs.numpy(), rtol=near, atol=near)


def test_the_first_of_equal_rows_gets_the_gradient(device: Any) -> None:
    table = dt.tensor([[1.0], [1.0]], device=device).requires_grad_()
    index = dt.tensor([[1, 0]], device=device)
    dt.nn.functional.embedding_bag(index, table, mode="max").sum().backward()
    assert table.grad.tolist() == [[0.0], [1.0]]


def test_the_largest_may_be_infinite_or_no_number(device: Any) -> None:
    nan, inf = float("nan"), float("inf")
    table = dt.tensor([[-inf, 1.0], [0.0, nan], [-inf, inf]], device=device).requires_grad_()
    index, offsets = (dt.tensor(a, device=device) for a in ([0, 2, 1, 2], [0, 2, 2]))
    made = dt.nn.functional.embedding_bag(index, table, offsets, mode="max")
    np.testing.assert_array_equal(
        made.detach().cpu().numpy(), [[-inf, inf], [0.0, 0.0], [0.0, nan]]
    )
    made.sum().backward()
    assert table.grad.tolist() == [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_no_bags_and_no_indices(mode: str, device: Any) -> None:
    table = dt.ones(3, 2, device=device).requires_grad_()
    for index, offsets, has_last in (([0, 1], [], False), ([], [0, 0], False), ([], [0], True)):
        places = [dt.tensor(a, dtype=dt.int64, device=device) for a in (index, offsets)]
        made = dt.nn.functional.embedding_bag(
            places[0], table, places[1], mode=mode, include_last_offset=has_last
        )
        assert made.tolist() == [[0.0, 0.0]] * (len(offsets) - has_last)
        made.sum().backward()
        assert not table.grad.any()


@pytest.mark.parametrize("mode", ["sum", "max"])
def test_bags_of_an_example(mode: str) -> None:
    table, index = dt.randn(5, 3), dt.tensor([[[0, 1], [2, 2]], [[4, 3], [1, 0]]])

    def one(bags: Any) -> Any:
        return dt.nn.functional.embedding_bag(bags, table, mode=mode)

    made = dt.func.vmap(one)(index)
    expected = dt.stack([one(bags) for bags in index])
    np.testing.assert_allclose(made.numpy(), expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    ("offsets", "sentence"),
    [([1, 2], "has to be 0"), ([0, 9], "greater than input's length 4"), ([0, 3, 2], "not fall")],
)
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("dtype", [dt.float32, dt.float16])
def test_wrong_offsets(
    dtype: Any, mode: str, offsets: list[int], sentence: str, device: Any
) -> None:
    """Told at the call, or where a device has a kernel that looks, when values are asked for."""
    index = dt.tensor([0, 1, 1, 0], device=device)
    table = dt.ones(2, 3, dtype=dtype, device=device)
    bounds = dt.tensor(offsets, device=device)

    with pytest.raises(RuntimeError, match=sentence):
        dt.nn.functional.embedding_bag(index, table, bounds, mode=mode).cpu()
