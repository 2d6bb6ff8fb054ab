"""Page-locked memory of the host, and copies of it that may be queued.

A runtime that has no such memory is asked with ordinary memory, for then ``h2d_pinned`` is ``h2d``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from dovetail_conformance.checks.runtime import LENGTHS, MEBIBYTE, OFFSETS, SPACE
from dovetail_conformance.device_bytes import Block, check_bytes, devices_of, state
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]


def cases(target: Target) -> Iterator[Case]:
    """Both methods."""
    yield Case(0, "runtime", "h2d_pinned", run=functools.partial(_h2d_pinned, target))


def _memory(name: str, nbytes: int) -> np.ndarray:
    place = state(name)
    made: Any = place.runtime.pinned_memory(nbytes, place.index)
    if made is None:
        return np.empty(nbytes, np.uint8)
    fits = isinstance(made, np.ndarray) and made.dtype == np.uint8 and made.shape == (nbytes,)
    if not fits or not made.flags.writeable or not made.flags.c_contiguous:
        text = f"uint8 of shape {made.shape}" if isinstance(made, np.ndarray) else repr(made)
        raise Mismatch(
            f"pinned_memory({nbytes}) must be {nbytes} writeable bytes (uint8, NumPy) or None, got "
            f"{text}",
            "contract",
        )
    found: np.ndarray = made
    return found


def _h2d_pinned(target: Target, trial: Trial) -> None:
    for index, name in enumerate(devices_of(trial.device, target.count)):
        for nbytes in (1, 512, 513, MEBIBYTE + 1):
            with trial.attempt(index=index, stage="pinned_memory", numel=nbytes):
                _memory(name, nbytes).fill(7)
        memory = _memory(name, SPACE)
        with Block(name, SPACE) as block:
            for offset, n in itertools.product(OFFSETS, LENGTHS):
                with trial.attempt(index=index, offset=offset, numel=n):
                    block.write(np.full(SPACE, 0xEE, np.uint8))
                    memory[16 : 16 + n] = values = (np.arange(n) + offset).astype(np.uint8)
                    block.runtime.h2d_pinned(block.buffer, offset, memory[16 : 16 + n].data)
                    expected = np.full(SPACE, 0xEE, np.uint8)
                    expected[offset : offset + n] = values
                    check_bytes(
                        block.read(), expected, f"h2d_pinned of {n} bytes at byte {offset}",
                        "Are offset and length in bytes, and is it queued before what comes next?",
                    )  # fmt: skip
        with trial.attempt(index=index, stage="memory let go"), Block(name, 4 * MEBIBYTE) as block:
            _let_go(name, block)


def _let_go(name: str, block: Block) -> None:
    """The caller's last reference goes while copies are on their way."""
    part = block.nbytes // 4
    for number in range(4):
        memory = _memory(name, part)
        memory.fill(number + 1)
        block.runtime.h2d_pinned(block.buffer, number * part, memory.data)
        del memory
        _memory(name, part).fill(0xEE)
    check_bytes(
        block.read(),
        np.repeat(np.arange(1, 5, dtype=np.uint8), part),
        "h2d_pinned, whose source nobody holds after it returned",
        "Keep source until the device has read it, and memory with it.",
        "settled",
    )
