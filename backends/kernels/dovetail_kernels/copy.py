"""Copy between any two dtypes and layouts: the kernel that packs for all others.

Dense copies of one dtype are the driver's own. Others begin with a kernel whose loops are
arguments; one that is hot is compiled for its layout, see :mod:`.elementwise`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import EXPRESSIONS, Loops, StridedView, collapse
from dovetail.dtypes import complex128, int16, int32, int64, uint8
from dovetail_kernels.arrays import Array, offsets
from dovetail_kernels.device import Device, Launch
from dovetail_kernels.shuffle import transposed
from dovetail_kernels.source import (
    MOST,
    converted,
    element,
    loop_numbers,
    moved,
    places,
    program,
    runs,
)
from dovetail_kernels.vectors import FETCH, whole_stores

__all__ = ["Copy"]

WORDS = {1: uint8, 2: int16, 4: int32, 8: int64, 16: complex128}
"""By size in bytes, the dtype that elements are moved as."""


SIDES = {2: 16, 4: 16, 8: 8}
"""By size in bytes, how many elements a tile has on each side, which is transposed in registers."""

SHORT = 256
"""Elements of a line up to which all of it is read, or written, before the next."""


def _turned(loops: Loops, side: int) -> tuple[int, int] | None:
    """The loops that a tile is transposed of: that of the input's neighbours, of the output's."""
    to, from_ = loops.strides
    beside = [d for d, n in enumerate(loops.shape) if from_[d] == 1 and n >= side]
    last = len(loops.shape) - 1
    if not beside or beside[-1] == last or last > MOST or loops.shape[last] < side:
        return None
    return (beside[-1], last) if to[last] == 1 and from_[last] else None  # no repetition


class Copy:
    """One copy resolved: ``kernel(input, out)``, for views like these two.

    The source's strides may be negative.
    """

    def __init__(self, device: Device, source: StridedView, target: StridedView) -> None:
        self.device = device
        self.source, self.target = source, target
        self.count = target.numel
        if not self.count:
            return
        loops = collapse(target, source)
        self.is_plain = source.dtype is target.dtype and loops.is_contiguous
        self.nbytes = self.count * target.itemsize
        self._calls = 0
        self._hot: Any = None
        self._launch: Launch | None = None
        self._loops = loops
        self._is_backwards = min((0, *source.strides)) < 0  # steps that generated kernels lack
        self._turned: tuple[int, int] | None = None
        if device.is_cpu and source.dtype is target.dtype and target.itemsize in SIDES:
            self._turned = _turned(loops, SIDES[target.itemsize])

    @property
    def is_turned(self) -> bool:
        """It transposes: no kernel of its own would be faster."""
        return self._turned is not None

    def _turning(self, dims: tuple[int, int]) -> Launch:
        device, loops, itemsize = self.device, self._loops, self.target.itemsize
        lines, columns = (loops.shape[d] for d in dims)
        to_step, from_step = loops.strides[0][dims[0]], loops.strides[1][dims[1]]
        others = [d for d in range(len(loops.shape)) if d not in dims]
        outer = Loops(
            tuple(loops.shape[d] for d in others),
            tuple(tuple(row[d] for d in others) for row in loops.strides),
        )
        side = SIDES[itemsize]
        word = moved("IN", itemsize=itemsize)["IN_MEMORY"]
        names = [f"v{k}" for k in range(side)]
        statements, made = transposed(names, side, word)
        turn = "".join(
            [f"FETCH((p) + {k} * from_step + ahead) " for k in range(side)]
            + [f"const {word}{side} v{k} = LOAD((p) + {k} * from_step); " for k in range(side)]
            + [statements]
            + [f" STORE_{word}{side}((q) + {k} * to_step, {v});" for k, v in enumerate(made)]
        )
        macros = {
            "IS_TURNED": 1,
            "SIDE": side,
            "WORD": word,
            "LOAD(p)": f"vload{side}(0, p)",
            "TURN(p, q)": f"{{ {turn} }}",
            **places("OUTER", outer, "c", ("to", "from")),
        }
        # A vector in two cache lines brings both: the other halves must be wanted soon.
        tiles = 1 if from_step * itemsize % 64 == 0 else 8
        height = -(-lines // side) * side if lines <= SHORT else tiles * side
        ahead = side if columns <= SHORT else side * from_step
        numbers = [0, 0, outer.numel, lines, columns, to_step, from_step, height, ahead]
        text = program(
            device, "copy", macros, (self.source.dtype,), text=whole_stores([word], side) + FETCH
        )
        values = [*(np.uint64(n % 2**64) for n in numbers), *loop_numbers(outer)]
        return device.launch(text, "turned", 2, values, device.workers(self.count), "copy")

    def _general(self) -> Launch:
        device, source, target = self.device, self.source.dtype, self.target.dtype
        if source is target:  # bits are kept, those of NaN too
            elements = moved("IN", "OUT", itemsize=source.itemsize)
            elements["CONVERTED(v)"] = "v"
        else:
            elements = element(device, "IN", source) | element(device, "OUT", target)
            elements["CONVERTED(v)"] = converted(source, target, "v")
        macros = {
            "IS_TURNED": 0,
            "IS_CPU": int(device.is_cpu),
            **elements,
            **places("OUTER", self._loops, "c", ("to", "from")),
            **runs(device, "OUTER", self._loops, "c", ("to", "from")),
        }
        text = program(device, "copy", macros, (source, target))
        numbers = [np.uint64(0), np.uint64(0), np.uint64(self.count), *loop_numbers(self._loops)]
        return device.launch(text, "copy", 2, numbers, device.workers(self.count), "copy")

    def __call__(self, x: Any, y: Any) -> None:
        """Queue it."""
        if not self.count:
            return
        device = self.device
        if self.is_plain:
            device.copy(y.buffer, y.offset, x.buffer, x.offset, self.nbytes)
            return
        if self._hot is not None:
            self._hot(x, y)
            return
        if self._turned is not None:
            if self._launch is None:
                self._launch = self._turning(self._turned)
            self._launch.with_numbers((y.buffer, x.buffer), offsets(y, x))
            return
        if self._calls >= device.patience and not self._is_backwards:
            from dovetail_kernels.elementwise import Elementwise

            views = [self.target, self.source]
            kind = self.source.dtype
            if kind is self.target.dtype:  # bits are kept
                kind = WORDS[kind.itemsize]
                views = [Array(None, 0, v.shape, v.strides, kind) for v in views]
            made = Elementwise(device, "copy", EXPRESSIONS["copy"], views, (), kind, 0)
            self._hot = made.kernel
            self._hot(x, y)
            return
        self._calls += device.weight(self.count)
        if self._launch is None:
            self._launch = self._general()
        self._launch.with_numbers((y.buffer, x.buffer), offsets(y, x))
