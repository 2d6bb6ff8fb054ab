"""DMA: between GDRAM, a cluster's shared memory, and a core's; and waiting."""

from __future__ import annotations

from dovetail.dtypes import dtype as DType
from dovetail_dlp.lang.operands import ON_CHIP
from dovetail_dlp.lang.tasks import nram
from dovetail_dlp.lang.vector_unit import convert
from dovetail_dlp.machine.tile import Tile
from dovetail_dlp.machine.trace import Event, now

__all__ = [
    "load",
    "load_as",
    "load_async",
    "load_gather",
    "store",
    "store_as",
    "store_async",
    "store_scatter",
    "sync",
    "sync_cluster",
]


def _dma(name: str, target: Tile, source: Tile, is_waited: bool) -> None:
    trace = now()
    near, far = (target, source) if name == "load" else (source, target)
    trace.check(name, near, (*ON_CHIP, "shared"), writes=near is target)
    outside = ("gdram",) if near.home.space == "shared" else ("gdram", "shared")
    trace.check(name, far, outside, writes=far is target)
    if target.shape != source.shape or target.dtype is not source.dtype:
        trace.fail(
            f"{name}: both ends must be alike, got {target!r} and {source!r}; a DMA does "
            "not convert"
        )
    machine, nbytes = trace.machine, target.nbytes
    rows = max(near.rows, far.rows)
    if far.home.space == "shared":  # it does not go through GDRAM's wall
        rate = min(machine.dma, machine.shared_bandwidth / machine.cores)
        cycles, nbytes = machine.shared_latency + nbytes / rate, 0
    else:
        cycles = machine.dma_latency
        if machine.opaque and rows > 1:
            trace.fail(f"{name}: storage is opaque, so a DMA moves one dense piece, got {far!r}")
    cycles += machine.row * (rows - 1)
    trace.emit(Event("dma", name, cycles, nbytes, is_waited), (), (target, source))
    if not is_waited:
        for tile, pending in ((target, "load"), (source, "store")):
            if tile.home.space != "gdram":
                tile.home.pending = pending


def load(target: Tile, source: Tile) -> None:
    """Bring ``source`` (GDRAM, or shared memory; any strides) into on-chip memory, and wait."""
    _dma("load", target, source, True)


def store(target: Tile, source: Tile) -> None:
    """Write on-chip memory out to ``target`` (GDRAM, or shared memory; any strides), and wait."""
    _dma("store", target, source, True)


def load_async(target: Tile, source: Tile) -> None:
    """Start a load; ``sync()`` before the target is used."""
    _dma("load", target, source, False)


def store_async(target: Tile, source: Tile) -> None:
    """Start a store; ``sync()`` before the source is written again."""
    _dma("store", target, source, False)


def sync() -> None:
    """Wait for every DMA that this task has started."""
    now().sync()


def sync_cluster() -> None:
    """Wait for the DMA of all tasks of this task's cluster, and for the tasks; all must call it."""
    now().sync_cluster()


def load_as(source: Tile, dtype: DType) -> Tile:
    """A new NRAM tile with the elements of ``source`` (GDRAM), converted to ``dtype``."""
    tile = nram(source.shape, source.dtype)
    load(tile, source)
    if source.dtype is dtype:
        return tile
    made = nram(source.shape, dtype)
    convert(made, tile)
    return made


def store_as(target: Tile, source: Tile) -> None:
    """Store ``source``, converted to the dtype of ``target`` (GDRAM) and in its shape."""
    if target.dtype is not source.dtype:
        made = nram(source.shape, target.dtype)
        convert(made, source)
        source = made
    store(target, source.reshape(*target.shape))


def load_gather(target: Tile, source: Tile, offsets: Tile) -> None:
    """``target[i] = source.flat[offsets[i]]``: single elements from GDRAM; check their range
    first."""
    trace = now()
    trace.check("load_gather", source, ("gdram",))
    trace.check("load_gather", offsets, ON_CHIP)
    trace.check("load_gather", target, ON_CHIP, writes=True)
    cycles = trace.machine.dma_latency + trace.machine.row * target.size
    event = Event("dma", "load_gather", cycles, target.nbytes)
    trace.emit(event, (), (target, source, offsets))


def store_scatter(target: Tile, values: Tile, offsets: Tile, *, add: bool = False) -> None:
    """``target[offsets[i]] = values[i]``, or ``+=`` with ``add``, in GDRAM, one after another.

    ``target`` has one dim; an offset below 0 is left out.
    """
    trace = now()
    trace.check("store_scatter", values, ON_CHIP)
    trace.check("store_scatter", offsets, ON_CHIP)
    trace.check("store_scatter", target, ("gdram",), writes=True)
    cycles = trace.machine.dma_latency + trace.machine.row * offsets.size * (2 if add else 1)
    event = Event("dma", "store_scatter", cycles, offsets.size * values.dtype.itemsize)
    trace.emit(event, (add,), (target, values, offsets), reads_out=add)
