"""The Runtime's own methods, called as the contract has them.

The core calls them in a few fixed ways that can hide a fault: an offset that is always 0, a length
that is always a multiple of 512, a buffer that is always a whole tensor's.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail.backend import CONTRACT_VERSION, DeviceInfo, KernelTable
from dovetail_conformance.calls import host
from dovetail_conformance.device_bytes import Block, check_bytes, devices_of, host_memory, state
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]

OFFSETS = (0, 1, 2, 3, 5, 7, 8, 13, 64, 127, 255)
LENGTHS = (1, 2, 3, 4, 5, 8, 15, 31, 64, 129)
SPACE = 512
MEBIBYTE = 1 << 20


def cases(target: Target) -> Iterator[Case]:
    """Method by method; ``view`` in every dtype."""
    for op, run in _METHODS.items():
        yield Case(0, "runtime", op, run=functools.partial(run, target), alone=op in _ALONE)
    for dtype in target.dtypes:
        run = functools.partial(_view, dtype)
        yield Case(0, "runtime", "view", dtype.name, "", run)
    if target.count > 1:
        run = functools.partial(_copy_peer, target)
        yield Case(0, "runtime", "copy_peer", "", "", run)
        yield Case(0, "runtime", "index", "", "", functools.partial(_index, target), alone=True)


def _must(holds: bool, text: str, check: str = "contract") -> None:
    if not holds:
        raise Mismatch(text, check)


# Facts


def _count(target: Target, trial: Trial) -> None:
    runtime = state(trial.device).runtime
    for stage in ("first", "again"):
        with trial.attempt(stage=stage):
            try:
                count = runtime.count()
            except Exception as error:
                raise Mismatch(
                    f"count() must not raise, raised {type(error).__name__}: {error}. Return 0 and "
                    "keep the reason for why_absent()",
                    "contract",
                ) from error
            fits = isinstance(count, int) and not isinstance(count, bool) and count >= 1
            _must(fits, f"count() must be an int of at least 1 here, got {count!r}")
            _must(count == target.count, f"count() was {target.count} before, is {count}")
    with trial.attempt(stage="why_absent"):
        why = runtime.why_absent()
        _must(isinstance(why, str) and bool(why), f"why_absent() must be a sentence, got {why!r}")


def _info(target: Target, trial: Trial) -> None:
    runtime = state(trial.device).runtime
    for index in range(target.count):
        with trial.attempt(index=index):
            info: Any = runtime.info(index)
            kind = type(info).__name__
            _must(isinstance(info, DeviceInfo), f"info({index}) must be a DeviceInfo, got {kind}")
            for field, fits, wanted in _FACTS:
                value = getattr(info, field)
                _must(fits(value), f"DeviceInfo.{field} must be {wanted}, got {value!r}")
            _must(runtime.info(index) == info, f"info({index}) differs from call to call")


def _are_dtypes(value: Any) -> bool:
    kinds = list(value)
    return bool(kinds) and all(k in d.ALL for k in kinds) and len(set(kinds)) == len(kinds)


_FACTS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("name", lambda v: isinstance(v, str) and bool(v), "a name for people"),
    ("dtypes", _are_dtypes, "different members of dovetail.dtypes.ALL"),
    (
        "memory_total",
        lambda v: v is None or (type(v) is int and v > 0),
        "a number of bytes above 0, or None where it is not known",
    ),
    ("version", lambda v: isinstance(v, str), "a string"),
    ("limits", lambda v: isinstance(v, Mapping), "a mapping"),
)


def _kernels(target: Target, trial: Trial) -> None:
    runtime = state(trial.device).runtime
    with trial.attempt():
        table: Any = runtime.kernels()
        kind = type(table).__name__
        _must(isinstance(table, KernelTable), f"kernels() must be a KernelTable, got {kind}")
        major = CONTRACT_VERSION[0]
        _must(table.contract[0] == major, f"the table is for {table.contract}, not for {major}.x")
        again = set(runtime.kernels())
        _must(set(table) == again, "kernels() names other operators at the second call")


def _numbers(target: Target, trial: Trial) -> None:
    runtime = state(trial.device).runtime
    for index in range(target.count):
        with trial.attempt(index=index):
            free, total = runtime.memory_free(index), runtime.info(index).memory_total
            fits = free is None or (isinstance(free, int) and free >= 0)
            _must(fits, f"memory_free({index}) must be bytes or None, got {free!r}")
            if free is not None and total is not None:
                _must(free <= total, f"memory_free({index}) is {free} of {total} bytes in all")
    with trial.attempt(stage="threads"):
        threads = runtime.threads()
        fits = isinstance(threads, int) and threads >= 1
        _must(fits, f"threads() must be an int of at least 1, got {threads!r}")
        runtime.set_threads(threads)
        _must(runtime.threads() == threads, f"set_threads({threads}) made it {runtime.threads()}")


def _synchronize(target: Target, trial: Trial) -> None:
    runtime = state(trial.device).runtime
    for index in range(target.count):
        with trial.attempt(index=index):
            runtime.synchronize(index)
            runtime.synchronize(index)


# Memory


def _alloc(target: Target, trial: Trial) -> None:
    sizes = (1, 7, 511, 512, 513, 512, 4096, 4097, 4096, MEBIBYTE + 3) * 3
    for index, name in enumerate(devices_of(trial.device, target.count)):
        blocks = [Block(name, n) for n in sizes]
        for i, block in enumerate(blocks):
            block.write(np.full(block.nbytes, i + 1, np.uint8))
        for i, block in enumerate(blocks):
            with trial.attempt(index=index, numel=block.nbytes):
                check_bytes(
                    block.read(),
                    np.full(block.nbytes, i + 1, np.uint8),
                    f"alloc({block.nbytes}, {index}), one of {len(sizes)} buffers",
                    "Does each buffer have memory of its own, as large as was asked for?",
                    "overlap",
                )
        for block in blocks:
            block.runtime.free(block.buffer)


def _free(target: Target, trial: Trial) -> None:
    """Freed memory is there for others, and nobody else's."""
    name = trial.device
    with trial.attempt(stage="others"):
        blocks = [Block(name, 4096 + i) for i in range(16)]
        kept, gone = blocks[1::2], blocks[::2]
        for i, block in enumerate(kept):
            block.write(np.full(block.nbytes, i + 1, np.uint8))
        for block in gone:
            block.runtime.free(block.buffer)
        again = [Block(name, 4096) for _ in range(8)]
        for block in again:
            block.write(np.full(block.nbytes, 99, np.uint8))
        for i, block in enumerate(kept):
            check_bytes(
                block.read(),
                np.full(block.nbytes, i + 1, np.uint8),
                "a buffer that is in use, after others were freed and allocated",
                "Did free() give back a buffer that it was not given, or alloc() hand it out?",
                "overlap",
            )
        for block in kept + again:
            block.runtime.free(block.buffer)
    with trial.attempt(stage="given back"):
        _check_given_back(name)


def _check_given_back(name: str) -> None:
    """32 times 16 MiB, one after another, take no more than a few of them.

    What the host's allocator keeps for later counts as held, and on a busy machine many blocks wait
    for the device at once: so what has grown is tried again, which a leak does not get over.
    """
    place = state(name)
    runtime, index, size = place.runtime, place.index, 16 * MEBIBYTE
    total = runtime.info(index).memory_total
    if total is not None:
        size = min(size, total // 16)
    pattern = np.ones(size, np.uint8)
    with Block(name, size) as block:
        block.write(pattern)
    for _ in range(3):
        before, held = runtime.memory_free(index), host_memory()
        for _ in range(32):
            with Block(name, size) as block:
                block.write(pattern)
        runtime.synchronize(index)
        after, holds = runtime.memory_free(index), host_memory()
        grown = 0 if holds is None or held is None else holds - held
        # Other programs use the device too, so only a growth of nearly everything counts.
        lost = 0 if before is None or after is None else before - after
        if grown < 16 * size and lost < 24 * size:
            return
    text = (
        f"free() must give memory back: after 32 times alloc({size}) and free(), {{}} bytes more "
        "are in use. Does free() release the buffer, and do arrays of view() keep it alive?"
    )
    raise Mismatch(text.format(max(grown, lost)), "leak")


# Copies


def _h2d(target: Target, trial: Trial) -> None:
    for index, name in enumerate(devices_of(trial.device, target.count)):
        with Block(name, SPACE) as block:
            for offset, n in itertools.product(OFFSETS, LENGTHS):
                with trial.attempt(index=index, offset=offset, numel=n):
                    block.write(np.full(SPACE, 0xEE, np.uint8))
                    values = np.arange(n, dtype=np.uint8) + offset
                    values.flags.writeable = False
                    block.write(values, offset)
                    expected = np.full(SPACE, 0xEE, np.uint8)
                    expected[offset : offset + n] = values
                    check_bytes(
                        block.read(), expected, f"h2d of {n} bytes at byte {offset}", _OFFSET_HINT
                    )
    with trial.attempt(stage="host memory reused"), Block(trial.device, 4 * MEBIBYTE) as block:
        values = np.full(block.nbytes, 7, np.uint8)
        block.write(values)
        values.fill(8)
        check_bytes(
            block.read(),
            np.full(block.nbytes, 7, np.uint8),
            "h2d, whose source is changed after it returned",
            "The source belongs to the caller again when h2d returns: copy it, or wait.",
            "settled",
        )


_OFFSET_HINT = "Are offset and length in bytes, any of them, and nothing rounded?"


def _d2h(target: Target, trial: Trial) -> None:
    held = (np.arange(SPACE) % 251).astype(np.uint8)
    for index, name in enumerate(devices_of(trial.device, target.count)):
        with Block(name, SPACE) as block:
            block.write(held)
            for offset, n in itertools.product(OFFSETS, LENGTHS):
                with trial.attempt(index=index, offset=offset, numel=n):
                    out = np.full(n + 32, 0xEE, np.uint8)
                    block.runtime.d2h(out[16 : 16 + n].data.cast("B"), block.buffer, offset)
                    expected = np.full(n + 32, 0xEE, np.uint8)
                    expected[16 : 16 + n] = held[offset : offset + n]
                    what = f"d2h of {n} bytes from byte {offset} (from byte 16 on here)"
                    check_bytes(out, expected, what, _OFFSET_HINT)


def _copy_peer(target: Target, trial: Trial) -> None:
    here, there = devices_of(trial.device, target.count)
    held = (np.arange(SPACE) % 251).astype(np.uint8)
    plain = np.full(SPACE, 0xEE, np.uint8)
    for source, aim in ((here, there), (there, here)):
        with Block(source, SPACE) as one, Block(aim, SPACE) as other:
            for start, end, n in ((0, 0, SPACE), (3, 0, 5), (0, 7, 129), (64, 8, 31), (1, 1, 1)):
                with trial.attempt(index=int(aim[-1]), offset=start, numel=n):
                    one.write(held)
                    other.write(plain)
                    what = f"copy_peer of {n} bytes from byte {start} of {source} to {end} of {aim}"
                    done = one.runtime.copy_peer(other.buffer, end, one.buffer, start, n)
                    _must(isinstance(done, bool), f"{what}: must return a bool, got {done!r}")
                    expected = plain.copy()
                    if done:
                        expected[end : end + n] = held[start : start + n]
                    look = "The target comes first; is the direction right, and both offsets?"
                    check_bytes(other.read(), expected, f"{what}, the target", look)
                    check_bytes(one.read(), held, f"{what}, the source", look)


def _index(target: Target, trial: Trial) -> None:
    """Memory of one device is not taken from another's."""
    here, there = devices_of(trial.device, target.count)
    size = 16 * MEBIBYTE
    runtime = state(here).runtime
    total = runtime.info(0).memory_total
    size = size if total is None else min(size, total // 16)
    for index, other, name in ((0, 1, here), (1, 0, there)):
        with trial.attempt(index=index):
            before = [runtime.memory_free(i) for i in (index, other)]
            with Block(name, size) as block:
                block.write(np.ones(size, np.uint8))
                after = [runtime.memory_free(i) for i in (index, other)]
            taken = [0 if a is None or b is None else b - a for a, b in zip(after, before)]  # noqa: B905
            _must(
                not (taken[0] < size // 2 <= taken[1]),
                f"alloc({size}, {index}) must take memory of device {index}: it took {taken[0]} "
                f"bytes there and {taken[1]} of device {other}. Is the index passed on to the "
                "driver?",
                "index",
            )


# Views

LAYOUTS: tuple[tuple[str, tuple[int, ...], tuple[int, ...], int], ...] = (
    ("contiguous", (6,), (1,), 0),
    ("offset", (6,), (1,), 5),
    ("stepped", (5,), (3,), 2),
    ("transposed", (3, 4), (1, 3), 0),
    ("mixed", (2, 3, 2), (2, 7, 1), 11),
    ("expanded", (3, 4), (0, 1), 4),
    ("offset", (), (), 9),
    ("contiguous", (1, 1), (1, 1), 0),
)
"""(layout, shape, strides, offset), the last two in elements."""


def _view(dtype: d.dtype, trial: Trial) -> None:
    """What kernels see through ``view``, reading and writing; d2h and h2d take the whole buffer."""
    count = 64
    held = (np.arange(count) % 100 if dtype.category else np.arange(count) % 3 == 0).astype(
        dtype.numpy
    )
    nbytes = held.nbytes
    for layout, shape, strides, offset in LAYOUTS:
        facts = {"layout": layout, "shape": [list(shape)], "offset": offset}
        steps = tuple(s * dtype.itemsize for s in strides)
        seen = np.ndarray(shape, dtype.numpy, held, offset * dtype.itemsize, steps)
        what = f"view at byte {offset * dtype.itemsize} of shape {shape}, strides {steps} in bytes"
        look = "Does view() pass offset and strides on to the kernels, in bytes?"
        with Block(trial.device, nbytes) as block:
            block.write(held)
            with trial.attempt(**facts, stage="read", numel=math.prod(shape)):
                x = block.tensor(shape, strides, offset, dtype)
                made = host(dt.raw.cast(x, dt.raw.packed(x._spec)))
                if made.tobytes() != seen.tobytes():
                    raise Mismatch(
                        f"{what}: a kernel must read {seen.tolist()}, read {made.tolist()}. {look}",
                        "view",
                    )
            if layout == "expanded":
                continue
            with trial.attempt(**facts, stage="write", numel=math.prod(shape)):
                expected = held.copy()
                spot = np.ndarray(shape, dtype.numpy, expected, offset * dtype.itemsize, steps)
                spot[...] = 1
                block.tensor(shape, strides, offset, dtype).fill_(1)
                made = block.read()
                check_bytes(made, expected.view(np.uint8), f"{what}, written", look, "view")


_METHODS: dict[str, Callable[[Target, Trial], None]] = {
    "count": _count,
    "info": _info,
    "kernels": _kernels,
    "memory_free": _numbers,
    "synchronize": _synchronize,
    "alloc": _alloc,
    "free": _free,
    "h2d": _h2d,
    "d2h": _d2h,
}
_ALONE = ("free",)
