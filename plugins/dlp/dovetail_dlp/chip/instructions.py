"""What each instruction of the processor does to its operands, in NumPy.

Operands are arrays with a leading dim: the same instruction of several tiles at once. A function
takes ``(out, *inputs)``; an entry of :data:`INSTRUCTIONS` makes it from the instruction's
parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail_dlp.chip.half import is_half, widened
from dovetail_dlp.chip.windows import (
    conv,
    conv_input,
    conv_weight,
    matmul,
    pool,
    spread,
    vector_matmul,
)

__all__ = ["INSTRUCTIONS"]

Array = Any
Function = Callable[..., None]


# Elementwise functions that NumPy lacks


_ERF_STEP = 1 / 512
_grid = np.arange(0, 6 + _ERF_STEP, _ERF_STEP)
_erf = np.array([math.erf(x) for x in _grid])
with np.errstate(all="ignore"):
    # erf(x) / x and its derivative at the grid's points: a table, as the units of the family have.
    _erf_value = np.where(_grid > 0, _erf / _grid, 2 / math.sqrt(math.pi))
    _erf_slope = np.where(
        _grid > 0.05,
        (2 / math.sqrt(math.pi) * np.exp(-_grid * _grid) - _erf_value) / _grid,
        2 / math.sqrt(math.pi) * (-2 * _grid / 3 + 2 * _grid**3 / 5 - _grid**5 / 7),
    )


def _error_function(x: Array) -> Array:
    """erf by cubic interpolation in a table of ``erf(x) / x``."""
    wide = x.astype(np.float64)
    place = np.minimum(np.abs(np.where(np.isnan(wide), 0, wide)), 5.99) / _ERF_STEP
    index = place.astype(np.int64)
    t = place - index
    low, high = _erf_value[index], _erf_value[index + 1]
    start, end = _erf_slope[index] * _ERF_STEP, _erf_slope[index + 1] * _ERF_STEP
    ratio = low + t * (
        start + t * (3 * (high - low) - 2 * start - end + t * (2 * (low - high) + start + end))
    )
    return np.where(np.abs(wide) < 5.9, wide * ratio, np.sign(wide))


def _whole(rounded: Any) -> Any:
    return lambda x: x if x.dtype.kind in "iub" else rounded(x)


def _power(x: Array, y: Array) -> Array:
    """A negative power of an integer is its reciprocal, truncated: 0 but for 1 and -1."""
    if y.dtype.kind != "i":
        return np.power(x, y)
    return np.where((y < 0) & (abs(x) != 1), 0, np.power(x, np.where(y < 0, y & 1, y)))


def _quotient(divide: Any) -> Any:
    """The divider stops the kernel where a whole number is divided by zero."""

    def compute(x: Array, y: Array) -> Array:
        if y.dtype.kind in "iu" and not y.all():
            raise RuntimeError("ZeroDivisionError")
        return np.asarray(divide(x, y))

    return compute


def _gelu(x: Array) -> Array:
    return x * (0.5 * (1 + _error_function(x * math.sqrt(0.5))))


ELEMENTWISE: dict[str, Callable[..., Array]] = {
    "neg": np.negative, "abs": np.absolute, "floor": _whole(np.floor), "round": _whole(np.rint),
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt,
    "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "erf": _error_function,
    "bitwise_not": np.invert, "add": np.add, "sub": np.subtract, "mul": np.multiply,
    "div": np.true_divide, "floor_divide": _quotient(np.floor_divide),
    "remainder": _quotient(np.remainder),
    "pow": _power, "maximum": np.maximum, "minimum": np.minimum, "atan2": np.arctan2,
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    "shift_left": np.left_shift, "shift_right": np.right_shift, "eq": np.equal, "lt": np.less,
    "le": np.less_equal, "ne": np.not_equal, "where": np.where, "gelu": _gelu,
    "relu": lambda x: np.maximum(x, x.dtype.type(0)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}  # fmt: skip
"""By the instruction's name, which is ``vector_`` and this."""


def _elementwise(compute: Callable[..., Array]) -> Callable[..., Function]:
    def make() -> Function:
        def run(out: Array, *inputs: Array) -> None:
            if is_half(out.dtype) or any(is_half(x.dtype) for x in inputs):
                out[...] = compute(*map(widened, inputs))
            elif isinstance(compute, np.ufunc):
                compute(*inputs, out=out)
            else:
                out[...] = compute(*inputs)

        return run

    return make


# Data movement


def _move() -> Function:
    def run(out: Array, x: Array) -> None:
        out[...] = x

    return run


def _convert() -> Function:
    """Any dtype to any other, as the contract's ``copy`` has it."""

    def run(out: Array, x: Array) -> None:
        if out.dtype.kind == "b":
            x = x != 0
        elif out.dtype.kind in "iu" and x.dtype.kind not in "iub":
            x = x.astype(np.int64)  # so that what does not fit wraps around
        out[...] = x

    return run


def _fill() -> Function:
    def run(out: Array, value: Array) -> None:
        out[...] = value

    return run


def _index() -> Function:
    """``start + i * step``: integers in 64 bits, floats in float64, rounded once."""

    def run(out: Array, start: Array, step: Array, first: Array) -> None:
        kind = np.int64 if out.dtype.kind in "iub" else np.float64
        i = np.arange(out[0].size, dtype=kind).reshape(out.shape[1:]) + kind(first)
        out[...] = start + i * step

    return run


def _grid_offsets(strides: tuple[int, ...]) -> Function:
    """The element offset of each place of a block: the sum of ``index * stride`` over dims."""

    def run(out: Array) -> None:
        out[...] = 0
        for dim, stride in enumerate(strides):
            n = out.shape[dim + 1]
            steps = np.arange(n, dtype=out.dtype) * stride
            out += steps.reshape(n, *[1] * (len(strides) - dim - 1))

    return run


class OutOfRange(IndexError):
    """An index out of range, in the words that the kernel was given."""


def _check_range(limit: int, said: str, least: int) -> Function:
    def run(index: Array) -> None:
        if index.size:
            low, high = index.min(), index.max()
            if low < least or high >= limit:
                bad = low if low < least else high
                if said:
                    raise OutOfRange(said.format(index=bad, size=limit))
                raise IndexError(f"index {bad} is out of range for a dim of size {limit}")

    return run


def _load_gather() -> Function:
    def run(out: Array, source: Array, offsets: Array) -> None:
        for b in range(out.shape[0]):
            out[b] = source[b].reshape(-1)[offsets[b]]

    return run


def _store_scatter(add: bool) -> Function:
    def run(target: Array, values: Array, offsets: Array) -> None:
        for b in range(target.shape[0]):
            at = offsets[b].reshape(-1)
            new = np.broadcast_to(values[b], offsets[b].shape).reshape(-1)
            inside = at >= 0  # a negative offset is a masked lane
            if not inside.all():
                at, new = at[inside], new[inside]
            if add and target.dtype.kind == "b":
                np.logical_or.at(target[b], at, new)
            elif add:
                np.add.at(target[b], at, new)
            else:
                target[b][at] = new

    return run


def _transpose(dims: tuple[int, ...]) -> Function:
    order = (0, *[d + 1 for d in dims])

    def run(out: Array, x: Array) -> None:
        out[...] = x.transpose(order)

    return run


def _pad(low: tuple[int, ...], value: float) -> Function:
    """``x`` in the midst of ``out``, ``value`` around it."""

    def run(out: Array, x: Array) -> None:
        out[...] = value
        inner = tuple(slice(p, p + n) for p, n in zip(low, x.shape[1:], strict=True))
        out[(slice(None), *inner)] = x

    return run


# Reductions and scans


def _gathered(kind: np.dtype) -> Any:
    return np.float32 if is_half(kind) else kind


def _reduce(ufunc: Any) -> Callable[..., Function]:
    def make(axes: tuple[int, ...]) -> Function:
        where = tuple(a + 1 for a in axes)

        def run(out: Array, x: Array) -> None:
            if is_half(x.dtype):
                x = x.astype(np.float32)
            if ufunc in (np.add, np.multiply):
                made = ufunc.reduce(x, where, dtype=_gathered(out.dtype), keepdims=True)
            else:
                made = ufunc.reduce(x, where, keepdims=True)
            out[...] = made.reshape(out.shape)

        return run

    return make


def _arg(find: Any) -> Callable[..., Function]:
    def make(axis: int) -> Function:
        def run(out: Array, x: Array) -> None:
            out[...] = find(widened(x), axis + 1, keepdims=True).reshape(out.shape)

        return run

    return make


def _scan(ufunc: Any) -> Callable[..., Function]:
    def make(axis: int) -> Function:
        def run(out: Array, x: Array) -> None:
            out[...] = ufunc.accumulate(widened(x), axis + 1, dtype=_gathered(out.dtype))

        return run

    return make


def _sort_keys() -> Function:
    """Integers in the order of the elements; NaN is the largest, the two zeros are equal."""

    def run(out: Array, x: Array) -> None:
        if x.dtype.kind in "iub":
            out[...] = x
            return
        x = x.astype(np.float32) + np.float32(0)
        x = np.where(np.isnan(x), np.float32(np.nan), x)
        bits = x.view(np.int32)
        bits = np.where(np.isnan(x), np.int32(0x7FC00000), bits)
        out[...] = bits ^ ((bits >> 31) & 0x7FFFFFFF)

    return run


def _order(indices_given: bool) -> Function:
    """The permutation that sorts keys along the last dim; equal keys by their second key."""

    def run(out: Array, keys: Array, *second: Array) -> None:
        if second:
            out[...] = np.lexsort((second[0], keys), axis=-1)
        else:
            out[...] = np.argsort(keys, axis=-1, kind="stable")

    return run


def _pick() -> Function:
    """``x[..., index]`` along the last dim."""

    def run(out: Array, x: Array, index: Array) -> None:
        out[...] = np.take_along_axis(x, index, -1)

    return run


def _add_at() -> Function:
    """``out[c, index[c, i]] += values[c, i]`` over (C, N) and (C, M)."""

    def run(out: Array, values: Array, index: Array) -> None:
        rows = out.shape[0] * out.shape[1]
        first = np.arange(rows).reshape(*out.shape[:2], 1) * out.shape[2]
        at = (index + first).reshape(-1)
        made = np.bincount(at, values.reshape(-1).astype(np.float64), rows * out.shape[2])
        out[...] = made.reshape(out.shape)

    return run


# Random numbers


def _random_words() -> Function:
    """Philox4x32-10 (Salmon et al., SC 2011): word ``first + i`` of the stream of ``seed``."""

    def run(out: Array, seed: Array, offset: Array, first: Array) -> None:
        seed, counter = int(seed), int(offset) + int(first) // 4
        n = out[0].size
        blocks = -(-n // 4)
        low = np.uint64(0xFFFFFFFF)
        begin = np.uint64(counter & (2**64 - 1))
        index = np.arange(blocks, dtype=np.uint64) + begin
        above = (index < begin).astype(np.uint64) + np.uint64((counter >> 64) & (2**64 - 1))
        c0, c1 = index & low, index >> np.uint64(32)
        c2, c3 = above & low, above >> np.uint64(32)
        k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
        for _ in range(10):
            p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
            c0, c1, c2, c3 = (
                (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0), p1 & low,
                (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1), p0 & low,
            )  # fmt: skip
            k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
        words = np.stack([c0, c1, c2, c3], 1).reshape(-1)[:n].astype(np.uint32)
        out[...] = words.view(np.int32).reshape(out.shape)

    return run


INSTRUCTIONS: dict[str, Callable[..., Function]] = {
    **{f"vector_{name}": _elementwise(compute) for name, compute in ELEMENTWISE.items()},
    "load": _move, "store": _move, "move": _move, "convert": _convert, "fill": _fill,
    "index": _index, "grid": _grid_offsets, "check_range": _check_range,
    "load_gather": _load_gather, "store_scatter": _store_scatter,
    "transpose": _transpose, "pad": _pad,
    "reduce_sum": _reduce(np.add), "reduce_prod": _reduce(np.multiply),
    "reduce_max": _reduce(np.maximum), "reduce_min": _reduce(np.minimum),
    "reduce_argmax": _arg(np.argmax), "reduce_argmin": _arg(np.argmin),
    "scan_sum": _scan(np.add), "scan_prod": _scan(np.multiply),
    "sort_keys": _sort_keys, "order": _order, "pick": _pick,
    "matmul": matmul, "vector_matmul": vector_matmul, "conv": conv, "conv_weight": conv_weight,
    "conv_input": conv_input, "pool": pool, "spread": spread, "add_at": _add_at,
    "random": _random_words,
}  # fmt: skip
"""By name, what makes the function from the parameters."""
