"""Views against PyTorch: shape, strides, storage offset, aliasing, and which calls raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import dovetail
from tests.parity.harness import torch

View = Callable[[Any], Any]

VIEWS: dict[str, View] = {
    "view": lambda x: x.view(4, 6),
    "view -1": lambda x: x.view(-1),
    "view of a permutation": lambda x: x.permute(1, 0, 2).view(3, -1),
    "view within": lambda x: x.permute(2, 0, 1).view(4, 6),
    "reshape copies": lambda x: x.permute(1, 0, 2).reshape(3, -1),
    "reshape views": lambda x: x.reshape(6, 4),
    "permute": lambda x: x.permute(2, 0, 1),
    "permute negative": lambda x: x.permute(-1, 0, 1),
    "permute twice a dim": lambda x: x.permute(0, 0, 1),
    "transpose": lambda x: x.transpose(0, -1),
    "t of a matrix": lambda x: x[0].t(),
    "t of 3-D": lambda x: x.t(),
    "mT": lambda x: x.mT,
    "squeeze": lambda x: x[0:1].squeeze(),
    "squeeze dim": lambda x: x[0:1].squeeze(0),
    "squeeze nothing": lambda x: x.squeeze(1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "unsqueeze end": lambda x: x.unsqueeze(-1),
    "unsqueeze out of range": lambda x: x.unsqueeze(5),
    "expand": lambda x: x[:, :1].expand(2, 5, 4),
    "expand -1": lambda x: x[:, :1].expand(-1, 5, -1),
    "expand lead": lambda x: x.expand(7, 2, 3, 4),
    "expand impossible": lambda x: x.expand(2, 5, 4),
    "select": lambda x: x.select(1, 2),
    "select negative": lambda x: x.select(-1, -1),
    "select out of range": lambda x: x.select(0, 2),
    "narrow": lambda x: x.narrow(2, 1, 2),
    "narrow too far": lambda x: x.narrow(2, 3, 2),
    "index int": lambda x: x[1],
    "index slice": lambda x: x[:, 1:3],
    "index step": lambda x: x[..., ::2],
    "index none": lambda x: x[:, None, 0],
    "index mixed": lambda x: x[0, -2:, 0:],
    "index past the end": lambda x: x[5],
    "index too many": lambda x: x[0, 0, 0, 0],
    "negative step": lambda x: x[::-1],
    "diagonal": lambda x: x.diagonal(0, 1, 2),
    "diagonal offset": lambda x: x.diagonal(-1, 0, 2),
    "unfold": lambda x: x.unfold(2, 2, 1),
    "as_strided": lambda x: x.as_strided((2, 2), (1, 3), 4),
    "as_strided out of bounds": lambda x: x.as_strided((20, 2), (3, 3)),
    "detach": lambda x: x.detach(),
    "chain": lambda x: x[1].t()[::2].unsqueeze(0).transpose(1, 2),
    "movedim": lambda x: x.movedim(0, 2),
    "flatten": lambda x: x.flatten(1),
    "unflatten": lambda x: x.unflatten(2, (2, 2)),
    "unbind": lambda x: x.unbind(1)[2],
    "split": lambda x: x.split(2, dim=1)[1],
    "chunk": lambda x: x.chunk(2, dim=2)[1],
    "view_as": lambda x: x.view_as(x),
    "contiguous": lambda x: x.permute(2, 0, 1).contiguous(),
    "clone keeps strides": lambda x: x.permute(2, 0, 1).clone(),
    "elementwise keeps strides": lambda x: x.permute(2, 0, 1) * 2,
}


def both() -> tuple[Any, Any]:
    values = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    return dovetail.tensor(values), torch.tensor(values)


@pytest.mark.parametrize("name", VIEWS)
def test_view(name: str, device: Any) -> None:
    view = VIEWS[name]
    mine, yours = both()
    mine = mine.to(device)
    try:
        expected = view(yours)
    except Exception as error:
        with pytest.raises(type(error)):
            view(mine)
        return
    made = view(mine)
    assert tuple(made.shape) == tuple(expected.shape)
    assert made.stride() == expected.stride()
    assert made.storage_offset() == expected.storage_offset()
    assert made.is_contiguous() == expected.is_contiguous()
    assert made.cpu().tolist() == expected.tolist()
    # A view writes into its base, a copy does not.
    made.zero_()
    expected.zero_()
    assert mine.cpu().tolist() == yours.tolist()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shape=st.lists(st.integers(0, 4), min_size=0, max_size=4),
    order=st.randoms(use_true_random=False),
    target=st.lists(st.integers(-1, 6), min_size=0, max_size=4),
)
def test_reshape_of_any_permutation(shape: list[int], order: Any, target: list[int]) -> None:
    values = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    dims = list(range(len(shape)))
    order.shuffle(dims)
    mine = dovetail.tensor(values).permute(dims)
    yours = torch.tensor(values).permute(dims)
    for method in ("view", "reshape"):
        try:
            expected = getattr(yours, method)(target)
        except RuntimeError:
            with pytest.raises(RuntimeError):
                getattr(mine, method)(target)
            continue
        made = getattr(mine, method)(target)
        assert tuple(made.shape) == tuple(expected.shape)
        assert made.tolist() == expected.tolist()
        if expected.numel():
            assert made.stride() == expected.stride()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    a=st.lists(st.sampled_from([1, 1, 2, 3]), max_size=4),
    b=st.lists(st.sampled_from([1, 1, 2, 3]), max_size=4),
)
def test_broadcasting_of_any_two_shapes(a: list[int], b: list[int]) -> None:
    rng = np.random.default_rng(len(a) * 10 + len(b))
    x, y = (rng.standard_normal(s).astype(np.float32) for s in (a, b))
    mine = [dovetail.tensor(v, requires_grad=True) for v in (x, y)]
    yours = [torch.tensor(v, requires_grad=True) for v in (x, y)]
    try:
        expected = yours[0] * yours[1]
    except RuntimeError:
        with pytest.raises(RuntimeError, match="must match the size of tensor"):
            _ = mine[0] * mine[1]
        return
    made = mine[0] * mine[1]
    np.testing.assert_array_equal(made.detach().numpy(), expected.detach().numpy())
    made.backward(dovetail.ones(made.shape))
    expected.backward(torch.ones(expected.shape))
    for p, q in zip(mine, yours, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), 1e-6, 1e-6)
