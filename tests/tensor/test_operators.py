"""Python's operators and the three calling styles beside PyTorch: promotion, in-place, ``out=``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensor_beside import check

import dovetail as dt

CASES = r"""
torch.add(torch.ones(2), 1)
torch.add(torch.ones(2), torch.ones(2), alpha=2)
torch.ones(2).add(1)
torch.ones(2).add_(1)
torch.ones(2).add(1, alpha=3)
torch.add(1, torch.ones(2))
torch.add(input=torch.ones(2), other=1)
torch.add(torch.ones(2), 1, out=torch.empty(2))
torch.add(torch.ones(2), 1, out=torch.empty(0))
torch.add(torch.ones(2), 1, out=torch.empty(2,dtype=torch.int64))
torch.add(torch.ones(2), 1, out=torch.empty(2,dtype=torch.float64))
torch.add(torch.ones(2,requires_grad=True), 1, out=torch.empty(2))
torch.add(torch.ones(2), 1, out=torch.empty(2,requires_grad=True))
x = torch.empty(2); torch.add(torch.ones(2), 1, out=x) is x
torch.exp(torch.zeros(2), out=torch.empty(2))
torch.ones(2) + "a"
torch.ones(2) + None
torch.ones(2) + [1,2]
[1,2] + torch.ones(2)
"a" + torch.ones(2)
None + torch.ones(2)
torch.ones(2) * [1,2]
(1,2) * torch.ones(2)
torch.ones(2) - torch.ones(3)
torch.ones(2) == "a"
torch.ones(2) != "a"
torch.ones(2) == None
torch.ones(2) != None
torch.ones(2) < None
torch.ones(2) < "a"
torch.ones(2) == [1,1]
1 - torch.ones(2)
2 / torch.tensor([2,4])
7 // torch.tensor([2,4])
7 % torch.tensor([2,4])
2 ** torch.tensor([2,4])
2.0 ** torch.tensor([2,4])
7 & torch.tensor([2,4])
7 | torch.tensor([2,4])
7 ^ torch.tensor([2,4])
1 << torch.tensor([2,4])
16 >> torch.tensor([2,4])
1 < torch.tensor([2,0])
1 >= torch.tensor([2,0])
1 == torch.tensor([1,0])
torch.tensor([5,-5]) // 2
torch.tensor([5.,-5.]) // 2
torch.tensor([5,-5]) % 3
torch.tensor([5.,-5.]) % -3
torch.tensor([5,-5]) / 2
torch.tensor([5,-5]) // 0
torch.tensor([5,-5]) % 0
torch.tensor([5.,-5]) / 0
torch.tensor([5,-5]) ** 2
torch.tensor([2,3]) ** 0.5
torch.tensor([True]) + torch.tensor([True])
torch.tensor([True]) - torch.tensor([True])
1 - torch.tensor([True])
-torch.tensor([True])
-torch.tensor([1], dtype=torch.uint8)
+torch.tensor([True])
~torch.tensor([True])
~torch.tensor([5])
~torch.tensor([5.])
abs(torch.tensor([-5]))
abs(torch.tensor([True]))
torch.tensor([5]) & torch.tensor([4])
torch.tensor([5.]) & torch.tensor([4.])
torch.tensor([5]) & 1.5
torch.tensor([True]) & torch.tensor([False])
torch.tensor([True]) | 1
torch.tensor([1.5]) << 2
torch.tensor([3]) << 2
torch.tensor([3]) << torch.tensor([2])
torch.tensor([-8]) >> 1
torch.ones(2,2) @ torch.ones(2)
torch.ones(2,2) @ 3
3 @ torch.ones(2,2)
torch.ones(2) @ torch.ones(2)
torch.ones(2,3) @ torch.ones(2,3)
torch.ones(2,2) @ np.ones((2,2),dtype=np.float32)
x = torch.ones(2); x += 1; x
x = torch.ones(2); y = x; x -= 1; y
x = torch.ones(2); y = x; x *= 3; y
x = torch.ones(2); y = x; x /= 2; y
x = torch.ones(2); y = x; x //= 2; y
x = torch.ones(2); y = x; x %= 2; y
x = torch.ones(2)*3; y = x; x **= 2; y
x = torch.tensor([6]); y = x; x &= 3; y
x = torch.tensor([6]); y = x; x |= 3; y
x = torch.tensor([6]); y = x; x ^= 3; y
x = torch.tensor([6]); y = x; x <<= 3; y
x = torch.tensor([6]); y = x; x >>= 1; y
x = torch.ones(2,2); y = x; x @= x; y
x = torch.tensor([6]); x += 1.5; x
x = torch.tensor([6]); x /= 2; x
x = torch.tensor([True]); x += 1; x
x = torch.ones(2); x += torch.ones(3,2); x
x = torch.ones(2); x += "a"; x
x = 5; x += torch.ones(2); x
x = torch.ones(1).expand(3); x += 1; x
x = torch.ones(2,requires_grad=True); x += 1; x
x = torch.ones(4); x[0] += 5; x
x = torch.ones(3,3); x.t().add_(torch.arange(3.)); x
x = torch.arange(4.); x.add_(x); x
torch.tensor([1,2]) + 1.5
torch.tensor([1,2],dtype=torch.int8) + 200
torch.tensor([1,2],dtype=torch.int8) + 1000
torch.tensor([1,2],dtype=torch.uint8) - 3
torch.tensor([1,2],dtype=torch.uint8) + torch.tensor(300)
torch.tensor([1,2],dtype=torch.float16) + 1e6
torch.tensor([1],dtype=torch.float16) + torch.tensor(1.0, dtype=torch.float64)
torch.tensor([1],dtype=torch.int32) + True
torch.tensor([1]) + 1j
torch.tensor([1],dtype=torch.bfloat16) + torch.tensor([1],dtype=torch.float16)
torch.tensor(1) + torch.tensor(1.0)
torch.tensor(1.0) + 1j
torch.tensor([1,2]) + 2**63
torch.tensor([1,2]) * 2**40
torch.tensor([1,2],dtype=torch.int32) + 2**40
torch.tensor([1.]) + np.float64(1)
torch.tensor([1]) + np.float32(1)
torch.tensor([1]) + np.int8(1)
torch.tensor([1],dtype=torch.int8) + np.int64(1)
torch.tensor([1.]) + np.array([1.0])
torch.tensor([1,2]) < torch.tensor([2.,2.])
torch.tensor([1,2]).eq(1)
torch.tensor([1,2]).eq_(1)
torch.tensor([1.,2]).eq_(1)
torch.tensor([1,2]).lt(torch.tensor([1,3]))
torch.tensor([1+1j]) < 1
torch.tensor([1+1j]) == 1
torch.sub(torch.ones(2), 1, alpha=2)
torch.ones(2).sub_(1, alpha=2)
torch.rsub(torch.ones(2), 3)
torch.mul(torch.ones(2), 2)
torch.div(torch.tensor([5,-5]), 2, rounding_mode='floor')
torch.div(torch.tensor([5,-5]), 2, rounding_mode='trunc')
torch.div(torch.tensor([5,-5]), 2, rounding_mode='foo')
torch.tensor([5.,-5]).div_(2, rounding_mode='floor')
torch.true_divide(torch.tensor([5]), 2)
torch.floor_divide(torch.tensor([5]), 2)
torch.remainder(5, torch.tensor([3]))
torch.fmod(torch.tensor([-5]), 3)
torch.pow(2, torch.tensor([3]))
torch.pow(torch.tensor([2]), 3)
torch.pow(2, 3)
torch.neg(torch.ones(1))
torch.exp(3)
torch.tensor([1]).exp_()
torch.sum([1,2])
torch.exp("a")
torch.exp()
torch.exp(torch.ones(1), 3)
torch.ones(1).exp(3)
torch.exp(torch.ones(1), foo=3)
torch.exp(input=torch.zeros(1))
torch.where(torch.tensor([True,False]), 1, 2)
torch.where(torch.tensor([True,False]), 1., torch.tensor([1,2]))
torch.tensor([3]).logical_and(torch.tensor([0]))
torch.logical_not(torch.tensor([3.,0]))
torch.tensor([1.,2]).neg_()
torch.tensor([1.,2]).sqrt_()
torch.tensor([1.,2]).clamp_(1.5)
torch.tensor([1.,2]).clamp(min=1.5)
torch.tensor([1.,2]).clamp()
torch.tensor([1.,2]).copy_(torch.tensor([3,4]))
torch.tensor([1,2]).copy_(torch.tensor([3.7,4]))
torch.tensor([1.,2]).copy_(torch.ones(3))
torch.tensor([1.,2]).copy_(3)
torch.ones(2,3).copy_(torch.arange(3))
torch.tensor([1.,2]).fill_(3)
torch.tensor([1.,2]).fill_(torch.tensor(3))
torch.tensor([1.,2]).fill_(torch.tensor([3]))
torch.tensor([1,2]).fill_(3.7)
torch.tensor([1.,2]).fill_(value=3)
torch.tensor([1.,2]).zero_()
torch.fill(torch.ones(2), 3)
torch.ones(2).fill(3)
torch.zero_(torch.ones(2))
torch.tensor([True]).__and__(torch.tensor([True]))
torch.tensor([1.]).__add__(2)
torch.tensor([1.]).__radd__(2)
torch.tensor([1.]).__rsub__(2)
torch.tensor([1.]).__rpow__(2)
torch.tensor([4.]).__rtruediv__(2)
torch.tensor([4.]).__rdiv__(2)
torch.tensor([4.]).__div__(2)
torch.tensor([4.]).__idiv__(2)
torch.tensor([4.]).__rfloordiv__(9)
torch.tensor([4.]).__rmod__(9)
torch.tensor([1.]).__eq__(None)
torch.tensor([1.]).__lt__("a")
x = torch.tensor([1.,2.]); x.add_(1).mul_(2); x
operator.iadd(torch.ones(2), 1)
operator.imatmul(torch.ones(2,2), torch.ones(2,2))
torch.ones(2).__iadd__(1)
torch.ones(2, dtype=torch.int64).add(1.5)
torch.ones(2, dtype=torch.int64).add_(1.5)
torch.add(torch.ones(2, dtype=torch.bool), True, alpha=True)
torch.mul(torch.tensor([True]), torch.tensor([2]))
torch.matmul(torch.ones(2,2), torch.ones(2,2), out=torch.empty(2,2))
torch.cat([torch.ones(2), torch.ones(2)], out=torch.empty(0))
x = torch.ones(4); torch.add(x[:2], 1, out=x[2:]); x
x = torch.ones(2,2); torch.add(torch.arange(4.).view(2,2), 0, out=x.t()); x
torch.ones(2).bool() + torch.ones(2).bool()
torch.bitwise_and(torch.tensor([3]), 1)
torch.bitwise_left_shift(torch.tensor([3]), 1)
torch.tensor(5.) < 6 and True
torch.tensor(3) == 3.0
not torch.tensor([0])
torch.tensor([1,2,3]) != torch.tensor([1,0,3])
""".strip().splitlines()


@pytest.mark.parametrize("code", CASES)
def test_as_pytorch(code: str, device: Any) -> None:
    check(code, device)


OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=")
BITS = ("&", "|", "^", "<<", ">>")
OPERANDS = (
    "torch.tensor([5, 2, 3])", "torch.tensor([1.5, 2.0, 4.0])", "torch.tensor(3)",
    "torch.tensor(2.5, dtype=torch.float64)", "torch.tensor([3, 1, 2], dtype=torch.uint8)",
    "torch.tensor([[1.0], [2.0]], dtype=torch.float16)", "2", "2.5",
)  # fmt: skip
WHOLE = (
    "torch.tensor([5, 2, 3])", "torch.tensor(3)", "torch.tensor([3, 1, 2], dtype=torch.uint8)",
    "2", "torch.tensor([[1], [2]], dtype=torch.int16)",
)  # fmt: skip


@pytest.mark.parametrize("symbol", OPERATORS)
def test_operators_on_mixed_operands(symbol: str, device: Any) -> None:
    for left in OPERANDS:
        for right in OPERANDS:
            if "torch" in left + right:
                check(f"{left} {symbol} {right}", device)


@pytest.mark.parametrize("symbol", BITS)
def test_bit_operators_on_mixed_operands(symbol: str, device: Any) -> None:
    for left in WHOLE:
        for right in WHOLE:
            if "torch" in left + right:
                check(f"{left} {symbol} {right}", device)
    boolean = "torch.tensor([True, False, True])"
    check(f"{boolean} {symbol} {boolean}", device)


@pytest.mark.parametrize("symbol", [*OPERATORS[:7], *BITS])
def test_in_place_operators(symbol: str, device: Any) -> None:
    operands = WHOLE if symbol in BITS else OPERANDS
    for left in operands:
        for right in operands:
            if left.startswith("torch"):
                check(f"x = {left}; y = x; y {symbol}= {right}; [x, y is x]", device)


STYLES = {
    "add": "(1)", "sub": "(1)", "mul": "(2)", "div": "(2)", "pow": "(2)", "floor_divide": "(2)",
    "remainder": "(2)", "neg": "()", "abs": "()", "exp": "()",
    "sqrt": "()", "clamp": "(1, 2)", "eq": "(1)", "lt": "(2)", "logical_not": "()", "sigmoid": "()",
    "fmod": "(2)", "atan2": "(torch.ones(3))", "round": "()", "tanh": "()", "square": "()",
}  # fmt: skip


@pytest.mark.parametrize("name", STYLES)
def test_three_calling_styles(name: str, device: Any) -> None:
    space = {"torch": dt}
    x = dt.tensor([1.0, 2.5, 3.0], device=device)
    with device:
        arguments = eval(f"({STYLES[name][1:-1]}{',' if STYLES[name] != '()' else ''})", space)
    function = getattr(dt, name)(x, *arguments)
    method = getattr(x, name)(*arguments)
    assert (function.dtype, function.tolist()) == (method.dtype, method.tolist())
    out = dt.empty_like(function)
    assert getattr(dt, name)(x, *arguments, out=out) is out
    assert out.tolist() == function.tolist()
    y = x.clone()
    assert getattr(y, name + "_")(*arguments) is y
    assert y.tolist() == [float(v) for v in function.tolist()]
    assert x.tolist() == [1.0, 2.5, 3.0]


def test_out_is_resized_with_a_warning(device: Any) -> None:
    x, out = dt.ones(3, device=device), dt.zeros(2, device=device)
    with pytest.warns(UserWarning, match="An output with one or more elements was resized"):
        dt.add(x, 1, out=out)
    assert out.tolist() == [2, 2, 2]


def test_out_may_be_a_view_or_the_input(device: Any) -> None:
    base = dt.zeros(2, 4, device=device)
    dt.add(dt.arange(4.0, device=device).view(2, 2), 1, out=base[:, ::2])
    assert base.tolist() == [[1, 0, 2, 0], [3, 0, 4, 0]]
    dt.mul(base, 2, out=base)
    assert base.tolist() == [[2, 0, 4, 0], [6, 0, 8, 0]]
    dt.exp(base.t(), out=base.t())
    assert base[0, 1].item() == 1


def test_overlapping_writes_read_the_old_values(device: Any) -> None:
    # PyTorch refuses these; here the result is as if the source had been copied first.
    x = dt.arange(5.0, device=device)
    x[1:] += x[:-1]
    assert x.tolist() == [0, 1, 3, 5, 7]
    y = dt.arange(4.0, device=device).view(2, 2)
    y += y.t()
    assert y.tolist() == [[0, 3], [3, 6]]
    z = dt.arange(4.0, device=device)
    dt.add(z[:3], 1, out=z[1:])
    assert z.tolist() == [0, 1, 2, 3]


def test_arrays_take_part_on_the_host() -> None:
    x, array = dt.ones(2, 2), np.full((2, 2), 3.0, np.float32)
    for result in (x + array, array + x, array * x, x @ array, array @ x, x - array):
        assert isinstance(result, dt.Tensor)
    assert (array - x).tolist() == [[2, 2], [2, 2]]
    assert (np.float32(2) * x).dtype is dt.float32
    assert (x / np.float64(2)).dtype is dt.float32
    y = x
    y += array
    assert y is x
    assert x.tolist() == [[4, 4], [4, 4]]


def test_unknown_operands_get_a_chance() -> None:
    class Right:
        def __radd__(self, other: Any) -> str:
            return "mine"

        __rmatmul__ = __rsub__ = __radd__

    x = dt.ones(2)
    assert (x + Right(), x @ Right(), x - Right()) == ("mine", "mine", "mine")
    with pytest.raises(TypeError, match="unsupported operand"):
        x + "a"
    with pytest.raises(TypeError, match="unsupported operand"):
        x += "a"
    assert (x == "a") is False
    assert (x != None) is True  # noqa: E711


def test_numpy_warnings_stay_silent(device: Any) -> None:
    x = dt.tensor([0.0, -1.0, 1e38], device=device)
    with np.errstate(all="raise"):
        assert str((x / 0).tolist()) == "[nan, -inf, inf]"
        assert (x * 1e38)[2].item() == float("inf")
        assert str(dt.log(x).tolist()[:2]) == "[-inf, nan]"
    y = x.clone()
    y *= 1e38
    assert y[2].item() == float("inf")


def test_zero_and_minus_zero_are_two_numbers(device: Any) -> None:
    x = dt.ones(2, device=device)
    angles = [(x * number).atan2(-x).tolist() for number in (0.0, -0.0, 0.0)]
    assert [a[0] > 0 for a in angles] == [True, False, True]
