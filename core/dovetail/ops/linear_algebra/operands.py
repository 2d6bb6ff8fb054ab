"""What matrix products have in common: checks, the pieces of their gradients, samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail.dtypes import type_name
from dovetail.ops.families import draw
from dovetail.ops.schema import Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = [
    "CONTRACTION", "C_NAMES", "as_rows", "batch_error", "cannot_multiply", "conj",
    "conj_transpose", "need_tensors", "operands", "same_dtype", "same_scalar_type", "times",
    "whole_number",
]  # fmt: skip

C_NAMES = {
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
    "uint8": "unsigned char", "int8": "signed char", "int16": "short", "int32": "int",
    "int64": "long int", "bool": "bool", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}  # fmt: skip

CONTRACTION = Tolerance(ulp=4, contraction=True)


# ------------------------------------------------------------------- checks


def need_tensors(name: str, **arguments: Any) -> None:
    """Raise TypeError for the first argument that is no Tensor."""
    for position, (label, value) in enumerate(arguments.items(), 1):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name}(): argument '{label}' (position {position}) must be Tensor, not "
                f"{type(value).__name__}"
            )


def whole_number(name: str, label: str, value: Any) -> int:
    """An argument as an int.

    Raises:
        TypeError: it is none, in PyTorch's words.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}(): argument '{label}' must be int, not {type(value).__name__}")
    return int(value.__index__())


def same_dtype(a: Spec, b: Spec) -> None:
    """Raise RuntimeError where dtypes differ, in the words of ``mm``."""
    if a.dtype is not b.dtype:
        raise RuntimeError(
            "expected m1 and m2 to have the same dtype, but got: "
            f"{C_NAMES[a.dtype.name]} != {C_NAMES[b.dtype.name]}"
        )


def same_scalar_type(a: Spec, b: Spec) -> None:
    """Raise RuntimeError where dtypes differ, in the words of ``bmm``."""
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"expected scalar type {type_name(a.dtype)} but found {type_name(b.dtype)}"
        )


def cannot_multiply(rows: int, a: Spec, b: Spec) -> RuntimeError:
    """The error of two matrices whose sizes do not fit; ``rows`` are those of the first."""
    return RuntimeError(
        f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a.shape[-1]} and "
        f"{b.shape[-2]}x{b.shape[-1]})"
    )


def batch_error(batch: int, a: Spec, b: Spec, have: int) -> RuntimeError:
    """The error of two batches of matrices whose sizes do not fit."""
    return RuntimeError(
        f"Expected size for first two dimensions of batch2 tensor to be: [{batch}, {a.shape[-1]}] "
        f"but got: [{have}, {b.shape[-2]}]."
    )


# ---------------------------------------------------------------- gradients


def conj_transpose(x: Tensor) -> Tensor:
    """The conjugate transpose of the last two dims."""
    t = x.transpose(-2, -1)
    return t.conj() if t._spec.dtype.is_complex else t


def conj(x: Any) -> Any:
    """The conjugate; a real tensor itself."""
    return x.conj() if x._spec.dtype.is_complex else x


def as_rows(x: Any) -> Any:
    """All leading dims folded into one."""
    shape = x._spec.shape
    return x if len(shape) == 2 else x.reshape(math.prod(shape[:-1]), shape[-1])


def times(x: Any, factor: Any) -> Any:
    """``x * factor``, without the work where the factor is 1."""
    return x if factor == 1 else x * factor


def operands(
    *shapes: tuple[tuple[int, ...], ...], attributes: tuple[Any, ...] = ()
) -> Callable[[np.random.Generator, d.dtype], list[Sample]]:
    """Samples: one per tuple of operand shapes, then the attributes."""

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        return [
            Sample((*[draw(rng, shape, dtype, -2, 2) for shape in each], *attributes))
            for each in shapes
        ]

    return samples
