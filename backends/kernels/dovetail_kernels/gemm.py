"""Matrix products as launches: packing, tiles of registers or of local memory, and split depth.

Everything goes through one source, ``src/gemm.cl``: the shape of a tile, its vectors, whether it
lies in local memory, the operands' strides and what is added to the product are its parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail.backend import Loops, StridedView
from dovetail.dtypes import FLOATING, bfloat16
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.arrays import Array, offsets, offsets_at
from dovetail_kernels.device import Device, Launch
from dovetail_kernels.folds import accumulated, wrapping
from dovetail_kernels.gemm_direct import Sides, direct, is_small
from dovetail_kernels.source import converted, element, ended, loop_numbers, places, program
from dovetail_kernels.tiles import PAIRED, Tile, tile_of, woven
from dovetail_kernels.vectors import lanes, vector_helpers

__all__ = ["Added", "Product"]

LANES = 16
SMALL = 4
"""Fewer rows or columns than this are computed element by element."""

FEW = 1 << 12
"""Products of two numbers that are computed element by element on the host's cores, where packing
costs more."""

SPAN = 1 << 15
"""Bytes of a panel of columns that stay in the nearest cache while a block of rows passes."""

CACHED = 1 << 18
"""Bytes of a block of rows."""

SHALLOW = 512
"""Steps of depth that are worth a part of their own where a device has work items to spare."""


@dataclass(frozen=True)
class Added:
    """``out = alpha * product + beta * input``; ``input`` has the shape of ``out``, any strides."""

    input: StridedView
    alpha: float = 1
    beta: float = 1


def offset_of(array: Any) -> Any:
    """Where an array begins in its buffer, in elements, as a kernel's number."""
    return np.uint64(array.offset // array.dtype.itemsize)


def _batches(
    array: StridedView, ndim: int, itemsize: int | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(shape, element strides) of the dims before the last two, aligned to ``ndim`` of them.

    ``itemsize``: the strides are those of a dense stack of whole matrices, in matrices.
    """
    lead = ndim - (array.ndim - 2)
    shape = (1,) * lead + array.shape[:-2]
    if itemsize is None:
        strides = (0,) * lead + array.element_strides[:-2]
    else:
        strides = _dense(shape, 1)
    return shape, tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))


def _dense(shape: tuple[int, ...], step: int) -> tuple[int, ...]:
    steps = []
    for n in reversed(shape):
        steps.append(step)
        step *= n
    return tuple(reversed(steps))


def _places(loops_shape: tuple[int, ...], rows: tuple[tuple[int, ...], ...]) -> Loops:
    """The loops over batches, without those of one."""
    keep = [i for i, n in enumerate(loops_shape) if n != 1]
    return Loops(
        tuple(loops_shape[i] for i in keep), tuple(tuple(r[i] for i in keep) for r in rows)
    )


class Product:
    """One product resolved: ``run(a, b, out)`` or, with something added, ``run(a, b, out, input)``.

    Args:
        a, b, out: ghosts, (*, M, K), (*, K, N) and (*, M, N); leading dims broadcast.
        added: what is added to it.
        tile: another shape of tile than the device's own.
        is_rectified: a ReLU is taken of what is written.

    Attributes:
        label: what its launches are called.
    """

    label = "matmul"

    def __init__(
        self,
        device: Device,
        a: Array,
        b: Array,
        out: Array,
        added: Added | None = None,
        tile: Tile | None = None,
        is_rectified: bool = False,
    ) -> None:
        self.device, self.a, self.b, self.out, self.added = device, a, b, out, added
        self.is_rectified = is_rectified
        self.work = accumulated(out.dtype)
        self.kind = wrapping(self.work)
        self.m, self.n, self.depth = out.shape[-2], out.shape[-1], a.shape[-1]
        self.is_paired = False
        if not out.numel:
            self._run: Any = None
        elif self.work.is_complex or min(self.m, self.n) < SMALL or not self.depth:
            self._run = self._by_elements()
        else:
            shape = tile or tile_of(device, self.work)
            sizes = (self.batches, self.m, self.n, self.depth)
            if tile is None and is_small(device, self._kinds(), self.work, sizes, shape):
                self._run = self._directly(sizes, shape)
            elif device.is_cpu and out.numel * self.depth <= FEW:
                self._run = self._by_elements()
            else:
                self._run = self._by_tiles(shape)

    def __call__(self, a: Any, b: Any, out: Any, *input: Any) -> None:
        """Queue it."""
        if self._run is not None:
            if self.device.worked is not None:
                self.device.worked(self.label, 2 * self.out.numel * self.depth)
            self._run(a, b, out, *input)

    @property
    def batches(self) -> int:
        """How many products."""
        return self.out.numel // (self.m * self.n)

    # what all kernels have

    def _epilogue(
        self, names: tuple[str, ...], rows: tuple[str, ...] = (), *, is_last: bool = True
    ) -> dict[str, Any]:
        """Macros for what is done with a sum, and for the places of the batches.

        ``rows``: which of the loops' strides the places have, where they are not called so.
        """
        rows = rows or names
        has = is_last and self.added is not None
        macros: dict[str, Any] = {"HAS_INPUT": int(has)}
        macros |= ended(is_rectified=is_last and self.is_rectified)
        if has:
            assert self.added is not None
            kind = self.added.input.dtype
            macros |= element(self.device, "IN", kind)
            macros["INPUT_LOADED(i)"] = converted(kind, self.work, "IN_LOAD(input, i)")
            names, rows = (*names, "from_input"), (*rows, "from_input")
        return macros | places("BATCH", self._loops(rows, is_last=is_last), "q", names)

    def _loops(self, names: tuple[str, ...], *, is_last: bool = True) -> Loops:
        ndim, shape = self.out.ndim - 2, self.out.shape[:-2]
        rows = {
            "to": _batches(self.out, ndim)[1] if is_last else _dense(shape, self.m * self.n),
            "from_a": _batches(self.a, ndim, 1)[1],
            "from_b": _batches(self.b, ndim, 1)[1],
            "read_a": _batches(self.a, ndim)[1],
            "read_b": _batches(self.b, ndim)[1],
        }
        if self.added is not None:
            rows["from_input"] = _batches(self.added.input, ndim)[1]
        return _places(shape, tuple(rows[name] for name in names))

    def _tail(self, names: tuple[str, ...], *, is_last: bool = True) -> list[Any]:
        """The numbers that these macros make arguments of."""
        if not is_last or self.added is None:
            return loop_numbers(self._loops(names, is_last=is_last))
        added, kind = self.added, self.work.numpy.type
        steps = [np.uint64(v) for v in (0, *added.input.element_strides[-2:])]
        scales = [kind(added.alpha), kind(added.beta)]
        return [*steps, *scales, *loop_numbers(self._loops((*names, "from_input")))]

    def _launch(
        self, name: str, macros: dict[str, Any], dtypes: Any, numbers: Any, size: Any,
        buffers: int, helpers: str = "",
    ) -> Launch:  # fmt: skip
        """A launch; what is added is the last buffer, its offset the first number of the tail."""
        file = "gemm_pairs" if name == "pack_pairs" else "gemm"
        helpers += PAIRED if self.is_paired else ""
        text = program(self.device, file, macros, dtypes, text=helpers)
        return self.device.launch(text, name, buffers, numbers, size, self.label)

    # element by element

    def _by_elements(self) -> Any:
        a, b, out, work, device = self.a, self.b, self.out, self.work, self.device
        (a_row, a_depth), (b_depth, b_column) = a.element_strides[-2:], b.element_strides[-2:]
        product = "s += x * y"
        if work.is_complex:
            product = "s += PAIR(x.x * y.x - x.y * y.y, x.x * y.y + x.y * y.x)"
        names = ("to", "from_a", "from_b")
        loops = ("to", "read_a", "read_b")
        macros = {
            "IS_ELEMENTS": 1,
            "T": self.kind,
            **dialect.pairing(self.kind),
            "LANES": LANES,
            "A_LOADED(i)": converted(a.dtype, work, "A_LOAD(a, i)"),
            "B_LOADED(i)": converted(b.dtype, work, "B_LOAD(b, i)"),
            "A_STEP": "1" if a_depth == 1 else "a_depth",
            "B_STEP": "1" if b_depth == 1 else "b_depth",
            "ADD_PRODUCT(s, x, y)": product,
            "RESULT(v)": converted(work, out.dtype, "v"),
            **element(device, "A", a.dtype),
            **element(device, "B", b.dtype),
            **element(device, "OUT", out.dtype),
            **self._epilogue(names, loops),
        }
        numbers = [
            np.uint64(v)
            for v in (
                0, 0, 0, self.batches, self.m, self.n, self.depth, *out.element_strides[-2:],
                a_row, a_depth, b_depth, b_column,
            )
        ]  # fmt: skip
        last = len(numbers)
        numbers += self._tail(loops)
        size = device.workers(out.numel, max(1, 4096 // max(1, self.depth)))
        has = self.added is not None
        launch = self._launch(
            "elements", macros, (a.dtype, out.dtype), numbers, size, 4 if has else 3
        )

        if has:
            begins = offsets_at(0, 1, 2, last)

            def adding(x: Any, y: Any, z: Any, input: Any) -> None:
                buffers = (z.buffer, x.buffer, y.buffer, input.buffer)
                launch.with_numbers(buffers, begins(z, x, y, input))

            return adding

        def run(x: Any, y: Any, z: Any) -> None:
            launch.with_numbers((z.buffer, x.buffer, y.buffer), offsets(z, x, y))

        return run

    # in one launch

    def _kinds(self) -> list[DType]:
        """The dtypes of the operands, of the output, and of what is added."""
        added = [] if self.added is None else [self.added.input.dtype]
        return [self.a.dtype, self.b.dtype, self.out.dtype, *added]

    def _directly(self, sizes: tuple[int, int, int, int], tile: Tile) -> Any:
        added = self.added
        steps = [*self.out.element_strides[-2:], *self.a.element_strides[-2:]]
        steps += self.b.element_strides[-2:]
        sides = Sides(sizes, (steps[0], steps[1], steps[2], steps[3], steps[4], steps[5]))
        if added is not None:
            row, column = added.input.element_strides[-2:]
            sides.input = (row, column)

        def loops(rows: tuple[str, ...]) -> tuple[dict[str, Any], list[Any]]:
            names: tuple[str, ...] = ("to", "from_a", "from_b")
            if added is not None:
                names, rows = (*names, "from_input"), (*rows, "from_input")
            made = self._loops(rows)
            return places("BATCH", made, "q", names), loop_numbers(made)

        scales = None if added is None else (added.alpha, added.beta)
        return direct(
            self.device, self.work, tile, sides, self._kinds(), loops, scales,
            is_rectified=self.is_rectified,
        )  # fmt: skip

    # by tiles

    @property
    def steps(self) -> int:
        """Steps of depth that panels have."""
        return -(-self.depth // 2) if self.is_paired else self.depth

    def _by_tiles(self, tile: Tile) -> Any:
        a, b, out, device, has = self.a, self.b, self.out, self.device, self.added is not None
        kinds = {a.dtype, b.dtype}
        self.is_paired = kinds == {bfloat16} and device.has_pairs and not tile.is_local
        (a_row, a_depth), (b_depth, b_column) = a.element_strides[-2:], b.element_strides[-2:]
        pack_a, bytes_a = self._packing(a, self.m, (a_row, a_depth), tile.rows, tile)
        pack_b, bytes_b = self._packing(b, self.n, (b_column, b_depth), tile.columns, tile)
        parts, chunk = self._parts(tile)
        is_last = parts == 1
        kind = out.dtype if is_last else self.work
        names = ("to", "from_a", "from_b")
        macros = {
            "IS_TILES": 1,
            "T": self.kind,
            "PANEL": "uint" if self.is_paired else self.kind,
            **tile.macros(self.kind, is_float=self.work.category == 2, is_paired=self.is_paired),
            **self._written(tile, kind, is_last and has),
            "RESULT(v)": converted(self.work, kind, "v"),
            **element(device, "OUT", kind),
            **self._epilogue(names, is_last=is_last),
        }
        steps = out.element_strides[-2:] if is_last else (self.n, 1)
        numbers = [
            np.uint64(v) for v in (0, self.m, self.n, self.steps, *steps, parts, chunk, out.numel)
        ]
        line = self.work.itemsize
        items = tile.items
        across, down = -(-self.n // tile.columns), -(-self.m // tile.rows)
        outer = self.batches * parts
        busy = device.units * (4 if device.is_cpu else 1024)
        span = chunk if tile.is_local else min(chunk, max(1, SPAN // line // tile.columns))
        block = max(1, min(down, CACHED // (tile.rows * span * line)))
        if tile.is_local:
            groups = (across, max(1, min(down, busy // (across * outer))))
            segment = 1
        else:
            if down // block * across * outer < busy:  # few products: finer blocks
                block = max(1, min(block, down * across * outer // busy))
            blocks = -(-down // block)
            segment = -(-across // max(1, min(across, busy // (blocks * outer))))
            groups = (-(-across // segment), blocks)
        numbers += [np.uint64(v) for v in (block, segment, span)]
        last = len(numbers)
        numbers += self._tail(names, is_last=is_last)
        size = ((groups[0] * items, groups[1] * items, outer), (items, items, 1))
        waits = 0
        if span < chunk:
            waits = across * tile.columns * down * tile.rows * outer * line
        with_input = has and is_last
        helpers = vector_helpers((kind,), tile.width) if device.is_cpu else ""
        buffers = 5 if with_input else 4
        tiles = self._launch("tiles", macros, (kind,), numbers, size, buffers, helpers)
        finish, place = (None, 0) if is_last else self._finish(parts)
        sums = 0 if is_last else out.numel * parts * self.work.itemsize

        begins = offsets_at(0, *[last if finish is None else place] * has)

        def run(x: Any, y: Any, z: Any, *input: Any) -> None:
            with device.scratch(bytes_a, bytes_b, sums, waits) as (left, right, between, wait):
                pack_a.with_numbers((left, x.buffer), offsets(x))
                pack_b.with_numbers((right, y.buffer), offsets(y))
                extra = [input[0].buffer] if has else []
                if finish is None:
                    tiles.with_numbers([z.buffer, left, right, wait, *extra], begins(z, *input))
                    return
                tiles(between, left, right, wait)
                finish.with_numbers([z.buffer, between, *extra], begins(z, *input))

        return run

    def _written(self, tile: Tile, kind: DType, has_input: bool) -> dict[str, Any]:
        """Macros for a row of a tile that is written by whole vectors as ``kind``."""
        is_whole = not (tile.is_local or has_input)
        by_lanes = self.device.is_cpu and kind in FLOATING
        if not by_lanes:
            is_same = dialect.TYPES[kind.name] in (self.kind, self.kind[1:])
            is_whole = is_whole and is_same and not self.is_rectified
            put = "PUT(i, ((global T *)out + (at)))"
        else:
            put = " ".join(
                f"OUT_SET_V(out, (at) + {v * tile.width}, ENDED(s##i##_{v}));"
                for v in range(tile.vectors)
            )
        made = {"IS_WHOLE": int(is_whole), "PUT_OUT(i, at)": put}
        if by_lanes:
            made |= lanes(self.device, "OUT", kind, tile.width, side=False)
        return made

    def _parts(self, tile: Tile) -> tuple[int, int]:
        """(how many parts of the depth are computed apart, steps of each)."""
        across, down = -(-self.n // tile.columns), -(-self.m // tile.rows)
        busy = self.device.units * (1 if self.device.is_cpu else 4)
        idle = min(busy // (across * down * self.batches), self.steps // SHALLOW)
        parts = max(1, idle)
        chunk = -(-self.steps // parts)
        return -(-self.steps // chunk), chunk

    def _packing(
        self, x: Array, lines: int, steps: tuple[int, int], across: int, tile: Tile
    ) -> tuple[Launch, int]:
        """A kernel that packs an operand into panels, and the bytes that they take."""
        shape, device = x.shape[:-2], self.device
        loops = _places(shape, (x.element_strides[:-2],))
        name = "pack_pairs" if self.is_paired else "pack"
        macros = {
            "IS_PACK": 1,
            "IS_FLAT": int(not device.is_cpu),
            "ACROSS": across,
            "STEP_LINE": "1" if steps[0] == 1 else "step_line",
            "T": self.kind,
            "LOADED(i)": converted(x.dtype, self.work, "IN_LOAD(in, i)"),
            **element(device, "IN", x.dtype),
            **places("BATCH", loops, "q", ("from",)),
        }
        if steps[1] == 1 and self.is_paired:
            macros |= woven(across, tile.width, "uint", load="LOAD_PAIRS({at})")
        elif steps[1] == 1 and dialect.TYPES[x.dtype.name] == self.kind:
            macros |= woven(across, tile.width, self.kind)
        batches = math.prod(shape)
        numbers = [np.uint64(v) for v in (0, batches, lines, self.depth, *steps)]
        panels = batches * -(-lines // across)
        if device.is_cpu:
            size = device.workers(panels, max(1, 4096 // (across * self.depth)))
        else:
            size = device.workers(panels * across * self.depth)
        numbers += loop_numbers(loops)
        launch = self._launch(name, macros, (x.dtype,), numbers, size, 2)
        return launch, panels * across * self.steps * self.work.itemsize

    def _finish(self, parts: int) -> tuple[Launch, int]:
        """The kernel that adds parts, and which of its numbers is where the input begins."""
        out, device = self.out, self.device
        macros = {
            "IS_FINISH": 1,
            "T": self.kind,
            "RESULT(v)": converted(self.work, out.dtype, "v"),
            **element(device, "OUT", out.dtype),
            **self._epilogue(("to",)),
        }
        numbers = [
            np.uint64(v)
            for v in (0, self.batches, self.m, self.n, *out.element_strides[-2:], parts)
        ]
        last = len(numbers)
        numbers += self._tail(("to",))
        size = device.workers(self.batches * self.m, max(1, 4096 // (self.n * parts)))
        buffers = 2 if self.added is None else 3
        return self._launch("finish", macros, (out.dtype,), numbers, size, buffers), last
