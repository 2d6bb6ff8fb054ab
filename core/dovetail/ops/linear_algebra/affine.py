"""Products with something added: addmm, baddbmm and linear."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import observe
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import operator
from dovetail.ops.linear_algebra.contract import MATMUL, bmm, bmm_infer, matmul, mm, widened
from dovetail.ops.linear_algebra.operands import (
    C_NAMES,
    CONTRACTION,
    as_rows,
    cannot_multiply,
    conj,
    conj_transpose,
    need_tensors,
    operands,
    same_dtype,
    times,
)
from dovetail.ops.schema import Inferred, OpDef, Sample
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["addmm", "affine", "baddbmm", "expandable", "factors", "linear"]


# ----------------------------------------------------------- addmm, baddbmm


def affine(input: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """``beta * input + alpha * product``; an input that counts for nothing is not looked at."""
    result = times(product, alpha)
    if beta == 0:
        return result
    return result + times(input, beta)


def expandable(input: Spec, shape: tuple[int, ...]) -> None:
    """Raise RuntimeError where an input does not expand to a shape, in PyTorch's words."""
    lead = len(shape) - input.ndim
    for i, n in reversed(list(enumerate(shape))):
        have = input.shape[i - lead] if i >= lead else 1
        if lead < 0 or have not in (1, n):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at "
                f"non-singleton dimension {i}.  Target sizes: {list(shape)}.  Tensor sizes: "
                f"{list(input.shape)}"
            )


def _addmm_infer(input: Spec, mat1: Spec, mat2: Spec, beta: Any, alpha: Any) -> Inferred:
    for label, spec in (("mat1", mat1), ("mat2", mat2)):
        if spec.ndim != 2:
            raise RuntimeError(f"{label} must be a matrix, got {spec.ndim}-D tensor")
    if mat1.shape[1] != mat2.shape[0]:
        raise cannot_multiply(mat1.shape[0], mat1, mat2)
    _same_as_product(input, mat1, mat2)
    shape = (mat1.shape[0], mat2.shape[1])
    expandable(input, shape)
    return Inferred((None,) * 3, ((shape, mat1.dtype),))


def _same_as_product(input: Spec, mat1: Spec, mat2: Spec) -> None:
    if input.dtype is not mat2.dtype:
        raise RuntimeError(
            "self and mat2 must have the same dtype, but got "
            f"{type_name(input.dtype)} and {type_name(mat2.dtype)}"
        )
    same_dtype(mat1, mat2)


_AFFINE_CASES = (
    ((4,), (2, 3), (3, 4)),
    ((2, 1), (2, 3), (3, 4)),
    ((), (0, 3), (3, 4)),
    ((2, 4), (2, 0), (0, 4)),
)


def _affine_samples(
    *cases: tuple[tuple[int, ...], ...],
) -> Callable[[np.random.Generator, d.dtype], list[Sample]]:
    plain, scaled = operands(*cases), operands(*cases)

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        alphas = (3 - 1j if dtype.is_complex else 3, 1, 2, 1)
        return plain(rng, dtype) + [
            Sample(s.args, {"beta": beta, "alpha": alpha})
            for s, beta, alpha in zip(scaled(rng, dtype), (2, 0, 1, 3), alphas, strict=False)
        ]

    return samples


def _affine_reference(x: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    return alpha * np.matmul(a, b) + (beta * x if beta else 0)


ADDMM = OpDef(
    "addmm",
    kind="contract",
    inputs=("input", "mat1", "mat2"),
    attributes=("beta", "alpha"),
    infer=_addmm_infer,
    decompose=lambda input, mat1, mat2, beta, alpha: affine(input, mm(mat1, mat2), beta, alpha),
    gradient={
        "input": lambda g, beta: times(g, _conjugate(beta)),
        "mat1": lambda g, mat2, alpha: times(mm(g, conj_transpose(mat2)), _conjugate(alpha)),
        "mat2": lambda g, mat1, alpha: times(mm(conj_transpose(mat1), g), _conjugate(alpha)),
    },
    accepts=d.NUMBER,
    reference=_affine_reference,
    samples=_affine_samples(*_AFFINE_CASES),
    tolerance=CONTRACTION,
    inplace=True,
)


def _conjugate(factor: Any) -> Any:
    return factor.conjugate() if isinstance(factor, complex) else factor


def factors(input: Tensor, beta: Any, alpha: Any) -> tuple[Any, Any]:
    """beta and alpha as numbers of the result's kind."""
    if isinstance(input, Tensor) and input._spec.dtype.category == 1:
        return int(beta), int(alpha)
    return beta, alpha


@operator(ADDMM, out=True)
def addmm(
    input: Tensor,
    mat1: Tensor,
    mat2: Tensor,
    out_dtype: d.dtype | None = None,
    *,
    beta: Any = 1,
    alpha: Any = 1,
) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``.

    Args:
        input: broadcast to (M, N); not looked at when ``beta`` is 0.
        mat1, mat2: (M, K) and (K, N).
        out_dtype: float32 for half and bfloat16 matrices: the product is not rounded to theirs.

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    if out_dtype is not None:
        mat1, mat2 = widened("addmm", out_dtype, mat1, mat2)
        input = input.to(out_dtype)
    return call(ADDMM, (input, mat1, mat2), factors(input, beta, alpha))


def _baddbmm_infer(input: Spec, batch1: Spec, batch2: Spec, beta: Any, alpha: Any) -> Inferred:
    inferred = bmm_infer(batch1, batch2)
    shape = inferred.outs[0][0]
    expandable(input, shape)
    if input.dtype is not batch1.dtype:
        raise RuntimeError(
            f"Input dtypes must be the same, got: input {C_NAMES[input.dtype.name]}, batch1: "
            f"{C_NAMES[batch1.dtype.name]}, batch2: {C_NAMES[batch2.dtype.name]}"
        )
    return Inferred((None,) * 3, inferred.outs)


BADDBMM = OpDef(
    "baddbmm",
    kind="contract",
    inputs=("input", "batch1", "batch2"),
    attributes=("beta", "alpha"),
    infer=_baddbmm_infer,
    decompose=lambda input, batch1, batch2, beta, alpha: affine(
        input, bmm(batch1, batch2), beta, alpha
    ),
    gradient={
        "input": lambda g, beta: times(g, _conjugate(beta)),
        "batch1": lambda g, batch2, alpha: times(bmm(g, conj_transpose(batch2)), _conjugate(alpha)),
        "batch2": lambda g, batch1, alpha: times(bmm(conj_transpose(batch1), g), _conjugate(alpha)),
    },
    accepts=d.NUMBER,
    reference=_affine_reference,
    samples=_affine_samples(
        ((2, 4), (5, 2, 3), (5, 3, 4)),
        ((5, 1, 4), (5, 2, 3), (5, 3, 4)),
        ((5, 2, 4), (5, 2, 3), (5, 3, 4)),
        ((3, 3), (1, 3, 2), (1, 2, 3)),
        ((0, 2, 4), (0, 2, 3), (0, 3, 4)),
    ),
    tolerance=CONTRACTION,
    inplace=True,
)


@operator(BADDBMM, out=True)
def baddbmm(
    input: Tensor,
    batch1: Tensor,
    batch2: Tensor,
    out_dtype: d.dtype | None = None,
    *,
    beta: Any = 1,
    alpha: Any = 1,
) -> Tensor:
    """``beta * input + alpha * bmm(batch1, batch2)``.

    Args:
        input: broadcast to (B, M, N); not looked at when ``beta`` is 0.
        batch1, batch2: (B, M, K) and (B, K, N).
        out_dtype: float32 for half and bfloat16 batches: the products are not rounded to theirs.

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    if out_dtype is not None:
        batch1, batch2 = widened("baddbmm", out_dtype, batch1, batch2)
        input = input.to(out_dtype)
    return call(BADDBMM, (input, batch1, batch2), factors(input, beta, alpha))


# ------------------------------------------------------------------- linear


def _linear_infer(input: Spec, weight: Spec, bias: Spec | None) -> Inferred:
    if weight.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {weight.ndim}D")
    if weight.ndim != 2:
        raise RuntimeError(f"mat2 must be a matrix, got {weight.ndim}-D tensor")
    if bias is None:
        same_dtype(input, weight)
    else:
        _same_as_product(bias, input, weight)
    rows = math.prod(input.shape[:-1])
    if input.shape[-1] != weight.shape[1]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} and "
            f"{weight.shape[1]}x{weight.shape[0]})"
        )
    shape = (*input.shape[:-1], weight.shape[0])
    if bias is not None:
        expandable(bias, (rows, weight.shape[0]) if bias.ndim < 2 else shape)
    return Inferred((None,) * 3, ((shape, input.dtype),))


def _linear(input: Any, weight: Any, bias: Any) -> Any:
    product = call(MATMUL, (as_rows(input), weight.t()))
    if input._spec.ndim != 2:
        product = product.reshape(*input._spec.shape[:-1], weight._spec.shape[0])
    return product if bias is None else product + bias


def _linear_input_gradient(g: Any, weight: Any, specs: Any) -> Any:
    product = mm(as_rows(g), conj(weight))
    return product if g._spec.ndim == 2 else product.reshape(specs[0].shape)


def _linear_name(input: Spec, weight: Spec, bias: Spec | None) -> str:
    if input.ndim == 2:
        return "mm" if bias is None else "addmm"
    return "unsafe_view" if bias is None else "view"


def _linear_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    shapes = (
        ((5, 3), (4, 3), (4,)),
        ((2, 5, 3), (4, 3), (4,)),
        ((3,), (4, 3), (4,)),
        ((0, 3), (4, 3), (4,)),
        ((5, 3), (4, 3), ()),
        ((2, 5, 3), (4, 3), (5, 4)),
    )
    found = operands(*shapes)(rng, dtype)
    return found + [Sample((*s.args[:2], None)) for s in found[:3]]


LINEAR = OpDef(
    "linear",
    kind="contract",
    inputs=("input", "weight", "bias"),
    infer=_linear_infer,
    decompose=_linear,
    gradient={
        "input": _linear_input_gradient,
        "weight": lambda g, input: mm(as_rows(g).t(), conj(as_rows(input))),
        "bias": lambda g, specs: as_rows(g) if specs[2].ndim < 2 else g,
    },
    accepts=d.NUMBER,
    reference=lambda x, w, b=None: x @ w.T + (0 if b is None else b),
    samples=_linear_samples,
    tolerance=CONTRACTION,
    method=False,
    node_name=_linear_name,
)


_find_linear = LINEAR.plans.get


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.t() + bias``.

    Args:
        input: (*, in_features).
        weight: (out_features, in_features), or (in_features).
        bias: (out_features), or ().

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    if not observe.active:
        try:
            run = _find_linear(
                (input._spec, weight._spec, None if bias is None else bias._spec, ())
            )
        except AttributeError:
            run = None
        if run is not None:
            return run(input, weight, bias)
    need_tensors("linear", input=input, weight=weight)
    one, two = input._spec.ndim, weight._spec.ndim
    if not one or not two:
        raise RuntimeError(
            f"both arguments to linear need to be at least 1D, but they are {one}D and {two}D"
        )
    if two == 1 and bias is None:
        return matmul(input, weight)
    return call(LINEAR, (input, weight, bias))


operator(LINEAR)(linear)
