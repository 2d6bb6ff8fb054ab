"""Shared memory is a cluster's: one for its tasks, reached by DMA at a price of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt


def launch(kernel: Any, *tensors: dt.Tensor) -> None:
    kernel(*(x._materialize() for x in tensors))


def test_tasks_of_a_cluster_pass_values_on(module: Any) -> None:
    import dovetail_dlp.lang as dlp

    @dlp.kernel
    def sums(x: Any, out: Any) -> None:
        """Each task brings its row; each adds up all rows of its cluster."""
        rows, mine = dlp.shared((dlp.core_dim(), 64), x.dtype), dlp.nram(64, x.dtype)
        dlp.load(mine, x[dlp.task_id()])
        dlp.store(rows[dlp.core_id()], mine)
        dlp.sync_cluster()
        whole, total = dlp.nram(rows.shape, x.dtype), dlp.nram((1, 64), x.dtype)
        dlp.load(whole, rows)
        dlp.reduce_sum(total, whole, 0)
        dlp.vector_mul(total, total, float(dlp.core_id() + 1))
        dlp.store(out[dlp.task_id()], total.reshape(64))

    values = np.random.default_rng(0).integers(0, 9, (16, 64)).astype("f")
    out = dt.zeros(16, 64, device="dlp")
    launch(sums, dt.tensor(values).dlp(), out)
    of_clusters = values.reshape(4, 4, 64).sum(1, keepdims=True)
    factors = np.arange(1, 5, dtype="f")[:, None]
    np.testing.assert_array_equal(out.cpu().numpy(), (of_clusters * factors).reshape(16, 64))


def test_one_task_brings_what_all_use(module: Any) -> None:
    """Memory is used again in a second round; the matrix unit's operand comes through it."""
    import dovetail_dlp.lang as dlp

    @dlp.kernel
    def products(x: Any, w: Any, out: Any) -> None:
        left = dlp.nram(x.shape[1:], x.dtype)
        dlp.load(left, x[dlp.task_id()])
        for turn in range(2):
            with dlp.scope():
                panel, right = dlp.shared(w.shape[1:], w.dtype), dlp.wram(w.shape[1:], w.dtype)
                total = dlp.nram((left.shape[0], w.shape[2]), dt.float32)
                if dlp.core_id() == dlp.core_dim() - 1:  # the last that is compiled
                    dlp.load(panel, w[turn])
                dlp.sync_cluster()
                dlp.load(right, panel)
                dlp.matmul(total, left, right)
                dlp.store(out[turn, dlp.task_id()], total)
                dlp.sync_cluster()

    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(16, 8, 32)).astype("f"), rng.normal(size=(2, 32, 16)).astype("f")
    out = dt.zeros(2, 16, 8, 16, device="dlp")
    with module.profile() as found:
        launch(products, dt.tensor(x).dlp(), dt.tensor(w).dlp(), out)
    wanted = np.einsum("tij,rjk->rtik", x, w)
    np.testing.assert_allclose(out.cpu().numpy(), wanted, rtol=1e-4, atol=1e-4)
    # GDRAM gives each panel once per cluster, not once per task.
    assert found.lines()[0].nbytes == x.nbytes + 4 * w.nbytes + 2 * 16 * 8 * 16 * 4


def test_its_dma_has_its_own_price(module: Any) -> None:
    import dovetail_dlp.lang as dlp

    @dlp.kernel(tasks=1)
    def through(x: Any, out: Any) -> None:
        panel, mine = dlp.shared(8192, x.dtype), dlp.nram(8192, x.dtype)
        dlp.load(panel, x)
        dlp.load(mine, panel)
        dlp.store(out, mine)

    def cycles(**sizes: Any) -> float:
        module.configure(**sizes)
        x, out = dt.ones(8192, device="dlp"), dt.zeros(8192, device="dlp")
        with module.profile() as found:
            launch(through, x, out)
        assert out.sum().item() == 8192
        assert found.lines()[0].nbytes == 2 * 8192 * 4
        return found.cycles

    slow, fast = cycles(shared_bandwidth=64.0), cycles(shared_bandwidth=128.0)
    assert slow - fast == pytest.approx(8192 * 4 * (4 / 64 - 4 / 128))
    assert cycles(shared_latency=150.0) - fast == pytest.approx(100)


def test_a_cluster_waits_for_its_last_task(module: Any) -> None:
    import dovetail_dlp.lang as dlp

    @dlp.kernel
    def waiting(x: Any, out: Any) -> None:
        tile = dlp.nram(1024, x.dtype)
        dlp.load(tile, x)
        for _ in range(dlp.task_id()):
            dlp.vector_exp(tile, tile)
        dlp.sync_cluster()
        dlp.store(out[dlp.task_id()], tile)

    x, out = dt.zeros(1024, device="dlp"), dt.zeros(16, 1024, device="dlp")
    with module.profile() as found:
        launch(waiting, x, out)
    begins: dict[int, float] = {}
    (_, _, program), *_ = found.launches
    for task, _, name, start, _ in program.cost.timeline:
        if name == "store":
            begins[task] = start
    assert begins[0] == begins[1] == begins[3] < begins[4] == begins[7] < begins[15]


def test_machines_without_it_refuse_it(module: Any) -> None:
    import dovetail_dlp.lang as dlp

    @dlp.kernel
    def kernel(x: Any) -> None:
        dlp.shared(8, x.dtype)

    @dlp.kernel(tasks=17)
    def many(x: Any) -> None:
        dlp.sync_cluster()

    x = dt.ones(8, device="dlp")
    with pytest.raises(module.KernelError, match=r"at most a task per core \(16\), got 17"):
        launch(many, x)
    module.configure("diannao")
    with pytest.raises(module.KernelError, match="and 0 of 0 are left"):
        launch(kernel, x)
