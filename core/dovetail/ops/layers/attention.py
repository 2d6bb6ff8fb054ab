"""Scaled dot-product attention, with a backward that recomputes the weights.

The forward gives the logsumexp of each row of scores as a second output; from it the backward gets
the weights again without having kept them (Dao et al., "FlashAttention", 2022), so that a fused
kernel needs memory for no matrix of scores.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import observe, ops
from dovetail.dispatch import call
from dovetail.factories import arange
from dovetail.ops.expose import operator
from dovetail.ops.families import broadcast_shapes, composite, draw
from dovetail.ops.layers.attention_step import attention_step
from dovetail.ops.layers.norm import wide, wide_dtype
from dovetail.ops.schema import REGISTRY, Inferred, Sample, Tolerance
from dovetail.spec import Spec

__all__: list[str] = []

_TOLERANCE = Tolerance(32, True, lambda query, key, *rest: max(key.shape[-2:]))


def _scores(query: Any, key: Any, mask: Any, is_causal: bool, scale: float) -> Any:
    """(*, L, S): query · key · scale, minus infinity where a query may not see a key."""
    scores = (query * scale).matmul(key.transpose(-2, -1))
    if is_causal:
        rows = arange(scores.shape[-2], device=query.device).unsqueeze(1)
        columns = arange(scores.shape[-1], device=query.device)
        scores = scores.masked_fill(columns > rows, -math.inf)
    if mask is None:
        return scores
    if mask.dtype is d.bool_:
        return scores.masked_fill(mask.logical_not(), -math.inf)
    return scores + mask


def _finite(x: Any) -> Any:
    """``x`` with 0 for minus infinity: what to subtract from a row that sees nothing."""
    return x.masked_fill(x == -math.inf, 0)


def _scores_reference(q: Any, k: Any, mask: Any, is_causal: bool, scale: float) -> Any:
    scores = q @ k.swapaxes(-1, -2) * scale
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    return (
        np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf) if is_causal else scores
    )


def _backward_reference(
    g: Any,
    q: Any,
    k: Any,
    v: Any,
    mask: Any,
    out: Any,
    lse: Any,
    of_lse: Any = None,
    *,
    is_causal: bool,
    scale: float,
) -> Any:
    delta = (g * out).sum(-1) - (0 if of_lse is None else of_lse)
    p = np.exp(_scores_reference(q, k, mask, is_causal, scale) - lse[..., None])
    slope = p * (g @ v.swapaxes(-1, -2) - delta[..., None]) * scale
    return slope @ k, slope.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g


def _backward_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for lead in ((), (2, 3)):
        shapes = ((4, 3), (4, 5), (6, 5), (6, 3), (4, 3))
        g, q, k, v, out = (draw(rng, (*lead, *shape), dtype, -1, 1) for shape in shapes)
        rows, of_rows = (draw(rng, (*lead, 4), wide_dtype(dtype), 1, 2) for _ in range(2))
        for causal, mask in ((False, None), (True, None), (False, rng.random((4, 6)) < 0.6)):
            options = {"is_causal": causal, "scale": 0.5}
            made.append(Sample((g, q, k, v, mask, out, rows, None), options))
        made.append(Sample((g, q, k, v, None, out, rows, of_rows), options))
    return made


@composite(
    "scaled_dot_product_attention_backward",
    inputs=(
        "grad", "query", "key", "value", "mask", "output", "logsumexp", "grad_logsumexp",
    ),
    outputs=3,
    infer=lambda grad, query, key, value, *others, **_: Inferred(
        (None,) * 8, tuple((s.shape, s.dtype) for s in (query, key, value))
    ),
    accepts=d.FLOATING,
    compute=d.float32,
    method=False,
    public=False,
    reference=_backward_reference,
    samples=_backward_samples,
    tolerance=_TOLERANCE,
)  # fmt: skip
def scaled_dot_product_attention_backward(
    grad: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    output: Any,
    logsumexp: Any,
    grad_logsumexp: Any = None,
    *,
    is_causal: bool,
    scale: float,
) -> Any:
    """Gradients for query, key and value.

    Args:
        output: (*, L, V), what the forward gave.
        logsumexp: (*, L), of the rows of scores; float32 for half and bfloat16 queries.
        grad_logsumexp: the gradient for it, or None.
    """
    weights, of_scores = _weights_and_slope(
        grad, query, key, value, mask, output, logsumexp, grad_logsumexp, is_causal, scale
    )
    return (
        of_scores.matmul(key) * scale,
        of_scores.transpose(-2, -1).matmul(query) * scale,
        weights.transpose(-2, -1).matmul(grad),
    )


def _weights_and_slope(
    grad: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    output: Any,
    logsumexp: Any,
    grad_logsumexp: Any,
    is_causal: bool,
    scale: float,
    noise: Any = None,
) -> tuple[Any, Any]:
    """The weights, times their noise if there is any, and the gradient of the scores."""
    delta = (grad * output).sum(-1)
    if grad_logsumexp is not None:
        delta = delta - grad_logsumexp
    scores = _scores(query, key, mask, is_causal, scale)
    weights = (scores - _finite(logsumexp).unsqueeze(-1)).exp()
    slope = grad.matmul(value.transpose(-2, -1))
    if noise is None:
        return weights, weights * (slope - delta.unsqueeze(-1))
    return weights * noise, weights * (slope * noise - delta.unsqueeze(-1))


def _gradient(
    g: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    out0: Any,
    out1: Any,
    is_causal: bool,
    scale: float,
    needs: Any,
) -> tuple[Any, ...]:
    grad = out0 * 0 if g[0] is None else g[0]
    inputs = (grad, query, key, value, mask, out0, out1, g[1])
    found = ops.scaled_dot_product_attention_backward(*inputs, is_causal=is_causal, scale=scale)
    of_mask = None
    if needs[3]:
        of_mask = _weights_and_slope(*inputs, is_causal, scale)[1].to(mask.dtype)
    return (*found, of_mask)


def _infer(query: Spec, key: Spec, value: Spec, mask: Any, **_: Any) -> Inferred:
    rows = tuple(query.shape[:-1])
    outs = (((*rows, value.shape[-1]), query.dtype), (rows, wide_dtype(query.dtype)))
    return Inferred((None,) * 4, outs)


def _reference(
    q: Any, k: Any, v: Any, attn_mask: Any = None, is_causal: bool = False, scale: Any = None
) -> Any:
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = _scores_reference(q, k, attn_mask, is_causal, factor)
    largest = scores.max(-1, keepdims=True, initial=-np.inf)
    e = np.exp(scores - np.where(np.isfinite(largest), largest, 0))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total) @ v


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for lead in ((), (2,), (2, 3)):
        q, k = draw(rng, (*lead, 4, 5), dtype, -2, 2), draw(rng, (*lead, 6, 5), dtype, -2, 2)
        v = draw(rng, (*lead, 6, 3), dtype, -2, 2)
        mask = rng.random((4, 6)) < 0.6
        mask[0] = False  # a query that sees nothing gets zeros
        made += [
            Sample((q, k, v)),
            Sample((q, k, v), {"is_causal": True, "scale": 0.3}),
            Sample((q, k, v), {"attn_mask": mask}),
            Sample((q, k, v), {"attn_mask": draw(rng, (4, 6), dtype, -1, 1)}),
        ]
    q, k, v = draw(rng, (4, 5), dtype, -2, 2), np.zeros((0, 5)), np.zeros((0, 3))
    made.append(Sample((q, k.astype(q.dtype), v.astype(q.dtype)), name="no keys"))
    return made


@composite(
    "scaled_dot_product_attention",
    inputs=("query", "key", "value", "mask"),
    outputs=2,
    differentiable=(0, 1),
    infer=_infer,
    gradient=_gradient,
    accepts=d.FLOATING,
    method=False,
    public=False,
    reference=_reference,
    samples=_samples,
    tolerance=_TOLERANCE,
)
def _attention(
    query: Any, key: Any, value: Any, mask: Any, *, is_causal: bool, scale: float
) -> Any:
    kind = query.dtype
    query, key, value = (wide(x) for x in (query, key, value))
    mask = mask if mask is None or mask.dtype is d.bool_ else wide(mask)
    scores = _scores(query, key, mask, is_causal, scale)
    if not scores.shape[-1]:
        return scores.matmul(value).to(kind), scores.sum(-1) - math.inf
    largest = _finite(scores.amax(-1, keepdim=True))
    weights = (scores - largest).exp()
    total = weights.sum(-1, keepdim=True)
    out = (weights / total.masked_fill(total == 0, 1)).matmul(value)
    return out.to(kind), (total.log() + largest).squeeze(-1)


def _check(query: Any, key: Any, value: Any, mask: Any, is_causal: bool) -> None:
    if not query.dtype is key.dtype is value.dtype:
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{query.dtype} key.dtype: {key.dtype} and value.dtype: {value.dtype} instead."
        )
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be at least 2 dimensional, but got query.dim: "
            f"{query.ndim} key.dim: {key.ndim} and value.dim: {value.ndim} instead."
        )
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise RuntimeError(
            "scaled_dot_product_attention: query (*, L, E), key (*, S, E) and value (*, S, V) must "
            f"fit together, got shapes {tuple(query.shape)}, {tuple(key.shape)} and "
            f"{tuple(value.shape)}"
        )
    if is_causal and mask is not None:
        raise RuntimeError(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when "
            "is_causal=True"
        )
    if mask is not None and mask.dtype not in (d.bool_, d.float32, query.dtype):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {mask.dtype} and  query.dtype: {query.dtype} instead."
        )


def _shared_heads(x: Any, heads: int) -> Any:
    """Each head of ``x`` for several heads of the query (grouped-query attention)."""
    return x if x.shape[-3] == heads else x.repeat_interleave(heads // x.shape[-3], -3)


_find = REGISTRY["scaled_dot_product_attention"].plans.get


@operator(REGISTRY["scaled_dot_product_attention"])
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """``softmax(query keyᵀ scale + mask) value``.

    Args:
        query: (*, L, E).
        key: (*, S, E).
        value: (*, S, V).
        attn_mask: broadcasts to (*, L, S); bool: True takes part; float: added to the scores.
        dropout_p: the chance that a weight is dropped; always applied.
        is_causal: query i sees keys up to i.
        scale: of the scores; None: 1 / sqrt(E).
        enable_gqa: key and value may have fewer heads (dim -3), which are shared.

    Raises:
        RuntimeError: shapes or dtypes that do not fit together.
    """
    if not observe.active and not dropout_p:
        try:  # as it was called before: all has been checked, and nothing is expanded
            specs = (
                query._spec,
                key._spec,
                value._spec,
                None if attn_mask is None else attn_mask._spec,
            )
            factor = 1 / math.sqrt(specs[0].shape[-1]) if scale is None else float(scale)
            run = _find((*specs, (is_causal, factor)))
        except (AttributeError, IndexError, ZeroDivisionError):
            run = None
        if run is not None:
            return run(query, key, value, attn_mask)[0]
    if 0 < dropout_p < 1 or (enable_gqa and query.shape[-3:-2] != key.shape[-3:-2]):
        factor = 1 / math.sqrt(query.shape[-1] or 1) if scale is None else float(scale)
        made = attention_step(
            query, key, value, attn_mask, 1.0 - dropout_p, is_causal, factor, _check,
            _weights_and_slope,
        )  # fmt: skip
        if made is not None:
            return made
    _check(query, key, value, attn_mask, is_causal)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    if enable_gqa:
        key, value = (_shared_heads(x, query.shape[-3]) for x in (key, value))
    leads = [tuple(x.shape[:-2]) for x in (query, key, value)]
    lead = broadcast_shapes(*leads)
    query, key, value = (
        x if have == lead else x.expand(*lead, *x.shape[-2:])
        for x, have in zip((query, key, value), leads, strict=True)
    )
    if attn_mask is not None:
        shape = (*lead, query.shape[-2], key.shape[-2])
        broadcast_shapes(shape, tuple(attn_mask.shape))
    if dropout_p:
        scores = _scores(query, key, attn_mask, is_causal, factor)
        seen = scores.amax(-1, keepdim=True) > -math.inf
        weights = ops.where(seen, scores, 0.0).softmax(-1)
        return ops.dropout(ops.where(seen, weights, 0.0), dropout_p, True).matmul(value)
    inputs = (query, key, value, attn_mask)
    return call(REGISTRY["scaled_dot_product_attention"], inputs, (is_causal, factor))[0]
