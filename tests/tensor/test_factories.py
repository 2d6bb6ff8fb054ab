"""Factories beside PyTorch: arguments, inferred dtypes, strides, errors; and where tensors go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensor_beside import check

import dovetail as dt

CASES = r"""
torch.zeros(2,3)
torch.zeros((2,3))
torch.zeros([2,3])
torch.zeros(torch.Size([2,3]))
torch.zeros(())
torch.zeros([])
torch.zeros(0)
torch.zeros(2, 0, 3)
torch.zeros(size=(2,3))
torch.ones(size=(2,3))
torch.empty(size=(2,3)).shape
torch.zeros(-1)
torch.zeros(2.5)
torch.zeros("a")
torch.zeros(np.int64(3))
torch.zeros(torch.tensor(3))
torch.zeros((torch.tensor(3), 2))
torch.zeros(2, dtype=torch.int64)
torch.zeros(2, dtype=int)
torch.zeros(2, dtype=float)
torch.zeros(2, dtype=bool)
torch.zeros(2, dtype=complex)
torch.zeros(2, dtype="float32")
torch.zeros(2, dtype=np.float32)
torch.zeros(2, foo=1)
torch.zeros(2, requires_grad=True)
torch.zeros(2, dtype=torch.int64, requires_grad=True)
torch.zeros(2, names=None)
torch.zeros(2, layout=torch.strided)
torch.ones(2, dtype=torch.bfloat16)
torch.ones(2, dtype=torch.complex64)
torch.ones(2, dtype=torch.bool)
torch.full((2,2), 7)
torch.full((2,2), 7.5)
torch.full((2,2), True)
torch.full((2,2), 1j)
torch.full((2,), 7, dtype=torch.float64)
torch.full((2,), 7.9, dtype=torch.int32)
torch.full((2,), 300, dtype=torch.uint8)
torch.full((2,), -1, dtype=torch.uint8)
torch.full((2,), float('nan'), dtype=torch.int32).shape
torch.full((2,), 1j, dtype=torch.float32)
torch.full(2, 1)
torch.full((2,), torch.tensor(3))
torch.full((2,), torch.tensor(3.0))
torch.full(size=(2,), fill_value=3)
torch.full((), 3)
torch.full((2,), 1e10, dtype=torch.float16)
torch.full((2,), 2**40, dtype=torch.int32)
torch.full((2,), "a")
torch.full((-2,), 1)
torch.arange(5)
torch.arange(5.)
torch.arange(1, 5)
torch.arange(1, 5, 2)
torch.arange(1, 5, 0.5)
torch.arange(5, 1, -1)
torch.arange(5, 1)
torch.arange(1, 5, 0)
torch.arange(1, 1)
torch.arange(0)
torch.arange(-3)
torch.arange(start=1, end=5)
torch.arange(1, end=5)
torch.arange(end=5)
torch.arange(1, 5, step=2)
torch.arange(5, dtype=torch.float32)
torch.arange(5, dtype=torch.float16)
torch.arange(5, dtype=torch.bfloat16)
torch.arange(0, 1, 0.1)
torch.arange(0, 1, 0.1, dtype=torch.float64)
torch.arange(torch.tensor(5))
torch.arange(torch.tensor(5.0))
torch.arange(0.5, 5.5, 1, dtype=torch.int64)
torch.arange(0, 10, 2.5, dtype=torch.int64)
torch.arange(2, dtype=torch.bool)
torch.arange(3, dtype=torch.bool)
torch.arange(3, dtype=torch.complex64)
torch.arange(5, requires_grad=True)
torch.arange(5., requires_grad=True)
torch.arange(True)
torch.arange(np.int64(4))
torch.arange(np.float64(4))
torch.arange(float('inf'))
torch.arange(float('nan'))
torch.arange()
torch.arange(0, 2**40, 2**38)
torch.arange(0,6,device=DEVICE)
torch.linspace(0, 1, 5)
torch.linspace(0, 10, 5, dtype=torch.int64)
torch.linspace(0, 1, 1)
torch.linspace(0, 1, 0)
torch.linspace(0, 1, -1)
torch.linspace(0, 1)
torch.linspace(0, 1, steps=3)
torch.linspace(start=0, end=1, steps=3)
torch.linspace(-3, 10, 5)
torch.linspace(3, 10, 5, dtype=torch.float64)
torch.linspace(torch.tensor(0.), torch.tensor(1.), 3)
torch.linspace(0, 1j, 3)
torch.linspace(0, 9, 4, dtype=torch.uint8)
torch.linspace(0, 1, 3, requires_grad=True)
torch.logspace(0, 2, 3)
torch.logspace(0, 2, 3, base=2)
torch.logspace(0, 2, 3, base=2, dtype=torch.int64)
torch.logspace(0, 2, 3, dtype=torch.float64)
torch.logspace(start=0, end=2, steps=3)
torch.logspace(0, 2, -3)
torch.eye(3)
torch.eye(2, 3)
torch.eye(3, 2, dtype=torch.int64)
torch.eye(0)
torch.eye(-1)
torch.eye(3, -2)
torch.eye(n=3, m=2)
torch.eye(2, dtype=torch.bool)
torch.eye(2.0)
torch.zeros_like(torch.ones(2,3).t())
torch.ones_like(torch.tensor([1,2]))
torch.ones_like(torch.tensor([1,2]), dtype=torch.float32)
torch.zeros_like(torch.ones(4,6)[::2, ::2])
torch.zeros_like(torch.ones(1).expand(3,4))
torch.zeros_like(torch.ones(3), requires_grad=True)
torch.zeros_like([1,2])
torch.empty_like(torch.ones(2,3).t()).stride()
torch.full_like(torch.ones(2), 3)
torch.full_like(torch.tensor([1,2]), 3.7)
torch.full_like(torch.ones(2), fill_value=3, dtype=torch.int64)
torch.full_like(torch.ones(2), torch.tensor(3.))
torch.rand_like(torch.ones(2,3).t()).stride()
torch.randn_like(torch.ones(2,3)).shape
torch.randint_like(torch.ones(2,3), 5).dtype
torch.rand(2,3).shape
torch.rand((2,3)).shape
torch.rand(size=(2,3)).shape
torch.randn(size=(2,3)).shape
torch.randn(2, dtype=torch.float64).dtype
torch.randint(5, (3,)).dtype
torch.randint(0, 5, (3,)).dtype
torch.randint(low=0, high=5, size=(3,)).dtype
torch.randint(5, size=(3,), dtype=torch.int32).dtype
torch.randint(5, 5, (3,))
torch.randint(5, 5)
torch.randperm(5).dtype
torch.randperm(0)
torch.randperm(-1)
torch.rand(2, dtype=torch.int64)
torch.rand(2, requires_grad=True).requires_grad
torch.empty_strided((2,3),(1,2)).stride()
torch.empty_strided((2,3),(1,))
torch.empty_strided((2,3),(-1,2))
torch.empty_strided(size=(2,3),stride=(3,1)).stride()
torch.empty((2,3), dtype=torch.int8).dtype
torch.empty(2, out=torch.empty(3)).shape
torch.zeros(2, out=torch.ones(2))
torch.zeros(2, out=torch.ones(2), dtype=torch.float32)
torch.zeros(2, out=torch.ones(2), dtype=torch.float64)
torch.zeros(2, out=torch.ones(2,dtype=torch.int64))
torch.arange(3, out=torch.empty(0))
torch.arange(3, out=torch.empty(0, dtype=torch.int64))
torch.eye(2, out=torch.empty(0))
torch.linspace(0,1,3,out=torch.empty(0))
torch.full((2,),3,out=torch.empty(0))
torch.tensor([1,2,3])
torch.tensor([1.,2,3])
torch.tensor([True, False])
torch.tensor([True, 2])
torch.tensor([True, 2.5])
torch.tensor([1, 2j])
torch.tensor(3)
torch.tensor(3.5)
torch.tensor(True)
torch.tensor(1j)
torch.tensor([])
torch.tensor([[]])
torch.tensor([[],[]])
torch.tensor(())
torch.tensor([[1,2],[3,4]])
torch.tensor([(1,2),(3,4)])
torch.tensor([[1,2],[3]])
torch.tensor([[1,2],3])
torch.tensor([1,[2,3]])
torch.tensor("a")
torch.tensor(["a"])
torch.tensor(None)
torch.tensor([None])
torch.tensor({})
torch.tensor({"a": 1})
torch.tensor({1,2})
torch.tensor(range(4))
torch.tensor(object())
torch.tensor([1, "a"])
torch.tensor(2**63)
torch.tensor([2**63])
torch.tensor([2**64])
torch.tensor(2**63-1)
torch.tensor(-2**63)
torch.tensor(2**63, dtype=torch.float32)
torch.tensor(300, dtype=torch.uint8)
torch.tensor(-1, dtype=torch.uint8)
torch.tensor([256, 1], dtype=torch.int8)
torch.tensor(2**40, dtype=torch.int32)
torch.tensor(3.7, dtype=torch.int64)
torch.tensor([-3.7], dtype=torch.int64)
torch.tensor(float('nan'), dtype=torch.int64).shape
torch.tensor(1j, dtype=torch.float32)
torch.tensor(1e300)
torch.tensor(1e300, dtype=torch.float16)
torch.tensor([2, 0, float('nan')], dtype=torch.bool)
torch.tensor(np.float64(3))
torch.tensor(np.float32(3))
torch.tensor(np.int32(3))
torch.tensor(np.bool_(True))
torch.tensor(np.uint8(3))
torch.tensor([np.float64(3), np.float64(4)])
torch.tensor([np.float32(3)])
torch.tensor([np.int32(3), 4])
torch.tensor([3, np.float64(4)])
torch.tensor([np.float16(3), 4.5])
torch.tensor(np.array([1,2], dtype=np.int16))
torch.tensor(np.array(3.0))
torch.tensor([np.array([1,2]), np.array([3,4])])
torch.tensor([np.array([1.,2]), np.array([3.,4])])
torch.tensor([np.array([1,2], dtype=np.float32)])
torch.tensor(np.array(["a"]))
torch.tensor(np.array([1,2],dtype=object))
torch.tensor(torch.tensor([1,2]))
torch.tensor(torch.tensor([1,2]), dtype=torch.float32)
torch.tensor([torch.tensor(1), torch.tensor(2)])
torch.tensor([torch.tensor(1.5), torch.tensor(2)])
torch.tensor([torch.tensor(1.5), 2])
torch.tensor([torch.tensor(1.5, dtype=torch.float64)])
torch.tensor([torch.tensor([1]), torch.tensor([2])])
torch.tensor([torch.tensor([1,2]), torch.tensor([2,3])])
torch.tensor([torch.tensor([1.,2]), torch.tensor([2.,3])])
torch.tensor([1,2], device=DEVICE)
torch.tensor([1,2], requires_grad=True)
torch.tensor([1.,2], requires_grad=True)
torch.tensor(data=[1,2])
torch.tensor([1,2], torch.float32)
torch.tensor()
torch.tensor([1], dtype=int)
torch.tensor([1.5], dtype=float)
torch.tensor(b"ab")
torch.tensor(bytearray(b"ab"))
torch.tensor([[[1],[2]],[[3],[4]]]).shape
torch.tensor([[1.5, 2], [3, 4]], dtype=torch.bfloat16)
torch.as_tensor([1,2])
torch.as_tensor([1,2], dtype=torch.float32)
torch.as_tensor(np.array([1,2]))
torch.as_tensor(np.float32(2))
torch.as_tensor(np.array([1,2]), dtype=torch.float32)
torch.as_tensor(torch.tensor([1,2]))
torch.as_tensor(3)
torch.as_tensor(data=[1])
torch.asarray([1,2])
torch.asarray([1,2], dtype=torch.float32)
torch.asarray(np.array([1,2]))
torch.asarray(5)
torch.asarray(bytearray(b"abcd"), dtype=torch.uint8)
torch.asarray(range(3))
torch.asarray([1.,2], requires_grad=True)
torch.asarray(torch.ones(2), copy=True)
torch.asarray(torch.ones(2), copy=False, dtype=torch.float64)
torch.scalar_tensor(3)
torch.scalar_tensor(3.5)
torch.scalar_tensor(True)
torch.scalar_tensor(3, dtype=torch.int64)
torch.Tensor()
torch.Tensor(2,3).shape
torch.Tensor([1,2])
torch.Tensor([[1,2],[3,4]])
torch.Tensor((1,2))
torch.Tensor(torch.Size([2,3])).shape
torch.Tensor(torch.ones(2))
torch.Tensor(2.5)
torch.Tensor("a")
torch.Tensor(np.array([1,2]))
torch.FloatTensor([1,2])
torch.LongTensor([1,2])
torch.LongTensor(2).shape
torch.DoubleTensor([1,2])
torch.BoolTensor([True])
torch.IntTensor([1.0])
torch.HalfTensor([1.0])
torch.ByteTensor([1])
isinstance(torch.ones(2), torch.LongTensor)
torch.tensor([1,2]).new_tensor([1.5,2])
torch.tensor([1.,2]).new_tensor([1,2])
torch.tensor([1.,2]).new_tensor([1,2], dtype=torch.int64)
torch.tensor([1.,2]).new_tensor(torch.tensor([5,6]))
torch.tensor([1.,2]).new_tensor([1,2], requires_grad=True)
torch.tensor([1,2]).new_zeros(2,3)
torch.tensor([1,2]).new_zeros((2,3))
torch.tensor([1,2]).new_zeros(size=(2,3))
torch.tensor([1,2]).new_ones(2, dtype=torch.float64)
torch.tensor([1,2]).new_empty((2,)).dtype
torch.tensor([1,2]).new_full((2,), 3.5)
torch.tensor([1.,2]).new_full((2,), 3)
torch.tensor([1.,2]).new_full(size=(2,), fill_value=3)
torch.tensor([1.,2]).new_ones(2, requires_grad=True)
torch.tensor([1.,2]).new_empty_strided((2,3),(1,2)).stride()
torch.tensor([1.,2]).new([1,2])
torch.tensor([1,2]).new(2,3).shape
torch.tril_indices(3,3)
torch.triu_indices(3,4,1)
torch.complex(torch.tensor([1.]), torch.tensor([2.]))
torch.polar(torch.tensor([1.]), torch.tensor([0.]))
torch.frombuffer(bytearray(b"\x01\x02\x03\x04"), dtype=torch.uint8)
torch.frombuffer(bytearray(b"\x01\x02\x03\x04"), dtype=torch.int16)
torch.frombuffer(bytearray(b"\x01\x02\x03\x04"), dtype=torch.uint8, offset=1, count=2)
torch.meshgrid(torch.arange(2), torch.arange(3), indexing='ij')
torch.is_tensor(3)
torch.is_tensor(torch.ones(1))
torch.is_floating_point(torch.ones(1))
torch.is_complex(torch.ones(1))
torch.is_nonzero(torch.ones(1))
torch.is_nonzero(torch.ones(2))
torch.numel(torch.ones(2,3))
torch.set_default_dtype(torch.int64)
torch.set_default_dtype(None)
torch.set_default_dtype(torch.complex64)
torch.get_default_dtype()
""".strip().splitlines()


@pytest.mark.parametrize("code", CASES)
def test_as_pytorch(code: str, device: Any) -> None:
    check(code, device)


RANDOM = (
    "rand(3)", "randn(3)", "randint(5, (3,))", "randperm(3)", "normal(0.0, 1.0, (3,))",
)  # fmt: skip
FACTORIES = (
    "zeros(3)", "ones(3)", "empty(3)", "full((3,), 2)", "arange(3)", "linspace(0, 1, 3)",
    "logspace(0, 1, 3)", "eye(3)", "tensor([1, 2])", "as_tensor([1, 2])", "asarray([1, 2])",
    "scalar_tensor(1)", "empty_strided((2,), (1,))", "Tensor([1, 2])", "tril_indices(2, 2)",
    *RANDOM,
)  # fmt: skip


def made(code: str, **options: Any) -> dt.Tensor:
    given = "".join(f", {name}={name}" for name in options)
    result: dt.Tensor = eval(f"dt.{code[:-1]}{given})", {"dt": dt, **options})
    return result


@pytest.mark.parametrize("code", FACTORIES)
def test_every_factory_takes_a_device(code: str, device: Any) -> None:
    concrete = dt.empty(0, device=device).device
    assert made(code, device=device).device == concrete
    assert made(code, device=str(device)).device == concrete
    with device:
        assert made(code).device == concrete
        assert made(code, device="cpu").device == dt.device("cpu")
    assert made(code).device == dt.device("cpu")


@pytest.mark.parametrize("code", FACTORIES)
def test_every_factory_follows_the_default_device(code: str, device: Any) -> None:
    dt.set_default_device(device)
    try:
        assert made(code).device == dt.empty(0, device=device).device
        with dt.device("cpu"):
            assert made(code).device == dt.device("cpu")
    finally:
        dt.set_default_device(None)
    assert made(code).device == dt.device("cpu")


def test_a_repeated_call_follows_the_device_and_the_default_dtype(device: Any) -> None:
    for _ in range(3):  # the second call of the same arguments takes the remembered plan
        assert dt.zeros(2).device == dt.device("cpu")
        with device:
            assert dt.zeros(2).device.type == device.type
    dt.set_default_dtype(dt.float64)
    try:
        assert dt.zeros(2).dtype is dt.float64
        assert dt.ones(2).dtype is dt.float64
    finally:
        dt.set_default_dtype(dt.float32)
    assert dt.zeros(2).dtype is dt.float32


@pytest.mark.parametrize("code", ["rand(4)", "randn(4)", "randint(9, (4,))", "randperm(4)"])
def test_random_factories_give_the_same_numbers_everywhere(code: str, device: Any) -> None:
    results = []
    for where in (device, dt.device("cpu")):
        generator = dt.Generator(where).manual_seed(7)
        results.append(made(code, generator=generator, device=where).cpu())
    assert results[0].tolist() == pytest.approx(results[1].tolist(), rel=1e-6)


def test_like_factories_keep_the_device(device: Any) -> None:
    x = dt.ones(2, 3, device=device)
    for name in ("zeros", "ones", "empty", "rand", "randn"):
        assert getattr(dt, f"{name}_like")(x).device == x.device
    for made_like in (
        x.new_zeros(2), x.new_ones(2), x.new_empty(2), x.new_full((2,), 3), x.new_tensor([1]),
        dt.full_like(x, 3), dt.randint_like(x, 5), x.new_empty_strided((2,), (1,)),
    ):  # fmt: skip
        assert made_like.device == x.device
    assert x.new_zeros(2, device="cpu").device == dt.device("cpu")


def test_a_repeated_factory_call_returns_memory_of_its_own(device: Any) -> None:
    first, second = dt.zeros(3, device=device), dt.zeros(3, device=device)
    first.add_(1)
    assert second.tolist() == [0, 0, 0]


def test_errors_say_what_came() -> None:
    with pytest.raises(TypeError, match="must be tuple of ints, not int"):
        dt.full(2, 1)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="negative dimension -1"):
        dt.zeros(-1)
    with pytest.raises(ValueError, match=r"length 2 at dim 1 \(got 1\)"):
        dt.tensor([[1, 2], [3]])
    with pytest.raises(RuntimeError, match="Could not infer dtype of NoneType"):
        dt.tensor([None])
    with pytest.raises(RuntimeError, match=r"uint8_t without overflow \(got 300"):
        dt.full((1,), 300, dtype=dt.uint8)
    with pytest.raises(RuntimeError, match="dtype Double does not match dtype of out"):
        dt.zeros(2, out=dt.ones(2), dtype=dt.float64)


def test_tensor_of_a_tensor_warns_and_copies(device: Any) -> None:
    x = dt.ones(2, device=device)
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        y = dt.tensor(x)
    y.add_(1)
    assert x.tolist() == [1, 1]


def test_tensor_copies_arrays_of_any_layout(device: Any) -> None:
    base = np.arange(24.0).reshape(2, 3, 4)
    for array in (base, base.T, base[:, ::2], base[..., ::-1], base[0, 0, 0:0], base[0, 0, 0]):
        x = dt.tensor(array, device=device)
        assert x.is_contiguous()
        np.testing.assert_array_equal(x.cpu().numpy(), array)
    x = dt.tensor(base)
    base[:] = 0
    assert float(x.sum()) == 276.0


def test_integer_extremes_survive(device: Any) -> None:
    values = [2**63 - 1, -(2**63)]
    assert dt.tensor(values, device=device).tolist() == values
    assert dt.full((1,), 2**63 - 1, dtype=dt.int64, device=device).tolist() == [2**63 - 1]
    assert dt.tensor([255, -1], dtype=dt.uint8, device=device).tolist() == [255, 255]


def test_inference_mode_marks_what_factories_make(device: Any) -> None:
    with dt.inference_mode():
        assert dt.zeros(2, device=device).is_inference()
        assert dt.tensor([1.0], device=device).is_inference()
    assert not dt.zeros(2, device=device).is_inference()


def test_factories_make_leaves_that_require_grad(device: Any) -> None:
    for code in ("zeros(2)", "ones(2)", "full((2,), 1.0)", "rand(2)", "tensor([1.0])", "eye(2)"):
        x = made(code, requires_grad=True, device=device)
        assert x.requires_grad
        assert x.is_leaf


@pytest.mark.parametrize("name", ["full", "fill_"])
def test_equal_numbers_that_differ_are_told_apart(name: str, device: dt.device) -> None:
    """Kernels of a value are kept; 0.0 and -0.0, True, 1 and 1.0 are equal, NaN equals nothing."""
    for value in (0.0, -0.0, 0.0, 1, True, 1.0, float("nan"), -0.0, 2.5, float("inf")):
        if name == "full":
            made = dt.full((3,), value, dtype=dt.float32, device=device)
        else:
            made = dt.empty(3, device=device).fill_(value)
        found, wanted = made.cpu().numpy(), np.full(3, value, np.float32)
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))
    kinds = [dt.full((2,), value, device=device).dtype for value in (1, True, 1.0, 1)]
    assert kinds == [dt.int64, dt.bool, dt.float32, dt.int64]
