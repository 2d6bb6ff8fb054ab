"""Copies of views, views written over out of place, and what puts elements together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beside_torch import beside_torch, both_raise, same, torch, tuple_of

import dovetail as dt

RNG = np.random.default_rng(0)
X, CUBE = RNG.standard_normal((3, 4)), RNG.standard_normal((2, 3, 4))

COPIES: dict[str, Any] = {
    "alias": lambda m, x: m.alias_copy(x[0]),
    "as_strided": lambda m, x: m.as_strided_copy(x[0], (2, 2), (1, 2)),
    "diagonal": lambda m, x: m.diagonal_copy(x, offset=1, dim1=0, dim2=2),
    "expand": lambda m, x: m.expand_copy(x[:, :1], (2, 3, 4)),
    "permute": lambda m, x: m.permute_copy(x, (2, 0, 1)),
    "select": lambda m, x: m.select_copy(x, dim=1, index=-1),
    "slice": lambda m, x: m.slice_copy(x, 2, 1, None, 2),
    "split": lambda m, x: m.split_copy(x, split_size=2, dim=1),
    "split_with_sizes": lambda m, x: m.split_with_sizes_copy(x, [1, 3], dim=-1),
    "squeeze": lambda m, x: m.squeeze_copy(x[:1], 0),
    "t": lambda m, x: m.t_copy(x[0]),
    "transpose": lambda m, x: m.transpose_copy(x, 0, 2),
    "unbind": lambda m, x: m.unbind_copy(x, 1),
    "unfold": lambda m, x: m.unfold_copy(x, 2, 2, 1),
    "unsqueeze": lambda m, x: m.unsqueeze_copy(x, -1),
    "view": lambda m, x: m.view_copy(x, (4, 6)),
    "view_as_complex": lambda m, x: m.view_as_complex_copy(x.detach().reshape(2, 3, 2, 2)),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies(name: str, device: Any) -> None:
    function = COPIES[name]
    beside_torch(
        lambda x: function(dt, x), lambda x: function(torch, x), CUBE,
        dtype="float64", device=device,
    )  # fmt: skip
    x = dt.tensor(CUBE, device=device)
    for part in tuple_of(function(dt, x)):
        assert part.is_contiguous()
        part.fill_(7)
    np.testing.assert_array_equal(x.cpu().numpy(), CUBE)


def test_copies_of_complex_numbers_and_bits(device: Any) -> None:
    z = dt.tensor(X + 1j, device=device)
    np.testing.assert_array_equal(dt.view_as_real_copy(z)[..., 1].cpu().numpy(), np.ones((3, 4)))
    bits = dt.view_copy(dt.tensor([1.0, 2.0], device=device), dt.int32)
    assert bits.tolist() == np.array([1, 2], np.float32).view(np.int32).tolist()
    assert not dt.detach_copy(dt.ones(2, device=device, requires_grad=True)).requires_grad


def test_copies_into_given_tensors(device: Any) -> None:
    x = dt.tensor(X, device=device)
    out = dt.empty(4, 3, dtype=dt.float64, device=device)
    assert dt.t_copy(x, out=out) is out
    np.testing.assert_array_equal(out.cpu().numpy(), X.T)
    rows = [dt.empty(4, dtype=dt.float64, device=device) for _ in range(3)]
    assert dt.unbind_copy(x, out=rows) is None
    np.testing.assert_array_equal(rows[2].cpu().numpy(), X[2])
    with pytest.raises(RuntimeError, match="must have 3 tensors, got 2"):
        dt.unbind_copy(x, out=rows[:2])


def test_slice_inverse(device: Any) -> None:
    x = dt.tensor(X, device=device, requires_grad=True)
    whole = dt.slice_inverse(x[1:3], x, 0, 1, 3)
    np.testing.assert_array_equal(whole.detach().cpu().numpy(), X)
    assert whole.stride() == x.stride()
    with pytest.raises(RuntimeError, match="out of bounds"):
        dt.slice_inverse(dt.ones(2, 4, device=device), x, 0, 1, 3)


@pytest.mark.parametrize("offset", [None, 1])
@pytest.mark.parametrize("form", ["whole", "transposed", "stepped"])
def test_as_strided_scatter(form: str, offset: int | None, device: Any) -> None:
    forms = {"whole": lambda x: x, "transposed": lambda x: x.t(), "stepped": lambda x: x[1:, ::2]}
    ours, theirs = dt.tensor(X, device=device), torch.tensor(X)
    made = dt.as_strided_scatter(
        forms[form](ours), dt.ones(2, 2, device=device), (2, 2), (1, 2), offset
    )
    expected = torch.as_strided_scatter(
        forms[form](theirs), torch.ones(2, 2), (2, 2), (1, 2), offset
    )
    same(made, expected, 0, form)
    assert made.stride() == expected.stride()
    np.testing.assert_array_equal(ours.cpu().numpy(), X)


def test_gradients_of_as_strided_scatter(device: Any) -> None:
    x = dt.tensor(X, device=device, requires_grad=True)
    src = dt.full((2, 2), 3.0, dtype=dt.float64, device=device, requires_grad=True)
    made = dt.as_strided_scatter(x.t(), src, (2, 2), (4, 1))
    made.square().sum().backward()
    expected = 2 * X
    expected[:2, :2] = 0
    np.testing.assert_array_equal(x.grad.cpu().numpy(), expected)
    assert src.grad.tolist() == [[6.0, 6.0], [6.0, 6.0]]


DIAGONALS: dict[str, Any] = {
    "square": lambda m: m.zeros(3, 3).fill_diagonal_(2),
    "wide": lambda m: m.zeros(2, 5).fill_diagonal_(2, wrap=True),
    "high": lambda m: m.zeros(9, 2).fill_diagonal_(2),
    "wrapped": lambda m: m.zeros(9, 2).fill_diagonal_(2, True),
    "wrapped, cut off": lambda m: m.zeros(7, 3).fill_diagonal_(2, wrap=True),
    "one row more": lambda m: m.zeros(3, 2).fill_diagonal_(2, wrap=True),
    "cube": lambda m: m.zeros(3, 3, 3).fill_diagonal_(2),
    "four dims": lambda m: m.zeros(2, 2, 2, 2).fill_diagonal_(2),
    "nothing": lambda m: m.zeros(0, 3).fill_diagonal_(2),
    "a tensor": lambda m: m.zeros(2, 2).fill_diagonal_(m.tensor(3.0)),
    "transposed": lambda m: m.zeros(2, 3).t().fill_diagonal_(2),
    "integers": lambda m: m.zeros(2, 3, dtype=m.int64).fill_diagonal_(1.7),
}


@pytest.mark.parametrize("name", DIAGONALS)
def test_fill_diagonal(name: str) -> None:
    same(DIAGONALS[name](dt), DIAGONALS[name](torch), 0, name)


def test_fill_diagonal_wraps_in_any_layout(device: Any) -> None:
    x = dt.zeros(2, 7, device=device).t().fill_diagonal_(1, wrap=True)
    expected = np.zeros((7, 2), np.float32)
    np.fill_diagonal(expected, 1, wrap=True)
    np.testing.assert_array_equal(x.cpu().numpy(), expected)


TOGETHER: dict[str, Any] = {
    "product": lambda m, x: m.cartesian_prod(x[0], x[1, :2], x[2, :3]),
    "product of one": lambda m, x: m.cartesian_prod(x[0]),
    "product with nothing": lambda m, x: m.cartesian_prod(x[0], x[0, :0]),
    "pairs": lambda m, x: m.combinations(x[0]),
    "triples": lambda m, x: m.combinations(x[0], r=3),
    "with replacement": lambda m, x: m.combinations(x[0], 3, with_replacement=True),
    "of one": lambda m, x: m.combinations(x[0], 1),
    "of none": lambda m, x: m.combinations(x[0], 0),
    "too few": lambda m, x: m.combinations(x[0, :1], 2),
    "padded": lambda m, x: m.constant_pad_nd(x, (1, 0, 2, -1), 3.5),
    "reshaped": lambda m, x: x.index_put((m.tensor([0, 2]),), x[1] * 2),
    "added": lambda m, x: m.index_put(x, (m.tensor([0, 0]),), x[1], accumulate=True),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_together(name: str) -> None:
    function = TOGETHER[name]
    beside_torch(lambda x: function(dt, x), lambda x: function(torch, x), X, dtype="float64")


WRONG: dict[str, Any] = {
    "product of nothing": lambda m, x: m.cartesian_prod(),
    "product of a matrix": lambda m, x: m.cartesian_prod(x, x[0]),
    "one matrix": lambda m, x: m.cartesian_prod(x),
    "product of dtypes": lambda m, x: m.cartesian_prod(x[0], x[0].double()),
    "combinations of a matrix": lambda m, x: m.combinations(x),
    "negative r": lambda m, x: m.combinations(x[0], -1),
    "odd pad": lambda m, x: m.constant_pad_nd(x, (1,)),
    "too much pad": lambda m, x: m.constant_pad_nd(x, (1,) * 6),
    "diagonal of a vector": lambda m, x: x[0].fill_diagonal_(1),
    "diagonal of no cube": lambda m, x: x.reshape(3, 2, 2).fill_diagonal_(1),
    "scatter of another size": lambda m, x: m.as_strided_scatter(x, x[0], (2, 2), (1, 1)),
    "scatter out of bounds": lambda m, x: m.as_strided_scatter(x, x[:2, :2], (2, 2), (1, 99)),
    "scatter without strides": lambda m, x: m.as_strided_scatter(x, x[0], (4,), (1, 1)),
    "slice of a number": lambda m, x: m.slice_scatter(x[0, 0], x[0, 0]),
    "select of a number": lambda m, x: m.select_scatter(x[0, 0], x[0, 0], 0, 0),
    "shape": lambda m, x: m.unravel_index(m.tensor([1]), (2, -3)),
    "shape of floats": lambda m, x: m.unravel_index(m.tensor([1]), (2, 3.0)),
    "no shape": lambda m, x: m.unravel_index(m.tensor([1]), m.tensor([2])),
    "indices of floats": lambda m, x: m.unravel_index(x, (2, 3)),
    "indices of bool": lambda m, x: m.unravel_index(x > 0, (2, 3)),
    "segments that do not add up": lambda m, x: m.segment_reduce(
        x, "sum", lengths=m.tensor([1, 1])
    ),
    "segments below 0": lambda m, x: m.segment_reduce(x, "sum", lengths=m.tensor([-1, 4])),
    "segments of another axis": lambda m, x: m.segment_reduce(
        x, "sum", lengths=m.tensor([3]), axis=1
    ),
    "segments by index": lambda m, x: m.segment_reduce(x, "sum", indices=m.tensor([3])),
}
OWN_WORDS = ("too much pad", "product of dtypes", "no shape", "indices of floats",
             "indices of bool", "shape of floats", "select of a number")  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_refuses(name: str) -> None:
    both_raise(WRONG[name], X, text=name not in OWN_WORDS)


def test_unravel_index(device: Any) -> None:
    places = dt.tensor([[0, 5], [11, -1]], device=device)
    found = dt.unravel_index(places, (3, 4))
    theirs = torch.unravel_index(torch.tensor([[0, 5], [11, -1]]), (3, 4))
    for a, b in zip(found, theirs, strict=True):
        same(a, b, 0, "places")
    assert dt.unravel_index(places, 20)[0].tolist() == [[0, 5], [11, 19]]
    assert dt.unravel_index(places, ()) == ()


def test_changed_by_a_function() -> None:
    x = np.arange(6.0).reshape(2, 3)
    for m in (dt, torch):
        one = m.tensor(x).t()
        assert one.apply_(lambda a: a * 2) is one
        np.testing.assert_array_equal(one.numpy(), 2 * x.T)
        two = m.tensor(x).map_(m.tensor(x[:, :1]), lambda a, b: a + b)
        np.testing.assert_array_equal(two.numpy(), x + x[:, :1])
        three = m.tensor(x).map2_(m.tensor(x), m.tensor(x[0]), lambda a, b, c: a + b * c)
        np.testing.assert_array_equal(three.numpy(), x + x * x[0])
        assert m.tensor([-3, 5]).apply_(lambda a: a / 2).tolist() == [-1, 2]
        assert m.tensor([True, False]).apply_(lambda a: not a).tolist() == [False, True]
        big = 2**60 + 1
        assert m.tensor([big]).apply_(lambda a: a + 2).tolist() == [big + 2]


CHANGED: dict[str, Any] = {
    "apply": lambda m, x: x.requires_grad_().apply_(lambda a: a),
    "map": lambda m, x: x.map_(x.clone().requires_grad_(), lambda a, b: a),
    "another dtype": lambda m, x: x.map_(x.to(m.int64), lambda a, b: a),
    "no tensor": lambda m, x: x.map_(3, lambda a, b: a),
    "another shape": lambda m, x: x.map_(x[:2, :3], lambda a, b: a),
    "no number": lambda m, x: x.apply_(lambda a: "a"),
    "no function": lambda m, x: x.apply_(3),
}


@pytest.mark.parametrize("name", CHANGED)
def test_functions_refused(name: str) -> None:
    both_raise(CHANGED[name], X, text=name not in ("no number", "another shape"))


def test_resize_is_deprecated(device: Any) -> None:
    x = dt.tensor(X, device=device, requires_grad=True)
    with pytest.warns(UserWarning, match="non-inplace resize is deprecated"):
        made = x.resize(4, 3)
    np.testing.assert_array_equal(made.detach().cpu().numpy(), X.reshape(4, 3))
    made.sum().backward()
    assert x.grad.sum().item() == 12
    with pytest.warns(UserWarning, match="non-inplace resize_as is deprecated"):
        assert x.resize_as(dt.zeros(2, 6, device=device)).shape == (2, 6)
    for wrong in ((5, 3), (-4, -3)):
        with (
            pytest.warns(UserWarning, match="deprecated"),
            pytest.raises(RuntimeError, match="requested resize to"),
        ):
            x.resize(wrong)


def test_unsafe_parts_may_be_written(device: Any) -> None:
    x = dt.tensor(X, device=device, requires_grad=True)
    first, rest = (x * 1).unsafe_split(2)
    first.mul_(3)
    (first.sum() + rest.sum()).backward()
    assert x.grad.sum(1).tolist() == [12.0, 12.0, 4.0]
    assert [p.shape[1] for p in dt.unsafe_split_with_sizes(x, [1, 3], 1)] == [1, 3]


def test_trace_of_a_matrix_and_of_calls(device: Any) -> None:
    assert dt.trace(dt.tensor([[1, 2], [3, 4]], device=device)).item() == 5
    with dt.trace() as events:
        dt.ones(2, device=device)
    assert [e.op for e in events] == ["fill"]


def test_other_names_of_arguments(device: Any) -> None:
    x = dt.tensor(X, device=device)
    assert [p.shape[0] for p in dt.tensor_split(x, sections=2)] == [2, 1]
    assert [p.shape[1] for p in x.tensor_split(indices=[1], dim=1)] == [1, 3]
    with pytest.raises(TypeError, match="given once"):
        dt.tensor_split(x)
    assert dt.block_diag().shape == (1, 0)
    index = dt.tensor([[0, 1, 1, 0]], device=device)
    made = x.scatter_reduce(0, index, x[:1], "max")
    assert made.tolist() == x.scatter_reduce(0, index, x[:1], "amax").tolist()
