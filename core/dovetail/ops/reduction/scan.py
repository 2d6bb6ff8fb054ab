"""Scans along one dim: the primitives cumsum and cumprod; cummax, cummin, logcumsumexp on top."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import return_types
from dovetail.autograd.grad_mode import mode
from dovetail.dispatch import call
from dovetail.factories import arange
from dovetail.ops.expose import attach
from dovetail.ops.families import draw
from dovetail.ops.indexed.index_checks import true_anywhere
from dovetail.ops.reduction.reducing import REAL, kept_shape, one_dim, one_input
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.promotion import promote_types
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = [
    "reverse_cumsum",
    "samples",
]


def samples(low: float, high: float) -> Any:
    """Shapes and dims."""

    def make(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        cases = (((7,), 0), ((3, 5), 1), ((4, 2, 3), 0), ((2, 3, 4), -2), ((), 0), ((0, 3), 0))
        return [Sample((draw(rng, shape, dtype, low, high), dim)) for shape, dim in cases]

    return make


def _by_numpy(function: Any) -> Callable[..., Any]:
    def reference(x: np.ndarray, dim: int, **_: Any) -> Any:
        if not x.ndim:
            return x.astype(np.int64) if x.dtype.kind in "biu" else x
        return function(x, axis=dim, **({"dtype": np.int64} if x.dtype.kind in "biu" else {}))

    return reference


def _infer(spec: Spec, dim: int, dtype: d.dtype) -> Inferred:
    fits = promote_types(spec.dtype, dtype) is dtype
    return Inferred((None if fits else dtype,), ((tuple(spec.shape), dtype),))


def reverse_cumsum(x: Any, dim: int) -> Any:
    """The sum of each element and all after it."""
    return x.flip(dim).cumsum(dim).flip(dim) if x.ndim else x


def _cumprod_gradient(g: Any, input: Any, out: Any, dim: int) -> Any:
    """What each factor contributes to its own product and all later ones.

    Without zeros that is a sum of ``g * out`` over the later ones, divided by the factor. With
    zeros the products are taken apart: everything before the factor, and each stretch after it
    (memory in n squared), which can be differentiated again.
    """
    from dovetail.ops import cat

    x = input.to(g.dtype)
    if not x.ndim:
        return g
    conj = x.conj() if g.dtype.is_complex else x
    has_zero = x.device.type != "meta" and true_anywhere(x.eq(0))
    if not has_zero:
        products = out.conj() if g.dtype.is_complex else out
        return reverse_cumsum(g * products, dim) / conj

    n = x.shape[dim]
    one = conj.new_ones(kept_shape(conj.shape, (dim,)))
    before = cat([one, conj.narrow(dim, 0, n - 1)], dim).cumprod(dim)
    rows = conj.movedim(dim, -1).unsqueeze(-2)
    place = arange(n, device=x.device)
    after = place > place.unsqueeze(1)  # (factor, product): the later products
    stretches = rows.masked_fill(after.logical_not(), 1).cumprod(-1)
    reached = place >= place.unsqueeze(1)
    later = (stretches * reached * g.movedim(dim, -1).unsqueeze(-2)).sum(-1)
    return before * later.movedim(-1, dim)


def _scan(name: str, gradient: Any, reference: Any, doc: str) -> OpDef:
    op = OpDef(
        name,
        kind="scan",
        attributes=("dim", "dtype"),
        infer=_infer,
        gradient={"input": gradient},
        reference=_by_numpy(reference),
        samples=samples(-3, 3),
        required=True,
        inplace=True,
    )

    @one_input(op)
    def function(input: Tensor, dim: int, *, dtype: d.dtype | None = None) -> Any:
        spec = input._spec
        kind = dtype or (d.int64 if spec.dtype.category < 2 else spec.dtype)
        return input, (one_dim(name, dim, spec.ndim), kind)

    attach(op, function, doc=doc)
    plain = getattr(Tensor, name + "_")

    def in_place(self: Tensor, dim: int, *, dtype: d.dtype | None = None) -> Any:
        # The result must fit the target, so integers are not widened here.
        return plain(self, dim, dtype=dtype or self._spec.dtype)

    in_place.__name__, in_place.__qualname__ = name + "_", f"Tensor.{name}_"
    in_place.__doc__ = plain.__doc__
    setattr(Tensor, name + "_", in_place)
    return op


_DOC = """ along one dim; integers and bool as int64 unless ``dtype`` is given.

    Raises:
        IndexError: the dim is out of range.
    """
CUMSUM = _scan(
    "cumsum", lambda g, dim: reverse_cumsum(g, dim), np.cumsum,
    "The sum of each element and all before it" + _DOC,
)  # fmt: skip
"""``cumsum(input, out, *, dim, dtype)``: accumulate in ``dtype``, float32 for half and bfloat16."""
CUMPROD = _scan(
    "cumprod", _cumprod_gradient, np.cumprod,
    "The product of each element and all before it" + _DOC,
)  # fmt: skip


# Scans of other operators, by doubling: after step k each element covers 2**k before it.


def _doubling(x: Any, dim: int, combine: Callable[[Any, Any], Any]) -> Any:
    from dovetail.ops import cat

    n = x.shape[dim] if x.ndim else 1
    made, step = x, 1
    while step < n:
        later = combine(made.narrow(dim, step, n - step), made.narrow(dim, 0, n - step))
        made = cat([made.narrow(dim, 0, step), later], dim)
        step *= 2
    return made.clone() if made is x else made


def _pair_infer(spec: Spec, dim: int) -> Inferred:
    shape = tuple(spec.shape)
    return Inferred((None,), ((shape, spec.dtype), (shape, d.int64)))


def _running(best: str) -> Callable[..., Any]:
    def decompose(input: Any, dim: int) -> Any:
        if not input.ndim:
            return input.clone(), input.new_zeros((), dtype=d.int64)
        values = _doubling(input, dim, lambda a, b: getattr(a, best)(b))
        shape = [1] * input.ndim
        shape[dim] = -1
        place = arange(input.shape[dim], device=input.device).reshape(shape)
        at = (input.eq(values) | input.ne(input)) * place
        return values, _doubling(at, dim, lambda a, b: a.maximum(b))

    return decompose


def _add_back(g: Any, out1: Any, specs: Any, dim: int) -> Any:
    if not specs[0].ndim:
        return g
    return g.new_zeros(tuple(specs[0].shape)).scatter_add(dim, out1, g)


def _running_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    found: list[Sample] = samples(-5, 5)(rng, dtype)
    if dtype.category == 2:
        found.append(Sample((np.array([1, np.nan, 3, np.nan, 2], dtype.numpy), 0), {}, "nan"))
    return found


def _running_reference(accumulate: Any) -> Callable[..., Any]:
    def reference(x: np.ndarray, dim: int) -> Any:
        if not x.ndim:
            return x, np.zeros((), np.int64)
        values = accumulate(x, axis=dim)
        shape = [1] * x.ndim
        shape[dim] = -1
        at = np.where((x == values) | (x != x), np.arange(x.shape[dim]).reshape(shape), 0)
        return values, np.maximum.accumulate(at, axis=dim)

    return reference


def _extreme(name: str, best: str, accumulate: Any, word: str) -> None:
    op = OpDef(
        name,
        attributes=("dim",),
        outputs=2,
        infer=_pair_infer,
        accepts=REAL,
        gradient={"input": _add_back},
        decompose=_running(best),
        reference=_running_reference(accumulate),
        samples=_running_samples,
    )

    @one_input(op, getattr(return_types, name))
    def function(input: Tensor, dim: int) -> Any:
        return input, (one_dim(name, dim, input._spec.ndim),)

    attach(
        op,
        function,
        doc=f"The {word} element so far along a dim, as a named tuple (values, indices).\n\n"
        "    Of equal elements the index names the last; NaN stays.\n\n"
        "    Raises:\n        IndexError: the dim is out of range.\n    ",
    )


_extreme("cummax", "maximum", np.maximum.accumulate, "largest")
_extreme("cummin", "minimum", np.minimum.accumulate, "smallest")


def _log_add(a: Any, b: Any) -> Any:
    """``log(exp(a) + exp(b))``; minus infinity of both stays, with gradient 0."""
    top = a.maximum(b)
    safe = top.masked_fill(top.abs().eq(math.inf), 0)
    return ((a - safe).exp() + (b - safe).exp()).log() + safe


def _logcumsumexp_gradient(g: Any, input: Any, out: Any, dim: int) -> Any:
    """The sum of ``g_i exp(x_j - out_i)`` over all i from j on."""
    if not input.ndim:
        return g
    return call(LOGCUMSUMEXP_BACKWARD, (g, input, out), (dim,))


def _added_back(g: Any, input: Any, sums: Any, dim: int) -> Any:
    # Nothing has been added up where the result is minus infinity.
    sums = sums.masked_fill(sums.eq(-math.inf), 0)
    if mode.grad:
        return _every_pair(g, input, sums, dim)
    total: Any = 0
    for sign, side in ((1, g), (-1, -g)):  # in logarithms, so that nothing overflows
        part = side.clamp_min(0).log() - sums
        later = _doubling(part.flip(dim), dim, _log_add).flip(dim)
        total = total + sign * (later + input).exp()
    return total


def _every_pair(g: Any, input: Any, sums: Any, dim: int) -> Any:
    """The same with memory in n squared, which can be differentiated again."""
    x, sums, g = (t.movedim(dim, -1) for t in (input, sums, g))
    place = arange(x.shape[-1], device=x.device)
    reached = place >= place.unsqueeze(1)  # (element, sum)
    powers = (x.unsqueeze(-1) - sums.unsqueeze(-2)).masked_fill(reached.logical_not(), -math.inf)
    return (powers.exp() * g.unsqueeze(-2)).sum(-1).movedim(-1, dim)


def _log_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    far_apart = np.array([200, 0, -200, 4]).astype(dtype.numpy)
    return [*samples(-5, 5)(rng, dtype), Sample((far_apart, 0), {}, "far apart")]


LOGCUMSUMEXP = OpDef(
    "logcumsumexp",
    attributes=("dim",),
    infer=lambda spec, dim: Inferred((None,), ((tuple(spec.shape), spec.dtype),)),
    accepts=d.FLOATING,
    compute=d.float32,
    gradient={"input": _logcumsumexp_gradient},
    decompose=lambda input, dim: _doubling(input, dim, _log_add),
    reference=lambda x, dim: np.logaddexp.accumulate(x, axis=dim) if x.ndim else x,
    samples=_log_samples,
)


def _backward_reference(g: Any, x: Any, out: Any, dim: int) -> Any:
    x, out, g = (np.moveaxis(a, dim, -1) for a in (x, out, g))
    reached = np.triu(np.ones((x.shape[-1],) * 2))  # (element, sum)
    found = (np.exp(x[..., None] - out[..., None, :]) * reached * g[..., None, :]).sum(-1)
    return np.moveaxis(found, -1, dim)


def _backward_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for sample in samples(-2, 2)(rng, dtype):
        x, dim = sample.args
        if x.ndim:
            sums = np.logaddexp.accumulate(x.astype(np.float64), dim).astype(dtype.numpy)
            made.append(Sample((draw(rng, x.shape, dtype, -2, 2), x, sums, dim)))
    return made


LOGCUMSUMEXP_BACKWARD = OpDef(
    "logcumsumexp_backward",
    inputs=("g", "input", "sums"),
    attributes=("dim",),
    infer=lambda g, input, sums, dim: Inferred((None,) * 3, ((tuple(g.shape), g.dtype),)),
    accepts=d.FLOATING,
    compute=d.float32,
    decompose=_added_back,
    reference=_backward_reference,
    samples=_backward_samples,
    method=False,
    public=False,
)


def _logcumsumexp_backward(g: Tensor, input: Tensor, sums: Tensor, dim: int) -> Any:
    """The gradient of ``logcumsumexp``, of dims that are not negative."""
    return call(LOGCUMSUMEXP_BACKWARD, (g, input, sums), (dim,))


attach(LOGCUMSUMEXP_BACKWARD, _logcumsumexp_backward)


@one_input(LOGCUMSUMEXP)
def _logcumsumexp(input: Tensor, dim: int) -> Any:
    """``log(cumsum(exp(x)))`` along a dim, without overflow.

    Raises:
        RuntimeError: the input is not of a floating-point dtype.
        IndexError: the dim is out of range.
    """
    return input, (one_dim("logcumsumexp", dim, input._spec.ndim),)


attach(LOGCUMSUMEXP, _logcumsumexp)
