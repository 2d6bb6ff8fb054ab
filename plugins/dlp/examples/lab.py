"""The lab of docs/dlp.md: ``relu``, ``add``, and ``matmul`` four times, each faster than the one
before.

    python plugins/dlp/examples/lab.py [FOLDER]
    DOVETAIL_DLP_KERNELS=plugins/dlp/examples/lab.py \\
        python -m dovetail_conformance --device dlp --op relu,add,matmul --dtype float32
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import dovetail as dt
import dovetail_dlp
import dovetail_dlp.lang as dlp
from dovetail.dtypes import float32

__all__ = ["add", "matmul_naive", "matmul_overlapped", "matmul_shared", "matmul_tiled", "relu"]


@dlp.kernel
def relu(x: Any, out: Any) -> None:
    """Step 1: bring a piece to the chip, compute there, store it."""
    for start, stop in dlp.parts(x.size, dlp.room(x.dtype)):
        tile = dlp.nram(stop - start, x.dtype)
        dlp.load(tile, x.flat[start:stop])
        dlp.vector_maximum(tile, tile, 0.0)
        dlp.store(out.flat[start:stop], tile)


@dlp.kernel
def add(x: Any, y: Any, out: Any) -> None:
    """Step 2: two inputs; both loads run at once, and sync() waits for them."""
    for start, stop in dlp.parts(x.size, dlp.room(x.dtype, x.dtype)):
        a, b = dlp.nram(stop - start, x.dtype), dlp.nram(stop - start, x.dtype)
        dlp.load_async(a, x.flat[start:stop])
        dlp.load_async(b, y.flat[start:stop])
        dlp.sync()
        dlp.vector_add(a, a, b)
        dlp.store(out.flat[start:stop], a)


@dlp.kernel
def matmul_naive(a: Any, b: Any, out: Any) -> None:
    """Step 3, as a beginner writes it: one row of the result at a time, so b comes again for
    each."""
    (m, k), n = a.shape, b.shape[1]
    for row in dlp.each(range(m)):
        total = dlp.nram((1, n), float32)
        left, right = dlp.nram((1, k), a.dtype), None
        dlp.load(left, a[row : row + 1])
        step = max(1, min(k, dlp.machine().wram // (4 * n)))
        for start in range(0, k, step):
            with dlp.scope():
                stop = min(start + step, k)
                part = dlp.nram((1, stop - start), a.dtype)
                right = dlp.wram((stop - start, n), b.dtype)
                dlp.load(part, a[row : row + 1, start:stop])
                dlp.load(right, b[start:stop])
                dlp.matmul(total, part, right, accumulate=start > 0)
        dlp.store(out[row : row + 1], total)


def _cuts(n: int, size: int) -> list[slice]:
    return [slice(s, min(s + size, n)) for s in range(0, n, size)]


@dlp.kernel
def matmul_tiled(a: Any, b: Any, out: Any) -> None:
    """Step 3, better: 64 rows by 64 columns at a time; what is loaded is used 64 times."""
    (m, k), n = a.shape, b.shape[1]
    for rows, columns in dlp.each(list(dlp.product(_cuts(m, 64), _cuts(n, 64)))):
        total = dlp.nram((rows.stop - rows.start, columns.stop - columns.start), float32)
        if not k:
            dlp.fill(total, 0.0)
        for inner in _cuts(k, 64):
            with dlp.scope():
                left = dlp.nram(a[rows, inner].shape, a.dtype)
                right = dlp.wram(b[inner, columns].shape, b.dtype)
                dlp.load(left, a[rows, inner])
                dlp.load(right, b[inner, columns])
                dlp.matmul(total, left, right, accumulate=inner.start > 0)
        dlp.store(out[rows, columns], total)


@dlp.kernel
def matmul_overlapped(a: Any, b: Any, out: Any) -> None:
    """Step 4: tiles of 128, and the next are loaded while the matrix unit works on these."""
    works = list(dlp.product(_cuts(a.shape[0], 128), _cuts(b.shape[1], 128)))
    for rows, columns in dlp.each(works):
        _overlapped(a[rows], b[:, columns], out[rows, columns])


def _overlapped(a: Any, b: Any, out: Any) -> None:
    """One tile of the result; two pairs of buffers are used in turn."""
    (m, k), n = a.shape, b.shape[1]
    total, cuts = dlp.nram((m, n), float32), _cuts(k, 128)
    if not cuts:
        dlp.fill(total, 0.0)
    buffers = [(dlp.nram((m, 128), a.dtype), dlp.wram((128, n), b.dtype)) for _ in cuts[:2]]

    def bring(number: int) -> tuple[Any, Any]:
        (left, right), inner = buffers[number % 2], cuts[number]
        depth = inner.stop - inner.start
        pair = left[:, :depth], right[:depth]
        dlp.load_async(pair[0], a[:, inner])
        dlp.load_async(pair[1], b[inner])
        return pair

    following = [bring(0)] if cuts else []
    for number in range(len(cuts)):
        dlp.sync()
        pair = following.pop()
        if number + 1 < len(cuts):
            following.append(bring(number + 1))
        dlp.matmul(total, *pair, accumulate=number > 0)
    dlp.store(out, total)


@dlp.kernel
def matmul_shared(a: Any, b: Any, out: Any) -> None:
    """Beyond: the cores of a cluster bring 128 columns of b to its shared memory together, once,
    and each makes other rows with them."""
    (m, k), n = a.shape, b.shape[1]
    cores, clusters = dlp.core_dim(), -(-dlp.task_dim() // dlp.machine().cores)
    panel = dlp.shared((k, 128), b.dtype)
    mine = _cuts(k, max(1, -(-k // cores)))[dlp.core_id() :][:1]
    for columns in _cuts(n, 128)[dlp.cluster_id() :: clusters]:
        part = panel[:, : columns.stop - columns.start]
        for rows in mine:
            dlp.load(part[rows], b[rows, columns])
        dlp.sync_cluster()
        for rows in _cuts(m, 128)[dlp.core_id() :: cores]:
            with dlp.scope():
                _overlapped(a[rows], part, out[rows, columns])
        dlp.sync_cluster()


def two_dims(call: Any) -> bool:
    """The lab's matmul takes two matrices; others stay with the device's own."""
    return bool(call.input.ndim == 2 and call.other.ndim == 2 and call.other.shape[1] <= 4096)


# Step 5: what DOVETAIL_DLP_KERNELS loads serves in place of the device's own kernels.
dovetail_dlp.install("relu", relu)
dovetail_dlp.install("add", add, layout="contiguous")
dovetail_dlp.install("matmul", matmul_overlapped, when=two_dims)


def main(folder: str = "") -> None:
    """The profile of the four, on 512 x 512; timelines and pictures go to a folder."""
    dt.manual_seed(0)
    a, b = dt.randn(512, 512), dt.randn(512, 512)
    wanted, profiles = a @ b, []
    for kernel in (matmul_naive, matmul_tiled, matmul_overlapped, matmul_shared):
        dovetail_dlp.install("matmul", kernel, when=two_dims)
        x, y = a.dlp(), b.dlp()
        with dovetail_dlp.profile() as found:
            made = x @ y
        assert dt.allclose(made.cpu(), wanted, rtol=1e-4, atol=1e-4)
        print("\n".join(str(found).splitlines()[1:3]))
        if folder:
            found.save_trace(Path(folder) / f"{kernel.name}.json")
        profiles.append(found)
    if folder:
        profiles[0].save_picture(Path(folder) / "matmul.png", *profiles[1:3])


if __name__ == "__main__":
    main(*sys.argv[1:])
