"""Between tensors and Python beside PyTorch: numbers, sequences, NumPy, copies, pickles."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from tensor_beside import check

import dovetail as dt

CASES = r"""
torch.ones(2,3).is_complex()
torch.ones(2,3).is_floating_point()
torch.ones(2).item()
torch.ones(1).item()
torch.ones(1,1,dtype=torch.int64).item()
torch.ones(1,dtype=torch.bool).item()
torch.ones(1,dtype=torch.bfloat16).item()
torch.ones(1,dtype=torch.complex64).item()
torch.ones(0).item()
torch.ones(2,2).tolist()
torch.ones(()).tolist()
torch.ones(0).tolist()
torch.ones(2,0).tolist()
bool(torch.ones(1))
bool(torch.zeros(1,1))
bool(torch.ones(2))
bool(torch.ones(0))
bool(torch.tensor(float('nan')))
bool(torch.tensor(0j))
int(torch.tensor(3.7))
int(torch.tensor([3.7]))
int(torch.tensor([3.7,1]))
int(torch.tensor(float('nan')))
int(torch.tensor(float('inf')))
int(torch.tensor(1j))
float(torch.tensor(3))
float(torch.tensor(True))
float(torch.tensor(1j))
complex(torch.tensor(3))
complex(torch.tensor([1,2]))
[1,2,3][torch.tensor(1)]
[1,2,3][torch.tensor([1])]
[1,2,3][torch.tensor(1.0)]
[1,2,3][torch.tensor(True)]
[1,2,3][torch.tensor([1,2])]
range(torch.tensor(3))
list(range(10))[torch.tensor(2):torch.tensor(5)]
round(torch.tensor(2.7))
math.sqrt(torch.tensor(4.))
math.floor(torch.tensor(4.5))
math.ceil(torch.tensor(4.5))
math.trunc(torch.tensor(4.5))
divmod(torch.tensor(7), 2)
sum(torch.ones(3))
max(torch.tensor([1,3,2]))
len(torch.ones(3,2))
len(torch.ones(()))
list(torch.ones(2))
list(torch.ones(()))
[x.shape for x in torch.ones(2,3)]
list(reversed(torch.tensor([1,2,3])))
1 in torch.tensor([1,2])
5 in torch.tensor([1,2])
"a" in torch.tensor([1,2])
torch.tensor(1) in torch.tensor([1,2])
None in torch.tensor([1,2])
[1,2] in torch.tensor([1,2])
np.float64(1) in torch.tensor([1,2])
len({torch.ones(1), torch.ones(1)})
format(torch.tensor(3.14159), '.2f')
format(torch.tensor([3.14159]), '.2f')
f"{torch.tensor(3.5)}"
f"{torch.tensor(3)}"
f"{torch.tensor(3):5d}"
f"{torch.tensor([3.5, 2]):.2f}"
"%d" % torch.tensor(3)
"%.2f" % torch.tensor(3.14159)
torch.ones(2,requires_grad=True).numpy()
torch.ones(2,requires_grad=True).numpy(force=True)
np.asarray(torch.ones(2,requires_grad=True))
torch.ones(2) + np.ones(2)
np.float32(2) * torch.ones(2)
torch.ones(2) * np.float64(2)
np.array([1,2]) == torch.tensor([1,2])
torch.from_numpy(np.ones(2))
torch.from_numpy(np.ones((2,3)).T).stride()
torch.from_numpy(np.ones(6)[::2]).stride()
torch.from_numpy(np.ones(6)[::-1])
torch.from_numpy([1])
torch.from_numpy(np.array("a"))
torch.from_numpy(np.array(3.))
torch.from_numpy(np.float64(3))
torch.from_numpy(np.array([True]))
torch.from_numpy(np.array([1],dtype='>i4'))
torch.from_numpy(np.zeros(4, dtype='i4,f4')['f1'])
x = torch.ones(2,3).t(); y = copy.deepcopy(x); (y.stride(), y is x)
x = torch.ones(2,requires_grad=True); copy.deepcopy(x)
x = torch.ones(2,requires_grad=True); copy.deepcopy(x*2)
x = torch.ones(2,requires_grad=True); (x*2).sum().backward(); copy.deepcopy(x).grad
x = torch.ones(2); y=copy.deepcopy([x,x]); y[0] is y[1]
b = torch.arange(4.); y = copy.deepcopy([b, b[1:]]); y[0][1] = 9; y[1]
x = torch.ones(2); y = copy.copy(x); y[0]=5; x
x = torch.ones(2); x.tag = "t"; copy.deepcopy(x).tag
x = torch.ones(2); x.tag = "t"; copy.copy(x).tag
pickle.loads(pickle.dumps(torch.ones(2,3).t()))
pickle.loads(pickle.dumps(torch.ones(2,requires_grad=True)))
pickle.loads(pickle.dumps(torch.ones(2,requires_grad=True)*2))
x = torch.ones(2); x.tag="t"; pickle.loads(pickle.dumps(x)).tag
pickle.loads(pickle.dumps(torch.ones(2,dtype=torch.bfloat16)))
pickle.loads(pickle.dumps(torch.ones(0,3)))
pickle.loads(pickle.dumps(torch.Size([1,2])))
pickle.loads(pickle.dumps(torch.device('cpu')))
torch.ones(2).tolist().__class__
""".strip().splitlines()


@pytest.mark.parametrize("code", CASES)
def test_as_pytorch(code: str, device: Any) -> None:
    check(code, device)


NUMPY = ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool",
         "complex64", "complex128")  # fmt: skip


def host(device: Any) -> bool:
    return bool(dt.empty(0, device=device).is_cpu)


@pytest.mark.parametrize("kind", NUMPY)
def test_numpy_shares_memory_in_both_directions(kind: str) -> None:
    array = np.ones((2, 3), kind)
    x = dt.from_numpy(array)
    assert str(x.dtype) == f"torch.{kind}"
    array[0, 1] = 0
    assert x[0, 1].item() == 0
    x[1, 2] = 0
    assert array[1, 2] == 0
    back = x.numpy()
    assert np.shares_memory(back, array)
    x.t().numpy()[0, 0] = 0
    assert array[0, 0] == 0
    assert np.shares_memory(dt.as_tensor(array).numpy(), array)
    assert np.shares_memory(dt.asarray(array).numpy(), array)
    assert not np.shares_memory(dt.tensor(array).numpy(), array)


def test_in_place_operators_reach_the_array() -> None:
    array = np.zeros(4, np.float32)
    x = dt.from_numpy(array)
    x.add_(1)
    x[1:].mul_(3)
    x.view(2, 2)[0] += 5
    assert array.tolist() == [6, 8, 3, 3]
    view = dt.ones(3).numpy()  # the array outlives its tensor
    assert view.tolist() == [1, 1, 1]


def test_strided_arrays_keep_their_strides() -> None:
    base = np.arange(24.0).reshape(4, 6)
    for array in (base.T, base[::2, 1::2], base[1:, 2], base[:, :1]):
        x = dt.from_numpy(array)
        assert x.stride() == tuple(s // 8 for s in array.strides)
        assert (x + 1).tolist() == (array + 1).tolist()
        x.zero_()
        assert not array.any()


def test_arrays_that_cannot_be_shared() -> None:
    with pytest.raises(ValueError, match=r"At least one stride .* is negative"):
        dt.from_numpy(np.arange(3)[::-1])
    with pytest.raises(ValueError, match="byte order"):
        dt.from_numpy(np.zeros(2, ">f4"))
    with pytest.raises(TypeError, match=r"can't convert np\.ndarray of type"):
        dt.from_numpy(np.zeros(2, "U3"))
    with pytest.raises(ValueError, match="not a multiple of the element byte size"):
        dt.from_numpy(np.zeros(4, "i1,f4")["f1"])
    frozen = np.ones(2)
    frozen.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        x = dt.from_numpy(frozen)
    x.zero_()
    assert frozen.tolist() == [1, 1]


def test_numpy_of_other_devices(device: Any) -> None:
    x = dt.ones(2, device=device)
    if host(device):
        assert np.asarray(x).tolist() == [1, 1]
        assert isinstance(np.sin(x), dt.Tensor)
        assert np.array(x, dtype=np.int32).dtype == np.int32
        copied = np.array(x)
        copied[0] = 5
        assert x.tolist() == [1, 1]
        return
    for call in (x.numpy, lambda: np.asarray(x), lambda: np.sin(x)):
        with pytest.raises(TypeError, match=r"can't convert .* device type tensor to numpy"):
            call()
    assert x.numpy(force=True).tolist() == [1, 1]


def test_array_protocol_says_when_it_must_copy() -> None:
    x = dt.ones(2)
    assert np.shares_memory(np.asarray(x, copy=False), x.numpy())
    with pytest.raises(ValueError, match="must be copied"):
        np.asarray(x, dtype=np.float64, copy=False)


def test_item_of_every_dtype(device: Any) -> None:
    for kind, python in (("bfloat16", float), ("float16", float), ("int8", int), ("bool", bool),
                         ("complex64", complex)):  # fmt: skip
        value = dt.ones((), device=device).to(getattr(dt, kind)).item()
        assert type(value) is python
        assert value == 1
    with pytest.raises(RuntimeError, match="2 elements cannot be converted to Scalar"):
        dt.ones(2, device=device).item()


def test_iteration_gives_views_and_keeps_gradients(device: Any) -> None:
    x = dt.ones(3, 2, device=device, requires_grad=True)
    total = sum(row.sum() * i for i, row in enumerate(x))
    total.backward()
    assert x.grad.tolist() == [[0, 0], [1, 1], [2, 2]]
    y = dt.zeros(2, 2, device=device)
    for row in y:
        row += 1
    assert y.tolist() == [[1, 1], [1, 1]]
    a, b = dt.tensor([1, 2], device=device)
    assert (a.item(), b.item()) == (1, 2)


def test_truth(device: Any) -> None:
    assert dt.tensor([[1.5]], device=device)
    assert not dt.tensor(0, device=device)
    for x, what in ((dt.ones(2), "more than one value"), (dt.ones(0), "no values")):
        with pytest.raises(RuntimeError, match=f"Boolean value of Tensor with {what}"):
            bool(x.to(device))


def test_deepcopy_shares_what_was_shared(device: Any) -> None:
    base = dt.arange(4.0, device=device)
    part = base[1:]
    twin, twin_part = copy.deepcopy([base, part])
    twin_part[0] = 9
    assert twin.tolist() == [0, 9, 2, 3]
    assert base.tolist() == [0, 1, 2, 3]
    assert (twin_part.storage_offset(), twin_part.device) == (1, base.device)


def test_deepcopy_keeps_gradients_layout_and_attributes(device: Any) -> None:
    x = dt.ones(2, 3, device=device).t().contiguous().t().requires_grad_()
    (x * 2).sum().backward()
    x.tag = ["a"]
    y = copy.deepcopy(x)
    assert y.grad.tolist() == x.grad.tolist()
    assert y.grad is not x.grad
    assert (y.tag, y.tag is x.tag, y.requires_grad) == (["a"], False, True)
    with dt.no_grad():
        y.add_(1)
    assert x.tolist() == [[1, 1, 1], [1, 1, 1]]
    with pytest.raises(RuntimeError, match="Only Tensors created explicitly by the user"):
        copy.deepcopy(x * 2)


def test_deepcopy_of_a_parameter(device: Any) -> None:
    x = dt.nn.Parameter(dt.ones(2, device=device))
    y = copy.deepcopy(x)
    assert type(y) is dt.nn.Parameter
    assert y.data_ptr() != x.data_ptr()


def test_copy_shares_memory(device: Any) -> None:
    x = dt.ones(2, device=device)
    x.tag = "t"
    y = copy.copy(x)
    y[0] = 5
    assert x.tolist() == [5, 1]
    assert y.tag == "t"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool", "complex64"])
def test_pickle(dtype: str, device: Any) -> None:
    base = dt.arange(6).view(2, 3).to(getattr(dt, dtype)).to(device)
    for x in (base, base.t(), base[:, ::2], base[1], base[:0], base[0, 0]):
        for protocol in (2, pickle.HIGHEST_PROTOCOL):
            y = pickle.loads(pickle.dumps(x, protocol))
            assert y.tolist() == x.tolist()
            assert (y.dtype, y.device, y.shape) == (x.dtype, x.device, x.shape)
            y.fill_(1)
            assert base.sum().item() != y.sum().item() or not base.numel()


def test_pickle_keeps_what_a_leaf_is(device: Any) -> None:
    x = dt.nn.Parameter(dt.ones(2, device=device))
    y = pickle.loads(pickle.dumps(x))
    assert type(y) is dt.nn.Parameter
    assert y.requires_grad
    assert y.is_leaf


def test_numbers_of_a_device(device: Any) -> None:
    x = dt.tensor(3, device=device)
    assert [int(x), float(x), complex(x), [10, 11, 12, 13][x]] == [3, 3.0, 3 + 0j, 13]
    assert f"{dt.tensor(2.5, device=device):.2f}" == "2.50"
    assert 3 in dt.tensor([1, 3], device=device)
    assert len({x, x, dt.tensor(3, device=device)}) == 2


def test_frombuffer_shares_memory() -> None:
    buffer = bytearray(8)
    x = dt.frombuffer(buffer, dtype=dt.int16, offset=2, count=2)
    x.fill_(-1)
    assert buffer == b"\0\0\xff\xff\xff\xff\0\0"
