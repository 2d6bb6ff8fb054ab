"""Products by cuBLASLt: how operands lie, batches, what is added, dtypes, precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from beside import DEVICE, FLOATS, agrees, drawn, values_of

import dovetail as dt

KINDS = (*FLOATS, dt.complex64, dt.complex128)


@pytest.fixture(autouse=True)
def cuda(need_device: Callable[[str], dt.device]) -> dt.device:
    return need_device(DEVICE)


@pytest.fixture
def queued() -> Callable[[Callable[[], Any]], list[str]]:
    """The kernels that a function queues, by label."""
    from dovetail_cuda.runtime import device_of

    def run(function: Callable[[], Any]) -> list[str]:
        device, seen = device_of(0), []
        device.watch = lambda label, event, buffers: seen.append(label)
        try:
            function()
        finally:
            device.watch = None
        return seen

    return run


@pytest.mark.parametrize("dtype", KINDS, ids=str)
@pytest.mark.parametrize(
    "shapes",
    [
        ((3, 5), (5, 4)), ((70, 50), (50, 90)), ((1, 300), (300, 1)), ((257, 1), (1, 33)),
        ((2, 3, 7, 5), (2, 3, 5, 4)), ((2, 3, 7, 5), (5, 4)), ((2, 3, 7, 5), (3, 5, 4)),
        ((3, 5), (2, 5, 4)), ((128, 2048), (2048, 64)), ((4, 3), (3,)), ((3,), (3, 4)),
    ],
    ids=str,
)  # fmt: skip
def test_matmul(shapes: Any, dtype: dt.dtype) -> None:
    a, b = (drawn(*shape, dtype=dtype, seed=i) for i, shape in enumerate(shapes))
    agrees("matmul", [a, b], call=dt.matmul)


@pytest.mark.parametrize("dtype", KINDS, ids=str)
@pytest.mark.parametrize("one", range(4))
@pytest.mark.parametrize("two", range(4))
def test_layouts(one: int, two: int, dtype: dt.dtype) -> None:
    """Transposed, part of a larger matrix, and with neighbours in neither dim."""

    def laid(rows: int, columns: int, way: int) -> Any:
        if way == 1:
            return drawn(columns, rows, dtype=dtype).mT
        if way == 2:
            return drawn(rows + 2, columns + 3, dtype=dtype)[1:-1, 2:-1]
        if way == 3:
            return drawn(2 * rows, 2 * columns, dtype=dtype)[::2, ::2]
        return drawn(rows, columns, dtype=dtype)

    agrees("matmul", [laid(9, 17, one), laid(17, 6, two)], call=dt.matmul)


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_batches_that_do_not_merge(dtype: dt.dtype) -> None:
    a, b = drawn(2, 7, 3, 5, dtype=dtype), drawn(3, 2, 5, 4, dtype=dtype)
    agrees("matmul", [a.transpose(1, 2), b.transpose(0, 1)], call=dt.matmul)
    a = drawn(2, 40, 3, 2, 5, dtype=dtype).permute(1, 0, 2, 3, 4)  # more than are called singly
    b = drawn(3, 40, 2, 5, 4, dtype=dtype).permute(1, 2, 0, 3, 4)
    agrees("matmul", [a, b], call=dt.matmul)


@pytest.mark.parametrize("dtype", KINDS, ids=str)
@pytest.mark.parametrize("shape", [(), (4,), (3, 1), (1, 4), (3, 4)], ids=str)
def test_addmm(shape: Any, dtype: dt.dtype) -> None:
    a, b = drawn(3, 5, dtype=dtype), drawn(5, 4, dtype=dtype, seed=1)
    added = drawn(*shape, dtype=dtype, seed=2)
    for scales in ({"beta": 1, "alpha": 1}, {"beta": 0.5, "alpha": 2}, {"beta": 0, "alpha": 3}):
        agrees("addmm", [added, a, b], call=dt.addmm, **scales)


@pytest.mark.parametrize("dtype", KINDS, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 4), (1, 4)], ids=str)
def test_baddbmm(shape: Any, dtype: dt.dtype) -> None:
    a, b = drawn(2, 3, 5, dtype=dtype), drawn(2, 5, 4, dtype=dtype, seed=1)
    added = drawn(*shape, dtype=dtype, seed=2)
    for scales in ({"beta": 1, "alpha": 1}, {"beta": 2, "alpha": 0.5}):
        agrees("baddbmm", [added, a, b], call=dt.baddbmm, **scales)


@pytest.mark.parametrize("dtype", KINDS, ids=str)
@pytest.mark.parametrize("shape", [(5,), (6, 5), (2, 3, 5), (64, 33, 5)], ids=str)
def test_linear(shape: Any, dtype: dt.dtype) -> None:
    weight = drawn(7, 5, dtype=dtype, seed=1)
    for bias in (None, drawn(7, dtype=dtype, seed=2)):
        agrees("linear", [drawn(*shape, dtype=dtype), weight, bias], call=dt.nn.functional.linear)


def test_in_place_and_out() -> None:
    a, b = drawn(3, 5, dtype=dt.float32), drawn(5, 4, dtype=dt.float32)
    added = drawn(3, 4, dtype=dt.float32)
    wanted = 0.5 * values_of(added) + values_of(a) @ values_of(b)
    added.addmm_(a, b, beta=0.5)
    np.testing.assert_allclose(values_of(added), wanted, rtol=1e-5)
    for out in (
        dt.empty(4, 3, device=DEVICE).t(), dt.empty(3, 8, device=DEVICE)[:, ::2],
        dt.empty(4, 6, device=DEVICE)[1:, 1:5],
    ):  # fmt: skip
        dt.matmul(a, b, out=out)
        np.testing.assert_allclose(values_of(out), values_of(a) @ values_of(b), rtol=1e-5)


def test_an_offset_that_is_not_aligned() -> None:
    for dtype in FLOATS:
        x, y = drawn(65, 66, dtype=dtype), drawn(67, 65, dtype=dtype)
        agrees("matmul", [x.flatten()[1:1025].view(32, 32), y.flatten()[3:1027].view(32, 32)],
               call=dt.matmul)  # fmt: skip


@pytest.mark.parametrize("dtype", [dt.float16, dt.bfloat16], ids=str)
def test_rows_that_do_not_begin_at_aligned_places(dtype: dt.dtype) -> None:
    """So large that they are copied to where they do: a vocabulary's logits and their gradients."""
    x, weight = drawn(1024, 768, dtype=dtype), drawn(4097, 768, dtype=dtype, seed=1)
    bias = drawn(4097, dtype=dtype, seed=2)
    grad = drawn(1024, 4097, dtype=dtype, seed=3)
    agrees("linear", [x, weight, bias], call=dt.nn.functional.linear)
    agrees("linear", [x, weight, None], call=dt.nn.functional.linear)
    agrees("linear_relu", [x, weight, bias])
    agrees("linear_relu", [x, weight, None])
    agrees("matmul", [grad, weight], call=dt.matmul)
    agrees("matmul", [grad.mT, x], call=dt.matmul)


def test_one_call_of_the_library(queued: Any) -> None:
    x, weight = drawn(8, 16, 32, dtype=dt.bfloat16), drawn(64, 32, dtype=dt.bfloat16)
    bias = drawn(64, dtype=dt.bfloat16)
    assert queued(lambda: dt.nn.functional.linear(x, weight, bias)) == ["matmul"]
    assert queued(lambda: x @ x.mT) == ["matmul"]


def test_float32_is_rounded_only_when_asked() -> None:
    a, b = drawn(256, 512, dtype=dt.float32), drawn(512, 256, dtype=dt.float32, seed=1)
    wanted = values_of(a) @ values_of(b)

    def error() -> float:
        return float(np.abs(values_of(a @ b) - wanted).max())

    exact = error()
    assert exact < 1e-4
    with dt.backends.cuda.matmul.flags(allow_tf32=True):
        rounded = error()
    assert rounded > 10 * exact
    assert rounded < 0.1
    assert error() == exact
