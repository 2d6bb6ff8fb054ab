"""Reductions of NumPy arrays; float16 and bfloat16 are accumulated in float32.

NumPy adds pairwise along the last axis at a quarter of the memory's speed, and one row after another
along the others. For dense float arrays ``einsum`` is faster along the last axis (it is given at most
``_ROW`` elements at a time, so that rounding errors stay as small), and short rows of the other axes
are joined into long ones first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING, bfloat16, bool_, float16, float32, float64

__all__ = ["enter"]

_SMALL = 4096
"""A dot product with ones is the quickest sum of so few elements."""

_ROW = 4096
_PIECE = 1024
_WIDE = 1024
_FEW = 16
"""Along so short a last axis, comparing whole columns is faster than one reduction per row."""

_ones: dict[Any, np.ndarray] = {}

Whole = Callable[[np.ndarray], np.ndarray]
Kernel = Callable[..., None]


def _along_rows(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    """x: (R, N), dense float -> (R,): its sums, or those of ``x * y``."""
    n = x.shape[1]
    operands = (x,) if y is None else (x, y)
    if n <= _ROW:
        return np.einsum("ij->i" if y is None else "ij,ij->i", *operands)
    pieces = n // _PIECE
    end = pieces * _PIECE
    parts = [v[:, :end].reshape(-1, pieces, _PIECE) for v in operands]
    sums = np.einsum("ijk->ij" if y is None else "ijk,ijk->ij", *parts)
    total = np.add.reduce(sums, 1)
    if end < n:
        rest = [v[:, end:] for v in operands]
        total += np.einsum("ij->i" if y is None else "ij,ij->i", *rest)
    return total


def _along_columns(ufunc: Any, x: np.ndarray) -> np.ndarray:
    """x: (R, C), dense -> (C,)."""
    rows, columns = x.shape
    if rows == 0:
        return ufunc.reduce(x, 0)
    join = max(1, min(rows, _WIDE // max(columns, 1)))
    if rows < 64:
        return ufunc.reduce(x, 0)
    count = rows // join
    wide = x[: count * join].reshape(count, join * columns)
    if count > _ROW:  # many additions one after another would lose accuracy
        blocks = count // 256
        first = ufunc.reduce(wide[: blocks * 256].reshape(blocks, 256, -1), 1)
        wide = np.concatenate([first, wide[blocks * 256 :]])
    total = ufunc.reduce(wide, 0)
    if join > 1:
        total = ufunc.reduce(total.reshape(join, columns), 0)
    if count * join < rows:
        total = ufunc(total, ufunc.reduce(x[count * join :], 0))
    return total


def _split(shape: tuple[int, ...], dim: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """(where the reduced dims at the end begin, the other reduced dims)."""
    end = len(shape)
    while end and end - 1 in dim:
        end -= 1
    return end, tuple(n for n in dim if n < end)


def _two_stage(
    shape: tuple[int, ...], dim: tuple[int, ...], rows: Whole, ufunc: Any
) -> Callable[..., np.ndarray]:
    """Reduce a dense array: the dims at the end by ``rows``, then the others."""
    end, others = _split(shape, dim)
    lead = shape[:end]
    length = math.prod(shape[end:])
    front = math.prod(lead[: len(others)])
    at_front = others == tuple(range(len(others)))
    rest = lead[len(others) :]

    def run(*arrays: np.ndarray) -> np.ndarray:
        x = arrays[0]
        if end < len(shape):
            x = rows(*[v.reshape(-1, length) for v in arrays]).reshape(lead)
        if not others:
            return x
        if at_front:
            return _along_columns(ufunc, x.reshape(front, -1)).reshape(rest)
        return ufunc.reduce(x, others)  # type: ignore[no-any-return]

    return run


def _is_dense(spec: Any) -> bool:
    return bool(spec.is_contiguous and spec.numel)


def _summing(spec: Any, dim: tuple[int, ...]) -> Whole:
    """The sums of a float32 or float64 array, of a spec's shape, without the reduced dims."""
    if _is_dense(spec):
        return _two_stage(tuple(spec.shape), dim, _along_rows, np.add)
    return lambda x: np.add.reduce(x, dim)


def _widened(kernel: Kernel, kind: Any) -> Kernel:
    """float16 and bfloat16: read and computed as float32, rounded once."""
    if kind not in (float16, bfloat16):
        return kernel

    def run(x: np.ndarray, *outs: np.ndarray) -> None:
        wide = [np.empty(o.shape, np.float32 if o.dtype.kind not in "iub" else o.dtype) for o in outs]
        kernel(np.asarray(x.astype(np.float32), order="C"), *wide)
        for out, value in zip(outs, wide, strict=True):
            np.copyto(out, value, casting="unsafe")

    return run


def total(facts: Any) -> Kernel:
    """Sum over dims, in the dtype of the output."""
    spec, out = facts.inputs[0], facts.outputs[0]
    dim, keep = facts.attributes["dim"], facts.attributes["keepdim"]
    kind = out.dtype
    if spec.dtype is bool_ and len(dim) == spec.ndim and kind.category == 1:
        return lambda x, out: out.fill(np.count_nonzero(x))
    if spec.dtype is not kind or kind.category != 2:
        axis = None if len(dim) == spec.ndim else dim
        acc = np.float32 if kind in (float16, bfloat16) else kind.numpy
        if acc is not np.float32:
            return lambda x, out: np.add.reduce(x, axis, acc, out, keep)
        return lambda x, out: np.copyto(
            out, np.add.reduce(x, axis, acc, None, keep), casting="unsafe"
        )
    return _widened(_float_total(spec, out, dim), kind)


def _float_total(spec: Any, out: Any, dim: tuple[int, ...]) -> Kernel:
    shape = tuple(spec.shape)
    if not _is_dense(spec):
        dims = tuple(dim)
        return lambda x, out: np.copyto(out, np.add.reduce(x, dims).reshape(out.shape))
    if len(dim) == spec.ndim and spec.numel <= _SMALL:
        return _dot_ones(spec, out)
    end, others = _split(shape, dim)
    length = math.prod(shape[end:])
    if not others and length <= _ROW:
        return lambda x, out: np.einsum("ij->i", x.reshape(-1, length), out=out.reshape(-1))
    sums = _two_stage(shape, dim, _along_rows, np.add)
    return lambda x, out: np.copyto(out, sums(x).reshape(out.shape))


def _dot_ones(spec: Any, out: Any) -> Kernel:
    kind = np.float64 if spec.dtype is float64 else np.float32
    ones = _ones.setdefault((spec.numel, kind), np.ones(spec.numel, kind))
    if spec.ndim == 1 and not out.ndim:
        return lambda x, out: x.dot(ones, out)
    return lambda x, out: x.reshape(-1).dot(ones, out.reshape(()))


def mean(facts: Any) -> Kernel:
    """Sum over dims, divided by how many."""
    spec, dim = facts.inputs[0], facts.attributes["dim"]
    count = math.prod(spec.shape[n] for n in dim)
    add = _float_total(spec, facts.outputs[0], dim)

    def run(x: np.ndarray, out: np.ndarray) -> None:
        add(x, out)
        np.true_divide(out, count, out)

    return _widened(run, spec.dtype)


def _variance(facts: Any) -> tuple[Whole, Callable[..., np.ndarray], float]:
    """(sums, sums of squares, what to divide them by)."""
    spec, dim = facts.inputs[0], facts.attributes["dim"]
    count = math.prod(spec.shape[n] for n in dim)
    freedom = max(count - facts.attributes["correction"], 0)
    return _summing(spec, dim), _squares(spec, dim), freedom


def _squares(spec: Any, dim: tuple[int, ...]) -> Callable[..., np.ndarray]:
    """Sums of products of an array (dense if the spec is) with itself."""
    _, others = _split(tuple(spec.shape), dim)
    if _is_dense(spec) and not others and dim:
        return _two_stage(tuple(spec.shape), dim, _along_rows, np.add)
    plain = _summing(spec, dim)
    return lambda x, _: plain(x * x)


def _moments(root: bool, with_mean: bool) -> Callable[[Any], Kernel]:
    def make(facts: Any) -> Kernel:
        spec, dim = facts.inputs[0], facts.attributes["dim"]
        kept = tuple(1 if i in dim else n for i, n in enumerate(spec.shape))
        count = math.prod(spec.shape[n] for n in dim)
        sums, squares, freedom = _variance(facts)

        def run(x: np.ndarray, out: np.ndarray, *mean_out: np.ndarray) -> None:
            middle = sums(x) / x.dtype.type(count)
            off = x - np.reshape(middle, kept)
            result = out.reshape(np.shape(middle))
            np.true_divide(squares(off, off), x.dtype.type(freedom), result)
            if root:
                np.sqrt(out, out)
            if with_mean:
                np.copyto(mean_out[0], np.reshape(middle, mean_out[0].shape))

        return _widened(run, spec.dtype)

    return make


def norm(facts: Any) -> Kernel:
    """The 2-norm over dims."""
    spec, dim = facts.inputs[0], facts.attributes["dim"]
    squares = _squares(spec, dim)

    def run(x: np.ndarray, out: np.ndarray) -> None:
        np.sqrt(squares(x, x).reshape(out.shape), out)

    return _widened(run, spec.dtype)


def logsumexp(facts: Any) -> Kernel:
    """``log(sum(exp(x)))`` over dims."""
    spec, dim = facts.inputs[0], facts.attributes["dim"]
    kept = tuple(1 if i in dim else n for i, n in enumerate(spec.shape))
    tops, sums = _extremes(np.maximum, spec, dim), _summing(spec, dim)

    def run(x: np.ndarray, out: np.ndarray) -> None:
        top = tops(x)
        top = np.where(np.isinf(top), np.zeros((), top.dtype), top)
        powers = np.exp(x - top.reshape(kept))
        result = out.reshape(top.shape)
        np.log(sums(powers), result)
        np.add(result, top, result)

    return _widened(run, spec.dtype)


def product(facts: Any) -> Kernel:
    """Product over one dim or all, in the dtype of the output."""
    spec, kind = facts.inputs[0], facts.outputs[0].dtype
    dim, keep = facts.attributes["dim"], facts.attributes["keepdim"]
    acc = np.float32 if kind in (float16, bfloat16) else kind.numpy
    axis = None if len(dim) == spec.ndim else dim
    if axis is None and _is_dense(spec) and spec.dtype is kind:

        def whole(x: np.ndarray, out: np.ndarray) -> None:
            flat = np.asarray(x.reshape(-1, 1), acc)
            np.copyto(out, _along_columns(np.multiply, flat)[0], casting="unsafe")

        return whole
    return lambda x, out: np.copyto(
        out, np.multiply.reduce(x, axis, acc, None, keep), casting="unsafe"
    )


def _columns(ufunc: Any, x: np.ndarray) -> np.ndarray:
    """x: (R, N) of small N -> (R,)."""
    found = x[:, 0].copy()
    for i in range(1, x.shape[1]):
        ufunc(found, x[:, i], out=found)
    return found


def _extremes(ufunc: Any, spec: Any, dim: tuple[int, ...]) -> Whole:
    """The largest (or smallest) elements over dims, without the reduced dims."""
    shape = tuple(spec.shape)
    if not _is_dense(spec) or not dim:
        return lambda x: ufunc.reduce(x, dim)

    def rows(x: np.ndarray) -> np.ndarray:
        if x.shape[1] <= _FEW and x.shape[0] >= 64:
            return _columns(ufunc, x)
        return ufunc.reduce(x, 1)  # type: ignore[no-any-return]

    return _two_stage(shape, dim, rows, ufunc)


def _extreme(ufunc: Any) -> Callable[[Any], Kernel]:
    def make(facts: Any) -> Kernel:
        spec = facts.inputs[0]
        dim = facts.attributes.get("dim", tuple(range(spec.ndim)))
        if spec.dtype.category == 1 and len(dim) == spec.ndim:
            return lambda x, out: np.copyto(out, ufunc.reduce(x, None))
        found = _extremes(ufunc, spec, dim)
        return _widened(
            lambda x, out: np.copyto(out, found(x).reshape(out.shape)), spec.dtype
        )

    return make


def _arg(function: Any) -> Callable[[Any], Kernel]:
    def make(facts: Any) -> Kernel:
        dim, keep = facts.attributes["dim"], facts.attributes["keepdim"]
        axis = None if len(dim) == facts.inputs[0].ndim else dim[0]
        if keep:
            kernel: Kernel = lambda x, out: np.copyto(out, function(x, axis, keepdims=True))
        else:
            kernel = lambda x, out: np.copyto(out, function(x, axis))
        return _widened(kernel, facts.inputs[0].dtype)

    return make


def _pick(function: Any) -> Callable[[Any], Kernel]:
    """Value and index of the largest (or smallest) along one dim."""

    def make(facts: Any) -> Kernel:
        dim = facts.attributes["dim"]
        if not facts.inputs[0].ndim:

            def alone(x: np.ndarray, values: np.ndarray, indices: np.ndarray) -> None:
                np.copyto(values, x)
                indices.fill(0)

            return alone

        def run(x: np.ndarray, values: np.ndarray, indices: np.ndarray) -> None:
            found = function(x, dim, keepdims=True)
            np.copyto(values, np.take_along_axis(x, found, dim).reshape(values.shape))
            np.copyto(indices, found.reshape(indices.shape))

        return _widened(run, facts.inputs[0].dtype)

    return make


def _truth(ufunc: Any) -> Callable[[Any], Kernel]:
    def make(facts: Any) -> Kernel:
        spec, out = facts.inputs[0], facts.outputs[0]
        dim, keep = facts.attributes["dim"], facts.attributes["keepdim"]
        if spec.ndim and not dim:
            return lambda x, out: np.copyto(out, x != 0)
        axis = None if len(dim) == spec.ndim else dim
        if out.dtype is bool_:
            return lambda x, out: ufunc.reduce(x, axis, None, out, keep)
        return lambda x, out: np.copyto(out, ufunc.reduce(x, axis, None, None, keep))

    return make


def count_nonzero(facts: Any) -> Kernel:
    """How many elements are not zero."""
    spec, dim = facts.inputs[0], facts.attributes["dim"]
    if len(dim) == spec.ndim:
        return lambda x, out: out.fill(np.count_nonzero(x))
    return lambda x, out: np.add.reduce(x != 0, dim, np.int64, out)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.update(
        {
            "sum": total,
            "prod": product,
            "amax": _extreme(np.maximum),
            "amin": _extreme(np.minimum),
            "max": _extreme(np.maximum),
            "min": _extreme(np.minimum),
            "argmax": _arg(np.argmax),
            "argmin": _arg(np.argmin),
            "max_dim": _pick(np.argmax),
            "min_dim": _pick(np.argmin),
            "any": _truth(np.logical_or),
            "all": _truth(np.logical_and),
            "count_nonzero": count_nonzero,
        },
        specialize=True,
    )
    floats = {
        "mean": mean,
        "var": _moments(False, False),
        "std": _moments(True, False),
        "var_mean": _moments(False, True),
        "std_mean": _moments(True, True),
    }
    table.update(floats, dtypes=FLOATING, specialize=True)
    some = lambda facts: bool(facts.inputs[0].numel)
    table.add("logsumexp", logsumexp, dtypes=FLOATING, when=some, specialize=True)
    table.add(
        "vector_norm",
        norm,
        dtypes=FLOATING,
        when=lambda facts: facts.attributes["ord"] == 2,
        specialize=True,
    )
