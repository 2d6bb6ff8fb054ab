"""Elementwise, compare and select: load, one vector instruction, store."""

from __future__ import annotations

from typing import Any

import dovetail_dlp.lang as dlp

__all__ = ["KERNELS", "elementwise"]

NAMES = (
    "neg", "abs", "floor", "round", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh",
    "erf", "bitwise_not", "add", "sub", "mul", "div", "floor_divide", "remainder", "pow", "maximum",
    "minimum", "atan2", "bitwise_and", "bitwise_or", "bitwise_xor", "shift_left", "shift_right",
    "eq", "lt", "le", "where",
)  # fmt: skip


def elementwise(name: str, compute: Any) -> Any:
    """A kernel ``name``, whose tiles are made by ``compute(out, *inputs)``; all of one shape."""

    def body(*arguments: Any) -> None:
        *inputs, out = arguments
        kinds = [x.dtype for x in arguments if isinstance(x, dlp.Tile)]
        for start, stop in dlp.parts(out.size, dlp.room(*kinds)):
            tiles = []
            for x in inputs:
                if isinstance(x, dlp.Tile):
                    tile = dlp.nram(stop - start, x.dtype)
                    dlp.load(tile, x.flat[start:stop])
                    tiles.append(tile)
                else:
                    tiles.append(x)
            made = dlp.nram(stop - start, out.dtype)
            compute(made, *tiles)
            dlp.store(out.flat[start:stop], made)

    body.__name__ = body.__qualname__ = name
    return dlp.kernel(body)


KERNELS = {name: elementwise(name, dlp.vector(name)) for name in NAMES}
