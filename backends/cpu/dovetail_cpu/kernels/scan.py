"""Scans of NumPy arrays along one axis.

float32 is accumulated in float64, as PyTorch does on the cpu: the error of a long running sum would
otherwise grow with its length.

NumPy's ``accumulate`` goes element by element, 2.5 to 5 ns each. Where it pays, rows are cut into
short runs that are scanned side by side, and what comes before a run is joined to all of it; and
columns are scanned a whole line at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import FLOATING, bfloat16, float16, float32, float64
from dovetail_cpu.kernels.conversion import as_float32, convert

__all__ = ["enter"]

Kernel = Callable[..., None]
_WIDER = {float16: np.float32, bfloat16: np.float32, float32: np.float64}
_SHORT = 32
"""So few float32 additions are as accurate in float32."""
_RUN = 16
"""Elements of a run."""
_BLOCK = 1 << 16
"""Elements scanned at a time: in a core's own cache, and lines long enough for one call each."""
_MANY = 1 << 12
"""Of fewer elements ``accumulate`` alone is faster."""
_LINE = 512
"""Lines of so many elements are worth a call each."""


def _parts(rows: int, n: int) -> Iterator[tuple[slice, list[slice]]]:
    """Rows that are scanned together, and the columns in parts of whole runs."""
    width = max(_RUN, min(n, _BLOCK) // _RUN * _RUN)
    height = max(1, _BLOCK // width)
    columns = [slice(start, min(start + width, n)) for start in range(0, n, width)]
    for first in range(0, rows, height):
        yield slice(first, first + height), columns


def _scan_part(
    ufunc: Any, x: np.ndarray, out: np.ndarray, wide: Any, before: Any, join: Any = None
) -> Any:
    """x: (R, N) -> out, after ``before`` (R, 1), or None; what the next part comes after.

    ``join`` is the ufunc of many elements, where there is a faster one.
    """
    join = join or ufunc
    rows, n = x.shape
    runs = n // _RUN
    cut = runs * _RUN
    if runs:
        turned = np.empty((_RUN, rows, runs), wide)
        np.copyto(turned, x[:, :cut].reshape(rows, runs, _RUN).transpose(2, 0, 1))
        for i in range(1, _RUN):
            join(turned[i - 1], turned[i], out=turned[i])
        ends = turned[-1] if before is None else np.concatenate([before, turned[-1]], 1)
        ends = ufunc.accumulate(ends, 1)
        after = turned[:, :, 1:] if before is None else turned
        join(ends[:, :-1], after, out=after)
        target = out[:, :cut].reshape(rows, runs, _RUN).transpose(2, 0, 1)
        np.copyto(target, turned, casting="unsafe")
        before = ends[:, -1:]
    if cut < n:
        rest = x[:, cut:].astype(wide)
        rest = rest if before is None else np.concatenate([before, rest], 1)
        rest = ufunc.accumulate(rest, 1)
        np.copyto(out[:, cut:], rest[:, cut - n :], casting="unsafe")
        before = rest[:, -1:]
    return before


def _scan_lines(ufunc: Any, x: np.ndarray, out: np.ndarray, wide: Any) -> None:
    """x: (O, N, I) -> out, along N."""
    for source, target in zip(x, out, strict=True):
        line = source[0].astype(wide)
        np.copyto(target[0], line, casting="unsafe")
        for i in range(1, len(source)):
            ufunc(line, source[i], out=line)
            np.copyto(target[i], line, casting="unsafe")


def _by_lines(facts: Any, dim: int) -> tuple[int, int, int] | None:
    """(O, N, I) of dense arrays that are worth scanning line by line."""
    spec = facts.inputs[0]
    if not all(s.is_contiguous for s in (spec, *facts.outputs)) or spec.numel < _MANY:
        return None
    n, inner = spec.shape[dim], int(np.prod(spec.shape[dim + 1 :], dtype=np.int64))
    return (spec.numel // (n * inner), n, inner) if inner >= _LINE else None


def _by_runs(facts: Any, dim: int) -> tuple[int, int] | None:
    """(R, N) of dense arrays whose rows are worth cutting into runs."""
    spec = facts.inputs[0]
    if not all(s.is_contiguous for s in (spec, *facts.outputs)) or spec.numel < _MANY:
        return None
    n = spec.shape[dim]
    return (spec.numel // n, n) if dim == spec.ndim - 1 and n > 2 * _RUN else None


def _regroups(ufunc: Any, kind: Any) -> bool:
    """Whether runs may be summed first: no part of a sum may overflow where the sum does not."""
    return ufunc is np.add and kind not in (float64, float16, bfloat16) and not kind.is_complex


def _read(x: np.ndarray) -> np.ndarray:
    """float16 as float32, which NumPy converts slowly."""
    return as_float32(x) if x.dtype == np.float16 else x


def _scan(ufunc: Any) -> Callable[[Any], Kernel]:
    def make(facts: Any) -> Kernel:
        spec, dim = facts.inputs[0], facts.attributes["dim"]
        kind = facts.outputs[0].dtype
        if not spec.ndim:
            return lambda x, out: np.copyto(out, x, casting="unsafe")
        wide = _WIDER.get(kind, kind.numpy)
        if kind is float32 and spec.shape[dim] <= _SHORT:
            wide = np.float32
        lines = _by_lines(facts, dim)
        if lines is not None:
            return lambda x, out: _scan_lines(ufunc, x.reshape(lines), out.reshape(lines), wide)
        runs = _by_runs(facts, dim) if _regroups(ufunc, kind) else None
        if runs is not None:

            def by_runs(x: np.ndarray, out: np.ndarray) -> None:
                x, out = x.reshape(runs), out.reshape(runs)
                for rows, columns in _parts(*runs):
                    before = None
                    for part in columns:
                        before = _scan_part(ufunc, x[rows, part], out[rows, part], wide, before)

            return by_runs
        if wide == kind.numpy:
            return lambda x, out: ufunc.accumulate(x, dim, wide, out)
        return lambda x, out: convert(ufunc.accumulate(_read(x), dim, wide), out)

    return make


# ---------------------------------------------------------- cummax, cummin


def _where_best(x: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Elements that are the best so far, the latest of equal ones too, or NaN."""
    hit = np.asarray(x == best)
    if x.dtype.kind == "f":
        hit |= x != x
    return hit


def _places(hit: np.ndarray, out: np.ndarray) -> None:
    """hit: (R, N), true in each first column -> the column of the last true one, up to each."""
    rows, n = hit.shape
    found = np.flatnonzero(hit)
    if found.size * 4 <= hit.size:
        lengths = np.diff(found, append=hit.size)
        np.copyto(out, np.repeat(found % n, lengths).reshape(rows, n))
    else:
        np.maximum.accumulate(hit * np.arange(n), 1, None, out)


def _running(ufunc: Any) -> Callable[[Any], Kernel]:
    def make(facts: Any) -> Kernel:
        spec, dim = facts.inputs[0], facts.attributes["dim"]
        low = spec.dtype in (float16, bfloat16)
        if not spec.ndim:

            def alone(x: np.ndarray, values: np.ndarray, indices: np.ndarray) -> None:
                np.copyto(values, x)
                indices.fill(0)

            return alone

        def plain(x: np.ndarray, values: np.ndarray, indices: np.ndarray) -> None:
            wide = as_float32(x) if low else x
            best = ufunc.accumulate(wide, dim)
            place = np.arange(x.shape[dim]).reshape([-1 if i == dim else 1 for i in range(x.ndim)])
            hit = _where_best(wide, best)
            np.maximum.accumulate(np.where(hit, place, 0), dim, None, indices)
            convert(best, values)

        lines, runs = _by_lines(facts, dim), _by_runs(facts, dim)

        def by_lines(x: np.ndarray, values: np.ndarray, indices: np.ndarray) -> None:
            every = (a.reshape(lines) for a in (x, values, indices))
            for source, target, places in zip(*every, strict=True):
                target[0] = source[0]
                places[0] = 0
                for i in range(1, len(source)):
                    ufunc(target[i - 1], source[i], out=target[i])
                    places[i] = places[i - 1]
                    np.copyto(places[i], i, where=_where_best(source[i], target[i]))

        def by_runs(x: np.ndarray, values: np.ndarray, indices: np.ndarray) -> None:
            x, values, indices = (a.reshape(runs) for a in (x, values, indices))
            for rows, columns in _parts(*runs):
                before = None
                for part in columns:
                    before = _scan_part(ufunc, x[rows, part], values[rows, part], x.dtype, before)
                _places(_where_best(x[rows], values[rows]), indices[rows])

        if low:
            return plain
        if lines is not None:
            return by_lines
        return plain if runs is None else by_runs

    return make


# ------------------------------------------------------------ logcumsumexp


def _log_add(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """``log(exp(a) + exp(b))`` by vector instructions, which ``np.logaddexp`` does not use."""
    less = np.minimum(a, b)
    np.maximum(a, b, out=out)
    np.subtract(less, out, less)
    np.fmin(less, 0, less)  # of two equal infinities the difference is NaN
    np.exp(less, less)
    np.log1p(less, less)
    np.add(out, less, out)


def logcumsumexp(facts: Any) -> Kernel:
    """``log(cumsum(exp(x)))``."""
    spec, dim = facts.inputs[0], facts.attributes["dim"]
    wide = np.float32 if spec.dtype.itemsize == 2 else spec.dtype.numpy
    if not spec.ndim:
        return lambda x, out: np.copyto(out, x)
    runs = _by_runs(facts, dim)

    def plain(x: np.ndarray, out: np.ndarray) -> None:
        convert(np.logaddexp.accumulate(_read(x).astype(wide, copy=False), dim), out)

    def by_runs(x: np.ndarray, out: np.ndarray) -> None:
        x, out = x.reshape(runs), out.reshape(runs)
        with np.errstate(all="ignore"):
            for rows, columns in _parts(*runs):
                before = None
                for part in columns:
                    given = x[rows, part], out[rows, part]
                    before = _scan_part(np.logaddexp, *given, wide, before, _log_add)

    return plain if runs is None else by_runs


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.update(
        {
            "cumsum": _scan(np.add),
            "cumprod": _scan(np.multiply),
            "cummax": _running(np.maximum),
            "cummin": _running(np.minimum),
        },
        specialize=True,
    )
    table.add("logcumsumexp", logcumsumexp, dtypes=FLOATING, specialize=True)
