"""Values that an operator has no result for: the host says so where values are next asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

F: Any = dt.nn.functional
Call = Callable[[Any, Any], Any]

BY_ZERO = r"^ZeroDivisionError \({}, found when values were asked for\)$"
OUTSIDE = r"^all elements of {} should be between 0 and 1 \(binary_cross_entropy.*; found when"

WHOLE: dict[str, tuple[str, Call]] = {
    "a // b": ("floor_divide", lambda a, b: a // b),
    "a % b": ("remainder", lambda a, b: a % b),
    "fmod": ("fmod", lambda a, b: a.fmod(b)),
    "div, floor": ("div", lambda a, b: a.div(b, rounding_mode="floor")),
    "div, trunc": ("div", lambda a, b: a.div(b, rounding_mode="trunc")),
    "7 // b": ("floor_divide", lambda a, b: 7 // b),
    "a // b in place": ("floor_divide", lambda a, b: a.clone().floor_divide_(b)),
    "rows": ("floor_divide", lambda a, b: a[:, None] // b),
    "one": ("floor_divide", lambda a, b: a // b[b.argmin()]),
    "with gaps": ("floor_divide", lambda a, b: a.repeat(2)[::2] // b.repeat_interleave(2)[::2]),
    "turned": ("remainder", lambda a, b: a.repeat(2).view(2, -1).t() % b[:, None]),
    "offset": ("remainder", lambda a, b: dt.cat([a[:1], a])[1:] % dt.cat([b[:1] * 0, b])[1:]),
}

NUMPYS: dict[str, Call] = {
    "fmod": np.fmod,
    "div, floor": np.floor_divide,
    "div, trunc": lambda a, b: np.trunc(a / b),
    "a // b in place": np.floor_divide,
    "with gaps": lambda a, b: np.tile(a, 2)[::2] // b,
    "turned": lambda a, b: np.tile(a, 2).reshape(2, -1).T % b[:, None],
    "offset": np.remainder,
}
"""The calls of ``WHOLE`` that NumPy's arrays have by another name."""
KINDS = ("int8", "uint8", "int16", "int32", "int64")


def _pair(dtype: str, count: int, zeros: list[int], device: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(count)
    a = rng.integers(0, 100, count).astype(dtype)
    b = rng.integers(1, 9, count).astype(dtype)
    b[zeros] = 0
    return dt.tensor(a, device=device), dt.tensor(b, device=device)


def _works(device: Any) -> None:
    assert (dt.arange(5, device=device) + 1).tolist() == [1, 2, 3, 4, 5]
    dt.opencl.synchronize()


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_number_by_zero(opencl: dt.device, name: str, dtype: str) -> None:
    """The zero may be anywhere in a vector, and behind the last whole one."""
    operator, call = WHOLE[name]
    for count, at in ((1, 0), (37, 36), (5003, 0), (5003, 5002), (5003, 2500)):
        if name == "rows" and count > 37:
            continue
        a, b = _pair(dtype, count, [at], opencl)
        made: list[Any] = []
        with pytest.raises(RuntimeError, match=BY_ZERO.format(operator)):  # noqa: PT012
            made.append(call(a, b))  # some wait inside
            made[0].tolist()
        _works(opencl)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", WHOLE)
def test_without_a_zero_there_is_nothing_to_say(opencl: dt.device, name: str, dtype: str) -> None:
    """Padding that a kernel reads, and what lies beside an operand, may be 0."""
    for count in (1, 37, 5003):
        if name == "rows" and count > 37:
            continue
        a, b = _pair(dtype, count, [], opencl)
        call = WHOLE[name][1]
        wanted = NUMPYS.get(name, call)(a.cpu().numpy(), b.cpu().numpy())
        np.testing.assert_array_equal(call(a, b).cpu().numpy(), wanted)
    dt.opencl.synchronize()


def test_what_has_a_result_is_there(opencl: dt.device) -> None:
    """The mistake is told once, and the other quotients are right."""
    a, b = _pair("int32", 100, [7], opencl)
    quotient = a // b
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        dt.opencl.synchronize()
    x, y = a.cpu().numpy(), b.cpu().numpy()
    others = np.delete(np.arange(100), 7)
    np.testing.assert_array_equal(quotient.cpu().numpy()[others], x[others] // y[others])


def test_no_elements_no_mistake(opencl: dt.device) -> None:
    nothing = dt.zeros(0, 3, dtype=dt.int32, device=opencl)
    assert (nothing // dt.zeros(3, dtype=dt.int32, device=opencl)).shape == (0, 3)
    assert (nothing // 0).shape == (0, 3)
    dt.opencl.synchronize()


@pytest.mark.parametrize("number", [0, False, 256, -256])
@pytest.mark.parametrize(
    "call",
    [
        lambda a, n: a // n, lambda a, n: a % n, lambda a, n: a.fmod(n),
        lambda a, n: a.div(n, rounding_mode="trunc"), lambda a, n: a.floor_divide_(n),
        lambda a, n: a.remainder_(n), lambda a, n: dt.floor_divide(a, n, out=a.clone()),
    ],
)  # fmt: skip
def test_a_number_is_refused_at_the_call(
    opencl: dt.device, queue: Any, call: Call, number: int
) -> None:
    """256 is 0 in eight bits."""
    a = dt.ones(3, dtype=dt.uint8, device=opencl)
    for _ in range(3):  # plans are made by then
        before = queue.launches
        with pytest.raises(RuntimeError, match=r"^ZeroDivisionError$"):
            call(a, number)
        assert queue.launches <= before + 1  # out= was cloned
    assert a.tolist() == [1, 1, 1]
    assert (a.int() // 256).tolist() == [0, 0, 0]


def test_quotients_of_real_numbers_are_not_looked_at(opencl: dt.device, queue: Any) -> None:
    dt.opencl.synchronize()
    x, zero = dt.ones(3, device=opencl), dt.zeros(3, device=opencl)
    for made in (x // zero, x % zero, x.fmod(zero), x / zero, dt.ones(3, device=opencl).int() // 2):
        assert not queue.suspect
        made.tolist()


def _shares(dtype: Any, count: int, device: Any) -> tuple[Any, Any]:
    rng = np.random.default_rng(count)
    x, t = (dt.tensor(rng.uniform(0, 1, count), dtype=dtype, device=device) for _ in range(2))
    return x, t


REAL = [dt.float32, dt.float64, dt.float16, dt.bfloat16]


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("wrong", [1.5, -0.5, float("nan"), float("inf")])
@pytest.mark.parametrize("operand", ["input", "target"])
def test_no_probability(opencl: dt.device, operand: str, wrong: float, dtype: Any) -> None:
    for count, at in ((1, 0), (37, 36), (5003, 17)):
        for reduction in ("mean", "none"):
            x, t = _shares(dtype, count, opencl)
            (x if operand == "input" else t)[at] = wrong
            loss = F.binary_cross_entropy(x, t, reduction=reduction)
            with pytest.raises(RuntimeError, match=OUTSIDE.format(operand)):
                loss.tolist()
            _works(opencl)


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_probabilities_are_one_kernel(opencl: dt.device, queue: Any, dtype: Any) -> None:
    """0 and 1 are probabilities, and the logarithms are at least -100."""
    ends = np.array([0.0, 0.0, 1.0, 1.0, 0.5, 0.25, 1e-3]), np.array([0.0, 1, 0, 1, 0.5, 0.75, 1])
    x, t = (dt.tensor(values, dtype=dtype, device=opencl) for values in ends)
    F.binary_cross_entropy(x, t, reduction="none")
    before = queue.launches
    made = F.binary_cross_entropy(x, t, reduction="none")
    assert queue.launches - before <= (1 if dtype in REAL[:2] else 4)
    p, share = (y.cpu().double().numpy() for y in (x, t))
    with np.errstate(divide="ignore"):
        logarithms = np.log(p), np.log1p(-p)
    yes, no = (np.maximum(y, -100) for y in logarithms)
    wanted = -(share * yes + (1 - share) * no)
    near = {dt.float32: 1e-6, dt.float64: 1e-14, dt.float16: 1e-3, dt.bfloat16: 1e-2}[dtype]
    np.testing.assert_allclose(made.cpu().double().numpy(), wanted, rtol=near, atol=1e-7)


def test_the_gradient_is_computed_all_the_same(opencl: dt.device) -> None:
    x = dt.tensor([0.5, 1.5], device=opencl, requires_grad=True)
    loss = F.binary_cross_entropy(x, dt.tensor([1.0, 0.0], device=opencl))
    loss.backward()
    with pytest.raises(RuntimeError, match=OUTSIDE.format("input")):
        dt.opencl.synchronize()
    assert x.grad is not None
    assert x.grad[0].item() == -1.0


GPU = """
import dovetail as dt, pytest

for dtype in (dt.int32, dt.uint8, dt.int64):
    for count in (1, 37, 5003):
        a = dt.ones(count, dtype=dtype, device="opencl:0")
        b = a.clone()
        (a // b).tolist()
        b[-1] = 0
        turned = a.repeat(2).view(2, -1).t()
        for call in (lambda: a // b, lambda: 7 % b, lambda: turned // b[:, None]):
            with pytest.raises(RuntimeError, match="^ZeroDivisionError [(]"):
                call().tolist()
            assert (dt.arange(2, device="opencl:0") + 1).tolist() == [1, 2]
for dtype in (dt.float32, dt.float64, dt.float16, dt.bfloat16):
    for count in (1, 37, 5003):
        good = dt.full((count,), 0.5, dtype=dtype, device="opencl:0")
        loss = dt.nn.functional.binary_cross_entropy(good, good).item()
        assert abs(loss - 0.6931) < 1e-2, loss
        bad = good.clone()
        bad[-1] = 2
        for pair, word in (((bad, good), "input"), ((good, bad), "target")):
            with pytest.raises(RuntimeError, match=f"^all elements of {word} should"):
                dt.nn.functional.binary_cross_entropy(*pair).item()
"""


def test_kernels_for_gpus_say_so_too(in_class: Callable[[str, str], None]) -> None:
    in_class(GPU, "gpu")
