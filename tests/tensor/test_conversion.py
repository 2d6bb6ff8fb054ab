"""Dtypes, ``to`` in every form, and reinterpreted memory, beside PyTorch; moves between devices."""

from __future__ import annotations

from typing import Any

import pytest
from tensor_beside import check

import dovetail as dt

CASES = r"""
torch.ones(2,3).type(torch.int64)
torch.ones(2,3).type('torch.LongTensor')
torch.ones(2,3).type(torch.LongTensor)
torch.ones(2,3).type('torch.Foo')
torch.ones(2,3).type_as(torch.ones(1,dtype=torch.int64))
torch.ones(2,3).float().dtype
torch.ones(2,3).double().dtype
torch.ones(2,3).half().dtype
torch.ones(2,3).bfloat16().dtype
torch.ones(2,3).int().dtype
torch.ones(2,3).long().dtype
torch.ones(2,3).short().dtype
torch.ones(2,3).char().dtype
torch.ones(2,3).byte().dtype
torch.ones(2,3).bool().dtype
torch.ones(2,3).cfloat().dtype
torch.ones(2,3).cdouble().dtype
torch.float32.itemsize
str(torch.float32)
torch.float32 == "float32"
pickle.loads(pickle.dumps(torch.float32)) is torch.float32
copy.deepcopy(torch.float32) is torch.float32
torch.finfo(torch.float32).eps
torch.finfo(torch.float32).max, torch.finfo(torch.float32).min, torch.finfo(torch.float32).tiny
torch.finfo(torch.bfloat16).max, torch.finfo(torch.bfloat16).eps, torch.finfo(torch.bfloat16).tiny
torch.finfo(torch.complex64).eps, torch.finfo(torch.complex64).dtype
torch.finfo().dtype
torch.finfo(torch.int64)
torch.finfo(torch.float32)
torch.finfo(torch.float64)
torch.finfo(torch.float16)
torch.finfo(torch.bfloat16)
torch.finfo(torch.float32).bits
torch.iinfo(torch.int8)
torch.iinfo(torch.int64).max
torch.iinfo(torch.uint8).min
torch.iinfo(torch.bool)
torch.iinfo(torch.float32)
torch.iinfo(torch.int32).bits, torch.iinfo(torch.int32).dtype
torch.can_cast(torch.float32, torch.int32)
torch.can_cast(torch.int64, torch.float16)
torch.can_cast(torch.bool, torch.uint8)
torch.can_cast(torch.uint8, torch.bool)
torch.can_cast(torch.complex64, torch.float64)
torch.can_cast(from_=torch.double, to=torch.float)
torch.can_cast(1, 2)
torch.result_type(torch.tensor([1]), 1.0)
torch.result_type(1, 2.0)
torch.result_type(torch.tensor(1), torch.tensor([1.],dtype=torch.float16))
torch.result_type(torch.tensor([1],dtype=torch.int8), torch.tensor([1],dtype=torch.uint8))
torch.result_type(True, torch.tensor([1],dtype=torch.uint8))
torch.result_type(1j, torch.tensor([1.],dtype=torch.float64))
torch.result_type(torch.tensor([1.]), "a")
torch.promote_types(torch.int32, torch.float16)
torch.promote_types(torch.int32, 3)
torch.result_type(tensor=torch.ones(1), other=3)
torch.ones(2).to(torch.int64)
torch.ones(2).to(dtype=torch.int64)
torch.ones(2).to("cpu").shape
torch.ones(2).to("cpu", torch.float64)
torch.ones(2).to(torch.device("cpu"), torch.float64)
torch.ones(2).to(device="cpu", dtype=torch.float64)
torch.ones(2).to(torch.ones(1, dtype=torch.int32))
torch.ones(2).to(other=torch.ones(1, dtype=torch.int32))
torch.ones(2).to(torch.float64, False)
torch.ones(2).to(torch.float64, non_blocking=True)
torch.ones(2).to(torch.float64, False, True)
torch.ones(2).to("cpu", torch.float64, False, True)
torch.ones(2).to("cpu", None)
torch.ones(2).to(None)
torch.ones(2).to()
torch.ones(2).to(None, torch.float64)
torch.ones(2).to("foo")
torch.ones(2).to([1])
torch.ones(2).to(torch.float32, "cpu")
torch.ones(2).to(int)
torch.ones(2).to(float)
torch.ones(2).to(dtype=int)
torch.ones(2).to(foo=1)
x = torch.ones(2); x.to(torch.float32) is x
x = torch.ones(2); x.to(x.device) is x
x = torch.ones(2); x.to(torch.float32, copy=True) is x
x = torch.ones(2); x.to(x) is x
x = torch.ones(2); x.float() is x
torch.ones(2,3).t().to(torch.float64).stride()
torch.tensor([1.7,-1.7,300.]).to(torch.uint8).shape
torch.tensor([1+2j]).to(torch.float32)
torch.tensor([1.7, -2.5]).to(torch.int32)
torch.tensor([0., 0.5, float('nan')]).to(torch.bool)
torch.tensor([300, -1]).to(torch.uint8)
torch.tensor([1e40],dtype=torch.float64).to(torch.float32)
torch.ones(2).cpu().shape
torch.ones(4).view(torch.int32)
torch.ones(4).view(torch.uint8).shape
torch.ones(4).view(torch.float64)
torch.ones(3).view(torch.float64)
torch.ones(4).view(torch.int16)
torch.ones(4,2).t().view(torch.int16)
torch.ones(4,2).t().view(torch.int32).stride()
torch.ones(()).view(torch.int16)
torch.ones(()).view(torch.int32)
torch.ones(4).view(dtype=torch.int32)
torch.ones(4)[1:].view(torch.float64)
torch.ones(4)[2:].view(torch.float64)
torch.ones(2, dtype=torch.complex64).view(torch.float32)
torch.ones(2, requires_grad=True).view(torch.int32)
torch.ones(4).view(dtype=torch.int64).shape
torch.ones(4,1).expand(4,2).view(torch.int16)
torch.ones(4).view(2,2)
torch.ones(4).view(-1,2)
torch.ones(4).view(3)
torch.ones(4).view((2,2))
torch.ones(4).view(torch.Size([2,2]))
torch.ones(4).view(size=(2,2))
torch.ones(4).reshape(2,2)
torch.ones(4).reshape((2,2))
torch.ones(4).reshape(shape=(2,2))
torch.ones(4).reshape_as(torch.ones(2,2))
torch.reshape(torch.ones(4), (2,2))
torch.ones(2).data_ptr() != 0
torch.ones(2).untyped_storage().data_ptr() != 0
torch.can_cast(torch.int8, torch.int16)
isinstance(torch.float32, torch.dtype)
""".strip().splitlines()


@pytest.mark.parametrize("code", CASES)
def test_as_pytorch(code: str, device: Any) -> None:
    check(code, device)


DTYPES = (
    "float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool",
    "complex64", "complex128",
)  # fmt: skip
LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.t(),
    "stepped": lambda x: x[::2, 1::2],
    "expanded": lambda x: x[:1].expand(4, 6),
    "scalar": lambda x: x[1, 1],
    "empty": lambda x: x[:0],
    "offset": lambda x: x[1:],
}


def values(dtype: str) -> dt.Tensor:
    return (dt.arange(24).view(4, 6) % 5).to(getattr(dt, dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(dtype: str, layout: str, device: Any) -> None:
    here = LAYOUTS[layout](values(dtype))
    there = here.to(device)
    back = there.to("cpu")
    assert there.device.type == device.type
    assert (back.dtype, back.shape) == (here.dtype, here.shape)
    assert back.tolist() == here.tolist()
    # The same layout made on the device itself comes home too.
    onward = LAYOUTS[layout](values(dtype).to(device)).cpu()
    assert onward.tolist() == here.tolist()
    if there.device != here.device:
        kept = here.stride() if here.clone().stride() == here.stride() else here.clone().stride()
        assert there.stride() == kept


@pytest.mark.parametrize("to", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_becomes_every_other(dtype: str, to: str, device: Any) -> None:
    code = f"torch.tensor([0, 1, 3, 100]).to(torch.{dtype}).to(torch.{to})"
    check(code, device)


def test_gradients_flow_back_across_devices(device: Any) -> None:
    x = dt.arange(6.0).view(2, 3).requires_grad_()
    moved = x.t().to(device)
    (moved * moved).sum().backward()
    assert x.grad.device == x.device
    assert x.grad.tolist() == (2 * x).tolist()
    y = dt.arange(6.0, device=device).view(2, 3).requires_grad_()
    (y.cpu().double() ** 2).sum().backward()
    assert y.grad.device == y.device
    assert y.grad.dtype is y.dtype
    assert y.grad.tolist() == (2 * y).tolist()


def test_second_gradients_flow_across_devices(device: Any) -> None:
    x = dt.tensor([1.0, 2.0], requires_grad=True)
    (g,) = dt.autograd.grad((x.to(device) ** 3).sum(), x, create_graph=True)
    (h,) = dt.autograd.grad(g.to(device).sum(), x)
    assert h.tolist() == [6, 12]


def test_a_move_says_so_in_the_graph(device: Any) -> None:
    x = dt.ones(2, requires_grad=True)
    y = x.to(device)
    assert (y is x) == (device.type == "cpu")
    if y is not x:
        assert y.grad_fn is not None
        assert not y.is_leaf


def test_to_accepts_every_name_of_a_device(device: Any) -> None:
    x = dt.ones(2)
    concrete = dt.empty(0, device=device).device
    for where in (device, str(device), device.type, concrete, dt.ones(1, device=device)):
        assert x.to(where).device == concrete
    assert x.to(device=device, dtype=dt.int32).dtype is dt.int32
    assert x.to(device, dt.float64).dtype is dt.float64
    assert x.to(dt.ones(1, device=device, dtype=dt.int8)).dtype is dt.int8
    y = x.to(device)
    assert y.to(device) is y
    assert y.to(device, copy=True) is not y


def test_method_named_after_the_backend(device: Any) -> None:
    x = dt.ones(2, requires_grad=True)
    move = getattr(x, device.type)
    assert move().device == dt.empty(0, device=device.type).device
    assert move().tolist() == [1, 1]
    (move() * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]
    if device.index is not None:
        assert move(device.index).device == device
        assert move(device).device == device
    assert not hasattr(x, "no_such_backend")


def test_cuda_without_its_plugin() -> None:
    if "cuda" in dt.backend.registry:
        pytest.skip("the cuda plugin is installed")
    assert not dt.cuda.is_available()
    assert str(dt.device("cuda:1")) == "cuda:1"  # a value; using it is another matter
    calls = (lambda: dt.ones(2).cuda(), lambda: dt.ones(2).cuda(1), lambda: dt.ones(2).to("cuda"))
    for call in calls:
        with pytest.raises(RuntimeError, match="cuda: no plugin has registered this device"):
            call()
    with pytest.raises(RuntimeError, match="Expected one of cpu"):
        dt.ones(2).to("xpu9")


def test_mixed_devices_are_refused(device: Any) -> None:
    if device.type == "cpu":
        pytest.skip("needs a second device")
    a, b = dt.ones(2, 2, device=device), dt.ones(2, 2)
    text = "Expected all tensors to be on the same device"
    for call in (
        lambda: a + b, lambda: b * a, lambda: a @ b, lambda: dt.cat([a, b]), lambda: a == b,
        lambda: dt.maximum(a, b), lambda: a.add_(b), lambda: dt.where(a > 0, a, b),
        lambda: dt.nn.functional.linear(a, b), lambda: dt.stack([a, b]),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=text):
            call()
    with pytest.raises(RuntimeError, match="out must be on"):
        dt.add(a, a, out=b)
    assert b.copy_(a * 2).tolist() == [[2, 2], [2, 2]]
    assert a.copy_(b).tolist() == [[2, 2], [2, 2]]


def test_a_cpu_scalar_joins_any_device(device: Any) -> None:
    a, one = dt.ones(2, device=device), dt.tensor(1.0, requires_grad=True)
    result = a + one
    assert result.device == a.device
    assert (one * a).device == a.device
    assert dt.maximum(a, one).device == a.device
    result.sum().backward()
    assert one.grad.device == one.device
    assert one.grad.item() == 2
    a += one.detach()
    assert a.tolist() == [2, 2]
    if a.device != one.device:
        with pytest.raises(RuntimeError, match="same device"):
            dt.tensor([1.0, 2.0]) + dt.tensor(1.0, device=device)


def test_methods_for_dtypes(device: Any) -> None:
    x = dt.ones(2, device=device)
    for name, kind in {
        "float": "float32", "double": "float64", "half": "float16", "bfloat16": "bfloat16",
        "long": "int64", "int": "int32", "short": "int16", "char": "int8", "byte": "uint8",
        "bool": "bool", "cfloat": "complex64", "cdouble": "complex128",
    }.items():  # fmt: skip
        y = getattr(x, name)()
        assert str(y.dtype) == f"torch.{kind}"
        assert y.device == x.device
    assert x.float() is x


def test_old_type_names() -> None:
    assert dt.ones(2).type() == "torch.FloatTensor"
    assert isinstance(dt.ones(2), dt.FloatTensor)
    assert not isinstance(dt.ones(2), dt.LongTensor)
    assert dt.ones(2).type("torch.LongTensor").dtype is dt.int64
    dt.set_default_tensor_type(dt.DoubleTensor)
    try:
        assert dt.zeros(1).dtype is dt.float64
    finally:
        dt.set_default_tensor_type("torch.FloatTensor")
    assert dt.zeros(1).dtype is dt.float32


def test_old_type_name_of_another_device(device: Any) -> None:
    x = dt.ones(2, device=device)
    expected = "torch.FloatTensor" if x.is_cpu else f"torch.{device.type}.FloatTensor"
    assert x.type() == expected
    assert isinstance(x, dt.FloatTensor) == x.is_cpu
    assert x.get_device() == (-1 if x.is_cpu else x.device.index)


def test_view_as_another_dtype_shares_memory(device: Any) -> None:
    x = dt.zeros(2, device=device)
    x.view(dt.int32)[0] = 0x3F800000
    assert x.tolist() == [1, 0]
    assert x.view(dt.uint8).shape == (8,)
    with pytest.raises(RuntimeError, match="must be dense and divisible"):
        dt.zeros(3, device=device).view(dt.float64)
