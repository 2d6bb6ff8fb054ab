"""The 51 primitives in NumPy: ``kernel(*inputs, *outs, **attributes)``, arrays with any strides."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, random_words

__all__ = ["table"]

Array = Any


def wide(x: Array) -> Array:
    """float16 and bfloat16 as float32, in which they are computed; anything else as it is."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x


# Functions that return their result: 40


def whole(rounded: Any) -> Any:
    """Rounding, which leaves integers alone."""
    return lambda x: x if x.dtype.kind in "iu" else rounded(x)


def divided(divide: Any) -> Any:
    """Division that refuses integers by zero, in PyTorch's words."""

    def compute(x: Array, y: Array) -> Array:
        if y.dtype.kind in "iu" and not y.all():
            raise RuntimeError("ZeroDivisionError")
        return divide(x, y)

    return compute


def power(x: Array, y: Array) -> Array:
    """A negative power of an integer is its reciprocal, truncated: 0 but for 1 and -1."""
    if y.dtype.kind != "i":
        return np.power(x, y)
    return np.where((y < 0) & (abs(x) != 1), 0, np.power(x, np.where(y < 0, y & 1, y)))


def extreme(find: Any) -> Any:
    """The largest or smallest along a tuple of dims."""
    return lambda x, *, dim, keepdim: find(x, dim)


def place(find: Any) -> Any:
    """Where that is: along one dim, or in all of them as one."""
    return lambda x, *, dim, keepdim: find(x, None if len(dim) == x.ndim else dim[0])


def places(index: Array, dim: int) -> tuple[Any, ...]:
    """``index`` along ``dim``, and each element's own place along the other dims."""
    index = np.atleast_1d(index)
    grid = np.indices(index.shape, sparse=True)
    return (*grid[:dim], index, *grid[dim + 1 :])


def gather(x: Array, index: Array, *, dim: int) -> Array:
    """``x[index[i][j]][j]`` for dim 0; NumPy raises for an index that is out of range."""
    return np.atleast_1d(x)[places(index, dim)]


RETURNING: dict[str, Callable[..., Array]] = {
    "neg": np.negative, "abs": np.absolute, "floor": whole(np.floor), "round": whole(np.rint),
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt,
    "sin": np.sin, "cos": np.cos, "tanh": np.tanh,
    "erf": np.vectorize(math.erf, otypes=[np.float64]), "bitwise_not": np.invert,
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide,
    "floor_divide": divided(np.floor_divide), "remainder": divided(np.remainder), "pow": power,
    "maximum": np.maximum, "minimum": np.minimum, "atan2": np.arctan2,
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    "shift_left": np.left_shift, "shift_right": np.right_shift,
    "eq": np.equal, "lt": np.less, "le": np.less_equal, "where": np.where,
    "amax": extreme(np.max), "amin": extreme(np.min),
    "argmax": place(np.argmax), "argmin": place(np.argmin),
    "gather": gather, "nonzero": lambda x, *, count: np.argwhere(x != 0), "matmul": np.matmul,
}  # fmt: skip


def writing(compute: Callable[..., Array]) -> Callable[..., None]:
    """The kernel of such a function; half precision is rounded once, at the end."""

    def kernel(*arrays: Array, **attributes: Any) -> None:
        *inputs, out = arrays
        out[...] = compute(*map(wide, inputs), **attributes).reshape(out.shape)

    return kernel


# Functions that write their results: 11


def fill(out: Array, *, value: complex) -> None:
    """Every element becomes ``value``."""
    out.fill(value)


def copy(x: Array, out: Array) -> None:
    """Any dtype and strides to any other; this one also packs for kernels that ask for it."""
    if out.dtype.kind == "b":
        x = x != 0
    elif x.dtype.kind == "c" != out.dtype.kind:
        x = x.real
    if out.dtype.kind in "iu" and x.dtype.kind not in "iub":
        x = x.astype(np.int64)  # so that what does not fit wraps around
    out[...] = x


def arange(out: Array, *, start: float, step: float) -> None:
    """Element i becomes ``start + i * step``."""
    i = np.arange(out.size, dtype=np.int64 if out.dtype.kind in "iub" else np.float64)
    out[...] = start + i * step


def random_bits(out: Array, *, seed: int, offset: int) -> None:
    """Words of Philox4x32-10, the same on every device."""
    words = random_words(seed, offset, -(-out.nbytes // 4))
    out[...] = words.view(out.dtype)[: out.size].reshape(out.shape)


def accumulator(dtype: Any) -> Any:
    """What sums and products of ``dtype`` are gathered in."""
    floating = np.float32 if dtype.itemsize == 2 else np.float64
    return dtype if dtype.kind in "iubc" else floating


def gathering(ufunc: Any) -> Any:
    """Sums and products, over dims or running along one."""

    def kernel(x: Array, out: Array, *, dim: Any, **_: Any) -> None:
        made = ufunc(np.atleast_1d(wide(x)), dim, accumulator(out.dtype))
        out[...] = made.reshape(out.shape)

    return kernel


def sort(x: Array, values: Array, indices: Array, *, dim: int, descending: bool) -> None:
    """Equal elements stay in order; NaN is larger than anything."""
    x = np.atleast_1d(wide(x))
    # Reversed before and after, ascending and stable is descending and stable.
    order = np.argsort(np.flip(x, dim) if descending else x, dim, kind="stable")
    if descending:
        order = x.shape[dim] - 1 - np.flip(order, dim)
    values[...] = np.take_along_axis(x, order, dim).reshape(values.shape)
    indices[...] = order.reshape(indices.shape)


def scattering(put: Callable[[Array, Any, Array], Any]) -> Any:
    """``src`` put to, or added to, places of a copy of ``x``; collisions add up."""

    def kernel(x: Array, index: Array, src: Array, out: Array, *, dim: int) -> None:
        made = np.array(wide(x), accumulator(x.dtype), ndmin=1)
        if index.size:
            part = tuple(map(slice, np.atleast_1d(index).shape)) if src.ndim else ()
            put(made, places(index, dim), wide(src[part]))
        out[...] = made.reshape(out.shape)

    return kernel


WRITING: dict[str, Callable[..., None]] = {
    "fill": fill, "copy": copy, "arange": arange, "random_bits": random_bits, "sort": sort,
    "sum": gathering(np.add.reduce), "prod": gathering(np.multiply.reduce),
    "cumsum": gathering(np.add.accumulate), "cumprod": gathering(np.multiply.accumulate),
    "scatter": scattering(np.ndarray.__setitem__), "scatter_add": scattering(np.add.at),
}  # fmt: skip


def silent(kernel: Callable[..., None]) -> Callable[..., None]:
    """NumPy warns of overflow and invalid values; operators do not."""

    def run(*arrays: Array, **attributes: Any) -> None:
        with np.errstate(all="ignore"):
            kernel(*arrays, **attributes)

    return run


def table() -> KernelTable:
    """A table with all of these; a later entry of the same name is preferred."""
    made = KernelTable(contract=(1, 6), layout="strided")
    made.update({name: silent(writing(compute)) for name, compute in RETURNING.items()})
    made.update({name: silent(kernel) for name, kernel in WRITING.items()})
    return made
