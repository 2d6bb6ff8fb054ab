"""quantile and nanquantile: what lies at a given fraction of the sorted elements."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import ops
from dovetail.dispatch import call
from dovetail.ops.by_specs import function_by_specs
from dovetail.ops.expose import attach
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.index_checks import values_of
from dovetail.ops.out import finish
from dovetail.ops.reduction.reducing import kept_shape, numpy_names, one_dim, spec_of_input
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec, contiguous_strides
from dovetail.tensor import Tensor

__all__: list[str] = []

_WAYS = ("linear", "lower", "higher", "midpoint", "nearest")
_ACCEPTS = (d.float32, d.float64)
_MOST = 1 << 24
"""A float32 tells so many places apart."""


def _fractions(q: Any) -> tuple[int, ...]:
    """The shape of fractions: none of a Python number."""
    return () if isinstance(q, type) else tuple(q.shape)


def _shape(spec: Spec, q: Any, dim: int | None, keepdim: bool) -> tuple[int, ...]:
    gone = tuple(range(spec.ndim)) if dim is None else (dim,) if spec.ndim else ()
    kept = kept_shape(spec.shape, gone)
    rest = kept if keepdim else tuple(n for i, n in enumerate(kept) if i not in gone)
    return (*_fractions(q), *rest)


def _strides(shape: tuple[int, ...], q: Any) -> tuple[int, ...] | None:
    """The dim of ``q`` is the fastest, though it comes first; as PyTorch leaves it."""
    given = _fractions(q)
    if not given:
        return None
    many = max(given[0], 1)
    return (1, *(step * many for step in contiguous_strides(shape[1:])))


def _infer(spec: Spec, q: Any, dim: int | None, keepdim: bool, **_: Any) -> Inferred:
    shape = _shape(spec, q, dim, keepdim)
    return Inferred((None, None), ((shape, spec.dtype, _strides(shape, q)),))


def _at_places(rows: Any, places: Any, interpolation: str) -> Any:
    """The values at (fractional) ``places`` of sorted rows, along their last dim."""
    if interpolation in ("lower", "higher", "nearest"):
        whole = {"lower": places.floor, "higher": places.ceil, "nearest": places.round}
        return rows.gather(-1, whole[interpolation]().to(d.int64))
    below = places.to(d.int64)
    weight = places - below if interpolation == "linear" else 0.5
    return rows.gather(-1, below).lerp(rows.gather(-1, places.ceil().to(d.int64)), weight)


def _in_order_reference(rows: Any, q: Any, *, interpolation: str, skips_nan: bool) -> Any:
    find = np.nanquantile if skips_nan else np.quantile
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a row of NaN alone
        return find(rows, np.reshape(q, -1), axis=1, method=interpolation).T


def _in_order_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    some = np.array([0.08, 0.32, 0.55, 0.93], dtype.numpy)
    for interpolation in _WAYS:
        for skips_nan in (False, True):
            rows = np.sort(draw(rng, (3, 9), dtype, -3, 3), 1)
            options = {"interpolation": interpolation, "skips_nan": skips_nan}
            made.append(Sample((rows, some), options))
            if interpolation == "linear":
                odd = rows.copy()
                odd[1, 7:] = odd[2] = np.nan
                made.append(Sample((odd, some[:1]), options, "nan"))
    return made


@composite(
    "quantile_in_order",
    inputs=("rows", "q"),
    infer=lambda rows, q, **_: Inferred(
        (None, rows.dtype), (((rows.shape[0], math.prod(_fractions(q))), rows.dtype),)
    ),
    accepts=_ACCEPTS,
    method=False,
    public=False,
    reference=_in_order_reference,
    samples=_in_order_samples,
    tolerance=Tolerance(8),
)
def quantile_in_order(rows: Any, q: Any, *, interpolation: str, skips_nan: bool) -> Any:
    """(R, Q): what lies at fractions ``q``, also a number, of rows (R, n) in order, NaN last.

    Raises:
        RuntimeError: a fraction outside of [0, 1].
    """
    if isinstance(q, Tensor):
        values = values_of(q)
        if values is not None and not ((values >= 0) & (values <= 1)).all():
            raise RuntimeError("quantile() q values must be in the range [0, 1]")
        q = q.reshape(-1)
    else:
        q = rows.new_full((1,), q)
    last = rows.shape[-1] - 1
    nan = rows.ne(rows)
    if skips_nan:
        # NaN is last. Where all are NaN the place is held at 0, and so is its gradient.
        places = (q * (nan.logical_not().sum(-1, keepdim=True) - 1)).clamp_min(0)
    else:
        places = (q * last).masked_fill(nan.any(-1, keepdim=True), last)
    return _at_places(rows, places, interpolation)


def _decompose(
    input: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, skips_nan: bool
) -> Any:
    shape = _shape(input._spec, q._spec if isinstance(q, Tensor) else float, dim, keepdim)
    if dim is None or not input.ndim:
        rows = input.reshape(1, -1)
    else:
        rows = input.movedim(dim, -1).reshape(-1, input.shape[dim])
    found = ops.quantile_in_order(
        rows.sort(-1)[0], q, interpolation=interpolation, skips_nan=skips_nan
    )
    return found.t().reshape(shape)


def _reference(
    x: np.ndarray, q: Any, dim: Any = None, keepdim: bool = False,
    *, interpolation: str = "linear", skips_nan: bool = False,
) -> Any:  # fmt: skip
    axis = None if not x.ndim else dim
    find = np.nanquantile if skips_nan else np.quantile
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a row of NaN alone
        made = find(x, q, axis=axis, method=interpolation, keepdims=keepdim and x.ndim > 0)
    return np.asarray(made, x.dtype)


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def make(*shape: int) -> np.ndarray:
        size = math.prod(shape)
        return np.asarray(rng.permutation(size) / 2 - 3).reshape(shape).astype(dtype.numpy)

    # No place is whole or a half, where the slope along q jumps.
    some = np.array([0.08, 0.32, 0.55, 0.93], dtype.numpy)
    found = [
        Sample((make(7), 0.4)),
        Sample((make(3, 5), 0.3, 1)),
        Sample((make(3, 4), some, 0)),
        Sample((make(2, 3, 4), some, -2, True)),
        Sample((make(2, 3), np.array(0.7, dtype.numpy), 1, True)),
        Sample((make(2, 3), some, None, True)),
        Sample((make(), some, 0)),
        Sample((make(4), np.zeros(0, dtype.numpy))),
        Sample((make(2, 3, 4), some, 0)),
        Sample((make(3, 4), 1, 1)),
        Sample((make(3, 4), 0, 0)),
    ]
    for way in _WAYS:
        found.append(Sample((make(5, 6), some, 1), {"interpolation": way}, way))
        found.append(Sample((make(9), 0.6), {"interpolation": way}, way))
    if dtype.category == 2:
        rows = make(4, 5)
        rows[0, 1] = rows[1, :4] = rows[2] = np.nan
        found += [Sample((rows, some, 1, keep), {}, "nan") for keep in (False, True)]
        found.append(Sample((rows, 0.4, 0), {"interpolation": "midpoint"}, "nan"))
        found.append(Sample((rows, 1, 1), {}, "nan"))
    return found


def _errors() -> list[ErrorInput]:
    x, half = np.arange(6, dtype=np.float32).reshape(2, 3), np.float32(0.5)
    return [
        ErrorInput((x.astype(np.int64), 0.5), {}, RuntimeError, "either float or double dtype"),
        ErrorInput((x[:0], 0.5), {}, RuntimeError, "must be non-empty"),
        ErrorInput((x, 1.5), {}, RuntimeError, r"in the range \[0, 1\] but got 1.5"),
        ErrorInput((x, np.full((1, 1), half)), {}, RuntimeError, "a scalar or 1D tensor"),
        ErrorInput((x, np.full(1, 0.5)), {}, RuntimeError, "same dtype as the input tensor"),
        ErrorInput((x, 0.5), {"interpolation": "no"}, RuntimeError, "interpolation must be one"),
        ErrorInput((x, 0.5, 2), {}, IndexError, "Dimension out of range"),
        ErrorInput((x, "a"), {}, TypeError, "must be Tensor or a number"),
    ]


def _check_fraction(name: str, input: Tensor, q: Any) -> None:
    """Refuse what is no tensor of the input's dtype, nor a number from 0 to 1; the values of a
    tensor are looked at where they are used."""
    spec = input._spec
    if isinstance(q, Tensor):
        if q._spec.ndim > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
        if q._spec.dtype is not spec.dtype:
            raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
        if q._spec.device is not spec.device:
            raise RuntimeError(f"{name}() q tensor must be on the same device as the input tensor")
        return
    if not isinstance(q, (int, float, np.integer, np.floating)):
        raise TypeError(
            f"{name}(): argument 'q' must be Tensor or a number, not {type(q).__name__}"
        )
    if not 0 <= q <= 1:
        raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {float(q):g}")


def _quantile(name: str, skips_nan: bool, doc: str) -> Callable[..., Any]:
    op = OpDef(
        name,
        inputs=("input", "q"),
        attributes=("dim", "keepdim", "interpolation", "skips_nan"),
        infer=_infer,
        decompose=_decompose,
        accepts=_ACCEPTS,
        reference=lambda *args, **named: _reference(*args, **named, skips_nan=skips_nan),
        samples=_samples,
        errors=_errors,
        tolerance=Tolerance(8),
    )

    def prepare(
        input: Tensor, q: Any, dim: int | None, keepdim: bool, *, interpolation: str
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        spec = spec_of_input(name, input)
        if not spec.numel:
            raise RuntimeError(f"{name}() input tensor must be non-empty")
        if spec.dtype not in _ACCEPTS:
            raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
        _check_fraction(name, input, q)
        if interpolation not in _WAYS:
            raise RuntimeError(
                f"{name}() interpolation must be one of linear, lower, higher, midpoint or "
                f"nearest, but got {interpolation}"
            )
        if dim is not None:
            dim = one_dim(name, dim, spec.ndim)
        if (spec.numel if dim is None or not spec.ndim else spec.shape[dim]) > _MOST:
            raise RuntimeError(f"{name}() input tensor is too large")
        given = q if isinstance(q, Tensor) else float(q)
        return (input, given), (dim, bool(keepdim), interpolation, skips_nan)

    @function_by_specs(op, prepare)
    def found(input: Tensor, q: Any, dim: Any, keepdim: bool, *, interpolation: str) -> Any:
        return call(op, *prepare(input, q, dim, keepdim, interpolation=interpolation))

    @numpy_names
    def function(
        input: Tensor,
        q: Any,
        dim: int | None = None,
        keepdim: bool = False,
        *,
        interpolation: str = "linear",
        out: Tensor | None = None,
    ) -> Any:
        if q.__class__ is float and not 0 <= q <= 1:  # it is no matter of specs
            _check_fraction(name, input, q)
        result = found(input, q, dim, keepdim, interpolation=interpolation)
        return result if out is None else finish(name, result, out)

    return attach(op, function, doc=doc)


_DOC = """

    Args:
        input: float32 or float64, not empty; at most 2**24 elements along ``dim``.
        q: a number from 0 to 1, or a 0-d or 1-D tensor of them; its dim comes
            first in the result.
        dim: the dim to reduce; None for all elements.
        keepdim: reduced dims stay, with size 1.
        interpolation: between two elements ``linear``, ``midpoint``, ``lower``, ``higher`` or
            ``nearest`` (halves to the even place).

    Raises:
        RuntimeError: an empty input, another dtype, or ``q`` outside of [0, 1].
        IndexError: the dim is out of range.
    """
_quantile(
    "quantile",
    False,
    "The values below which a fraction ``q`` of the elements lies; NaN where there is one." + _DOC,
)
_quantile(
    "nanquantile",
    True,
    "As ``quantile``, of what is not NaN; NaN where there is nothing else." + _DOC,
)
