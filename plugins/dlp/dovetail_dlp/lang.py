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

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

from dovetail.dtypes import bfloat16, bool_, float16, float32, int8, int64
from dovetail.dtypes import dtype as DType
from dovetail_dlp.machine.kernel import kernel
from dovetail_dlp.machine.tile import Scalar, Tile, dense_strides
from dovetail_dlp.machine.trace import Event, now

ON_CHIP = ("nram", "wram", "shared")
HALF = (float16, bfloat16)
"""What is added up in float32."""

GRAIN = 4096
"""Elements below which another task is not worth its launch."""

# Where the kernel runs, and memory


def task_id() -> int:
    """The number of this task, from 0."""
    return now().task_id


def task_dim() -> int:
    """How many tasks the launch has."""
    return now().task_dim


def machine() -> Any:
    """The sizes of the machine that the kernel is compiled for."""
    return now().machine


def nram(shape: Any, dtype: DType) -> Tile:
    """Neuron memory of this core, uninitialised; free at the end of the loop over tiles that it is
    in."""
    return now().allocate("nram", _shape(shape), dtype)


def wram(shape: Any, dtype: DType) -> Tile:
    """Weight memory of this core, from which the matrix unit takes its second operand."""
    return now().allocate("wram", _shape(shape), dtype)


def shared(shape: Any, dtype: DType) -> Tile:
    """Memory of this core's cluster."""
    return now().allocate("shared", _shape(shape), dtype)


def _shape(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def room(*dtypes: DType, leave: int = 0) -> int:
    """How many elements fit into NRAM, if each needs one of every dtype given and ``leave`` bytes
    stay."""
    step = now().machine.alignment
    free = now().machine.nram - now()._used["nram"]
    free -= min(leave, free // 2) + step * len(dtypes)
    return max(1, free // sum(d.itemsize for d in dtypes) // step * step)


# Splitting work over tasks and tiles


def parts(n: int, limit: int) -> Iterator[tuple[int, int]]:
    """This task's ``(start, stop)`` of ``range(n)``, none longer than ``limit``."""
    trace = now()
    least = max(-(-n // limit), min(trace.task_dim, -(-n // GRAIN)))
    # Equal parts, where there are such: the simulator does them at once.
    count = next((c for c in range(least, 2 * least + 1) if c and n % c == 0), least)
    size = -(-n // count) if count else 0
    mine = [(s, min(s + size, n)) for s in range(0, n, size)] if n else []
    yield from trace.tiles(_share(mine))


def blocks(shape: Sequence[int], limit: int) -> Iterator[tuple[slice, ...]]:
    """This task's blocks of an N-dimensional shape, none of more than ``limit`` elements."""
    trace = now()
    total = prod(shape)
    wanted = max(1, min(trace.task_dim, total // GRAIN))
    if total:
        yield from trace.tiles(_share(cut(shape, min(limit, -(-total // wanted)))))


def cut(shape: Sequence[int], limit: int) -> list[tuple[slice, ...]]:
    """All blocks of a shape, of at most ``limit`` elements, row-major."""
    sizes, left = [], max(1, limit)
    for n in reversed(tuple(shape)):
        size = min(n, left)
        if size < n:  # equal blocks, where there are such
            size = next((s for s in range(size, size // 2, -1) if n % s == 0), size)
        sizes.append(max(1, size))
        left = left // max(1, size) if size == n else 1
    sizes.reverse()
    ranges = [
        [slice(s, min(s + size, n)) for s in range(0, n, size)]
        for n, size in zip(shape, sizes, strict=True)
    ]
    return list(product(*ranges))


def each(items: Sequence[Any]) -> Iterator[Any]:
    """This task's share of ``items``; what is allocated for one of them is free after it."""
    yield from now().tiles(_share(list(items)))


def _share(items: list[Any]) -> list[Any]:
    trace = now()
    size = -(-len(items) // trace.task_dim)
    return items[trace.task_id * size : (trace.task_id + 1) * size]


def scope() -> Any:
    """``with dlp.scope():`` what is allocated inside is free afterwards, for loops within a
    tile."""
    return now().scope()


# DMA


def _dma(name: str, target: Tile, source: Tile, is_waited: bool) -> None:
    trace = now()
    on_chip, outside = (target, source) if name == "load" else (source, target)
    trace.check(name, source, ON_CHIP if source is on_chip else ("gdram",))
    trace.check(name, target, ON_CHIP if target is on_chip else ("gdram",), writes=True)
    if target.shape != source.shape or target.dtype is not source.dtype:
        trace.fail(
            f"{name}: both ends must be alike, got {target!r} and {source!r}; a DMA does "
            "not convert"
        )
    machine = trace.machine
    rows = max(on_chip.rows, outside.rows)
    cycles = machine.dma_latency + machine.row * (rows - 1)
    if machine.opaque and rows > 1:
        trace.fail(f"{name}: storage is opaque, so a DMA moves one dense piece, got {outside!r}")
    trace.emit(Event("dma", name, cycles, target.nbytes, is_waited), (), (target, source))
    if not is_waited:
        on_chip.home.pending = name


def load(target: Tile, source: Tile) -> None:
    """Bring ``source`` (GDRAM, any strides) into on-chip memory, and wait for it."""
    _dma("load", target, source, True)


def store(target: Tile, source: Tile) -> None:
    """Write on-chip memory out to ``target`` (GDRAM, any strides), and wait for it."""
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


# The vector unit

START = 8
"""Cycles before a vector or matrix instruction has its first result."""

_SLOW = {
    **dict.fromkeys(("exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf", "sigmoid"), 4),
    **dict.fromkeys(("div", "sqrt", "atan2", "pow", "floor_divide", "remainder", "gelu"), 8),
}


def _vector(
    name: str,
    target: Tile | None,
    *inputs: Any,
    parameters: tuple[Any, ...] = (),
    weight: float = 1,
) -> None:
    trace = now()
    tiles = [x for x in inputs if isinstance(x, Tile)]
    for x in tiles:
        trace.check(name, x, ON_CHIP)
    if target is not None:
        trace.check(name, target, ON_CHIP, writes=True)
        tiles.append(target)
    nbytes = max(x.nbytes for x in tiles)
    cycles = START + weight * nbytes / trace.machine.vector
    size = max(x.size for x in tiles)
    event = Event("vector", name, cycles, operations=size)
    operands = inputs if target is None else (target, *inputs)
    trace.emit(event, parameters, operands)


def _elementwise(name: str, count: int, doc: str) -> Callable[..., None]:
    full = f"vector_{name}"

    def instruction(target: Tile, *inputs: Any) -> None:
        if len(inputs) != count:
            now().fail(f"{full}: takes a target and {count} inputs, got {len(inputs)} inputs")
        for x in inputs:
            if isinstance(x, Tile) and not _fits(x.shape, target.shape):
                now().fail(
                    f"{full}: inputs must have the target's shape {target.shape}, or 1 in a dim, "
                    f"got {x.shape}"
                )
        kinds = {x.dtype for x in inputs[name == "where" :] if isinstance(x, Tile)}
        if len(kinds) > 1:
            names = ", ".join(sorted(k.name for k in kinds))
            now().fail(f"{full}: inputs must have one dtype, got {names}; convert() one of them")
        _vector(full, target, *inputs, weight=_SLOW.get(name, 1))

    instruction.__name__ = instruction.__qualname__ = full
    instruction.__doc__ = doc
    return instruction


def _fits(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    if len(shape) != len(target):
        return False
    return all(n in (1, m) for n, m in zip(shape, target, strict=True))


_ELEMENTWISE = {
    1: "neg abs floor round exp expm1 log log1p sqrt sin cos tanh erf bitwise_not relu sigmoid "
    "gelu",
    2: "add sub mul div floor_divide remainder pow maximum minimum atan2 bitwise_and bitwise_or "
    "bitwise_xor shift_left shift_right eq lt le ne",
    3: "where",
}
for _count, _names in _ELEMENTWISE.items():
    for _name in _names.split():
        globals()[f"vector_{_name}"] = _elementwise(
            _name,
            _count,
            f"``target = {_name}`` of {_count} inputs, elementwise; numbers may be inputs.",
        )


def vector(name: str) -> Callable[..., None]:
    """The vector instruction of an elementwise function: ``vector("add")`` is ``vector_add``."""
    found: Callable[..., None] = globals()[f"vector_{name}"]
    return found


def fill(target: Tile, value: Any) -> None:
    """Every element becomes ``value``, a number."""
    _vector("fill", target, value)
    if target.nbytes == target.home.nbytes:
        target.home.terms = 0


def move(target: Tile, source: Tile) -> None:
    """Copy on-chip memory; a side may have strides."""
    _vector("move", target, source)


def convert(target: Tile, source: Tile) -> None:
    """Copy, changing the dtype."""
    _vector("convert", target, source)


def vector_index(target: Tile, start: Any, step: Any, first: int = 0) -> None:
    """Element i becomes ``start + (first + i) * step``."""
    _vector("index", target, start, step, first)


def vector_random(target: Tile, seed: Any, offset: Any, first: int) -> None:
    """Words ``first``, ``first + 1``, … (int32) of the Philox stream of a seed and a counter."""
    _vector("random", target, seed, offset, first, weight=10)


def grid(target: Tile, strides: Sequence[int]) -> None:
    """Each element becomes the sum over dims of its index times that dim's stride."""
    _vector("grid", target, parameters=(tuple(strides),))


def check_range(index: Tile, limit: int) -> None:
    """Stop the kernel with an IndexError unless every element is at least 0 and below ``limit``."""
    _vector("check_range", None, index, parameters=(limit,))


def transpose(target: Tile, source: Tile, dims: Sequence[int]) -> None:
    """``target`` is ``source`` with its dims in another order."""
    _vector("transpose", target, source, parameters=(tuple(dims),))


def pad(target: Tile, source: Tile, low: Sequence[int], value: float = 0.0) -> None:
    """``source`` inside of ``target``, from index ``low``, and ``value`` around it."""
    _vector("pad", target, source, parameters=(tuple(low), value))


def _reduction(name: str, doc: str) -> Callable[..., None]:
    def instruction(target: Tile, source: Tile, axes: Any) -> None:
        axes = (axes,) if isinstance(axes, int) else tuple(axes)
        _vector(name, target, source, parameters=(axes,))

    instruction.__name__ = instruction.__qualname__ = name
    instruction.__doc__ = doc
    return instruction


reduce_sum = _reduction("reduce_sum", "Sums along axes; half precision is added up in float32.")
reduce_prod = _reduction("reduce_prod", "Products along axes.")
reduce_max = _reduction("reduce_max", "The largest along axes, NaN where there is one.")
reduce_min = _reduction("reduce_min", "The smallest along axes, NaN where there is one.")


def reduce_argmax(target: Tile, source: Tile, axis: int) -> None:
    """Where along ``axis`` the largest is, the first of equals (int64)."""
    _vector("reduce_argmax", target, source, parameters=(axis,))


def reduce_argmin(target: Tile, source: Tile, axis: int) -> None:
    """Where along ``axis`` the smallest is, the first of equals (int64)."""
    _vector("reduce_argmin", target, source, parameters=(axis,))


def scan_sum(target: Tile, source: Tile, axis: int) -> None:
    """Running sums along ``axis``."""
    _vector("scan_sum", target, source, parameters=(axis,))


def scan_prod(target: Tile, source: Tile, axis: int) -> None:
    """Running products along ``axis``."""
    _vector("scan_prod", target, source, parameters=(axis,))


def sort_keys(target: Tile, source: Tile) -> None:
    """Integers in the order of the elements, NaN the largest (int32 for floats, else int64)."""
    _vector("sort_keys", target, source)


def order(target: Tile, keys: Tile, second: Tile | None = None) -> None:
    """The permutation (int64) that sorts integer keys along the last dim, equal ones by
    ``second``."""
    inputs = (keys,) if second is None else (keys, second)
    _vector("order", target, *inputs, parameters=(second is not None,), weight=32)


def pick(target: Tile, source: Tile, index: Tile) -> None:
    """``target[…, i] = source[…, index[…, i]]`` along the last dim."""
    _vector("pick", target, source, index, weight=4)


def vector_matmul(target: Tile, a: Tile, b: Tile, *, accumulate: bool = False) -> None:
    """(m, k) by (k, n) on the vector unit, in any dtype: for what the matrix unit has not."""
    trace = now()
    _check_matmul("vector_matmul", target, a, b, ON_CHIP, accumulate)
    work = prod(a.shape) * b.shape[-1]
    cycles = START + work * a.dtype.itemsize / trace.machine.vector
    event = Event("vector", "vector_matmul", cycles, operations=2 * work)
    trace.emit(event, (accumulate,), (target, a, b), accumulate)


def maxpool(
    target: Tile, source: Tile, kernel: Any, stride: Any, padding: Any = None, dilation: Any = None,
    *, indices: Tile | None = None,
) -> None:  # fmt: skip
    """The largest of each window of (C, spatial…); ``indices`` (int64) gets its place in the
    source."""
    where = _window(kernel, stride, padding, dilation)
    weight = prod(where[0])
    _vector("pool", target, source, parameters=("max", *where), weight=weight)
    if indices is not None:
        _vector("pool", indices, source, parameters=("argmax", *where), weight=weight)


def sumpool(
    target: Tile, source: Tile, kernel: Any, stride: Any, padding: Any = None, dilation: Any = None
) -> None:
    """The sum of each window of (C, spatial…)."""
    where = _window(kernel, stride, padding, dilation)
    _vector("pool", target, source, parameters=("sum", *where), weight=prod(where[0]))


def spread(
    target: Tile, source: Tile, kernel: Any, stride: Any, padding: Any = None, dilation: Any = None
) -> None:
    """``sumpool`` the other way: each of (C, outer…) is added to its window of (C, spatial…)."""
    where = _window(kernel, stride, padding, dilation)
    _vector("spread", target, source, parameters=where, weight=prod(where[0]))


def add_at(target: Tile, values: Tile, index: Tile) -> None:
    """``target[c, index[c, i]] += values[c, i]``, from zeros: (C, N) of (C, M); check the range
    first."""
    _vector("add_at", target, values, index, weight=8)


def _window(kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Any, ...]:
    kernel = _shape(kernel)
    n = len(kernel)
    many = lambda value, default: (
        (default,) * n if value is None else _shape(value) * (n if isinstance(value, int) else 1)
    )
    pads = tuple(p if isinstance(p, tuple) else (p, p) for p in many(padding, 0))
    return kernel, many(stride, 1), pads, many(dilation, 1)


# The matrix unit

MATRIX = (int8, float16, bfloat16, float32)

INT8_TERMS = 1024
"""Products of int8 that one sum may have: each is at most 2^14 (-128 times -128), and float32 has
every whole number up to 2^24, so that the sum is exact in any order."""


def _check_matmul(
    name: str, target: Tile, a: Tile, b: Tile, second: tuple[str, ...], accumulate: bool
) -> None:
    trace = now()
    trace.check(name, a, ("nram", "shared") if second == ("wram",) else ON_CHIP)
    trace.check(name, b, second)
    if accumulate:
        trace.check(name, target, ON_CHIP)
    trace.check(name, target, ON_CHIP, writes=True)
    if a.dtype is not b.dtype:
        trace.fail(f"{name}: inputs must have one dtype, got {a.dtype.name} and {b.dtype.name}")


def _matrix(
    name: str, target: Tile, a: Tile, b: Tile, parameters: tuple[Any, ...], macs: int, terms: int,
    accumulate: bool,
) -> None:  # fmt: skip
    """Args: macs: multiply-accumulates in all; terms: products in the longest sum."""
    trace = now()
    if a.dtype not in MATRIX:
        have = ", ".join(d.name for d in MATRIX)
        trace.fail(f"{name}: the matrix unit has {have}, got {a.dtype.name}")
    if target.dtype is not float32:
        trace.fail(f"{name}: the matrix unit accumulates in float32, got a {target!r}")
    if a.dtype is int8:
        _keep_exact(name, target, terms, accumulate)
    rate = trace.machine.macs / (1 if a.dtype is int8 else 2 if a.dtype.itemsize == 2 else 8)
    event = Event("matrix", name, START + macs / rate, operations=2 * macs)
    trace.emit(event, (*parameters, accumulate), (target, a, b), accumulate)


def _keep_exact(name: str, target: Tile, terms: int, accumulate: bool) -> None:
    """Refuse sums of int8 products that float32 may have to round."""
    home = target.home
    before = home.terms if accumulate else 0
    if before + terms > INT8_TERMS:
        now().fail(
            f"{name}: sums of int8 are exact in float32 up to {INT8_TERMS} products, got "
            f"{f'{before} + ' if before else ''}{terms}; take smaller tiles, convert() each sum "
            "to int32 and add these with vector_add"
        )
    home.terms = max(before + terms, 0 if target.nbytes == home.nbytes else home.terms)


def matmul(target: Tile, a: Tile, b: Tile, *, accumulate: bool = False) -> None:
    """``target = a @ b``, or ``+=``: a (m, k) in NRAM, b (k, n) in WRAM, target (m, n) in float32.

    Sums of int8 are exact: more than INT8_TERMS products in one are refused.
    """
    _check_matmul("matmul", target, a, b, ("wram",), accumulate)
    if (*a.shape[:-1], b.shape[-1]) != target.shape or a.shape[-1] != b.shape[-2]:
        now().fail(
            f"matmul: shapes must be (m, k), (k, n) and (m, n), got {a.shape}, {b.shape} and "
            f"{target.shape}"
        )
    macs = prod(a.shape) * b.shape[-1]
    _matrix("matmul", target, a, b, (), macs, a.shape[-1], accumulate)


def conv(
    target: Tile, x: Tile, weight: Tile, stride: Any, padding: Any, dilation: Any = None,
    *, accumulate: bool = False,
) -> None:  # fmt: skip
    """Convolution of x (C, spatial…) in NRAM with weight (O, C, kernel…) in WRAM to (O, outer…)."""
    _check_matmul("conv", target, x, weight, ("wram",), accumulate)
    where = _window(weight.shape[2:], stride, padding, dilation)[1:]
    terms = prod(weight.shape[1:])
    _matrix("conv", target, x, weight, where, prod(target.shape) * terms, terms, accumulate)


def conv_weight(
    target: Tile, g: Tile, x: Tile, stride: Any, padding: Any, dilation: Any = None,
    *, accumulate: bool = False,
) -> None:  # fmt: skip
    """The gradient of the weight: g (N, O, outer…) in NRAM, x (N, C, spatial…) in WRAM.

    The target is (O, C, kernel…); images are added up.
    """
    _check_matmul("conv_weight", target, g, x, ("wram",), accumulate)
    where = _window(target.shape[2:], stride, padding, dilation)[1:]
    macs, terms = prod(g.shape) * prod(target.shape[1:]), prod(g.shape) // max(1, g.shape[1])
    _matrix("conv_weight", target, g, x, where, macs, terms, accumulate)


def conv_input(
    target: Tile, g: Tile, weight: Tile, stride: Any, padding: Any, dilation: Any = None,
    *, accumulate: bool = False,
) -> None:  # fmt: skip
    """The gradient of the input: g (O, outer…) in NRAM, weight (O, C, kernel…) in WRAM."""
    _check_matmul("conv_input", target, g, weight, ("wram",), accumulate)
    where = _window(weight.shape[2:], stride, padding, dilation)[1:]
    macs, terms = prod(g.shape) * prod(weight.shape[1:]), prod(weight.shape) // weight.shape[1]
    _matrix("conv_input", target, g, weight, where, macs, terms, accumulate)


__all__ = [
    "HALF",
    "INT8_TERMS",
    "MATRIX",
    "Scalar",
    "Tile",
    "add_at",
    "blocks",
    "bool_",
    "check_range",
    "conv",
    "conv_input",
    "conv_weight",
    "convert",
    "cut",
    "dense_strides",
    "each",
    "fill",
    "grid",
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
    "task_dim",
    "task_id",
    "transpose",
    "vector",
    "vector_index",
    "vector_matmul",
    "vector_random",
    "wram",
]  # fmt: skip
__all__ += [f"vector_{name}" for names in _ELEMENTWISE.values() for name in names.split()]
