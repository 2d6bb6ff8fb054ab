"""How a batch of small matrices is shared out among work items; see ``src/matrices.cl``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dovetail.backend import collapse
from dovetail.dtypes import complex64, complex128, finfo, float32, float64
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.arrays import NO_OFFSETS, Array, joined, part, placing
from dovetail_kernels.device import Device, Size, device_of, known
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.folds import iota
from dovetail_kernels.mathematics import taken
from dovetail_kernels.source import loop_numbers, places, program

__all__ = ["FACTORED", "Operand", "chunked", "fits", "launched"]

FACTORED = (float32, float64, complex64, complex128)

MOST = 9 << 18
"""Bytes of a matrix, with what is kept beside it, up to which one work item of the host's cores is
faster than LAPACK with the way there and back: 512 by 512 numbers of float32."""

MUCH = 1 << 18
"""Bytes of a matrix of which there is no more room than for one on each core."""

TINY = 8
"""Rows of matrices that are taken side by side, in lanes of vectors, on the host's cores."""

MANY = 2
"""Vectors of them that are worth it."""

SHARED = 1 << 15
"""Bytes of a work group's memory that a matrix may take on a GPU; less where there is less."""

SMALL = 1 << 12
"""Bytes of those kernels that take small matrices: more groups of them are at work at once."""

BESIDE = 1 << 9
"""Bytes of a group's memory that a kernel needs besides."""


class Operand(NamedTuple):
    """One array of a call: its spec, and how many dims a matrix or vector of it has."""

    spec: Any
    ndim: int


def _whole(device: Device, dtype: DType, columns: int) -> int:
    """Numbers of as many vectors as there must be for ``columns``."""
    width = 64 // dtype.itemsize if device.is_cpu else 1
    return -(-columns // width) * width


def _wide(device: Device, dtype: DType, columns: int, beside: int) -> int:
    """Numbers that a row takes: an odd count, of vectors on the host's cores, for rows to begin in
    different banks of memory or lines of a cache."""
    made = _whole(device, dtype, columns) + _whole(device, dtype, beside)
    unit = _whole(device, dtype, 1)
    return (made // unit | 1) * unit


def _room(device: Device, dtype: DType) -> int:
    """Numbers that a matrix may have, with all that is kept beside it."""
    if device.is_cpu:
        return MOST // dtype.itemsize
    return min(SHARED, (device.local_memory - BESIDE) // 2) // dtype.itemsize


def fits(facts: Any, rows: int, columns: int, beside: int = 0) -> bool:
    """Whether a kernel of this device takes such a matrix, with columns beside it."""
    out = facts.outputs[0]
    device = known(out.device)
    if device is None:
        return False
    return rows * _wide(device, out.dtype, columns, beside) <= _room(device, out.dtype)


def chunked(facts: Any, rows: int, kept: int, columns: int, usual: int) -> tuple[int, int]:
    """(columns beside ``kept`` ones that are taken at once, how often that is), of ``columns``."""
    out = facts.outputs[0]
    device = device_of(out.device)
    if not device.is_cpu:
        usual = _room(device, out.dtype) // max(rows, 1) - kept - 1
    chunk = max(1, min(columns, usual))
    return chunk, max(1, -(-columns // chunk))


def _epsilon(dtype: DType) -> str:
    """Of a number's real type."""
    return f"({dialect.VALUES[dtype.to_real().name]}){finfo(dtype.to_real()).eps!r}"


def _macros(device: Device, dtype: DType, wanted: int) -> dict[str, Any]:
    kind = dialect.VALUES[dtype.name]
    real = dialect.VALUES[dtype.to_real().name]
    made: dict[str, Any] = {
        "IS_CPU": int(device.is_cpu), "IS_COMPLEX": int(dtype.is_complex), "T": kind, "R": real,
        "LENGTH(x, y)": "hypot(x, y)", "EPSILON": _epsilon(dtype), **dialect.pairing(kind),
    }  # fmt: skip
    if not device.is_cpu:
        small, room = SMALL // dtype.itemsize, _room(device, dtype)
        made["ROOM"] = min(small, room) if wanted <= small else room
        return made
    width, number = (16, "int") if real == "float" else (8, "long")
    swapped = "".join(f"{i ^ 1:x}" for i in range(width))
    return made | {
        "V": f"{real}{width}",
        "NUMBERS": 64 // dtype.itemsize,
        "PARTS": 1 + dtype.is_complex,
        "IOTA": iota(number, width),
        "AT(p)": f"vload{width}(0, p)",
        "PUT(v, p)": f"vstore{width}(v, 0, p)",
        "EXCHANGED(v)": f"(v).s{swapped}",
        "ALTERNATING": f"({real}{width})({', '.join(['-1, 1'] * (width // 2))})",
    }


def _lanes(dtype: DType) -> tuple[dict[str, Any], str]:
    """Macros for matrices side by side in vectors, and the functions that they name."""
    kind, width = dialect.VALUES[dtype.name], 64 // dtype.itemsize
    (log,), text = taken([("log", width)], kind, is_own=True)
    number = "int" if dtype.itemsize == 4 else "long"
    made = {
        "T": kind, "V": f"{kind}{width}", "N": number, "I": f"{number}{width}", "W": width,
        "vloadW": f"vload{width}", "vstoreW": f"vstore{width}", "LOG": log,
        "EPSILON": _epsilon(dtype),
    }  # fmt: skip
    return made, text


def launched(
    facts: Any, file: str, kernel: str, operands: Sequence[Operand], rows: int, columns: int,
    numbers: Sequence[int] = (), *, kept: tuple[int, int] = (0, 0), chunks: int = 1,
    is_turned: bool = False, lanes: str = "",
) -> Callable[..., None]:  # fmt: skip
    """A launch for all matrices: what queues it, given arrays in the operands' order.

    Args:
        operands: what the kernel's buffers are, in order; leading dims are equal.
        rows, columns: of a matrix, as the kernel takes them.
        numbers: the kernel's own, int32.
        kept: columns that are in memory of its own, and others beside these.
        chunks: parts of a matrix that are taken apart from each other.
        is_turned: rows and columns of all change places.
        lanes: the file whose kernels take many tiny matrices side by side, if there is one.
    """
    arrays = [ghost(operand.spec) for operand in operands]
    dtype, device = arrays[0].dtype, device_of(facts.outputs[0].device)
    leads = [part(a, range(a.ndim - k.ndim)) for a, k in zip(arrays, operands, strict=True)]
    items = chunks * math.prod(leads[0].shape)
    if not items:
        return lambda *given: None
    before, wide = _whole(device, dtype, kept[0]), _wide(device, dtype, *kept)
    macros, functions, side = _macros(device, dtype, rows * wide), "", 1
    files: list[str] = ["members", "matrices"]
    width = 64 // dtype.itemsize
    is_tiny = 0 < rows <= TINY and sum(kept) <= 2 * TINY and items >= MANY * width and chunks == 1
    if lanes and device.is_cpu and is_tiny and not dtype.is_complex:
        file, files, side, before, wide = lanes, [], width, kept[0], sum(kept)
        macros, functions = _lanes(dtype)
    loops = collapse(*leads, *[leads[-1]] * (4 - len(leads)))
    macros |= places("BATCH", loops, "b", ("p0", "p1", "p2", "p3"))
    text = program(device, file, macros, (dtype,), files, functions)
    pairs = zip(arrays, operands, strict=True)
    steps = [step for a, k in pairs for step in _steps(a, k.ndim, is_turned)]
    values: list[Any] = [
        NO_OFFSETS, np.uint64(items // chunks), np.array([rows, columns, before, wide], np.int32),
        joined(steps, 8, np.uint64), *map(np.int32, numbers), *loop_numbers(loops),
    ]  # fmt: skip
    count = len(operands)
    place = placing(count)
    if not device.is_cpu:
        group = min(device.group, 32 if rows * wide <= 256 else 256)
        groups: Size = (min(items, device.units * 64) * group,), (group,)
        queue = device.launch(text, kernel, count, values, groups, facts.op.name).with_numbers
        return lambda *given: queue(*place(*given))
    room = rows * wide * side * dtype.itemsize
    size = device.workers(-(-items // side), max(1, 65536 // (rows * rows * wide + 256)))
    if room > MUCH:
        size = (min(size[0][0], device.units),), size[1]
    queue = device.launch(text, kernel, count + 1, values, size, facts.op.name).with_numbers
    take, give = device.room(size[0][0] * room)

    def run(*given: Any) -> None:
        buffers, begins = place(*given)
        memory = take()
        try:
            queue((*buffers, memory), begins)
        finally:
            give(memory)

    return run


def _steps(array: Array, ndim: int, is_turned: bool) -> Any:
    """Of rows and of columns; of a vector, its own and 0."""
    steps = array.element_strides[array.ndim - ndim :]
    return (*(steps[::-1] if is_turned else steps), 0, 0)[:2]
