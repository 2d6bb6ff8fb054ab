"""The kernel language: what it computes, and that each wrong use names its line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt


def region(x: dt.Tensor) -> Any:
    return x._materialize()


def launch(kernel: Any, *tensors: Any, **constants: Any) -> None:
    kernel(*(region(x) if isinstance(x, dt.Tensor) else x for x in tensors), **constants)


def body_overflow(dlp: Any, x: Any, out: Any) -> None:
    dlp.nram(200_000, x.dtype)  # wrong


def body_wram_overflow(dlp: Any, x: Any, out: Any) -> None:
    dlp.wram((512, 513), x.dtype)  # wrong


def body_unaligned(dlp: Any, x: Any, out: Any) -> None:
    tile = dlp.nram(100, x.dtype)
    dlp.load(tile[1:65], x[:64])  # wrong


def body_before_load(dlp: Any, x: Any, out: Any) -> None:
    tile = dlp.nram(64, x.dtype)
    dlp.load_async(tile, x[:64])
    dlp.vector_exp(tile, tile)  # wrong


def body_before_store(dlp: Any, x: Any, out: Any) -> None:
    tile = dlp.nram(64, x.dtype)
    dlp.load(tile, x[:64])
    dlp.store_async(out[:64], tile)
    dlp.fill(tile, 0.0)  # wrong


def body_unwritten(dlp: Any, x: Any, out: Any) -> None:
    tile = dlp.nram(64, x.dtype)
    dlp.store(out[:64], tile)  # wrong


def body_in_gdram(dlp: Any, x: Any, out: Any) -> None:
    dlp.vector_exp(out, x)  # wrong


def body_shapes(dlp: Any, x: Any, out: Any) -> None:
    a, b = dlp.nram(64, x.dtype), dlp.nram(32, x.dtype)
    dlp.load(b, x[:32])
    dlp.vector_exp(a, b)  # wrong


def body_dtypes(dlp: Any, x: Any, out: Any) -> None:
    a, b = dlp.nram(64, x.dtype), dlp.nram(64, dt.float16)
    dlp.load(a, x[:64])
    dlp.convert(b, a)
    dlp.vector_add(a, a, b)  # wrong


def body_no_conversion(dlp: Any, x: Any, out: Any) -> None:
    dlp.load(dlp.nram(64, dt.float16), x[:64])  # wrong


def body_freed(dlp: Any, x: Any, out: Any) -> None:
    for start, stop in dlp.parts(64, 64):
        tile = dlp.nram(64, x.dtype)
        dlp.load(tile, x[start:stop])
    if dlp.task_id() == 0:
        dlp.store(out[:64], tile)  # wrong


def body_matrix_dtype(dlp: Any, x: Any, out: Any) -> None:
    a, b, c = dlp.nram((8, 8), dt.int32), dlp.wram((8, 8), dt.int32), dlp.nram((8, 8), dt.int32)
    dlp.fill(a, 0)
    dlp.fill(b, 0)
    dlp.matmul(c, a, b)  # wrong


def body_matrix_space(dlp: Any, x: Any, out: Any) -> None:
    a, b, c = (dlp.nram((8, 8), x.dtype) for _ in range(3))
    dlp.fill(a, 0.0)
    dlp.fill(b, 0.0)
    dlp.matmul(c, a, b)  # wrong


def body_int8_terms(dlp: Any, x: Any, out: Any) -> None:
    a, b = dlp.nram((8, 1025), dt.int8), dlp.wram((1025, 8), dt.int8)
    total = dlp.nram((8, 8), dt.float32)
    dlp.fill(a, 1)
    dlp.fill(b, 1)
    dlp.matmul(total, a, b)  # wrong


def body_int8_terms_in_parts(dlp: Any, x: Any, out: Any) -> None:
    a, b = dlp.nram((8, 600), dt.int8), dlp.wram((600, 8), dt.int8)
    total = dlp.nram((8, 8), dt.float32)
    dlp.fill(a, 1)
    dlp.fill(b, 1)
    dlp.matmul(total, a, b)
    dlp.matmul(total, a, b, accumulate=True)  # wrong


def body_int8_conv(dlp: Any, x: Any, out: Any) -> None:
    image, weight = dlp.nram((64, 8, 8), dt.int8), dlp.wram((4, 64, 5, 5), dt.int8)
    dlp.fill(image, 1)
    dlp.fill(weight, 1)
    dlp.conv(dlp.nram((4, 4, 4), dt.float32), image, weight, 1, 0)  # wrong


def body_int8_in_int32(dlp: Any, x: Any, out: Any) -> None:
    a, b = dlp.nram((8, 8), dt.int8), dlp.wram((8, 8), dt.int8)
    dlp.fill(a, 1)
    dlp.fill(b, 1)
    dlp.matmul(dlp.nram((8, 8), dt.int32), a, b)  # wrong


def body_shared_computes(dlp: Any, x: Any, out: Any) -> None:
    tile = dlp.shared(64, x.dtype)
    if dlp.core_id() == 0:
        dlp.load(tile, x[:64])
        dlp.vector_exp(tile, tile)  # wrong


def body_shared_overflow(dlp: Any, x: Any, out: Any) -> None:
    dlp.shared(300_000, x.dtype)
    dlp.shared(300_000, x.dtype)  # wrong


def body_shared_unlike(dlp: Any, x: Any, out: Any) -> None:
    dlp.shared(64 + dlp.core_id(), x.dtype)  # wrong


def body_shared_race(dlp: Any, x: Any, out: Any) -> None:
    whole, mine = dlp.shared(64, x.dtype), dlp.nram(64, x.dtype)
    if dlp.core_id() == 0:
        dlp.load(whole, x[:64])
    dlp.load(mine, whole)  # wrong


def body_shared_two_write(dlp: Any, x: Any, out: Any) -> None:
    dlp.load(dlp.shared(64, x.dtype), x[:64])  # wrong


def body_shared_reused(dlp: Any, x: Any, out: Any) -> None:
    mine = dlp.nram(64, x.dtype)
    with dlp.scope():
        whole = dlp.shared(64, x.dtype)
        if dlp.core_id() == 0:
            dlp.load(whole, x[:64])
        dlp.sync_cluster()
        dlp.load(mine, whole)  # wrong
    with dlp.scope():
        other = dlp.shared(64, x.dtype)
        if dlp.core_id() == 0:
            dlp.load(other, x[:64])


def body_shared_unwritten(dlp: Any, x: Any, out: Any) -> None:
    whole, mine = dlp.shared(64, x.dtype), dlp.nram(64, x.dtype)
    dlp.sync_cluster()
    dlp.load(mine, whole)  # wrong


def body_shared_async(dlp: Any, x: Any, out: Any) -> None:
    whole = dlp.shared((4, 64), x.dtype)
    mine, other = dlp.nram(64, x.dtype), dlp.nram(64, x.dtype)
    dlp.fill(mine, 1.0)
    dlp.store_async(whole[dlp.core_id()], mine)
    dlp.load(other, whole[dlp.core_id()])  # wrong


def body_barrier(dlp: Any, x: Any, out: Any) -> None:
    if dlp.core_id():
        dlp.sync_cluster()  # wrong


WRONG: dict[Callable[..., None], str] = {
    body_overflow: r"nram: \(200000,\) of float32 is 800000 bytes, and 524288 of 524288 are left",
    body_wram_overflow: r"wram: \(512, 513\) of float32 is 1050624 bytes",
    body_unaligned: r"load: operands must start at a multiple of 64 bytes, got nram address 4",
    body_before_load: r"vector_exp: the buffer is read before its load has finished; sync\(\)",
    body_before_store: r"fill: the buffer is written before its store has finished; sync\(\)",
    body_unwritten: r"store: the buffer is read before anything was written to it",
    body_in_gdram: r"vector_exp: works on nram or wram, got a gdram tile",
    body_shapes: r"vector_exp: inputs must have the target's shape \(64,\), or 1 in a dim",
    body_dtypes: r"vector_add: inputs must have one dtype, got float16, float32; convert\(\)",
    body_no_conversion: r"load: both ends must be alike",
    body_freed: r"store: the buffer was freed at the end of the tile that made it",
    body_matrix_dtype: r"matmul: the matrix unit has int8, float16, bfloat16, float32, got int32",
    body_matrix_space: r"matmul: works on wram, got a nram tile",
    body_int8_terms: r"matmul: sums of int8 are exact in float32 up to 1024 products, got 1025;",
    body_int8_terms_in_parts: r"exact in float32 up to 1024 products, got 600 \+ 600; take smaller",
    body_int8_conv: r"conv: sums of int8 are exact in float32 up to 1024 products, got 1600;",
    body_int8_in_int32: r"matmul: the matrix unit accumulates in float32, got a nram tile",
    body_shared_computes: r"vector_exp: works on nram or wram, got a shared tile",
    body_shared_overflow: r"shared: \(300000,\) of float32 is 1200000 bytes, and 897152 of 2097152",
    body_shared_unlike: r"shared: all tasks of a cluster must allocate alike, got 260 bytes",
    body_shared_race: r"load: task 1 reads shared memory that task 0 writes at the same time \(",
    body_shared_two_write: r"load: task 1 writes shared memory that task 0 writes at the same time",
    body_shared_reused: r"load: task 1 reads shared memory that task 0 writes at the same time \(",
    body_shared_unwritten: r"load: the buffer is read before anything was written to it",
    body_shared_async: r"load: the buffer is read before its load has finished; sync\(\)",
    body_barrier: r"sync_cluster: .* got 1 times in task 3 and 0 in task 0, so that some wait",
}


@pytest.mark.parametrize("body", WRONG, ids=lambda body: body.__name__)
def test_wrong_use_names_kernel_and_line(module: Any, body: Callable[..., None]) -> None:
    import dovetail_dlp.lang as dlp

    def kernel(x: Any, out: Any) -> None:
        body(dlp, x, out)

    x = dt.zeros(100, device="dlp")
    with pytest.raises(module.KernelError, match=WRONG[body]) as caught:
        launch(dlp.kernel(kernel), x, dt.empty(100, device="dlp"))
    lines, first = inspect.getsourcelines(body)
    wrong = first + next(i for i, line in enumerate(lines) if line.endswith("# wrong\n"))
    assert re.search(rf"{__file__}:{wrong}\)$", str(caught.value)), str(caught.value)
    assert str(caught.value).startswith("kernel: ")
    assert (x + 1).sum().item() == 100  # the device goes on


def test_language_outside_of_a_kernel(module: Any) -> None:
    import dovetail_dlp.lang as dlp

    with pytest.raises(module.KernelError, match=r"inside of a @dlp\.kernel function"):
        dlp.nram(4, dt.float32)


def test_tasks_share_the_work(module: Any) -> None:
    import dovetail_dlp.lang as dlp

    @dlp.kernel(tasks=3)
    def numbers(out: Any) -> None:
        tile = dlp.nram(16, out.dtype)
        dlp.fill(tile, 10 * dlp.task_dim() + dlp.task_id())
        dlp.store(out[dlp.task_id()], tile)

    out = dt.zeros(3, 16, dtype=dt.int32, device="dlp")
    launch(numbers, out)
    assert out.cpu().numpy().tolist() == [[30] * 16, [31] * 16, [32] * 16]


@pytest.mark.parametrize("n", [1, 4095, 4096, 50_000, 1 << 20])
def test_parts_cover_a_range_once(module: Any, n: int) -> None:
    import dovetail_dlp.lang as dlp

    @dlp.kernel
    def mark(x: Any, out: Any) -> None:
        for start, stop in dlp.parts(x.size, 3000):
            assert 0 < stop - start <= 3000
            tile = dlp.nram(stop - start, x.dtype)
            dlp.load(tile, x[start:stop])
            dlp.vector_add(tile, tile, 1.0)
            dlp.store(out[start:stop], tile)

    x, out = dt.zeros(n, device="dlp"), dt.full((n,), -5.0, device="dlp")
    launch(mark, x, out)
    assert (out == 1).all().item()


@pytest.mark.parametrize("bytes_of_a_step", [0, 1 << 30])
def test_tiles_done_at_once_are_as_done_one_by_one(
    module: Any, monkeypatch: pytest.MonkeyPatch, bytes_of_a_step: int
) -> None:
    """What the compiler joins computes what the tiles in order compute."""
    from dovetail_dlp.machine import compiler

    monkeypatch.setattr(compiler, "BATCH_BYTES", bytes_of_a_step)
    module.configure(nram=8 << 10)  # many tiles; this also compiles again
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(70, 90)).astype("f"), rng.normal(size=(90, 300)).astype("f")
    x, y = dt.tensor(a).dlp(), dt.tensor(b).dlp()
    np.testing.assert_allclose((x @ y).cpu().numpy(), a @ b, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(x.t().exp().cpu().numpy(), np.exp(a.T), rtol=1e-5)
    np.testing.assert_allclose(y.sum(0).cpu().numpy(), b.sum(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(y.argmax(1).cpu().numpy(), b.argmax(1))
    np.testing.assert_allclose(y.cumsum(1).cpu().numpy(), b.cumsum(1), rtol=1e-3, atol=1e-4)
    flat = dt.tensor(b.reshape(-1)).dlp()
    np.testing.assert_array_equal(flat.sort()[0].cpu().numpy(), np.sort(b.reshape(-1)))


def test_values_carried_from_tile_to_tile_are_kept(module: Any) -> None:
    import dovetail_dlp.lang as dlp

    @dlp.kernel(tasks=1)
    def running(x: Any, out: Any) -> None:
        total = dlp.nram(64, x.dtype)
        dlp.fill(total, 0.0)
        for start, stop in dlp.parts(x.size, 64):
            tile = dlp.nram(64, x.dtype)
            dlp.load(tile, x[start:stop])
            dlp.vector_add(total, total, tile)
            dlp.store(out[start:stop], total)

    values = np.arange(640, dtype="f")
    out = dt.empty(640, device="dlp")
    launch(running, dt.tensor(values).dlp(), out)
    wanted = values.reshape(10, 64).cumsum(0).reshape(-1)
    np.testing.assert_array_equal(out.cpu().numpy(), wanted)


@pytest.mark.parametrize("value", [-128, 127, 1])
def test_the_deepest_sums_of_int8_are_exact(module: Any, value: int) -> None:
    """1,024 times -128 squared is 2^24, the last of float32's unbroken whole numbers."""
    import dovetail_dlp.lang as dlp

    @dlp.kernel(tasks=1)
    def sums(x: Any, y: Any, out: Any) -> None:
        a, b = dlp.nram((2, 512), x.dtype), dlp.wram((512, 3), x.dtype)
        total = dlp.nram((2, 3), dt.float32)
        for number in range(2):
            dlp.load(a, x[:, number * 512 : number * 512 + 512])
            dlp.load(b, y[number * 512 : number * 512 + 512])
            dlp.matmul(total, a, b, accumulate=number > 0)
        dlp.store(out, total)

    rng = np.random.default_rng(abs(value))
    x = rng.integers(-128, 128, (2, 1024)).astype(np.int8)
    y = rng.integers(-128, 128, (1024, 3)).astype(np.int8)
    x[0], y[:, 0] = value, value
    out = dt.empty(2, 3, device="dlp")
    launch(sums, dt.tensor(x).dlp(), dt.tensor(y).dlp(), out)
    np.testing.assert_array_equal(out.cpu().numpy(), x.astype(np.int64) @ y.astype(np.int64))


def test_int8_convolutions_are_exact(module: Any) -> None:
    import dovetail_dlp.lang as dlp

    @dlp.kernel(tasks=1)
    def convolve(x: Any, w: Any, out: Any) -> None:
        image, weight = dlp.nram(x.shape, x.dtype), dlp.wram(w.shape, w.dtype)
        total = dlp.nram(out.shape, dt.float32)
        dlp.load(image, x)
        dlp.load(weight, w)
        dlp.conv(total, image, weight, 1, 1)
        dlp.store(out, total)

    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (16, 6, 5)).astype(np.int8)
    w = rng.integers(-128, 128, (4, 16, 3, 3)).astype(np.int8)
    out = dt.empty(4, 6, 5, device="dlp")
    launch(convolve, dt.tensor(x).dlp(), dt.tensor(w).dlp(), out)
    wide = np.pad(x.astype(np.int64), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (1, 2))
    np.testing.assert_array_equal(out.cpu().numpy(), np.einsum("cyxij,ocij->oyx", windows, w))


@pytest.mark.parametrize("k", [0, 5, 1024, 1025, 5000])
def test_matmul_of_int8_is_exact_whatever_its_depth(module: Any, k: int) -> None:
    x, y = np.full((3, k), -128, np.int8), np.full((k, 2), -128, np.int8)
    y[::3] = 127
    made = (dt.tensor(x).dlp() @ dt.tensor(y).dlp()).cpu().numpy()
    np.testing.assert_array_equal(made, (x.astype(np.int64) @ y.astype(np.int64)).astype(np.int8))


def test_each_instruction_is_documented(module: Any) -> None:
    import dovetail_dlp.lang as dlp

    missing = [n for n in dlp.__all__ if callable(getattr(dlp, n)) and not getattr(dlp, n).__doc__]
    assert missing == []
