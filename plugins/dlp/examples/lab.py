"""The lab of docs/dlp.md: ``relu``, ``add``, and ``matmul`` three times, each faster than the one
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

__all__ = ["add", "matmul_naive", "matmul_overlapped", "matmul_tiled", "relu"]


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


def _tiles(m: int, n: int, tile: int) -> list[tuple[slice, slice]]:
    cut = lambda size: [slice(s, min(s + tile, size)) for s in range(0, size, tile)]
    return [(rows, columns) for rows in cut(m) for columns in cut(n)]


@dlp.kernel
def matmul_tiled(a: Any, b: Any, out: Any) -> None:
    """Step 3, better: 64 rows by 64 columns at a time; what is loaded is used 64 times."""
    (m, k), n = a.shape, b.shape[1]
    for rows, columns in dlp.each(_tiles(m, n, 64)):
        total = dlp.nram((rows.stop - rows.start, columns.stop - columns.start), float32)
        if not k:
            dlp.fill(total, 0.0)
        for start in range(0, k, 64):
            with dlp.scope():
                inner = slice(start, min(start + 64, k))
                left = dlp.nram(a[rows, inner].shape, a.dtype)
                right = dlp.wram(b[inner, columns].shape, b.dtype)
                dlp.load(left, a[rows, inner])
                dlp.load(right, b[inner, columns])
                dlp.matmul(total, left, right, accumulate=start > 0)
        dlp.store(out[rows, columns], total)


@dlp.kernel
def matmul_overlapped(a: Any, b: Any, out: Any) -> None:
    """Step 4: tiles of 128, and the next are loaded while the matrix unit works on these."""
    (m, k), n = a.shape, b.shape[1]
    for rows, columns in dlp.each(_tiles(m, n, 128)):
        total = dlp.nram((rows.stop - rows.start, columns.stop - columns.start), float32)
        if not k:
            dlp.fill(total, 0.0)
        cuts = [slice(s, min(s + 128, k)) for s in range(0, k, 128)]
        pairs = []
        for inner in cuts[:2]:  # two pairs of buffers, used in turn
            left = dlp.nram(a[rows, inner].shape, a.dtype)
            pairs.append((left, dlp.wram(b[inner, columns].shape, b.dtype)))
        for number, inner in enumerate(cuts[:1]):
            _start(pairs[number], a[rows, inner], b[inner, columns])
        for number in range(len(cuts)):
            dlp.sync()
            following = cuts[number + 1 : number + 2]
            for inner in following:
                pair = pairs[(number + 1) % 2]
                if (
                    pair[0].shape != a[rows, inner].shape
                    or pair[1].shape != b[inner, columns].shape
                ):
                    left = dlp.nram(a[rows, inner].shape, a.dtype)
                    pair = (left, dlp.wram(b[inner, columns].shape, b.dtype))
                    pairs[(number + 1) % 2] = pair
                _start(pair, a[rows, inner], b[inner, columns])
            dlp.matmul(total, *pairs[number % 2], accumulate=number > 0)
        dlp.store(out[rows, columns], total)


def _start(pair: Any, left: Any, right: Any) -> None:
    dlp.load_async(pair[0], left)
    dlp.load_async(pair[1], right)


def two_dims(call: Any) -> bool:
    """The lab's matmul takes two matrices; others stay with the device's own."""
    return bool(call.input.ndim == 2 and call.other.ndim == 2 and call.other.shape[1] <= 4096)


# Step 5: what DOVETAIL_DLP_KERNELS loads serves in place of the device's own kernels.
dovetail_dlp.install("relu", relu)
dovetail_dlp.install("add", add, layout="contiguous")
dovetail_dlp.install("matmul", matmul_overlapped, when=two_dims)


def main(folder: str = "") -> None:
    """The profile of the three, on 512 x 512; timelines and pictures go to a folder."""
    dt.manual_seed(0)
    a, b = dt.randn(512, 512), dt.randn(512, 512)
    wanted = a @ b
    for kernel in (matmul_naive, matmul_tiled, matmul_overlapped):
        dovetail_dlp.install("matmul", kernel, when=two_dims)
        x, y = a.dlp(), b.dlp()
        with dovetail_dlp.profile() as found:
            made = x @ y
        assert dt.allclose(made.cpu(), wanted, rtol=1e-4, atol=1e-4)
        print("\n".join(str(found).splitlines()[1:3]))
        if folder:
            found.save_trace(Path(folder) / f"{kernel.name}.json")
            found.save_picture(Path(folder) / f"{kernel.name}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
