"""How many elements fall where: bincount histc histogram histogramdd."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import raw, return_types
from dovetail.backend.sentences import ENDS
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.factories import arange, zeros
from dovetail.late_binding import BATCHED
from dovetail.ops.expose import operator, publish
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.counted import begun, is_served
from dovetail.ops.indexed.index_checks import need_tensor, values_of
from dovetail.ops.indexed.masks import where
from dovetail.ops.layout.joining import cat, stack
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.ops.out import finish
from dovetail.ops.reduction.search import searchsorted
from dovetail.ops.schema import REGISTRY, ErrorInput, Inferred, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__: list[str] = []


_NEGATIVE = "bincount only supports 1-d non-negative integral inputs."


def _added_up(places: Any, values: Any, size: int) -> Any:
    """The sum of ``values`` per place, of ``size`` places."""
    nothing = zeros(size, dtype=values.dtype, device=values.device)
    return nothing.scatter_add(0, places, values)


# ----------------------------------------------------------------- bincount


def _bincount_infer(input: Spec, weights: Spec | None, size: int) -> Inferred:
    kind = d.int64
    if weights is not None:
        kind = d.float32 if weights.dtype is d.float32 else d.float64
    return Inferred((d.int64, None if weights is None else kind), (((size,), kind),))


def _bincount(input: Any, weights: Any, size: int) -> Any:
    values = input.new_ones(tuple(input.shape)) if weights is None else weights
    return _added_up(input, values, size)


def _bincount_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def make(n: int) -> np.ndarray:
        return draw(rng, (n,), dtype, 0, 9)

    return [
        Sample((make(20),)),
        Sample((make(7), rng.uniform(-1, 1, 7))),
        Sample((make(9), rng.uniform(-1, 1, 9).astype(np.float32), 4)),
        Sample((make(6), rng.integers(0, 4, 6)), {"minlength": 15}),
        Sample((make(6),), {"minlength": 15}),
        Sample((make(0),), {"minlength": 3}),
        Sample((make(0),)),
    ]


def _bincount_errors() -> list[ErrorInput]:
    x = np.arange(6)
    return [
        ErrorInput((x.astype(np.float32),), {}, NotImplementedError, "not implemented for 'Float'"),
        ErrorInput((x > 1,), {}, NotImplementedError, "not implemented for 'Bool'"),
        ErrorInput((x - 1,), {}, RuntimeError, "1-d non-negative integral"),
        ErrorInput((x.reshape(2, 3),), {}, RuntimeError, "1-d non-negative integral"),
        ErrorInput((x, x[1:]), {}, RuntimeError, "have the same length as input"),
        ErrorInput((x, None, -1), {}, RuntimeError, "minlength should be >= 0"),
    ]


BINCOUNT = OpDef(
    "bincount",
    kind="index",
    inputs=("input", "weights"),
    attributes=("size",),
    infer=_bincount_infer,
    decompose=_bincount,
    accepts=d.INTEGRAL,
    reference=lambda x, weights=None, minlength=0: np.bincount(
        x.astype(np.int64), weights if x.size else None, minlength
    ),
    samples=_bincount_samples,
    errors=_bincount_errors,
    needs_data=True,
)


ROOM = 1 << 10
"""Results that a block has room for whose length is not known, at least."""


def _counted_infer(input: Spec, weights: Spec | None, room: int) -> Inferred:
    plain = _bincount_infer(input, weights, room)
    return Inferred(plain.compute, (*plain.outs, ((2,), d.int64)))


def _counted_reference(
    x: np.ndarray, weights: np.ndarray | None, room: int
) -> tuple[np.ndarray, np.ndarray]:
    kind = np.int64 if weights is None else np.float64
    x, high, out = x.astype(np.int64), int(x.max()), np.zeros(room, kind)
    if x.min() >= 0 and high < room:
        out = np.bincount(x, weights, room)
    return out, np.array([x.min(), high])


def _counted_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    x, weights = draw(rng, (9,), dtype, 0, 9), rng.uniform(-1, 1, 9)
    found = [Sample((x, w, room)) for w in (None, weights) for room in (12, 5)]
    if dtype.is_signed:
        found.append(Sample((x - 4, weights.astype(np.float32), 12)))
    return found


@composite(
    "bincount_counted",
    kind="index",
    inputs=("input", "weights"),
    outputs=2,
    infer=_counted_infer,
    differentiable=(),
    accepts=d.INTEGRAL,
    reference=_counted_reference,
    samples=_counted_samples,
    method=False,
    public=False,
    named="bincount",
)
def bincount_counted(input: Any, weights: Any, room: int) -> Any:
    """``bincount`` in a block with room for ``room`` results, (room,); the smallest number and the
    largest, (2,).

    Where one is negative, or there is no room for the largest, all results are zero.

    Args:
        input: (N), N > 0.
        weights: (N), or None.
    """
    low, high = input.to(d.int64).aminmax()
    is_there = (low >= 0) & (high < room)
    places = where(is_there, input.to(d.int64), 0)
    values = input.new_ones(input.numel(), dtype=d.int64) if weights is None else weights
    if weights is not None and weights.dtype is not d.float32:
        values = weights.to(d.float64)
    return _added_up(places, values * is_there, room), stack((low, high))


BINCOUNT_COUNTED = REGISTRY["bincount_counted"]


def _binned(input: Tensor, weights: Tensor | None, minlength: int) -> tuple[Any, int]:
    """The counts, where a kernel finds them with their number, and else None; the largest number.

    Raises:
        RuntimeError: one is negative.
    """
    room = max(minlength, ROOM)
    fits = weights is None or (weights._spec.ndim == 1 and weights.numel() == input.numel())
    if not fits or not is_served(BINCOUNT_COUNTED, (input, weights), (room,)):
        return None, _highest(input)
    block, ends = call(BINCOUNT_COUNTED, (input, weights), (room,))
    low, high = raw.to_host(ends).tolist()
    if low < 0:
        raise RuntimeError(_NEGATIVE)
    return (begun(block, max(high + 1, minlength)) if high < room else None), high


def _highest(input: Any) -> int:
    """The largest of numbers none of which is negative; one number is read from the device.

    Raises:
        RuntimeError: one is negative.
    """
    kind = input._spec.dtype
    if not kind.is_signed:
        return int(input.amax().item())
    lowest = d.iinfo(kind).min
    # With the sign bit turned over, negative numbers are the largest, and not negative.
    highest = int((input ^ lowest).amax().item())
    if highest >= 0:
        raise RuntimeError(_NEGATIVE)
    return highest - lowest


@operator(BINCOUNT)
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of the numbers 0, 1, … occurs in a vector, up to the largest.

    Waits for the device: the result's shape depends on the data.

    Args:
        input: (N), integers from 0 on.
        weights: (N), what each element counts; the result is then float32 or float64.
        minlength: the least number of results.

    Raises:
        RuntimeError: another number of dims, or negative numbers.
        NotImplementedError: another dtype.
    """
    spec = need_tensor("bincount", "input", 1, input)._spec
    minlength = whole_number("bincount", "minlength", minlength)
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if spec.dtype not in d.INTEGRAL:
        raise Unsupported(f"\"bincount\" not implemented for '{type_name(spec.dtype)}'")
    if spec.ndim != 1:
        raise RuntimeError(_NEGATIVE)
    if spec.device.type == "meta":
        raise NotImplementedError("bincount: the result's shape depends on data that meta has not")
    if not spec.numel:
        return zeros(minlength, dtype=d.int64, device=spec.device)
    if spec.batch is not None:
        raise BATCHED.dynamic_shape("bincount")
    if weights is not None:
        need_tensor("bincount", "weights", 2, weights)
    made, high = _binned(input, weights, minlength)
    if weights is not None:
        more = weights._spec
        if more.ndim != 1 or more.numel != spec.numel:
            raise RuntimeError("weights should be 1-d and have the same length as input")
    if made is not None:
        return made  # type: ignore[no-any-return]
    return call(BINCOUNT, (input, weights), (max(high + 1, minlength),))


# -------------------------------------------------------------------- histc


def _ends(x: Any, margin: float) -> tuple[Any, Any]:
    """The smallest and the largest element, apart by twice the margin where they are equal."""
    if not x.numel():
        return x.new_zeros(()), x.new_ones(())
    low, high = x.aminmax()
    same = low.eq(high)
    return where(same, low - margin, low), where(same, high + margin, high)


def _check_ends(name: str, low: Any, high: Any) -> None:
    """Refuse ends that are not finite; waits for the device that they are on."""
    if isinstance(low, Tensor):
        if low._spec.device.type == "meta":
            return
        ends = [np.ravel(values_of(x)) for x in (low, high)]
        wrong = ~(np.isfinite(ends[0]) & np.isfinite(ends[1]))
        if not wrong.any():
            return
        low, high = (float(x[wrong][0]) for x in ends)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(ENDS.format(name=name, low=low, high=high))


_RANGE = "torch.histc: range of"


def _histc_inputs(
    input: Any, bins: int, min: Any, max: Any
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    spec = need_tensor("histc", "input", 1, input)._spec
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if spec.dtype.is_floating_point and min != max:
        _check_ends(_RANGE, float(min), float(max))
        if min > max:
            raise RuntimeError("torch.histc: max must be larger than min")
    return (input,), (bins, float(min), float(max))


def _histc_reference(x: np.ndarray, bins: int = 100, min: float = 0, max: float = 0) -> np.ndarray:
    x = x.reshape(-1)
    if min == max:
        min, max = (x.min(), x.max()) if x.size else (0, 1)
    if min == max:
        min, max = min - 1, max + 1
    inside = x[(x >= min) & (x <= max)]
    place = np.minimum(np.floor((inside - min) * bins / (max - min)), bins - 1)
    return np.bincount(place.astype(np.int64), minlength=bins).astype(x.dtype)


def _histc_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def make(*shape: int) -> np.ndarray:
        # Quarters: no value is near to an edge that it is not on.
        return np.asarray(np.round(draw(rng, shape, dtype, -4, 4) * 4) / 4, dtype.numpy)

    found = [
        Sample((np.array([-2, -1, 0, 0.5, 1.5, 2, 6]).astype(dtype.numpy), 4)),
        Sample((make(50), 8, -4, 4)),
        Sample((make(3, 20), 4, -2, 2)),
        Sample((make(40), 2), {"min": 0, "max": 1}),
        Sample((np.full(4, 3, dtype.numpy), 3)),
        Sample((make(), 5)),
        Sample((make(0, 3), 4)),
        Sample((np.array([1, 0, 3], dtype.numpy), 6, 2, 2)),
    ]
    if dtype.category == 2:
        odd = np.array([1, np.nan, np.inf, 0.5, -np.inf], dtype.numpy)
        found.append(Sample((odd, 4, 0, 2), {}, "nan"))
        found.append(Sample((np.array([0, 1], dtype.numpy),), {}, "a hundred"))
    return found


def _histc_errors() -> list[ErrorInput]:
    x = np.arange(6, dtype=np.float32)
    odd = np.array([1, np.inf], np.float32)
    return [
        ErrorInput((x, 0), {}, RuntimeError, "bins must be > 0"),
        ErrorInput((x, 3, 4, 1), {}, RuntimeError, "max must be larger than min"),
        ErrorInput((x, 3, 0, math.inf), {}, RuntimeError, "is not finite"),
        ErrorInput((x.astype(np.int64), 3), {}, NotImplementedError, "not implemented"),
        ErrorInput((odd, 3), {}, RuntimeError, "is not finite"),
    ]


@composite(
    "histc",
    infer=lambda spec, bins, min, max: Inferred((None,), (((bins,), spec.dtype),)),
    prepare=_histc_inputs,
    out=True,
    compute=d.float32,
    accepts=d.FLOATING,
    differentiable=(),
    reference=_histc_reference,
    samples=_histc_samples,
    errors=_histc_errors,
)
def histc(input: Any, bins: int = 100, min: Any = 0, max: Any = 0) -> Any:
    """How many elements fall into each of ``bins`` equal parts of ``min`` to ``max``.

    Elements outside do not count, nor does NaN; the last part has its upper end. Not
    differentiable.

    Args:
        input: any shape, floating-point.
        min: the lower end; where both ends are equal, the elements' own.
        max: the upper end.

    Raises:
        RuntimeError: no bins, or ends that are not finite or turned round; the elements' own may be
            found where values are asked for.
        NotImplementedError: the input is not of a floating-point dtype.
    """
    x = input.detach().reshape(-1)
    low: Any = x.new_full((), min)
    high: Any = x.new_full((), max)
    if min == max:
        low, high = _ends(x, 1)
        if x.numel():
            _check_ends(_RANGE, low, high)
    inside = x.ge(low) & x.le(high)
    place = (x - low) * bins / (high - low)
    counts = _added_up(place.to(d.int64).clamp(0, bins - 1), inside.to(d.int64), bins)
    return counts.to(input.dtype)


# ---------------------------------------------------- histogram, histogramdd


def _even_edges(low: Any, high: Any, bins: int) -> Any:
    """``bins + 1`` numbers from ``low`` to ``high``, counted from the nearer end."""
    i = arange(bins + 1, dtype=low.dtype, device=low.device)
    step = (high - low) / bins
    return where(i < (bins + 1) // 2, low + step * i, high - step * (bins - i))


def _edges_of(x: Any, bins: Any, ends: Any, dim: int) -> Any:
    """The edges of a column's bins, given as a number of bins or as they are."""
    if isinstance(bins, Tensor):
        spec = bins._spec
        if spec.ndim != 1:
            raise RuntimeError(
                f"torch.histogramdd: bins tensor should have one dimension, but got {spec.ndim} "
                f"dimensions in the bins tensor for dimension {dim}"
            )
        if not spec.numel:
            raise RuntimeError(
                "torch.histogramdd: bins tensor should have at least 1 element, but got 0 "
                f"elements in the bins tensor for dimension {dim}"
            )
        if spec.dtype is not x.dtype:
            raise RuntimeError(
                "torch.histogramdd: input tensor and bins tensors should have the same dtype, but "
                f"got input with dtype {type_name(x.dtype).lower()} and bins for dimension {dim} "
                f"with dtype {type_name(spec.dtype).lower()}"
            )
        bins, edges = spec.numel - 1, bins.detach().clone()
    else:
        edges = None
    if bins <= 0:
        raise RuntimeError(
            f"torch.histogram(): bins must be > 0, but got {bins} for dimension {dim}"
        )
    if edges is not None:
        return edges
    name = f"torch.histogramdd: dimension {dim}'s range"
    if ends is None and _is_read(x):
        # The values are waited for anyway, so the edges need no launches.
        ends = raw.to_host(stack(x.aminmax())).tolist() if x.numel() else [0, 1]
    if ends is None:
        low, high = _ends(x, 0.5)
        _check_ends(name, low, high)
    else:
        _check_ends(name, *ends)
        if ends[0] > ends[1]:
            raise RuntimeError(
                f"torch.histogramdd: min should not exceed max, but got min {ends[0]:g} max "
                f"{ends[1]:g} for dimension {dim}"
            )
        wider = 0.5 if ends[0] == ends[1] else 0
        if _is_read(x):
            low, high = (x.dtype.numpy.type(end) for end in (ends[0] - wider, ends[1] + wider))
            return raw.from_host(_even(low, high, bins), x.dtype, state_of(x._spec.device))
        low, high = x.new_full((), ends[0] - wider), x.new_full((), ends[1] + wider)
    return _even_edges(low, high, bins)


def _is_read(x: Any) -> bool:
    """Whether there are values that the host can be told."""
    return x._spec.device.type != "meta" and x._spec.batch is None


def _even(low: Any, high: Any, bins: int) -> Any:
    """``_even_edges`` of numbers of NumPy's, on the host."""
    i = np.arange(bins + 1).astype(low.dtype)
    with np.errstate(all="ignore"):  # ends further apart than the dtype's largest number
        step = (high - low) / low.dtype.type(bins)
        return np.where(i < (bins + 1) // 2, low + step * i, high - step * (bins - i))


def _binned_infer(points: Spec, edges: Spec, weight: Spec | None, sizes: Any) -> Inferred:
    return Inferred((None,) * 3, ((tuple(n - 1 for n in sizes), points.dtype),))


def _binned_reference(
    points: np.ndarray, edges: np.ndarray, weight: np.ndarray | None, sizes: Any
) -> Any:
    rows = np.split(edges, np.cumsum(sizes)[:-1])
    return np.histogramdd(points[np.isfinite(points).all(1)], rows, weights=weight)[0]


def _binned_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def points(*shape: int) -> np.ndarray:
        return np.asarray(np.round(draw(rng, shape, dtype, -4, 4) * 4) / 4, dtype.numpy)

    found, weight = [], draw(rng, (30,), dtype, 0, 2)
    for sizes in ((5,), (4, 3), (2, 3, 6)):
        rows = [np.sort(rng.choice(24, n, replace=False) / 4 - 3) for n in sizes]
        edges = np.concatenate(rows).astype(dtype.numpy)
        found += [Sample((points(30, len(sizes)), edges, w, sizes)) for w in (None, weight)]
    return found


@composite(
    "histogram_binned",
    inputs=("points", "edges", "weight"),
    infer=_binned_infer,
    differentiable=(),
    accepts=(d.float32, d.float64),
    reference=_binned_reference,
    samples=_binned_samples,
    method=False,
    public=False,
    named="histogramdd",
)
def histogram_binned(points: Any, edges: Any, weight: Any, sizes: tuple[int, ...]) -> Any:
    """The histogram of points (N, D) in the bins between the edges of each column.

    Args:
        edges: those of all columns, one after the other.
        weight: (N), or None.
        sizes: how many edges each column has.
    """
    flat: Any = None
    inside: Any = None
    for x, e in zip(points.unbind(1), edges.split(list(sizes)), strict=True):
        n = e.shape[0] - 1
        within = x.ge(e[0]) & x.le(e[-1])
        inside = within if inside is None else inside & within
        place = (searchsorted(e.contiguous(), x.contiguous(), right=True) - 1).clamp(0, n - 1)
        flat = place if flat is None else flat * n + place
    shape = tuple(n - 1 for n in sizes)
    values = inside.to(d.int64) if weight is None else weight.masked_fill(~inside, 0)
    return _added_up(flat, values, math.prod(shape)).to(points.dtype).reshape(shape)


def _histogram(points: Any, edges: Sequence[Any], weight: Any, density: bool) -> Any:
    joined = edges[0] if len(edges) == 1 else cat(edges)
    sizes = tuple(e.shape[0] for e in edges)
    hist: Any = call(REGISTRY["histogram_binned"], (points, joined, weight), (sizes,))
    if density:
        hist = hist / hist.sum()
        for dim, e in enumerate(edges):
            hist = hist / e.diff().reshape([-1 if i == dim else 1 for i in range(len(edges))])
    return hist


def _histogram_of(
    input: Tensor, bins: Sequence[Any], ends: Any, weight: Any, density: bool
) -> tuple[Any, tuple[Any, ...]]:
    """(histogram, edges per dim) of points in the last dim of ``input``."""
    spec = input._spec
    if spec.dtype not in (d.float32, d.float64):
        raise Unsupported(f"\"histogramdd\" not implemented for '{type_name(spec.dtype)}'")
    many = spec.shape[-1]
    if ends is not None and len(ends) != 2 * many:
        raise RuntimeError(
            f"torch.histogramdd: for a {many}-dimensional histogram range should have {2 * many} "
            f"elements, but got {len(ends)}"
        )
    if weight is not None:
        other = need_tensor("histogram", "weight", 4, weight)._spec
        if tuple(other.shape) != tuple(spec.shape[:-1]):
            raise RuntimeError(
                "torch.histogramdd: if weight tensor is provided it should have the same shape as "
                "the input tensor excluding its innermost dimension, but got input with shape "
                f"{list(spec.shape)} and weight with shape {list(other.shape)}"
            )
        if other.dtype is not spec.dtype:
            raise RuntimeError(
                "torch.histogramdd: if weight tensor is provided, input tensor and weight tensor "
                f"should have the same dtype, but got input({type_name(spec.dtype).lower()}), and "
                f"weight({type_name(other.dtype).lower()})"
            )
        weight = weight.reshape(-1)
    points: Any = input.detach().reshape(-1, many)
    edges = []
    for dim, (x, some) in enumerate(zip(points.unbind(1), bins, strict=True)):
        edges.append(_edges_of(x, some, ends and ends[2 * dim : 2 * dim + 2], dim))
    return _histogram(points, edges, weight, density), tuple(edges)


@publish()
def histogram(
    input: Tensor,
    bins: Any = 100,
    *,
    range: Any = None,
    weight: Tensor | None = None,
    density: bool = False,
    out: Any = None,
) -> Any:
    """How many elements fall into each bin, as a named tuple (hist, bin_edges).

    A bin has its lower edge; the last one has both. Elements outside do not count.

    Args:
        input: any shape, float32 or float64.
        bins: how many bins of one width, or a vector of their edges, ascending.
        range: (lowest edge, highest edge) of bins of one width; otherwise the elements' own.
        weight: what each element counts, of the input's shape and dtype.
        density: divide by the whole and by each bin's width, so that the integral is 1.

    Raises:
        RuntimeError: no bins, a range that is not finite, or shapes or dtypes that do not fit.
        NotImplementedError: the input has another dtype.
    """
    spec = need_tensor("histogram", "input", 1, input)._spec
    if isinstance(bins, Tensor) and range is not None:
        raise TypeError("histogram(): range goes with a number of bins, got edges too")
    flat: Any = input.reshape(-1, 1)
    if weight is not None and tuple(weight._spec.shape) == tuple(spec.shape):
        weight = weight.reshape(-1)
    hist, edges = _histogram_of(flat, (bins,), range, weight, density)
    return finish("histogram", return_types.histogram(hist, edges[0]), out)


@publish(method=False)
def histogramdd(
    input: Tensor,
    bins: Any,
    range: Any = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """How many points fall into each bin of a grid, as a named tuple (hist, bin_edges).

    Args:
        input: (\\*, D), float32 or float64: points of D coordinates.
        bins: how many bins of one width along each coordinate (one number, or D of them), or D
            vectors of their edges, ascending.
        range: D pairs of lowest and highest edge, one after the other.
        weight: (\\*), what each point counts.
        density: divide by the whole and by each bin's volume, so that the integral is 1.

    Returns:
        The counts, with D dims, and D vectors of edges.

    Raises:
        RuntimeError: no bins, a range that is not finite, or shapes or dtypes that do not fit.
        NotImplementedError: the input has another dtype.
    """
    spec = need_tensor("histogramdd", "input", 1, input)._spec
    if spec.ndim < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    many = spec.shape[-1]
    if isinstance(bins, int):
        bins = [bins] * many
    if len(bins) != many:
        raise RuntimeError(
            "histogramdd: The size of bins must be equal to the innermost dimension of the input."
        )
    return return_types.histogramdd(*_histogram_of(input, bins, range, weight, density))
