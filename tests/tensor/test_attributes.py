"""What a tensor tells of itself, beside PyTorch: attributes, storage, ``grad``, ``data``, sizes."""

from __future__ import annotations

from typing import Any

import pytest
from tensor_beside import check

import dovetail as dt

CASES = r"""
torch.ones(2,3).shape
torch.ones(2,3).size()
torch.ones(2,3).size(-1)
torch.ones(2,3).size(2)
torch.ones(2,3).size(dim=1)
torch.ones(()).size(0)
torch.ones(2,3).ndim
torch.ones(2,3).dim()
torch.ones(2,3).ndimension()
torch.ones(2,3).numel()
torch.ones(2,3).nelement()
torch.ones(2,3).element_size()
torch.ones(2,3).itemsize
torch.ones(2,3).nbytes
torch.ones(2,3).stride()
torch.ones(2,3).stride(0)
torch.ones(2,3).stride(dim=0)
torch.ones(2,3).stride(5)
torch.ones(2,3)[1].storage_offset()
torch.ones(2,3).layout
torch.ones(2,3).is_leaf
torch.ones(2,3).requires_grad
torch.ones(2,3).grad
torch.ones(2,3).grad_fn
torch.ones(2,3).names
torch.ones(2,3).is_sparse
torch.ones(2,3).is_quantized
torch.ones(2,3).is_mkldnn
torch.ones(2,3).is_meta
torch.ones(2,3).is_pinned()
torch.ones(2,3).is_shared()
torch.ones(2,3).is_inference()
torch.ones(2,3).is_conj()
torch.ones(2,3).is_neg()
torch.ones(2,3).is_signed()
torch.ones(2,3).is_nonzero()
torch.ones(1).is_nonzero()
torch.ones(2,3).is_same_size(torch.ones(2,3))
torch.ones(2,3).is_set_to(torch.ones(2,3))
torch.ones(2,3).T
torch.ones(2,3,4).T.shape
torch.ones(2).T
torch.ones(2,3,4).mT.shape
torch.ones(2).mT
torch.ones(2,3).H
torch.ones(2,3).mH.shape
torch.ones(2,3).dense_dim()
torch.ones(2,3).sparse_dim()
torch.ones(2,3).output_nr
torch.ones(2,3)._version
torch.ones(2,3).retains_grad
torch.ones(2,3).has_names()
torch.ones(2,3).data
torch.ones(2,3).real
torch.ones(2,3,dtype=torch.complex64).real
torch.ones(2,3).imag
torch.float is torch.float32
torch.ones(4).view_as(torch.ones(2,2))
torch.ones(2,3).expand(4,2,3).stride()
torch.ones(2,3).clone()
torch.clone(torch.ones(2))
torch.ones(2).detach()
torch.detach(torch.ones(2))
x = torch.ones(2); x.grad = torch.ones(2); x.grad
x = torch.ones(2); x.grad = torch.ones(3); x
x = torch.ones(2); x.grad = 5; x
x = torch.ones(2); x.grad = torch.ones(2,dtype=torch.float64); x
x = torch.ones(2); x.grad = None; x.grad
x = torch.ones(2,requires_grad=True); del x.grad; x.grad
x = torch.ones(2); x.shape = (1,2); x
x = torch.ones(2); x.dtype = torch.int32; x
x = torch.ones(2); x.device = "cpu"; x
x = torch.ones(2); x.data = torch.zeros(3); x
x = torch.ones(2,requires_grad=True); x.data = torch.zeros(3); x
x = torch.ones(2,requires_grad=True); x.data.fill_(3); x
x = torch.ones(2,requires_grad=True); x.data = torch.zeros(3, dtype=torch.int64); x
x = torch.ones(2); x.data = [1]; x
x = torch.ones(2,requires_grad=True); x.requires_grad = False; x.requires_grad
x = torch.ones(2,dtype=torch.int64); x.requires_grad = True; x
x = torch.ones(2,requires_grad=True); (x*2).requires_grad_(False)
x = torch.ones(2,requires_grad=True); y = x*2; y.requires_grad = False; x
torch.ones(2,requires_grad=True).detach().requires_grad
torch.ones(2).foo
torch.ones(2).foo_()
torch.foo
torch.ones(2).untyped_storage().nbytes()
torch.ones(2,3)[1].untyped_storage().nbytes()
torch.ones(2).is_pinned()
torch.get_num_threads() > 0
torch.get_num_interop_threads() > 0
x = torch.ones(2,3); x.resize_(3,2)
x = torch.ones(2,3); x.resize_(1,2)
x = torch.ones(2,3); x.resize_((4,2)).shape
x = torch.ones(2,3); x.resize_as_(torch.ones(6)).shape
x = torch.ones(2,3); x.set_(torch.zeros(3)).shape
x = torch.ones(2,3); x.t_().shape
x = torch.ones(2,1,3); x.squeeze_().shape
x = torch.ones(2,3); x.unsqueeze_(0).shape
x = torch.ones(2,3); x.transpose_(0,1).stride()
torch.ones(3).nbytes
torch.ones(3).rename(None).shape
torch.tensor([3,1,2]).sort()
torch.ones(2,3).dim_order()
torch.ones(2).new_ones((2,), device="cpu")
torch.equal(torch.ones(2), torch.ones(2))
torch.ones(2).equal(torch.ones(2))
torch.ones(2).__array_priority__
torch.ones(2).__class__.__name__
torch.ones(2).dtype == torch.float
torch.Size([2,3]).numel()
torch.Size([2,3]) + (1,)
torch.Size([2,3])[0:1]
torch.Size([2,3]) * 2
(1,) + torch.Size([2])
torch.Size([2,3]) == (2,3)
torch.Size((2,3))
torch.Size([2.5])
torch.Size("ab")
torch.Size(3)
torch.Size([torch.tensor(3)])
torch.Size([2,3]).count(2)
torch.device('cpu') == torch.device('cpu')
torch.device('cpu:0') == torch.device('cpu')
torch.device('cpu', 0)
torch.device('cpu').index
torch.device('foo')
torch.device('cpu:x')
torch.set_grad_enabled(True).__class__.__name__
torch.is_inference(torch.ones(1))
torch.ones(2, requires_grad=True).detach_().requires_grad
torch.is_same_size(torch.ones(2), torch.ones(2))
torch.e, torch.pi, torch.inf, torch.nan is not None, torch.newaxis
torch.ones(3)[torch.newaxis].shape
isinstance(torch.strided, torch.layout)
""".strip().splitlines()


@pytest.mark.parametrize("code", CASES)
def test_as_pytorch(code: str, device: Any) -> None:
    check(code, device)


def test_storage_is_shared_by_views(device: Any) -> None:
    x = dt.arange(6.0, device=device).view(2, 3)
    row = x[1]
    assert row.untyped_storage() == x.untyped_storage()
    assert row.untyped_storage().nbytes() == 24
    assert row.storage_offset() == 3
    assert x.clone().untyped_storage() != x.untyped_storage()
    assert dt.ones(1, dtype=dt.uint8, device=device).untyped_storage().tolist() == [1]


def test_data_ptr_tells_views_apart() -> None:
    x = dt.ones(4)
    assert x[1:].data_ptr() == x.data_ptr() + 4
    assert x.clone().data_ptr() != x.data_ptr()
    assert dt.ones(0).data_ptr() == 0


def test_grad_is_checked_when_it_is_assigned(device: Any) -> None:
    x = dt.ones(2, device=device)
    for value, text in (
        (dt.ones(3, device=device), "different size"),
        (dt.ones(2, device=device, dtype=dt.float64), "different type"),
        (x, "its own grad"),
    ):
        with pytest.raises(RuntimeError, match=text):
            x.grad = value
    with pytest.raises(TypeError, match="expected to be a Tensor or None"):
        x.grad = 5
    if not x.is_cpu:
        with pytest.raises(RuntimeError, match="different device"):
            x.grad = dt.ones(2)
    x.grad = dt.zeros(2, device=device)
    del x.grad
    assert x.grad is None


def test_data_is_not_guarded(device: Any) -> None:
    x = dt.ones(2, device=device, requires_grad=True)
    y = x * x
    x.data.mul_(3)
    y.sum().backward()
    assert x.grad.tolist() == [6, 6]
    assert not x.data.requires_grad
    x.data = dt.zeros(3, device=device)
    assert x.shape == (3,)
    assert x.requires_grad


def test_in_place_views(device: Any) -> None:
    x = dt.arange(6.0, device=device).view(1, 2, 3)
    assert x.squeeze_(0) is x
    assert x.t_().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert x.unsqueeze_(-1).shape == (3, 2, 1)
    assert x.transpose_(0, 1).shape == (2, 3, 1)
    leaf = dt.ones(2, 3, device=device, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        leaf.t_()
    y = (leaf * 2).t_()
    (y * dt.arange(6.0, device=device).view(3, 2)).sum().backward()
    assert leaf.grad.tolist() == [[0, 4, 8], [2, 6, 10]]


def test_resize_keeps_what_fits(device: Any) -> None:
    x = dt.arange(4.0, device=device)
    assert x.resize_(2, 2).tolist() == [[0, 1], [2, 3]]
    assert x.resize_(6)[:4].tolist() == [0, 1, 2, 3]
    assert x.resize_(1).tolist() == [0]
    with pytest.raises(RuntimeError, match="cannot resize variables that require grad"):
        dt.ones(2, requires_grad=True).resize_(3)


def test_threads() -> None:
    before = dt.get_num_threads()
    dt.set_num_threads(1)
    try:
        assert dt.get_num_threads() == 1
        assert (dt.ones(64, 64) @ dt.ones(64, 64)).sum().item() == 64**3
    finally:
        dt.set_num_threads(before)
    assert dt.get_num_threads() == before
    with pytest.raises(RuntimeError, match="positive"):
        dt.set_num_threads(0)
    with pytest.raises(TypeError, match="expects an int"):
        dt.set_num_threads(1.5)  # type: ignore[arg-type]
