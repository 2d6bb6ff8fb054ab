"""``scatter_reduce``: as ``scatter_add``, with other ways to bring values at one place together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import dovetail.dtypes as d
from dovetail.backend.sentences import ALONG
from dovetail.dispatch import call
from dovetail.factories import arange
from dovetail.ops.by_specs import function_by_specs
from dovetail.ops.expose import operator
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.index import (
    GATHER,
    GATHER_CASES,
    SCATTER,
    SCATTER_ADD,
    random_index,
    scatter_infer,
)
from dovetail.ops.indexed.index_checks import checked_dim, need_tensor, true_anywhere
from dovetail.ops.schema import REGISTRY, Inferred, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["Steps", "brought_together", "product_gradient", "scatter_reduce"]

_OTHER_NAMES = {"max": "amax", "min": "amin"}
_COMBINE = {"prod": "mul", "amax": "maximum", "amin": "minimum"}
_UFUNCS = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum, "sum": np.add}


def _infer(
    input: Spec, index: Spec, src: Spec, dim: int, reduce: str, include_self: bool
) -> Inferred:
    return scatter_infer(input, index, src, dim)


def _gathered(x: Any, index: Any, dim: int) -> Any:
    return call(GATHER, (x, index), (dim,))


def _as_large(src: Any, index: Any) -> Any:
    """As much of ``src`` as is read."""
    for i, n in enumerate(index._spec.shape):
        src = src.narrow(i, 0, n)
    return src


def _in_rounds(
    read: OpDef, input: Any, index: Any, src: Any, dim: int, reduce: str, include_self: bool
) -> Any:
    """Combine one value per place and round, until none is left.

    In each round all values that are left write their number to their place; whose number stays is
    combined with what the place holds. The others write to an extra place at the end.

    Args:
        read: ``gather``, by the name of which an index out of range is told.
    """
    from dovetail import ops
    from dovetail.ops.layout.joining import cat

    if not index._spec.ndim:
        input, index, src = (x.reshape(1) for x in (input, index, src))
        return _in_rounds(read, input, index, src, dim, reduce, include_self).reshape(())
    src = _as_large(src, index)
    n = input._spec.shape[dim]
    # A device that finds an index out of range finds it here: below, n is the extra place.
    call(read, (input, index), (dim,))
    extra = list(input._spec.shape)
    extra[dim] = 1
    made = cat([input, input.new_zeros(extra)], dim)
    shape = tuple(index._spec.shape)
    number = arange(index._spec.numel, device=index._spec.device).reshape(shape)
    left = number.ge(0)
    first = not include_self
    for _ in range(index._spec.numel):
        if not true_anywhere(left):
            break
        place = ops.where(left, index, n)
        board = call(
            SCATTER, (made.new_zeros(tuple(made._spec.shape), dtype=d.int64), place, number), (dim,)
        )
        wins = left & _gathered(board, place, dim).eq(number)
        place = ops.where(wins, index, n)
        # In the first round every place that is named has one winner, which then stands alone.
        value = src if first else getattr(_gathered(made, place, dim), _COMBINE[reduce])(src)
        made = call(SCATTER, (made, place, value), (dim,))
        left = left & wins.logical_not()
        first = False
    return made.narrow(dim, 0, n)


def _gradient(
    g: Any, input: Any, index: Any, src: Any, out: Any, needs: Any, dim: int, reduce: str,
    include_self: bool,
) -> tuple[Any, None, Any]:  # fmt: skip
    make = product_gradient if reduce == "prod" else _extreme_gradient
    whole, src = src._spec.shape, _as_large(src, index)
    mine, theirs = make(g, input, index, src, out, dim, reduce, include_self)
    if not include_self:
        mine = call(SCATTER, (mine, index, 0), (dim,))
    if theirs._spec.shape != whole:  # what was not read has no part
        from dovetail.ops.layout.padding import pad

        sides = reversed(list(zip(theirs._spec.shape, whole, strict=True)))
        theirs = pad(theirs, [n for a, b in sides for n in (0, b - a)])
    return mine, None, theirs


def _extreme_gradient(
    g: Any, input: Any, index: Any, src: Any, out: Any, dim: int, *_: Any
) -> tuple[Any, Any]:
    """Shared evenly by all that are as large as the largest."""
    mine = input.eq(out).to(g.dtype)
    theirs = src.eq(_gathered(out, index, dim)).to(g.dtype)
    share = g / call(SCATTER_ADD, (mine, index, theirs), (dim,))
    return share * mine, theirs * _gathered(share, index, dim)


def product_gradient(
    g: Any, input: Any, index: Any, src: Any, out: Any, dim: int, reduce: str, include_self: bool
) -> tuple[Any, Any]:
    """The product of the others; with a single 0 among them found without dividing by it.

    Returns:
        The gradients of ``input`` and of ``src``.
    """
    from dovetail import ops

    def product(a: Any, b: Any) -> Any:
        return call(SCATTER_REDUCE, (a, index, b), (dim, reduce, include_self))

    whole = input.masked_fill(input.eq(0), 1)
    mine = g * product(whole, src) / whole
    zero = src.eq(0)
    none = input.new_zeros(tuple(input._spec.shape))
    count = _gathered(call(SCATTER_ADD, (none, index, zero.to(input.dtype)), (dim,)), index, dim)
    alone = zero & count.eq(1)
    rest = _gathered(g * product(input, src.masked_fill(alone, 1)), index, dim)
    usual = _gathered(g * out, index, dim) / src.masked_fill(zero, 1)
    return mine, ops.where(alone, rest, usual)


def _reference(
    x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray, reduce: str,
    *, include_self: bool = True,
) -> np.ndarray:  # fmt: skip
    out = np.array(x)
    flat, at = np.atleast_1d(out), np.atleast_1d(index)
    grid = np.indices(at.shape, sparse=True)
    dim %= flat.ndim
    places = (*grid[:dim], at, *grid[dim + 1 :])
    start = {"sum": 0, "mean": 0, "prod": 1}
    count = np.full(flat.shape, int(include_self))
    np.add.at(count, places, 1)
    if not include_self:
        extreme = {"amax": flat.min(initial=0), "amin": flat.max(initial=0)}
        low = min(extreme["amax"], src.min(initial=0)) if reduce == "amax" else 0
        high = max(extreme["amin"], src.max(initial=0)) if reduce == "amin" else 0
        flat[places] = {**start, "amax": low, "amin": high}[reduce]
    src = src[tuple(slice(n) for n in index.shape)]
    _UFUNCS["sum" if reduce == "mean" else reduce].at(flat, places, src)
    if reduce == "mean":
        divide = np.floor_divide if flat.dtype.kind in "iu" else np.true_divide
        divide(flat, np.maximum(count, 1), out=flat, casting="unsafe")
    return out


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for i, (shape, dim, where) in enumerate(GATHER_CASES):
        index = random_index(rng, shape, dim, where)
        args = (draw(rng, shape, dtype, 1, 4), dim, index, draw(rng, where, dtype, 1, 4))
        reduce = ("sum", "mean", "prod", "amax", "amin")[i % 5]
        found.append(Sample((*args, reduce)))
        found.append(Sample((*args, "amax" if i % 2 else "mean"), {"include_self": False}))
    index = random_index(rng, (3, 4), 0, (2, 3)).astype(np.int32)
    large = draw(rng, (4, 5), dtype, 1, 4)
    found.append(Sample((draw(rng, (3, 4), dtype, 1, 4), 0, index, large, "prod"), {}, "large src"))
    return found


SCATTER_REDUCE = OpDef(
    "scatter_reduce",
    kind="index",
    inputs=("input", "index", "src"),
    attributes=("dim", "reduce", "include_self"),
    infer=_infer,
    decompose=lambda *inputs, **attributes: _in_rounds(GATHER, *inputs, **attributes),
    gradient=_gradient,
    accepts=(*d.INTEGRAL, *d.FLOATING, d.bool_),
    reference=_reference,
    samples=_samples,
    inplace=True,
)
"""``prod``, ``amax`` and ``amin``; sums and means are made of ``scatter_add``."""


def _mean_of(steps: Steps, input: Any, index: Any, src: Any, dim: int, include_self: bool) -> Any:
    base = input if include_self else call(steps.write, (input, index, 0), (dim,))
    total = call(steps.add, (base, index, src), (dim,))
    count = input.new_full(tuple(input._spec.shape), int(include_self))
    ones = src.new_ones(tuple(src._spec.shape))
    count = call(steps.add, (count, index, ones), (dim,))
    count = count.clamp(1, None)
    return total // count if input._spec.dtype.category == 1 else total / count


def _mean_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found = []
    for shape, dim, where in GATHER_CASES:
        index = random_index(rng, shape, dim, where)
        x, src = draw(rng, shape, dtype, -9, 9), draw(rng, where, dtype, -9, 9)
        for include_self in (True, False):
            found.append(Sample((x, index, src, dim % max(len(shape), 1), include_self)))
    return found


@composite(
    "scatter_mean",
    kind="index",
    inputs=("input", "index", "src"),
    infer=lambda input, index, src, dim, include_self: scatter_infer(input, index, src, dim),
    accepts=(*d.INTEGRAL, *d.FLOATING),
    reference=lambda x, index, src, dim, include_self: _reference(
        x, dim, index, src, "mean", include_self=include_self
    ),
    samples=_mean_samples,
    method=False,
    public=False,
    named="scatter_reduce",
)
def scatter_mean(input: Any, index: Any, src: Any, dim: int, include_self: bool) -> Any:
    """``scatter_reduce`` by ``mean``, which counts how often a place is named."""
    return _mean_of(_STEPS, input, index, src, dim, include_self)


SCATTER_MEAN = REGISTRY["scatter_mean"]


def _mean_inputs(
    input: Tensor, dim: int, index: Tensor, src: Tensor, include_self: bool
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    need_tensor("scatter_reduce", "src", 4, src)
    dim = checked_dim("scatter_reduce", input, dim, index)
    return (input, index, src), (dim, include_self)


@function_by_specs(SCATTER_MEAN, _mean_inputs)
def _mean(input: Tensor, dim: int, index: Tensor, src: Tensor, include_self: bool) -> Tensor:
    made: Tensor = call(SCATTER_MEAN, *_mean_inputs(input, dim, index, src, include_self))
    return made


class Steps(NamedTuple):
    """The operators that ``scatter_reduce``, or what is made of it, takes.

    Attributes:
        combine: for ``prod``, ``amax`` and ``amin``.
        write, add: for sums and means.
    """

    combine: OpDef
    write: OpDef
    add: OpDef

    @classmethod
    def of(cls, name: str, sentence: str) -> Steps:
        """Those of the operator ``name``, with its sentence for an index out of range."""
        read = GATHER.part_of(name, sentence)

        def in_rounds(*inputs: Any, **attributes: Any) -> Any:
            return _in_rounds(read, *inputs, **attributes)

        combine = SCATTER_REDUCE.part_of(name, sentence, decompose=in_rounds)
        return cls(combine, SCATTER.part_of(name, sentence), SCATTER_ADD.part_of(name, sentence))


@operator(SCATTER_REDUCE, out=True)
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """``input`` with the values of ``src`` brought together where ``index`` names along ``dim``.

    Args:
        index: int64 or int32; no larger than ``src``, nor than ``input`` but along ``dim``.
        reduce: ``sum``, ``prod``, ``mean``, ``amax`` or ``amin``.
        include_self: what ``input`` holds at a place that is named counts too.

    Raises:
        RuntimeError: an index out of bounds, of another dtype, or too large.
    """
    if reduce == "mean" and input._spec.dtype is not d.bool_:
        return _mean(input, dim, index, src, bool(include_self))
    need_tensor("scatter_reduce", "src", 4, src)
    dim = checked_dim("scatter_reduce", input, dim, index)
    if not isinstance(reduce, str):
        raise TypeError(
            f"scatter_reduce(): argument 'reduce' must be str, not {type(reduce).__name__}"
        )
    reduce = _OTHER_NAMES.get(reduce, reduce)
    if reduce not in _COMBINE and reduce not in ("sum", "mean"):
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    return brought_together(_STEPS, input, dim, index, src, reduce, include_self)


def brought_together(
    steps: Steps, input: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool
) -> Any:
    """:func:`scatter_reduce` of arguments that have been looked at, in these steps."""
    if reduce in _COMBINE:
        return call(steps.combine, (input, index, src), (dim, reduce, include_self))
    if reduce == "mean":
        return _mean_of(steps, input, index, src, dim, include_self)
    base = input if include_self else call(steps.write, (input, index, 0), (dim,))
    return call(steps.add, (base, index, src), (dim,))


_STEPS = Steps.of("scatter_reduce", ALONG)
