"""The vector unit: arithmetic, functions, reductions, scans, sorting, pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from dovetail_dlp.lang.operands import ON_CHIP, START, window
from dovetail_dlp.machine.tile import Tile
from dovetail_dlp.machine.trace import Event, now

__all__ = [
    "add_at",
    "check_range",
    "convert",
    "fill",
    "grid",
    "maxpool",
    "move",
    "order",
    "pad",
    "pick",
    "reduce_argmax",
    "reduce_argmin",
    "reduce_max",
    "reduce_min",
    "reduce_prod",
    "reduce_sum",
    "scan_prod",
    "scan_sum",
    "sort_keys",
    "spread",
    "sumpool",
    "transpose",
    "vector",
    "vector_index",
    "vector_random",
]

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


def check_range(index: Tile, limit: int, said: str = "", low: int = 0) -> None:
    """Stop the kernel with an IndexError unless every element is at least ``low``, below ``limit``.

    Args:
        said: the error's text, with ``{index}`` and ``{size}`` (``limit``).
    """
    _vector("check_range", None, index, parameters=(limit, said, low))


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


def maxpool(
    target: Tile, source: Tile, kernel: Any, stride: Any, padding: Any = None, dilation: Any = None,
    *, indices: Tile | None = None,
) -> None:  # fmt: skip
    """The largest of each window of (C, spatial…); ``indices`` (int64) gets its place in the
    source."""
    where = window(kernel, stride, padding, dilation)
    weight = prod(where[0])
    _vector("pool", target, source, parameters=("max", *where), weight=weight)
    if indices is not None:
        _vector("pool", indices, source, parameters=("argmax", *where), weight=weight)


def sumpool(
    target: Tile, source: Tile, kernel: Any, stride: Any, padding: Any = None, dilation: Any = None
) -> None:
    """The sum of each window of (C, spatial…)."""
    where = window(kernel, stride, padding, dilation)
    _vector("pool", target, source, parameters=("sum", *where), weight=prod(where[0]))


def spread(
    target: Tile, source: Tile, kernel: Any, stride: Any, padding: Any = None, dilation: Any = None
) -> None:
    """``sumpool`` the other way: each of (C, outer…) is added to its window of (C, spatial…)."""
    where = window(kernel, stride, padding, dilation)
    _vector("spread", target, source, parameters=where, weight=prod(where[0]))


def add_at(target: Tile, values: Tile, index: Tile) -> None:
    """``target[c, index[c, i]] += values[c, i]``, from zeros: (C, N) of (C, M); check the range
    first."""
    _vector("add_at", target, values, index, weight=8)


__all__ += [f"vector_{name}" for names in _ELEMENTWISE.values() for name in names.split()]
