"""Memory, errors, threads and counters of the opencl device."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail.dispatch import clear_plans


def test_a_kernel_that_does_not_compile_names_device_and_error(queue: Any) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)does not compile.*no_such_function"):
        queue.program("kernel void broken(global float *x) { x[0] = no_such_function(1); }")
    assert dt.ones(3, device="opencl:0").sum().item() == 3


def test_out_of_memory_has_the_numbers_and_the_device_works_on(
    fresh: Callable[..., str],
) -> None:
    code = """
import dovetail as dt
kept = dt.ones(1 << 20, device="opencl:0")
freed = dt.ones(1 << 20, device="opencl:0")
del freed
try:
    dt.empty(1 << 22, device="opencl:0")
except RuntimeError as error:
    print(error)
print(float(kept.sum()), dt.empty(3 << 18, device="opencl:0").numel())
"""
    said = fresh(code, DOVETAIL_OPENCL_MEMORY=str(10 << 20))
    assert f"asked for {16 << 20} bytes" in said
    assert f"of {10 << 20} are in use" in said
    assert f"{float(1 << 20)} {3 << 18}" in said


def test_two_threads_compute_what_one_does(opencl: dt.device) -> None:
    results: dict[int, list[float]] = {}

    def work(seed: int) -> None:
        x = dt.tensor([float(seed)] * 1000, device=opencl)
        results[seed] = []
        for step in range(40):
            y = (x * step + seed)[step:].sum() + x.reshape(10, 100).t().sum(0)[0]
            results[seed].append(y.item())

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2, 3):
        wanted = [(seed * s + seed) * (1000 - s) + 100.0 * seed for s in range(40)]
        assert results[seed] == pytest.approx(wanted, rel=1e-6)


def test_launches_are_counted(queue: Any) -> None:
    a, b = dt.ones(8, device="opencl:0"), dt.ones(8, device="opencl:0")
    a + b
    before = queue.launches
    a + b
    assert queue.launches == before + 1
    a.reshape(8)
    assert queue.launches == before + 1, "a view launches nothing"


def test_a_program_is_compiled_once(queue: Any) -> None:
    a = dt.ones(40, device="opencl:0")
    a.cosh()
    first = dict(queue._programs)
    dt.ones(41, 3, device="opencl:0").cosh()
    dt.ones(80, device="opencl:0")[2:].cosh()
    assert dict(queue._programs) == first


def _compiled(queue: Any, monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> list[str]:
    """The texts of the programs that a call compiles."""
    monkeypatch.setattr(queue, "_programs", {})
    monkeypatch.setattr(queue, "_kernels", {})
    clear_plans()
    call()
    return [text for text, _ in queue._programs]


def test_where_of_all_dtypes_is_one_program(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    condition = dt.tensor([True, False, True], device="opencl:0")
    kinds = (dt.float32, dt.float16, dt.int64, dt.uint8, dt.bool)
    pairs = [
        (dt.ones(3, dtype=k, device="opencl:0"), dt.zeros(3, dtype=k, device="opencl:0"))
        for k in kinds
    ]
    texts = _compiled(queue, monkeypatch, lambda: [dt.where(condition, a, b) for a, b in pairs])
    assert len(texts) == 1
    assert all(f"where_bool_{str(k).removeprefix('torch.')}_" in texts[0] for k in kinds)


def test_losses_of_a_dtype_are_one_program(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = dt.randn(5, 7).to("opencl:0").requires_grad_()
    target = dt.tensor([1, 0, 6, 3, 3], device="opencl:0")
    weight = dt.rand(7).to("opencl:0")
    grad = dt.ones(5, device="opencl:0")

    def call() -> None:
        for more in ({}, {"weight": weight}, {"label_smoothing": 0.1}, {"reduction": "sum"}):
            dt.nn.functional.cross_entropy(x, target, **more)
        dt.nn.functional.cross_entropy(x, target, reduction="none").backward(grad)

    texts = _compiled(queue, monkeypatch, call)
    assert sum("kernel void cross_entropy(" in text for text in texts) == 1
    assert sum("kernel void cross_entropy_backward(" in text for text in texts) == 1


def test_scatter_add_in_order_gives_equal_bits(fresh: Callable[..., str]) -> None:
    code = """
import hashlib
import numpy as np
import dovetail as dt
source = np.random.default_rng(0).standard_normal(20000).astype(np.float32)
index = np.random.default_rng(1).integers(0, 7, 20000)
x, i = dt.tensor(source, device="opencl:0"), dt.tensor(index, device="opencl:0")
for _ in range(3):
    y = dt.zeros(7, device="opencl:0").scatter_add(0, i, x).cpu().numpy()
    print(hashlib.sha256(y.tobytes()).hexdigest())
wanted = np.zeros(7)
np.add.at(wanted, index, source.astype(np.float64))
assert np.abs(y - wanted).max() < 1e-2, (y, wanted)
"""
    said = fresh(code, DOVETAIL_OPENCL_DETERMINISTIC="1").split()
    said += fresh(code, DOVETAIL_OPENCL_DETERMINISTIC="1").split()
    assert len(said) == 6
    assert len(set(said)) == 1
    chosen = code.replace("for _ in", "dt.use_deterministic_algorithms(True)\nfor _ in")
    said += fresh(chosen, DOVETAIL_OPENCL_DETERMINISTIC="0").split()
    assert len(said) == 9
    assert len(set(said)) == 1
    fresh(code, DOVETAIL_OPENCL_DETERMINISTIC="0")


def test_deterministic_algorithms_are_chosen_anew(fresh: Callable[..., str]) -> None:
    """What was planned before is planned again, where a GPU adds by atomics."""
    code = """
import dovetail as dt
from dovetail_kernels import scatter
asked = []
takes = scatter.Scatter._takes_atomics
def noting(self, dtype, lines):
    asked.append(takes(self, dtype, lines))
    return asked[-1]
scatter.Scatter._takes_atomics = noting
x = dt.ones(20000, device="opencl:0")
i = dt.zeros(20000, dtype=dt.int64, device="opencl:0")
for mode in (False, True, True, False):
    dt.use_deterministic_algorithms(mode)
    for _ in range(2):
        y = dt.zeros(7, device="opencl:0").scatter_add(0, i, x)
        assert y.tolist() == [20000.0] + [0.0] * 6
print(asked)
"""
    assert fresh(code, DOVETAIL_OPENCL_CLASS="gpu").strip() == "[True, False, True]"


@pytest.mark.parametrize("patience", [0, 8])
def test_general_and_special_kernels_give_equal_results(
    queue: Any, patience: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "patience", patience)
    values = np.arange(2 * 3 * 5 * 7, dtype=np.float32).reshape(2, 3, 5, 7) / 7
    x = dt.tensor(values, device="opencl:0").permute(2, 0, 3, 1)
    for _ in range(10):
        y = x + x[:, :1].exp()
    moved = values.transpose(2, 0, 3, 1)
    np.testing.assert_allclose(y.cpu().numpy(), moved + np.exp(moved[:, :1]), rtol=1e-6)
    out = dt.zeros(3, 7, 2, 5, device="opencl:0").permute(3, 2, 1, 0)
    for _ in range(10):
        out.copy_(x)
    np.testing.assert_array_equal(out.cpu().numpy(), moved)


def test_copies_keep_the_bits_of_nan(opencl: dt.device) -> None:
    bits = np.array([[0x7E01, 0xFE55, 0x3C00], [0x7FFF, 0x0001, 0xFC00]], np.uint16)
    x = dt.tensor(bits.view(np.float16), device=opencl)
    for _ in range(300):
        y = x.t().contiguous()
    np.testing.assert_array_equal(y.cpu().numpy().view(np.uint16), bits.T)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 7), (33, 70, 65), (64, 17, 32), (9, 0, 4)])
@pytest.mark.parametrize("kind", ["float32", "int64", "bfloat16", "complex64"])
def test_products_of_ragged_shapes(
    opencl: dt.device, shape: tuple[int, int, int], kind: str
) -> None:
    m, k, n = shape
    generator = np.random.default_rng(0)
    a = generator.integers(-4, 5, (2, m, k)).astype(np.float32)
    b = generator.integers(-4, 5, (n, k)).astype(np.float32)
    dtype = getattr(dt, kind)
    x = dt.tensor(a, device=opencl).to(dtype)
    y = dt.tensor(b, device=opencl).to(dtype).t()
    made = (x @ y).to(dt.float32 if kind != "complex64" else dtype).cpu().numpy()
    wanted = a @ b.T
    if kind == "bfloat16":
        np.testing.assert_allclose(made.real, wanted, rtol=2**-8)
    else:
        np.testing.assert_array_equal(made.real, wanted)


def test_values_of_filled_tensors_do_not_mix(opencl: dt.device) -> None:
    made = [dt.full((3,), value, device=opencl) for value in (1.5, 2.5, 0.0, -1.0)]
    made += [dt.arange(start, start + 3, device=opencl) for start in (4, 9)]
    assert [x.tolist() for x in made[:4]] == [[v] * 3 for v in (1.5, 2.5, 0.0, -1.0)]
    assert [x.tolist() for x in made[4:]] == [[4, 5, 6], [9, 10, 11]]


def test_memory_goes_back(queue: Any) -> None:
    x = dt.empty(1 << 20, device="opencl:0")
    used = queue.used
    del x
    from dovetail.backend.allocator import empty_cache

    empty_cache("opencl:0")
    assert queue.used <= used - (4 << 20)


@pytest.mark.parametrize("source", ["complex64", "complex128"])
@pytest.mark.parametrize("target", ["bool", "uint8", "int64", "float16", "bfloat16", "float64"])
def test_complex_numbers_become_real_ones(opencl: dt.device, source: str, target: str) -> None:
    values = np.array([[1 + 2j, 0 + 1j, 0], [3, 5 - 1j, 7]], getattr(np, source))
    x = dt.tensor(values, device=opencl).t().to(getattr(dt, target))
    wanted = values.T != 0 if target == "bool" else values.T.real
    np.testing.assert_array_equal(x.to(dt.float64).cpu().numpy(), wanted.astype(np.float64))


def test_a_number_is_scattered(opencl: dt.device) -> None:
    index = dt.tensor([0, 2], device=opencl)
    made = dt.ones(3, 2, device=opencl).index_fill(0, index, 3.0)
    assert made.tolist() == [[3, 3], [1, 1], [3, 3]]


def test_launches_of_little_work_wait_for_each_other(queue: Any) -> None:
    """A driver for the host's cores gets several at once, before whatever else is asked of it."""
    x = dt.ones(8, device="opencl:0")
    queue.synchronize()
    doubled = x * 2
    assert bool(queue.waiting) is queue.is_cpu
    x.copy_(dt.full((8,), 5.0))  # bytes of the host's, and a small copy
    assert len(queue.waiting) == 3 * queue.is_cpu
    large = dt.empty(1 << 16, device="opencl:0")
    large.clone()
    assert not queue.waiting
    assert doubled.tolist() == [2.0] * 8
    for _ in range(100):
        x = x + 1
    assert len(queue.waiting) < 64
    assert x.tolist() == [105.0] * 8
    assert not queue.waiting


def test_a_profile_counts_the_operations_of_products(queue: Any) -> None:
    from dovetail_opencl.profiling import profile

    x, w = dt.ones(8, 16, device="opencl:0"), dt.ones(4, 16, device="opencl:0")
    image, filters = dt.ones(1, 2, 5, 5, device="opencl:0"), dt.ones(8, 2, 3, 3, device="opencl:0")
    with profile() as seen:
        dt.nn.functional.linear(x, w).relu()
        dt.nn.functional.conv2d(image, filters)
    rows = {row.name: row for row in seen.rows}
    assert rows["matmul"].operations == 2 * 8 * 16 * 4
    assert rows["conv"].operations == 2 * 8 * 9 * 2 * 9
    assert rows["relu"].operations == 0
    assert seen.launches == len(seen.timeline) >= 3
    assert min(seen.peak, seen.arithmetic, *(row.seconds for row in seen.rows)) > 0
    assert "GFLOP/s" in seen.table()
    assert queue.watch is None
    assert queue.worked is None


def test_a_launch_sets_again_where_its_arrays_begin(queue: Any) -> None:
    """Numbers that have not changed stay set in a kernel; offsets may come and go."""
    values = np.arange(48, dtype=np.float32).reshape(6, 8)
    x = dt.tensor(values, device="opencl:0")
    for _ in range(2):
        for start in (0, 3, 0, 2):
            part, wanted = x[start : start + 3], values[start : start + 3]
            np.testing.assert_allclose(part.mean(1).cpu().numpy(), wanted.mean(1), rtol=1e-6)
            np.testing.assert_array_equal(part.softmax(0).sum(0).cpu().numpy().round(5), 1)


def test_mean_is_one_launch(queue: Any) -> None:
    x = dt.ones(4, 8, device="opencl:0")
    x.mean()
    before = queue.launches
    x.mean()
    assert queue.launches == before + 1
