"""Batching rules of operators that broadcast, work along dims, or multiply matrices."""

from __future__ import annotations

import math
from typing import Any

from dovetail import ops
from dovetail.func.rules import KINDS, RULES, Apply, Case, rule
from dovetail.ops.layout.views import apply_view, view_record
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["aligned", "along", "pointwise"]


def aligned(value: Any, has_dim: bool, rank: int) -> Any:
    """A value whose rows have ``rank`` dims, so that rows broadcast aligned at their last dims."""
    if not has_dim:
        return value
    for _ in range(rank + 1 - value._spec.ndim):
        value = apply_view(view_record("unsqueeze"), value, (1,))
    return value


def pointwise(case: Case) -> Apply | None:
    """Rows broadcast, so values do too once their ranks are equal."""
    rank, flags = case.rank, case.flags
    dtypes: list[Any] = [None] * len(flags)
    if case.promoted and len(case.specs) > 1:
        # A 0-d row counts less in promotion than a 1-D value would.
        dtypes = [
            kind if isinstance(fact, Spec) and kind is not fact.dtype else None
            for fact, kind in zip(case.facts, case.promoted, strict=True)
        ]
        if len({s.ndim == 0 for s in case.specs}) == 1:
            dtypes = [None] * len(flags)

    def apply(*values: Any) -> Any:
        ready = [
            aligned(v if kind is None else v.to(kind), flag, rank)
            for v, flag, kind in zip(values, flags, dtypes, strict=True)
        ]
        return case.call(*ready)

    return apply


for _kind in ("elementwise", "compare", "select"):
    KINDS[_kind] = pointwise
for _name in (
    "clamp", "clamp_min", "clamp_max", "complex", "angle", "relu6", "softsign",
    "selu", "celu",
):  # fmt: skip
    RULES[_name] = pointwise


@rule("masked_fill")
def _masked_fill(case: Case) -> Apply | None:
    plain = pointwise(case)
    if not case.flags[2]:
        return plain

    def apply(value: Any, mask: Any, fill: Any) -> Any:  # a number for each row
        first, second, third = (
            aligned(v, flag, case.rank)
            for v, flag in zip((value, mask, fill), case.flags, strict=True)
        )
        return ops.where(second, third.to(value.dtype), first)

    return apply


# --------------------------------------------------------------- along dims


def _shifted(dim: Any, rank: int) -> Any:
    if isinstance(dim, tuple):
        return tuple(_shifted(n, rank) for n in dim)
    return dim + 1 if dim >= 0 else dim + max(rank, 1) + 1


def along(*names: str) -> Any:
    """The rule of operators whose attributes of these names count dims of their inputs."""

    def build(case: Case) -> Apply | None:
        rank = case.rank
        changed = {n: _shifted(case.attributes[n], rank) for n in names}
        if any(case.attributes[n] is None for n in names):
            return None
        if rank:

            def apply(*values: Any) -> Any:
                return case.call(*case.all_batched(values), **changed)

            return apply
        if case.op.infer is None:
            return None
        changed = {n: (1,) if dim == () else dim for n, dim in changed.items()}

        def of_numbers(*values: Any) -> Any:  # a 0-d row is one of a single element
            wide = [
                v.unsqueeze(1) if isinstance(v, Tensor) else v for v in case.all_batched(values)
            ]
            return case.rows_shaped(case.call(*wide, **changed))

        return of_numbers

    return build


_DIM = along("dim")
for _name in (
    "sum", "amax", "amin", "mean", "var", "std", "var_mean", "std_mean", "vector_norm",
    "logsumexp", "any", "all", "count_nonzero", "max_dim", "min_dim", "cummax", "cummin",
    "logcumsumexp", "topk", "kthvalue", "median_dim", "nanmedian_dim", "mode", "softmax",
    "log_softmax", "softmax_backward", "log_softmax_backward", "glu", "gather", "gather_backward",
    "cumsum", "cumprod", "sort",
):  # fmt: skip
    RULES[_name] = _DIM
RULES["flip"] = along("dims")


@rule("gather_backward")
def _gather_backward(case: Case) -> Apply | None:
    shape = (case.size, *case.attributes["shape"])
    if not case.rank or len(shape) == 1:
        return None
    dim = _shifted(case.attributes["dim"], case.rank)
    return lambda *values: case.call(*case.all_batched(values), dim=dim, shape=shape)


@rule("argmax", "argmin", "prod")
def _one_dim_or_all(case: Case) -> Apply | None:
    dims, rank = case.attributes["dim"], case.rank
    if rank and len(dims) == 1:
        return _DIM(case)  # type: ignore[no-any-return]

    def apply(value: Tensor) -> Any:
        flat = value.reshape(case.size, math.prod(value._spec.shape[1:]))
        return case.rows_shaped(case.call(flat, dim=(1,), keepdim=False))

    return apply


@rule("roll")
def _roll(case: Case) -> Apply | None:
    return along("dims")(case) if case.attributes["dims"] else None


@rule("diag_embed")
def _diag_embed(case: Case) -> Apply | None:
    rank = case.rank + 1
    dims = {n: _shifted(case.attributes[n], rank) for n in ("dim1", "dim2")}
    return lambda value: case.call(value, **dims)


# ------------------------------------------------------------ put together


@rule("cat")
def _cat(case: Case) -> Apply | None:
    empty = [s.ndim == 1 and not s.numel for s in case.specs]
    if not any(empty) or case.rank == 1:
        return _DIM(case)  # type: ignore[no-any-return]
    dim = case.attributes["dim"] + 1

    def apply(*values: Any) -> Any:  # an empty vector joins anything, but not as a row of many
        kept = [v for v, skip in zip(case.all_batched(values), empty, strict=True) if not skip]
        kind = case.outs()[0][1]
        return case.call(*kept, dim=dim).to(kind)

    return apply


@rule("stack")
def _stack(case: Case) -> Apply | None:
    dim = _shifted(case.attributes["dim"], case.rank + 1)
    return lambda *values: case.call(*case.all_batched(values), dim=dim)


@rule("repeat")
def _repeat(case: Case) -> Apply | None:
    repeats = case.attributes["repeats"]
    return lambda value: case.call(aligned(value, True, len(repeats)), repeats=(1, *repeats))


@rule("pad")
def _last_dims(case: Case) -> Apply | None:
    """Only the last dims matter, and a row has them."""
    return lambda value: case.call(value)


@rule("tril", "triu")
def _matrices(case: Case) -> Apply | None:
    return _last_dims(case) if case.rank >= 2 else None


@rule("view_backward")
def _view_backward(case: Case) -> Apply | None:
    named = case.attributes
    changed = {
        "op": "batched_view",
        "arguments": (named["op"], named["arguments"]),
        "shape": (case.size, *named["shape"]),
    }
    return lambda value: case.call(value, **changed)


# ----------------------------------------------------------------- matrices


@rule("matmul")
def _matmul(case: Case) -> Apply | None:
    a, b = case.facts
    rank = case.rank
    if a.ndim < 2 or b.ndim < 2:
        return None

    def folded(value: Any, other: Any) -> Any:
        """One matrix times all rows: the rows' rows as one tall matrix."""
        shape = value._spec.shape
        tall = value.reshape(math.prod(shape[:-1]), shape[-1])
        return ops.mm(tall, other).reshape(*value._spec.shape[:-1], other._spec.shape[-1])

    if b.ndim == 2 and not case.flags[1]:
        return folded

    def apply(value: Any, other: Any) -> Any:
        return case.call(aligned(value, case.flags[0], rank), aligned(other, case.flags[1], rank))

    return apply


def _stacked_matrices(case: Case) -> Apply | None:
    """Factorizations and what is solved with them: leading dims are free, and all inputs' own."""
    if case.op.decompose is not None:
        return None
    return lambda *values: case.call(*case.all_batched(values))


KINDS["contract"] = _stacked_matrices
for _name in ("fft_r2c", "fft_c2r", "fft_c2c"):
    RULES[_name] = _DIM
