"""Delivering results into ``out=``: checks, casts, and new memory where the shape differs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dovetail import raw
from dovetail.autocast_rules import without
from dovetail.autograd.inplace import check_writable
from dovetail.autograd.mode import mode
from dovetail.autograd.writes import note_write
from dovetail.dtypes import type_name
from dovetail.promotion import can_cast
from dovetail.spec import Spec
from dovetail.tensor import Tensor, storage_of
from dovetail.warning import warn

__all__ = ["deliver", "finish", "reshape_memory", "resize", "with_out"]

SAME_DTYPE_OUT = frozenset({
    "abs", "addmm", "all", "amax", "amin", "any", "argmax", "argmin", "baddbmm", "bitwise_not",
    "bmm", "ceil", "clamp", "clamp_max", "clamp_min", "conj_physical", "cummax", "cummin", "dot",
    "floor", "frac", "frexp", "gather", "heaviside", "histc", "index_add", "index_copy",
    "index_reduce", "index_select", "kthvalue", "linalg.vector_norm", "log_softmax", "logcumsumexp",
    "matmul", "mm", "mode", "mv", "nan_to_num", "nanquantile", "neg", "nonzero", "nonzero_static",
    "quantile", "renorm", "round", "scatter", "scatter_add", "scatter_reduce", "searchsorted",
    "sgn", "sign", "signbit", "slice_scatter", "slogdet", "softmax", "sort", "topk", "tril", "triu",
    "trunc", "vector_norm", "where",
})  # fmt: skip
"""Operators whose ``out=`` must have the result's dtype; the others cast within a category."""


def finish(name: str, result: Any, out: Any) -> Any:
    """Deliver a result into ``out=`` (a tensor, or a tuple of them), as PyTorch does.

    Raises:
        RuntimeError: out requires grad, is on another device, or cannot hold the result's dtype.
    """
    if out is None:
        return result
    if isinstance(result, tuple):
        outs = tuple(finish(name, r, o) for r, o in zip(result, out, strict=True))
        return type(result)(*outs) if hasattr(result, "_fields") else outs
    if isinstance(out, (tuple, list)):
        (out,) = out
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if mode.grad and (result._node is not None or out._node is not None):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic "
            "differentiation, but one of the arguments requires grad."
        )
    have, wanted = out._spec.dtype, result._spec.dtype
    if have is not wanted and name in SAME_DTYPE_OUT:
        raise RuntimeError(
            f"{name}: Expected out tensor to have dtype {wanted.name}, but got {have.name} instead"
        )
    if not can_cast(wanted, have):
        raise RuntimeError(
            f"result type {type_name(wanted)} can't be cast to the desired output type "
            f"{type_name(have)}"
        )
    if out._spec.device is not result._spec.device:
        raise RuntimeError(f"{name}: out must be on {result._spec.device}, got {out._spec.device}")
    if out._spec.shape != result._spec.shape:
        resize(name, out, result._spec)
    check_writable(out, f"{name}(out=)")
    raw.copy(result, out)
    note_write(storage_of(out), f"{name}(out=)")
    return out


def resize(name: str, out: Tensor, like: Spec) -> None:
    """Give ``out`` the shape and order of ``like``, with new memory.

    Warns when it was not empty, as PyTorch does.
    """
    if out._spec.numel:
        warn(
            f"An output with one or more elements was resized since it had shape "
            f"{list(out._spec.shape)}, which does not match the required output shape "
            f"{list(like.shape)}. ({name}: pass an out= of that shape, or an empty one)",
            UserWarning,
        )
    reshape_memory(out, like)


def reshape_memory(out: Tensor, like: Spec) -> None:
    """Give ``out`` the shape and order of ``like``, with new memory."""
    fresh = raw.empty(like.dense(out._spec.dtype, out._spec.device))
    out._spec, out._array = fresh._spec, fresh._array
    out._storage, out._offset = storage_of(fresh), 0


def with_out(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with an ``out=`` keyword."""

    @functools.wraps(function)
    def wrapped(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is None:
            return function(*args, **kwargs)
        if mode.autocast is not None:
            return finish(name, without(function, *args, **kwargs), out)
        return finish(name, function(*args, **kwargs), out)

    return wrapped


def deliver(made: Tensor, out: Tensor | None) -> Tensor:
    """What a factory made, or ``out`` with its values."""
    if out is None:
        return made
    if isinstance(out, Tensor) and out._spec.shape != made._spec.shape:
        reshape_memory(out, made._spec)
    result: Tensor = finish("factory", made, out)
    return result
