"""``segment_reduce``: reductions of consecutive parts of a dim."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.backend.sentences import LENGTHS
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.factories import arange
from dovetail.ops.by_specs import function_by_specs
from dovetail.ops.expose import operator
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.index_checks import INDICES, need_tensor, values_of
from dovetail.ops.indexed.masks import where
from dovetail.ops.indexed.scatter_reduce import product_gradient
from dovetail.ops.layout.joining import cat
from dovetail.ops.reduction.search import searchsorted
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__: list[str] = []

_WAYS = {"sum": "sum", "mean": "mean", "prod": "prod", "max": "amax", "min": "amin",
         "amax": "amax", "amin": "amin"}  # fmt: skip
_START = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "amax": -math.inf, "amin": math.inf}


def _infer(
    data: Spec, lengths: Spec | None, offsets: Spec | None, reduce: str, axis: int, **_: Any
) -> Inferred:
    many = lengths.shape[-1] if offsets is None else offsets.shape[-1] - 1
    shape = (*data.shape[:axis], many, *data.shape[axis + 1 :])
    return Inferred((None,) * 3, ((shape, data.dtype),))


def _bounds(lengths: Any, offsets: Any) -> Any:
    """Where each segment starts, and the last one ends: (\\*batch, segments + 1) of int64."""
    if offsets is not None:
        return offsets.to(d.int64)
    whole = lengths.to(d.int64)
    return cat([whole.new_zeros((*whole.shape[:-1], 1)), whole.cumsum(-1)], -1)


def _places(data: Any, offsets: Any, axis: int) -> Any:
    """Per element, which segment it is in; one more than there are for those in none."""
    n, many = data.shape[axis], offsets.shape[-1] - 1
    counted = arange(n, device=data.device).expand(*data.shape[: axis + 1])
    at = searchsorted(offsets.contiguous(), counted.contiguous(), right=True) - 1
    at = where(at.lt(0), many, at)
    return at.reshape(tuple(at.shape) + (1,) * (data.ndim - axis - 1)).expand(data.shape)


def _board(data: Any, many: int, reduce: str, axis: int, initial: Any) -> Any:
    """What each segment starts from, and one more."""
    shape = (*data.shape[:axis], many + 1, *data.shape[axis + 1 :])
    start = _START[reduce] if initial is None or reduce in ("amax", "amin") else initial
    return data.new_full(shape, start)


def _counts(data: Any, offsets: Any, axis: int, initial: Any) -> Any:
    """How many elements there are in each segment, with as many dims as ``data`` has."""
    count = offsets.diff()
    count = count.reshape(tuple(count.shape) + (1,) * (data.ndim - axis - 1))
    return count if initial is None else count.masked_fill(count.eq(0), 1)


def _decompose(
    data: Any, lengths: Any, offsets: Any, reduce: str, axis: int, initial: Any, unsafe: bool
) -> Any:
    if offsets is None and not unsafe:
        _check_lengths(lengths, data.shape[axis])
    offsets = _bounds(lengths, offsets)
    many = offsets.shape[-1] - 1
    at = _places(data, offsets, axis)
    board = _board(data, many, reduce, axis, initial)
    if reduce in ("sum", "mean"):
        made = board.scatter_add(axis, at, data).narrow(axis, 0, many)
    else:
        made = board.scatter_reduce(axis, at, data, reduce).narrow(axis, 0, many)
    if reduce == "mean":
        made = made / _counts(data, offsets, axis, initial)
    if initial is not None and reduce in ("amax", "amin"):
        made = made.masked_fill(made.lt(initial) if reduce == "amax" else made.gt(initial), initial)
    return made.contiguous()


def _check_lengths(lengths: Tensor, size: int) -> None:
    """Refuse lengths that are negative or do not add up; waits for the device that they are on."""
    counts = values_of(lengths)
    if counts is None:
        return
    if counts.min() < 0:
        raise RuntimeError(LENGTHS[0])
    if (counts.sum(-1) != size).any():
        raise RuntimeError(LENGTHS[1])


def _gradient(
    g: Any, data: Any, lengths: Any, offsets: Any, out: Any, reduce: str, axis: int, initial: Any
) -> tuple[Any, None, None]:
    slopes = segment_reduce_backward(
        g, data, lengths, offsets, out, reduce=reduce, axis=axis, initial=initial
    )
    return slopes, None, None


def _slopes_reference(
    grad: np.ndarray, data: np.ndarray, lengths: Any, offsets: Any, result: np.ndarray,
    *, reduce: str, axis: int, initial: Any,
) -> np.ndarray:  # fmt: skip
    if offsets is None:
        nothing = np.zeros((*lengths.shape[:-1], 1), np.int64)
        offsets = np.concatenate([nothing, lengths.cumsum(-1)], -1)
    made = np.zeros(data.shape)
    for place in np.ndindex(*grad.shape):
        at = offsets[place[:axis]]
        part = (*place[:axis], slice(at[place[axis]], at[place[axis] + 1]), *place[axis + 1 :])
        x, g = data[part], grad[place]
        if reduce in ("sum", "mean"):
            made[part] = g / (len(x) if reduce == "mean" and len(x) else 1)
        elif reduce == "prod":
            start, is_alone = 1 if initial is None else initial, (x == 0).sum() == 1
            rest = g * start * np.prod(x[x != 0])
            made[part] = np.where(
                (x == 0) & is_alone, rest, g * result[place] / np.where(x == 0, 1, x)
            )
        else:
            ties = (x == result[place]) | np.isnan(x)
            made[part] = np.where(ties, g / max(ties.sum(), 1), 0)
    return made


def _slopes_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for sample in _samples(rng, dtype):
        data, way = sample.args
        named = {"lengths": None, "offsets": None, **sample.kwargs}
        options = {"axis": named.pop("axis", 0) % data.ndim, "initial": named.pop("initial", None)}
        at, lengths = named["offsets"], named["lengths"]
        with np.errstate(invalid="ignore"):
            out = _reference(data, way, lengths=lengths, offsets=at, **options)
        out = out.astype(dtype.numpy)
        if np.isnan(out).any() and way == "mean":
            continue  # a part of nothing
        grad = draw(rng, out.shape, dtype, -2, 2)
        options["reduce"] = _WAYS[way]
        made.append(Sample((grad, data, lengths, at, out), options, sample.name))
    return made


@composite(
    "segment_reduce_backward",
    inputs=("grad", "data", "lengths", "offsets", "result"),
    infer=lambda grad, data, *_, **__: Inferred((None,) * 5, ((data.shape, data.dtype),)),
    compute=d.float32,
    accepts=d.FLOATING,
    method=False,
    public=False,
    reference=_slopes_reference,
    samples=_slopes_samples,
    tolerance=Tolerance(16, against="inputs"),
)
def segment_reduce_backward(
    grad: Any, data: Any, lengths: Any, offsets: Any, result: Any,
    *, reduce: str, axis: int, initial: Any,
) -> Any:  # fmt: skip
    """The gradient of ``segment_reduce`` for its data."""
    g, offsets = grad, _bounds(lengths, offsets)
    at = _places(data, offsets, axis)
    if reduce == "mean":
        g = g / _counts(data, offsets, axis, initial)
    g, result = _one_more(g, axis), _one_more(result, axis)
    if reduce in ("sum", "mean"):
        return g.gather(axis, at)
    if reduce == "prod":
        board = _board(data, offsets.shape[-1] - 1, reduce, axis, initial)
        return product_gradient(g, board, at, data, result, axis, reduce, True)[1]
    # Shared evenly by all that are as large as the largest; of NaN, by all NaN.
    best = result.gather(axis, at)
    ties = (data.eq(best) | data.ne(data)).to(g.dtype)
    count = g.new_zeros(tuple(g.shape)).scatter_add(axis, at, ties)
    return ties * (g / count.masked_fill(count.eq(0), 1)).gather(axis, at)


def _one_more(x: Any, axis: int) -> Any:
    """``x`` with zeros behind it along ``axis``, for elements that are in no segment."""
    return cat([x, x.new_zeros((*x.shape[:axis], 1, *x.shape[axis + 1 :]))], axis)


def _reference(
    data: np.ndarray, reduce: str, *, lengths: Any = None, offsets: Any = None, axis: int = 0,
    unsafe: bool = False, initial: Any = None,
) -> np.ndarray:  # fmt: skip
    if offsets is None:
        nothing = np.zeros((*lengths.shape[:-1], 1), np.int64)
        offsets = np.concatenate([nothing, lengths.cumsum(-1)], -1)
    axis %= data.ndim
    many = offsets.shape[-1] - 1
    out = np.zeros((*data.shape[:axis], many, *data.shape[axis + 1 :]), data.dtype)
    for batch in np.ndindex(*data.shape[:axis]):
        for i in range(many):
            part = data[batch][offsets[batch][i] : offsets[batch][i + 1]]
            out[(*batch, i)] = _whole(part, _WAYS[reduce], initial)
    return out


def _whole(part: np.ndarray, reduce: str, initial: Any) -> Any:
    start = {} if initial is None else {"initial": initial}
    if reduce == "mean":
        count = len(part) if initial is None else max(len(part), 1)
        return np.sum(part, axis=0, **start) / np.float64(count)
    if reduce in ("sum", "prod"):
        return (np.sum if reduce == "sum" else np.prod)(part, axis=0, **start)
    end = {"initial": _START[reduce] if initial is None else initial}
    return (np.max if reduce == "amax" else np.min)(part, axis=0, **end)


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def make(*shape: int) -> np.ndarray:
        return draw(rng, shape, dtype, -3, 3)

    lengths = np.array([2, 0, 3, 1])
    part = np.array([[1, 2, 4], [0, 1, 3]])
    zero = make(2, 4)
    zero[0, 2] = zero[1, 1] = 0
    found = [
        Sample((make(2, 4), "mean"), {"offsets": part, "axis": 1}, "a part"),
        Sample((zero, "prod"), {"offsets": part, "axis": 1, "initial": 2.0}, "a part"),
    ]
    for reduce in ("prod", "max", "mean", "sum", "min"):
        found.append(Sample((make(6, 2), reduce), {"lengths": lengths}, reduce))
        start = {"lengths": lengths, "initial": 1.0}
        found.append(Sample((make(6), reduce), start, f"{reduce} from 1"))
        offsets = np.array([0, 2, 2, 5])
        found.append(Sample((make(5), reduce), {"offsets": offsets}, f"{reduce} of offsets"))
    batch = np.array([[1, 3], [4, 0]])
    found += [
        Sample((make(2, 4, 3), "sum"), {"lengths": batch, "axis": 1}, "batch"),
        Sample((make(2, 4), "max"), {"lengths": batch, "axis": -1}, "batch"),
        Sample((make(2, 4), "mean"), {"lengths": batch.astype(np.int32), "axis": 1}, "batch"),
        Sample((make(6), "sum"), {"lengths": lengths[:3], "unsafe": True}, "a part"),
        Sample((make(6), "mean"), {"offsets": np.array([1, 4, 5])}, "a part"),
    ]
    ties = np.array([1, 3, 3, 2, 0, 4], dtype.numpy)
    for reduce, initial in (("max", None), ("amax", 3.0), ("amin", 0.0), ("prod", 2.0)):
        named = {"lengths": np.array([3, 3]), "initial": initial}
        found.append(Sample((ties, reduce), named, "one 0" if reduce == "prod" else "ties"))
    if dtype.category == 2:
        nan = np.array([1, np.nan, 2, -np.inf], dtype.numpy)
        for initial in (None, 0.0):
            named = {"lengths": np.array([2, 1, 1]), "initial": initial}
            found.append(Sample((nan, "max"), named, "nan"))
    return found


SEGMENT_REDUCE = OpDef(
    "segment_reduce",
    kind="index",
    inputs=("data", "lengths", "offsets"),
    attributes=("reduce", "axis", "initial", "unsafe"),
    infer=_infer,
    decompose=_decompose,
    compute=d.float32,
    gradient=_gradient,
    accepts=d.FLOATING,
    reference=_reference,
    samples=_samples,
    errors=lambda: [
        ErrorInput((np.zeros(3, np.float32), "sum"), {}, RuntimeError, "must be defined"),
        ErrorInput((np.zeros(3, np.float32), "no"), {}, RuntimeError, "reduce argument must be"),
    ],
    method=False,
)


def _check_parts(data: Tensor, lengths: Any, offsets: Any, axis: int, unsafe: bool) -> None:
    given = lengths if offsets is None else offsets
    label = "lengths" if offsets is None else "offsets"
    spec = need_tensor("segment_reduce", label, 3, given)._spec
    if spec.ndim > data._spec.ndim or not spec.ndim:
        raise RuntimeError(
            f"segment_reduce(): {label} must have from 1 to {data._spec.ndim} dims, as data has, "
            f"got {spec.ndim}"
        )
    if axis != spec.ndim - 1:
        raise RuntimeError(
            f"segment_reduce(): Expected axis to be the last dimension of {label} but got {axis}."
        )
    if spec.dtype not in INDICES:
        raise Unsupported(
            f"segment_reduce(): not implemented for {label} of '{type_name(spec.dtype)}'"
        )
    if tuple(spec.shape[:-1]) != tuple(data._spec.shape[:axis]):
        raise RuntimeError(
            f"segment_reduce(): the leading dims of {label} must be those of data "
            f"{list(data._spec.shape[:axis])}, got {list(spec.shape[:-1])}"
        )
    if offsets is None and not unsafe and not spec.numel:
        raise RuntimeError("segment_reduce(): lengths must have elements unless unsafe, got none")


def _prepare(
    data: Tensor, reduce: str, lengths: Any = None, indices: Any = None, offsets: Any = None,
    axis: int = 0, unsafe: bool = False, initial: float | None = None,
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:  # fmt: skip
    spec = need_tensor("segment_reduce", "data", 1, data)._spec
    axis = check_dim(axis, spec.ndim)
    if not isinstance(reduce, str):
        raise TypeError(
            f"segment_reduce(): argument 'reduce' (position 2) must be str, not "
            f"{type(reduce).__name__}"
        )
    way = _WAYS.get(reduce)
    if way is None:
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    _check_parts(data, lengths, offsets, axis, unsafe)
    initial = None if initial is None else float(initial)
    if offsets is not None:
        return (data, None, offsets), (way, axis, initial, False)
    return (data, lengths, None), (way, axis, initial, bool(unsafe))


@operator(SEGMENT_REDUCE)
@function_by_specs(SEGMENT_REDUCE, _prepare)
def segment_reduce(
    data: Tensor, reduce: str, *, lengths: Tensor | None = None, indices: Tensor | None = None,
    offsets: Tensor | None = None, axis: int = 0, unsafe: bool = False,
    initial: float | None = None,
) -> Tensor:  # fmt: skip
    """A reduction of each of several consecutive parts of a dim.

    Args:
        data: (\\*batch, N, \\*rest), floating-point.
        reduce: ``sum``, ``mean``, ``max``, ``min`` or ``prod``.
        lengths: (\\*batch, segments), how long each part is; together N.
        offsets: (\\*batch, segments + 1), instead: where each part begins, and the last one ends.
        axis: the dim that is taken apart; the number of batch dims.
        unsafe: lengths are not looked at.
        initial: what each part starts from. A part of nothing is that, or else 0, NaN (``mean``),
            1 (``prod``), or an infinity.

    Raises:
        RuntimeError: shapes that do not fit, or lengths that are negative or do not add up: at the
            call, or where values are asked for of a device that looks at them itself.
        NotImplementedError: another dtype.
    """
    given = {"lengths": lengths, "indices": indices, "offsets": offsets, "axis": axis}
    return call(SEGMENT_REDUCE, *_prepare(data, reduce, **given, unsafe=unsafe, initial=initial))
