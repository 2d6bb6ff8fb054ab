"""Batching rules of layers: the hidden dim joins the batch, the channels, or the leading dims.

They keep a device's fused kernels in use where the rows share their parameters, as in a network
that is mapped over examples; where each row has its own parameters a convolution becomes one of
more groups, and the others are decomposed.
"""

from __future__ import annotations

from typing import Any

from dovetail.func.batched import spread
from dovetail.func.rules import Apply, Case, rule
from dovetail.tensor import Tensor

__all__: list[str] = []


@rule("linear", "linear_relu", "layer_norm", "rms_norm")
def _shared_parameters(case: Case) -> Apply | None:
    """Leading dims are free where only the first input has the hidden dim."""
    return case.call if case.flags[0] and not any(case.flags[1:]) else None


@rule("scaled_dot_product_attention", "scaled_dot_product_attention_backward")
def _attention(case: Case) -> Apply | None:
    mask = 3 if case.op.name == "scaled_dot_product_attention" else 4
    rank = case.rank

    def apply(*values: Any) -> Any:
        ready = case.all_batched(values)
        if values[mask] is not None:
            ready[mask] = values[mask]
            if case.flags[mask]:
                shape = values[mask]._spec.shape
                lead = rank - (len(shape) - 1)
                ready[mask] = values[mask].reshape(case.size, *[1] * lead, *shape[1:])
        return case.call(*ready)

    return apply


# ------------------------------------------------- the hidden dim and the batch


def _folded(x: Tensor) -> Any:
    """(rows, N, …) as (rows N, …)."""
    spec = x._spec
    return x.reshape(spec.shape[0] * spec.shape[1], *spec.shape[2:])


def _unfolded(result: Any, size: int) -> Any:
    if isinstance(result, tuple):
        return tuple(_unfolded(r, size) for r in result)
    shape = result._spec.shape
    return result.reshape(size, shape[0] // size if size else 0, *shape[1:])


def _into_batch(case: Case, values: tuple[Any, ...], **changed: Any) -> Any:
    ready = [
        _folded(v if flag else spread(v, case.size)) if i in _BATCHED[case.op.name] else v
        for i, (v, flag) in enumerate(zip(values, case.flags, strict=True))
    ]
    return _unfolded(case.call(*ready, **changed), case.size)


_BATCHED = {
    "conv": (0,), "conv_relu": (0,), "conv_transpose": (0,), "conv_grad_input": (0,),
    "max_pool": (0,), "avg_pool": (0,), "adaptive_avg_pool": (0,), "adaptive_max_pool": (0,),
    "group_norm": (0,), "batch_norm_eval": (0,), "max_pool_grad": (0, 1), "avg_pool_grad": (0,),
    "im2col": (0,), "col2im": (0,), "resample": (0,), "resample_backward": (0,),
}  # fmt: skip
"""Inputs that begin with a batch (N, …), by position."""


@rule(
    "max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "group_norm",
    "batch_norm_eval", "conv_transpose", "max_pool_grad", "avg_pool_grad", "im2col", "col2im",
    "resample", "resample_backward",
)  # fmt: skip
def _joins_batch(case: Case) -> Apply | None:
    folds = _BATCHED[case.op.name]
    shared = [flag for i, flag in enumerate(case.flags) if i not in folds]
    if any(shared) or not case.size or not case.facts[0].shape[0]:
        return None
    changed: dict[str, Any] = {}
    shape = case.attributes.get("input_shape")
    if shape is not None:
        changed["input_shape"] = (case.size * shape[0], *shape[1:])
    return lambda *values: _into_batch(case, values, **changed)


# ------------------------------------------------------------- convolutions


def _beside(x: Tensor) -> Any:
    """(rows, N, C, …) as (N, rows C, …)."""
    moved = x.transpose(0, 1)
    spec = moved._spec
    return moved.reshape(spec.shape[0], spec.shape[1] * spec.shape[2], *spec.shape[3:])


def _apart(x: Any, size: int) -> Any:
    """(N, rows C, …) as (rows, N, C, …)."""
    spec = x._spec
    return x.reshape(spec.shape[0], size, spec.shape[1] // size, *spec.shape[2:]).transpose(0, 1)


@rule("conv", "conv_relu", "conv_grad_input")
def _conv(case: Case) -> Apply | None:
    if not case.size or not all(s.numel for s in case.specs):
        return None
    shape = case.attributes.get("input_shape")
    if not any(case.flags[1:]):
        changed = {} if shape is None else {"input_shape": (case.size * shape[0], *shape[1:])}
        return lambda *values: _into_batch(case, values, **changed)
    more: dict[str, Any] = {"groups": case.attributes["groups"] * case.size}
    if shape is not None:
        more["input_shape"] = (shape[0], case.size * shape[1], *shape[2:])

    def apply(*values: Any) -> Any:
        first, weight, *bias = case.all_batched(values)
        biases = [b if b is None else b.reshape(-1) for b in bias]
        return _apart(case.call(_beside(first), _folded(weight), *biases, **more), case.size)

    return apply


@rule("conv_grad_weight")
def _conv_grad_weight(case: Case) -> Apply | None:
    """A weight's gradient per row: each row is a group of channels of its own."""
    if not case.size or not all(s.numel for s in case.specs):
        return None
    shape = case.attributes["weight_shape"]
    changed = {
        "groups": case.attributes["groups"] * case.size,
        "weight_shape": (case.size * shape[0], *shape[1:]),
    }

    def apply(*values: Any) -> Any:
        ready = [_beside(v) for v in case.all_batched(values)]
        return _unfolded(case.call(*ready, **changed), case.size)

    return apply
