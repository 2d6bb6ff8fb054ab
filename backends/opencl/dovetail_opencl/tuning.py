"""Which tile a device multiplies by, and which of two ways it goes: measured where that is asked
for, and kept on disk.

``DOVETAIL_OPENCL_TUNE=1`` has every dtype's first product measured on a device that it has not been
measured on before, for :data:`SECONDS` at most, and what is first of its sizes where kernels ask
which way is faster. What was found serves later processes as well, whether they ask for it or not;
``DOVETAIL_OPENCL_TUNE=0`` has them look at nothing.

One file holds one finding, and is put in place whole: processes that tune at the same time each
leave a whole file, and one that cannot be read counts as none. A finding is that of a device, a
version of its driver and the sources that were measured, all of which make its name.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import dovetail_kernels
from dovetail.dtypes import dtype as DType
from dovetail_kernels import entries
from dovetail_kernels.arrays import Array
from dovetail_opencl.cache import VARIABLE, folder

__all__ = ["TUNE", "faster", "found", "kept", "measured"]

TUNE = "DOVETAIL_OPENCL_TUNE"

SECONDS = 20.0
"""After which no further tile is tried; most of it is compiling."""

SIDE = 512
"""Rows, columns and depth of the product that is measured."""

ROUNDS = 9


@functools.cache
def _sources() -> str:
    """A hash of what was measured."""
    here = Path(dovetail_kernels.__file__).parent
    names = "src/gemm.cl", "tiles.py", "src/conv.cl", "src/winograd_steps.cl", "winograd_steps.py"
    text = b"".join((here / name).read_bytes() for name in names)
    return hashlib.sha256(text).hexdigest()


def _key(device: Any, what: str) -> list[str]:
    handle = device.handle
    return [handle.platform.version, handle.name, handle.driver_version, _sources(), what]


def _file(kind: str, key: list[str]) -> Path:
    """Where a finding is kept.

    Raises:
        FileNotFoundError: there is no place for it.
    """
    where = folder()
    if where is None:
        raise FileNotFoundError("the user has no home")
    return where / f"{kind}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.json"


def found(device: Any, work: DType, tiles: list[Any]) -> Any:
    """The one of ``tiles`` to multiply by, or None where nothing is known."""
    mode = os.environ.get(TUNE, "")
    if mode == "0":
        return None
    known = kept(device, work, tiles)
    if known is not None or mode != "1":
        return known
    times = measured(device, work, tiles)
    best = min(times, key=lambda tile: times[tile])
    keep(device, work, best, times[best])
    return best


def kept(device: Any, work: DType, tiles: list[Any]) -> Any:
    """The one of ``tiles`` that was kept; None where there is none, or none that can be read."""
    known = _read("tile", _key(device, work.name))
    return next((t for t in tiles if dataclasses.asdict(t) == known), None)


def keep(device: Any, work: DType, tile: Any, seconds: float) -> None:
    """Keep a finding for other processes; where that cannot be, say so and go on."""
    _write("tile", _key(device, work.name), dataclasses.asdict(tile), seconds)


def faster(
    device: Any, what: str, ways: Mapping[str, Callable[[], Callable[[], None]]]
) -> str | None:
    """The name of the one of ``ways`` to go for what is called ``what``, or None where nothing is
    known; they are functions that make what is measured."""
    mode, key = os.environ.get(TUNE, ""), _key(device, what)
    known = None if mode == "0" else _read("way", key)
    if mode == "1" and known not in list(ways):
        times = {name: _seconds(device, make()) for name, make in ways.items()}
        known = min(times, key=lambda name: times[name])
        _write("way", key, known, times[known])
    return known if known in list(ways) else None


def _read(kind: str, key: list[str]) -> Any:
    """What was kept of a kind; None where there is none, or none that can be read."""
    try:
        data = json.loads(_file(kind, key).read_text(encoding="utf-8"))
        return data[kind] if data["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(kind: str, key: list[str], finding: Any, seconds: float) -> None:
    text = json.dumps({"key": key, kind: finding, "seconds": seconds}, indent=1)
    try:
        entries.place(_file(kind, key), text.encode())
    except OSError as error:
        message = f"{TUNE}: the {kind} that was measured cannot be kept: {error} ({VARIABLE} names "
        warnings.warn(f"{message}another folder)", RuntimeWarning, stacklevel=3)


def measured(device: Any, work: DType, tiles: list[Any]) -> dict[Any, float]:
    """Seconds that a product takes by each of ``tiles``, the first one at least."""
    from dovetail_kernels.gemm import Product

    size, ones = work.itemsize, np.ones(SIDE * SIDE, work.numpy).view(np.uint8)
    view = Array(None, 0, (SIDE, SIDE), (SIDE * size, size), work)
    times: dict[Any, float] = {}
    end = time.perf_counter() + SECONDS
    with device.scratch(*[SIDE * SIDE * size] * 3) as buffers:
        for buffer in buffers:
            device.write(buffer, 0, ones.data)
        arrays = [Array(buffer, 0, view.shape, view.strides, work) for buffer in buffers]
        for tile in tiles:
            product = Product(device, view, view, view, tile=tile)
            times[tile] = _seconds(device, functools.partial(product, *arrays))
            if time.perf_counter() > end:
                break
    return times


def _seconds(device: Any, run: Callable[[], None]) -> float:
    """The median of what it takes."""
    # On the host's cores others' work counts in the clock's time, but not in this process's.
    clock = time.process_time if device.is_cpu else time.perf_counter
    rounds = []
    for _ in range(ROUNDS):
        start = clock()
        run()
        device.synchronize()
        rounds.append(clock() - start)
    return statistics.median(rounds)
