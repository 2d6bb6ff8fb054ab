"""What linear algebra shares: the names of ``dovetail.linalg``, checks in PyTorch's words, samples.

Records whose results are unique only up to a sign, a phase or an order have a function that fixes
it, so that any device's result can be held against any reference; what users call is published
beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.autograd.grad_mode import no_grad
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.errors import LinAlgError
from dovetail.factories import eye, tensor
from dovetail.ops.families import broadcast_shapes, draw
from dovetail.ops.out import with_out
from dovetail.ops.schema import OpDef, Sample
from dovetail.tensor import Tensor

__all__ = [
    "FACTORED",
    "LINALG",
    "apart",
    "apart_reference",
    "batch_of",
    "broadcast_batches",
    "call_laid",
    "check_info",
    "eye_like",
    "has_data",
    "linalg",
    "matrices",
    "named",
    "need_floating",
    "need_matrix",
    "need_same_dtype",
    "need_square",
    "singular_error",
    "weights",
]

FACTORED = (d.float32, d.float64, d.complex64, d.complex128)
"""The dtypes of matrices that can be factorized."""

LINALG: dict[str, Callable[..., Any]] = {}
"""The functions of ``dovetail.linalg`` by name."""


def linalg(name: str = "", *, out: bool = True) -> Callable[[Any], Any]:
    """Publish a function in ``dovetail.linalg``; with ``out`` it takes ``out=``."""

    def define(function: Callable[..., Any]) -> Callable[..., Any]:
        called = name or function.__name__
        LINALG[called] = with_out(f"linalg.{called}", function) if out else function
        return function

    return define


def named(name: str) -> Callable[[Any], Any]:
    """Give a function another name, where the module has one of that name already."""

    def rename(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__name__ = function.__qualname__ = name
        return function

    return rename


# ------------------------------------------------------------------- checks


def need_matrix(name: str, x: Any, label: str = "A") -> None:
    """Raise RuntimeError for fewer than two dims, TypeError for no tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name}(): argument '{label}' (position 1) must be Tensor, not {type(x).__name__}"
        )
    if x._spec.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {label} must have at least 2 dimensions.")


def need_square(name: str, x: Any, label: str = "A") -> None:
    """Raise RuntimeError for matrices that are not square."""
    need_matrix(name, x, label)
    rows, columns = x._spec.shape[-2:]
    if rows != columns:
        raise RuntimeError(
            f"{name}: {label} must be batches of square matrices, but they are {rows} by "
            f"{columns} matrices"
        )


def need_floating(name: str, x: Tensor, low: bool = True) -> None:
    """Raise RuntimeError for integers and bool; unless ``low``, for half and bfloat16 too."""
    kind = x._spec.dtype
    if kind.category < 2:
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {type_name(kind)}"
        )
    if not low and kind.itemsize == 2:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {type_name(kind)}")


def need_same_dtype(name: str, a: Tensor, b: Tensor, labels: tuple[str, str] = ("A", "B")) -> None:
    """Raise RuntimeError where the dtypes of two operands differ."""
    if a._spec.dtype is not b._spec.dtype:
        raise RuntimeError(
            f"{name}: Expected {labels[0]} and {labels[1]} to have the same dtype, but found "
            f"{labels[0]} of type {type_name(a._spec.dtype)} and {labels[1]} of type "
            f"{type_name(b._spec.dtype)} instead"
        )


def has_data(x: Tensor) -> bool:
    """Whether there are values to look at: a tensor on meta has none."""
    return x._spec.device.type != "meta"


def check_info(name: str, info: Tensor, sentence: str) -> None:
    """Raise LinAlgError for the first matrix whose ``info`` is not 0.

    Args:
        info: int32, one per matrix.
        sentence: what is wrong; ``{info}`` stands for the number.
    """
    if not has_data(info) or not info._spec.numel:
        return
    found = np.asarray(info.detach().cpu().numpy()).reshape(-1)
    wrong = np.flatnonzero(found)
    if len(wrong):
        first = int(wrong[0])
        where = f"(Batch element {first}): " if info._spec.ndim else ""
        raise LinAlgError(f"{name}: {where}{sentence.format(info=int(found[first]))}")


def singular_error(name: str, info: Tensor) -> None:
    """Raise LinAlgError where a matrix was found singular by an inversion."""
    check_info(
        name,
        info,
        "The diagonal element {info} is zero, the inversion could not be completed because the "
        "input matrix is singular.",
    )


# ------------------------------------------------------------------ matrices


def batch_of(x: Any) -> tuple[int, ...]:
    """The leading dims."""
    return tuple(x._spec.shape[:-2])


def broadcast_batches(a: Tensor, b: Tensor) -> tuple[Any, Any]:
    """Both with the leading dims that they broadcast to."""
    batch = broadcast_shapes(batch_of(a), batch_of(b))
    return tuple(
        x if batch_of(x) == batch else x.expand(*batch, *x._spec.shape[-2:]) for x in (a, b)
    )  # type: ignore[return-value]


def eye_like(x: Any, rows: int, columns: int | None = None) -> Any:
    """The identity in the dtype and on the device of ``x``: (rows, columns)."""
    return eye(rows, rows if columns is None else columns, dtype=x.dtype, device=x.device)


# ------------------------------------------------------------------- samples


def matrices(*shapes: tuple[int, ...], attributes: tuple[tuple[Any, ...], ...] = ((),)) -> Any:
    """Samples: matrices of these shapes, each with every tuple of attributes."""

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        return [
            Sample((draw(rng, shape, dtype, -2, 2), *rest))
            for shape in shapes
            for rest in attributes
        ]

    return samples


def weights(rows: int, columns: int) -> np.ndarray:
    """What :func:`apart` adds to a (rows, columns) matrix."""
    made = np.zeros((rows, columns))
    side = range(min(rows, columns))
    made[side, side] = [2.75 + 2.25 * i for i in side]
    return made


def apart(x: Any) -> Any:
    """A matrix of small numbers made far from singular, its singular values unlike each other."""
    added = weights(*x.shape[-2:]).astype(x.dtype.numpy)
    return x + tensor(added, device=x.device)


def call_laid(op: OpDef, made: Any, like: Any, attributes: tuple[Any, ...], *more: Any) -> Any:
    """``op`` of a matrix made from ``like``, in memory as that lies there.

    A function that changes its input before the kernel sees it would hide how the input lay:
    transposed, with gaps and an offset, or repeated without a copy.
    """
    from dovetail.ops.layout.padding import pad

    strides = like.stride()
    if any(step == 0 and n > 1 for step, n in zip(strides, like.shape, strict=True)):
        many = tuple(x.unsqueeze(0).expand(2, *x.shape) for x in (made, *more))
        outs = _twice(op, many, attributes)
        return tuple(o.select(0, 1) for o in outs) if isinstance(outs, tuple) else outs.select(0, 1)
    if not like.is_contiguous() or like.storage_offset():
        rows, columns = made.shape[-2:]
        if rows > 1 and strides[-2] == 1:
            made = made.transpose(-2, -1).contiguous().transpose(-2, -1)
        else:
            wide = pad(made, (1, 2, 1, 1), value=float("nan"))
            made = wide.narrow(-2, 1, rows).narrow(-1, 1, columns)
    return _twice(op, (made, *more), attributes)


def _twice(op: OpDef, inputs: tuple[Any, ...], attributes: tuple[Any, ...]) -> Any:
    """The second of two calls: a kernel that writes to its input has spoilt it by then."""
    with no_grad():
        call(op, inputs, attributes)
    return call(op, inputs, attributes)


def apart_reference(x: np.ndarray) -> np.ndarray:
    """:func:`apart` of an array."""
    return np.asarray(x + weights(*x.shape[-2:]))
