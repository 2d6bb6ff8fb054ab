"""The kernel language: what a ``@dlp.kernel`` function is written in, in the spirit of BANG.

A kernel is run once by each task (``task_id()`` of ``task_dim()``). Its arguments are tensors in
GDRAM and numbers. It allocates on-chip memory (``nram``, ``wram``), brings data there (``load``),
computes there (``vector_add``, ``matmul``, …) and stores results::

    import dovetail_dlp.lang as dlp

    @dlp.kernel
    def double(x, out):
        for start, stop in dlp.parts(x.size, dlp.room(x.dtype, x.dtype)):
            tile = dlp.nram((stop - start,), x.dtype)
            dlp.load(tile, x.flat[start:stop])
            dlp.vector_add(tile, tile, tile)
            dlp.store(out.flat[start:stop], tile)

Wrong use (memory that does not fit, unaligned operands, reading before a DMA has finished) is a
``KernelError`` that names the line.
"""

from __future__ import annotations

from itertools import product

from dovetail.dtypes import bool_, int8, int64
from dovetail_dlp.lang import vector_unit
from dovetail_dlp.lang.dma import (
    load,
    load_as,
    load_async,
    load_gather,
    store,
    store_as,
    store_async,
    store_scatter,
    sync,
    sync_cluster,
)
from dovetail_dlp.lang.matrix_unit import (
    INT8_TERMS,
    MATRIX,
    conv,
    conv_input,
    conv_weight,
    matmul,
    vector_matmul,
)
from dovetail_dlp.lang.operands import HALF, ON_CHIP
from dovetail_dlp.lang.tasks import (
    blocks,
    cluster_id,
    core_dim,
    core_id,
    cut,
    each,
    machine,
    nram,
    parts,
    room,
    scope,
    shared,
    task_dim,
    task_id,
    wram,
)
from dovetail_dlp.lang.vector_unit import (
    add_at,
    check_range,
    convert,
    fill,
    grid,
    maxpool,
    move,
    order,
    pad,
    pick,
    reduce_argmax,
    reduce_argmin,
    reduce_max,
    reduce_min,
    reduce_prod,
    reduce_sum,
    scan_prod,
    scan_sum,
    sort_keys,
    spread,
    sumpool,
    transpose,
    vector,
    vector_index,
    vector_random,
)
from dovetail_dlp.machine.kernel import kernel
from dovetail_dlp.machine.tile import Scalar, Tile, dense_strides

__all__ = [
    "HALF",
    "INT8_TERMS",
    "MATRIX",
    "ON_CHIP",
    "Scalar",
    "Tile",
    "add_at",
    "blocks",
    "bool_",
    "check_range",
    "cluster_id",
    "conv",
    "conv_input",
    "conv_weight",
    "convert",
    "core_dim",
    "core_id",
    "cut",
    "dense_strides",
    "each",
    "fill",
    "grid",
    "int8",
    "int64",
    "kernel",
    "load",
    "load_as",
    "load_async",
    "load_gather",
    "machine",
    "matmul",
    "maxpool",
    "move",
    "nram",
    "order",
    "pad",
    "parts",
    "pick",
    "product",
    "reduce_argmax",
    "reduce_argmin",
    "reduce_max",
    "reduce_min",
    "reduce_prod",
    "reduce_sum",
    "room",
    "scan_prod",
    "scan_sum",
    "scope",
    "shared",
    "sort_keys",
    "spread",
    "store",
    "store_as",
    "store_async",
    "store_scatter",
    "sumpool",
    "sync",
    "sync_cluster",
    "task_dim",
    "task_id",
    "transpose",
    "vector",
    "vector_index",
    "vector_matmul",
    "vector_random",
    "wram",
]  # fmt: skip

for _name in set(vector_unit.__all__).difference(__all__):  # those that are made from a table
    globals()[_name] = getattr(vector_unit, _name)
    __all__ += [_name]
