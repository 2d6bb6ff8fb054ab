"""Reductions and scans: blocks of the input that fit, joined one after another."""

from __future__ import annotations

from math import prod
from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.dtypes import float32, int64
from dovetail_dlp.machine.region import dense, sides

__all__ = ["KERNELS"]


def reduction(name: str, instruction: Any, join: Any, empty: Any, is_widened: bool) -> Any:
    """A kernel that reduces blocks, and joins what comes of them."""

    def body(x: Any, out: Any, *, dim: tuple[int, ...]) -> None:
        out = out.reshape(*[1 if d in dim else n for d, n in enumerate(x.shape)])
        wide = out.dtype if is_widened else x.dtype
        if wide in dlp.HALF and is_widened:
            wide = float32
        spread = tuple(n for d, n in enumerate(x.shape) if d not in dim)
        summed = tuple(n for d, n in enumerate(x.shape) if d in dim)
        room = dlp.room(x.dtype, wide, wide, wide, out.dtype, leave=512)
        many = dlp.blocks(spread, max(1, room // max(1, prod(summed))))
        for block in many:
            outer = iter(block)
            kept = [slice(0, 1) if d in dim else next(outer) for d in range(x.ndim)]
            place = out[tuple(kept)]
            total = dlp.nram(place.shape, wide)
            part = dlp.nram(place.shape, wide)
            if not prod(summed):
                dlp.fill(total, empty)
            for first, inner in enumerate(_cut(summed, room // max(1, place.size))):
                steps = iter(inner)
                here = tuple(next(steps) if d in dim else kept[d] for d in range(x.ndim))
                with dlp.scope():
                    instruction(part if first else total, dlp.load_as(x[here], wide), dim)
                if first:
                    join(total, total, part)
            dlp.store_as(place, total)

    body.__name__ = body.__qualname__ = name
    return dlp.kernel(body)


def _cut(shape: tuple[int, ...], limit: int) -> list[Any]:
    return dlp.cut(shape, max(1, limit)) if prod(shape) else []


def place_of(name: str, instruction: Any, better: Any, extreme: Any) -> Any:
    """A kernel for argmax and argmin along the middle of three dims."""

    def body(x: Any, out: Any) -> None:
        outer, n, inner = x.shape
        room, size = dlp.room(x.dtype, leave=1024), x.dtype.itemsize
        length = max(1, min(n, room // 2))
        limit = room * size // (length * size + 2 * size + 20)
        for rows, columns in dlp.blocks((outer, inner), max(1, limit)):
            shape = (rows.stop - rows.start, 1, columns.stop - columns.start)
            best, place = dlp.nram(shape, x.dtype), dlp.nram(shape, int64)
            for start in range(0, n, length):
                with dlp.scope():
                    tile = dlp.load_as(x[rows, start : min(start + length, n), columns], x.dtype)
                    if not start:
                        extreme(best, tile, (1,))
                        instruction(place, tile, 1)
                        continue
                    value, where = dlp.nram(shape, x.dtype), dlp.nram(shape, int64)
                    extreme(value, tile, (1,))
                    instruction(where, tile, 1)
                    dlp.vector_add(where, where, start)
                    wins, is_nan = dlp.nram(shape, dlp.bool_), dlp.nram(shape, dlp.bool_)
                    better(wins, value, best)
                    dlp.vector_ne(is_nan, value, value)
                    dlp.vector_bitwise_or(wins, wins, is_nan)
                    dlp.vector_eq(is_nan, best, best)  # the first NaN stays
                    dlp.vector_bitwise_and(wins, wins, is_nan)
                    dlp.vector_where(best, wins, value, best)
                    dlp.vector_where(place, wins, where, place)
            dlp.store(out[rows, :, columns], place)

    body.__name__ = body.__qualname__ = name
    return dlp.kernel(body)


def _along(kernel: Any) -> Any:
    """One dim, or all of them, as the middle of three."""

    def run(x: Any, out: Any, *, dim: tuple[int, ...], keepdim: bool) -> None:
        shape = x.shape
        whole = len(dim) == len(shape)
        outer, n, inner = (1, prod(shape), 1) if whole else sides(shape, dim[0])
        kernel(dense(x, (outer, n, inner)), dense(out, (outer, 1, inner)))

    return run


def scan(name: str, instruction: Any, gather: Any, join: Any) -> Any:
    """A kernel for running sums and products along the middle of three dims."""

    def body(x: Any, out: Any) -> None:
        outer, n, inner = x.shape
        wide = float32 if out.dtype in dlp.HALF else out.dtype
        room = dlp.room(x.dtype, wide, wide, wide, wide, out.dtype, leave=512)
        length = max(1, min(n, room))
        for rows, columns in dlp.blocks((outer, inner), max(1, room // length)):
            shape = (rows.stop - rows.start, 1, columns.stop - columns.start)
            carry, part = dlp.nram(shape, wide), dlp.nram(shape, wide)
            for start in range(0, n, length):
                here = (rows, slice(start, min(start + length, n)), columns)
                with dlp.scope():
                    tile = dlp.load_as(x[here], wide)
                    made = dlp.nram(tile.shape, wide)
                    instruction(made, tile, 1)
                    if start:
                        join(made, made, carry)
                    if start + length < n:
                        gather(part if start else carry, tile, 1)
                        if start:
                            join(carry, carry, part)
                    dlp.store_as(out[here], made)

    body.__name__ = body.__qualname__ = name
    made = dlp.kernel(body)

    def run(x: Any, out: Any, *, dim: int, dtype: Any) -> None:
        shape = sides(x.key[0], dim)
        made(dense(x, shape), dense(out, shape))

    return run


def _reducing(kernel: Any) -> Any:
    def run(x: Any, out: Any, *, dim: tuple[int, ...], keepdim: bool, dtype: Any = None) -> None:
        kernel(x, out, dim=dim)

    return run


KERNELS = {
    "sum": _reducing(reduction("sum", dlp.reduce_sum, dlp.vector_add, 0, True)),
    "prod": _reducing(reduction("prod", dlp.reduce_prod, dlp.vector_mul, 1, True)),
    "amax": _reducing(reduction("amax", dlp.reduce_max, dlp.vector_maximum, 0, False)),
    "amin": _reducing(reduction("amin", dlp.reduce_min, dlp.vector_minimum, 0, False)),
    "argmax": _along(
        place_of(
            "argmax", dlp.reduce_argmax, lambda out, a, b: dlp.vector_lt(out, b, a), dlp.reduce_max
        )
    ),
    "argmin": _along(
        place_of(
            "argmin", dlp.reduce_argmin, lambda out, a, b: dlp.vector_lt(out, a, b), dlp.reduce_min
        )
    ),
    "cumsum": scan("cumsum", dlp.scan_sum, dlp.reduce_sum, dlp.vector_add),
    "cumprod": scan("cumprod", dlp.scan_prod, dlp.reduce_prod, dlp.vector_mul),
}
