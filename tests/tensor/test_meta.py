"""The meta device beside PyTorch: shapes, dtypes and strides without data."""

from __future__ import annotations

from typing import Any

import pytest
from tensor_beside import check

import dovetail as dt

CASES = r"""
torch.ones(2, device="meta") + torch.ones(2, device="meta")
torch.ones(2, device="meta") + torch.ones(2)
torch.ones((), device="meta") + torch.ones(2)
torch.ones(2, device="meta").item()
torch.ones(2, device="meta").tolist()
torch.ones(2, device="meta").numpy()
torch.ones(2, device="meta").cpu()
torch.ones(1, device="meta").item()
bool(torch.ones(1, device="meta"))
torch.ones(2,3, device="meta")
torch.ones(2,3, device="meta").sum(0)
torch.ones(2,3, device="meta").t()[0]
torch.ones(2,3, device="meta").nonzero()
torch.ones(2,3, device="meta") @ torch.ones(3,4,device="meta")
torch.ones(2).to("meta")
torch.ones(2, device="meta").add_(1)
torch.tensor([1,2], device="meta")
torch.arange(3, device="meta")
torch.eye(3, device="meta")
torch.linspace(0, 1, 3, device="meta")
torch.randn(3, device="meta")
torch.randperm(3, device="meta")
torch.ones(2,3,4,5,device="meta").to(memory_format=torch.channels_last)
torch.ones(2, device="meta", requires_grad=True).sum().backward()
x = torch.ones(2, device="meta", requires_grad=True); (x * 2).sum().backward(); x.grad
torch.empty_like(torch.ones(2), device="meta")
torch.ones(2, device="meta").to_empty
torch.ones(2,3, device="meta").data_ptr()
torch.ones(2,3, device="meta").storage_offset()
torch.ones(2,3, device="meta")[1].storage_offset()
torch.ones(2,3, device="meta").untyped_storage().nbytes()
copy.deepcopy(torch.ones(2, device="meta"))
pickle.loads(pickle.dumps(torch.ones(2, device="meta")))
torch.ones(2).copy_(torch.ones(2, device="meta"))
torch.ones(2, device="meta").copy_(torch.ones(2))
torch.ones(2, device="meta") == 1
torch.ones(3, device="meta")[torch.tensor([0,1],device="meta")]
torch.nn.functional.relu(torch.ones(2, device="meta"))
torch.nn.functional.conv2d(torch.ones(1,1,4,4, device="meta"), torch.ones(1,1,3,3, device="meta"))
torch.nn.functional.softmax(torch.ones(2,3, device="meta"), 1)
torch.cat([torch.ones(2, device="meta"), torch.ones(3, device="meta")])
torch.stack([torch.ones(2, device="meta"), torch.ones(2, device="meta")])
torch.ones(2,3,device="meta").sort()
torch.ones(2,3,device="meta").max(1)
torch.ones(2,3,device="meta").topk(2)
torch.ones(2,3,device="meta").argmax()
torch.ones(2,3,device="meta").std()
torch.ones(2,3,device="meta").new_zeros(2)
torch.ones(2,3,device="meta").is_meta
torch.ones(2,3,device="meta").expand(4,2,3)
torch.zeros_like(torch.ones(2,3), device="meta")
torch.ones(3,device="meta").masked_select(torch.ones(3,device="meta").bool())
torch.nn.Linear(3,4,device="meta")(torch.ones(2,3,device="meta"))
""".strip().splitlines()


@pytest.mark.parametrize("code", CASES)
def test_as_pytorch(code: str, device: Any) -> None:
    check(code, device)


def test_meta_shapes_are_those_of_the_device(device: Any) -> None:
    a, b = dt.ones(2, 3, 4, device=device), dt.ones(3, 1, device=device)
    for run in (
        lambda a, b: a + b, lambda a, b: a.sum(1), lambda a, b: a.t_() if a.ndim == 2 else a,
        lambda a, b: a.transpose(0, 2), lambda a, b: a.reshape(-1), lambda a, b: a.softmax(-1),
        lambda a, b: a @ a.mT, lambda a, b: dt.cat([a, a], 1), lambda a, b: a[:, 1:, ::2],
        lambda a, b: a.mean((0, 2), keepdim=True), lambda a, b: a.argmax(1), lambda a, b: a > b,
        lambda a, b: a.to(dt.float16) + 1, lambda a, b: a.var(0), lambda a, b: a.cumsum(1),
    ):  # fmt: skip
        real, ghost = run(a, b), run(a.to("meta"), b.to("meta"))
        assert ghost.is_meta
        facts = (real.shape, real.dtype, real.stride())
        assert (ghost.shape, ghost.dtype, ghost.stride()) == facts


def test_meta_takes_no_memory() -> None:
    x = dt.ones(1 << 20, 1 << 20, device="meta")
    y = (x @ x + 1).relu()
    assert y.shape == (1 << 20, 1 << 20)
    assert y.nbytes == 1 << 42
    assert y.data_ptr() == 0


def test_meta_has_no_data(device: Any) -> None:
    x = dt.ones(2, device="meta")
    for call in (x.tolist, lambda: x.to(device), x.sum().item, lambda: bool(x.sum())):
        with pytest.raises(NotImplementedError, match="no data"):
            call()
    with pytest.raises(NotImplementedError, match="depends on data"):
        x.nonzero()


def test_meta_module_and_gradients() -> None:
    model = dt.nn.Sequential(dt.nn.Linear(4, 3), dt.nn.ReLU(), dt.nn.Linear(3, 2)).to("meta")
    x = dt.ones(5, 4, device="meta", requires_grad=True)
    model(x).sum().backward()
    assert x.grad.is_meta
    assert [p.grad.shape for p in model.parameters()] == [p.shape for p in model.parameters()]
