"""Matrix products: the primitive ``matmul``, and mm, bmm, mv, dot, addmm, baddbmm, linear on it.

The primitive takes batches of matrices with any strides, so a transposed operand costs nothing. The
others are operators of their own because backends have better ways for them, and because each has
its own checks; ``dovetail.matmul`` picks the one that fits the number of dims.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dovetail.dtypes as d
from dovetail import observe
from dovetail.dispatch import call, type_name
from dovetail.ops.expose import finish, operator, publish
from dovetail.ops.families import broadcast_shapes, draw
from dovetail.ops.schema import Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = [
    "addmm", "baddbmm", "bmm", "dot", "linear", "matmul", "mm", "mv",
]  # fmt: skip

_C_NAMES = {
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
    "uint8": "unsigned char", "int8": "signed char", "int16": "short", "int32": "int",
    "int64": "long int", "bool": "bool", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}  # fmt: skip

_CONTRACTION = Tolerance(ulp=4, contraction=True)


# ------------------------------------------------------------------- checks


def _tensors(name: str, **arguments: Any) -> None:
    for position, (label, value) in enumerate(arguments.items(), 1):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name}(): argument '{label}' (position {position}) must be Tensor, not "
                f"{type(value).__name__}"
            )


def _same_dtype(a: Spec, b: Spec) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(
            "expected m1 and m2 to have the same dtype, but got: "
            f"{_C_NAMES[a.dtype.name]} != {_C_NAMES[b.dtype.name]}"
        )


def _same_scalar_type(a: Spec, b: Spec) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"expected scalar type {type_name(a.dtype)} but found {type_name(b.dtype)}"
        )


def _cannot_multiply(rows: int, a: Spec, b: Spec) -> RuntimeError:
    return RuntimeError(
        f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a.shape[-1]} and "
        f"{b.shape[-2]}x{b.shape[-1]})"
    )


def _batch_error(batch: int, a: Spec, b: Spec, have: int) -> RuntimeError:
    return RuntimeError(
        f"Expected size for first two dimensions of batch2 tensor to be: [{batch}, {a.shape[-1]}] "
        f"but got: [{have}, {b.shape[-2]}]."
    )


# ---------------------------------------------------------------- gradients


def _h(x: Tensor) -> Tensor:
    """The conjugate transpose of the last two dims."""
    t = x.transpose(-2, -1)  # type: ignore[attr-defined]
    return t.conj() if t._spec.dtype.is_complex else t  # type: ignore[no-any-return]


def _conj(x: Any) -> Any:
    return x.conj() if x._spec.dtype.is_complex else x


def _rows(x: Any) -> Any:
    """All leading dims folded into one."""
    return x if x._spec.ndim == 2 else x.reshape(-1, x._spec.shape[-1])


def _times(x: Any, factor: Any) -> Any:
    return x if factor == 1 else x * factor


# ------------------------------------------------------------------- matmul


def _matmul_infer(input: Spec, other: Spec) -> Inferred:
    if other.ndim == 2 or input.ndim == 2 == other.ndim:
        _same_dtype(input, other)
        if input.shape[-1] != other.shape[0]:
            raise _cannot_multiply(math.prod(input.shape[:-1]), input, other)
    else:
        _same_scalar_type(input, other)
    batch = broadcast_shapes(tuple(input.shape[:-2]), tuple(other.shape[:-2]))
    if input.shape[-1] != other.shape[-2]:
        count = math.prod(batch)
        raise _batch_error(count, input, other, count)
    shape = (*batch, input.shape[-2], other.shape[-1])
    return Inferred((None, None), ((shape, input.dtype),))


def _matmul_input_gradient(g: Any, other: Any, specs: Any) -> Any:
    if specs[0].ndim == 2 and other._spec.ndim > 2:
        # The batch is part of what is summed over: one product instead of a batch and a sum.
        wide = other.transpose(-2, -1).reshape(-1, other._spec.shape[-2])
        return mm(_rows(g.transpose(-2, -1)).t(), _conj(wide))
    return _matmul(g, _h(other))


def _matmul_other_gradient(g: Any, input: Any, specs: Any) -> Any:
    if specs[1].ndim == 2 and input._spec.ndim > 2:
        return mm(_h(_rows(input)), _rows(g))
    return _matmul(_h(input), g)


def _operands(
    *shapes: tuple[tuple[int, ...], ...], attributes: tuple[Any, ...] = ()
) -> Callable[[np.random.Generator, d.dtype], list[Sample]]:
    """Samples: one per tuple of operand shapes, then the attributes."""

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        return [
            Sample((*[draw(rng, shape, dtype, -2, 2) for shape in each], *attributes))
            for each in shapes
        ]

    return samples


MATMUL = OpDef(
    "matmul",
    kind="contract",
    inputs=("input", "other"),
    infer=_matmul_infer,
    gradient={"input": _matmul_input_gradient, "other": _matmul_other_gradient},
    accepts=d.NUMBER,
    reference=np.matmul,
    samples=_operands(
        ((2, 3), (3, 4)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((3, 2, 4), (4, 5)),
        ((2, 3), (4, 3, 2)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 3)),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (2, 3, 4)),
    ),
    tolerance=_CONTRACTION,
    required=True,
    node_name=lambda input, other: "unsafe_view",
)
"""``matmul(input, other, out)``: (*, M, K) by (*, K, N), leading dims broadcast, any strides."""


def _matmul(input: Tensor, other: Tensor) -> Any:
    return call(MATMUL, (input, other))


_find_route = MATMUL.plans.get


def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Matrix product of two tensors: dot, matrix by vector, matrix by matrix, or batches of them.

    Args:
        input: (*, M, K) or (K).
        other: (*, K, N) or (K); leading dims broadcast.

    Raises:
        RuntimeError: sizes or dtypes that do not fit, or a 0-d operand.
    """
    if out is None and not observe.active:
        try:
            run = _find_route((input._spec, other._spec))
        except AttributeError:
            run = None
        if run is not None:
            return run(input, other)  # type: ignore[no-any-return]
    _tensors("matmul", input=input, other=other)
    a, b = input._spec, other._spec
    one, two = a.ndim, b.ndim
    if not one or not two:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {one}D and {two}D"
        )
    if one == 1 and two > 1:
        _check_vector_first(a, b)
        result = mv_many(other.transpose(-2, -1), input)  # type: ignore[attr-defined]
    else:
        op = DOT if one == two == 1 else MM if one == two == 2 else MV if two == 1 else MATMUL
        result = call(op, (input, other))
        plan = op.plans.get((a, b, ()))
        if plan is not None:
            MATMUL.plans[a, b] = plan
    return finish("matmul", result, out)  # type: ignore[no-any-return]


operator(MATMUL)(matmul)


def _check_vector_first(a: Spec, b: Spec) -> None:
    if b.ndim == 2:
        _same_dtype(a, b)
        if a.shape[0] != b.shape[0]:
            raise _cannot_multiply(1, a, b)
    elif a.shape[0] != b.shape[-2]:
        count = math.prod(b.shape[:-2])
        raise _batch_error(count, a, b, count)


# -------------------------------------------------------------- mm, bmm, mv


def _mm_infer(input: Spec, mat2: Spec) -> Inferred:
    for label, spec in (("self", input), ("mat2", mat2)):
        if spec.ndim != 2:
            raise RuntimeError(f"{label} must be a matrix")
    _same_dtype(input, mat2)
    if input.shape[1] != mat2.shape[0]:
        raise _cannot_multiply(input.shape[0], input, mat2)
    return Inferred((None, None), (((input.shape[0], mat2.shape[1]), input.dtype),))


MM = OpDef(
    "mm",
    kind="contract",
    inputs=("input", "mat2"),
    infer=_mm_infer,
    decompose=_matmul,
    gradient={
        "input": lambda g, mat2: mm(g, _h(mat2)),
        "mat2": lambda g, input: mm(_h(input), g),
    },
    accepts=d.NUMBER,
    reference=np.matmul,
    samples=_operands(((2, 3), (3, 4)), ((7, 1), (1, 5)), ((0, 3), (3, 2)), ((2, 0), (0, 3))),
    tolerance=_CONTRACTION,
)


@operator(MM, out=True)
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Product of two matrices: (M, K) by (K, N).

    Raises:
        RuntimeError: not matrices, or sizes or dtypes that do not fit.
    """
    return call(MM, (input, mat2))  # type: ignore[no-any-return]


def _bmm_infer(input: Spec, mat2: Spec) -> Inferred:
    for label, spec in (("batch1", input), ("batch2", mat2)):
        if spec.ndim != 3:
            raise RuntimeError(f"{label} must be a 3D tensor")
    if input.shape[0] != mat2.shape[0] or input.shape[2] != mat2.shape[1]:
        raise _batch_error(input.shape[0], input, mat2, mat2.shape[0])
    _same_scalar_type(input, mat2)
    return Inferred((None, None), (((*input.shape[:2], mat2.shape[2]), input.dtype),))


BMM = OpDef(
    "bmm",
    kind="contract",
    inputs=("input", "mat2"),
    infer=_bmm_infer,
    decompose=_matmul,
    gradient={
        "input": lambda g, mat2: bmm(g, _h(mat2)),
        "mat2": lambda g, input: bmm(_h(input), g),
    },
    accepts=d.NUMBER,
    reference=np.matmul,
    samples=_operands(((2, 3, 4), (2, 4, 5)), ((0, 2, 3), (0, 3, 2)), ((3, 1, 1), (3, 1, 1))),
    tolerance=_CONTRACTION,
)


@operator(BMM, out=True)
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Products of two batches of matrices: (B, M, K) by (B, K, N).

    Raises:
        RuntimeError: not 3-D, or sizes or dtypes that do not fit.
    """
    return call(BMM, (input, mat2))  # type: ignore[no-any-return]


def _mv_infer(input: Spec, vec: Spec) -> Inferred:
    rows = math.prod(input.shape[:-1])
    if input.shape[-1] != vec.shape[0]:
        raise RuntimeError(
            f"size mismatch, got input ({rows}), mat ({rows}x{input.shape[-1]}), "
            f"vec ({vec.shape[0]})"
        )
    if input.dtype is not vec.dtype:
        vector, matrix = type_name(vec.dtype), type_name(input.dtype)
        raise RuntimeError(
            "addmv input tensors must have the same dtype, but got "
            f"{vector}, {matrix}, and {vector}"
        )
    return Inferred((None, None), ((tuple(input.shape[:-1]), input.dtype),))


MV = OpDef(
    "mv",
    kind="contract",
    inputs=("input", "vec"),
    infer=_mv_infer,
    decompose=lambda input, vec: _matmul(input, vec.unsqueeze(-1)).squeeze(-1),
    gradient={
        "input": lambda g, vec: g.unsqueeze(-1) * _conj(vec),
        "vec": lambda g, input: mv_many(_h(_rows(input)), g.reshape(-1)),
    },
    accepts=d.NUMBER,
    reference=np.matmul,
    samples=_operands(((2, 3), (3,)), ((0, 3), (3,)), ((2, 0), (0,))),
    tolerance=_CONTRACTION,
)
"""Matrices by one vector; the operator takes leading dims, the public ``mv`` only a matrix."""


def mv_many(input: Any, vec: Any) -> Any:
    """(*, M, K) by (K)."""
    return call(MV, (input, vec))


@operator(MV, out=True)
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Matrix by vector: (M, K) by (K).

    Raises:
        RuntimeError: not a matrix and a vector, or sizes or dtypes that do not fit.
    """
    _tensors("mv", input=input, vec=vec)
    if input._spec.ndim != 2 or vec._spec.ndim != 1:
        raise RuntimeError(
            f"vector + matrix @ vector expected, got 1, {input._spec.ndim}, {vec._spec.ndim}"
        )
    return mv_many(input, vec)  # type: ignore[no-any-return]


def _dot_infer(input: Spec, tensor: Spec) -> Inferred:
    if input.ndim != 1 or tensor.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors")
    if input.dtype is not tensor.dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found "
            f"{type_name(input.dtype)} and {type_name(tensor.dtype)}"
        )
    if input.numel != tensor.numel:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{input.numel}] and src [{tensor.numel}] "
            f"to have the same number of elements, but got {input.numel} and {tensor.numel} "
            "elements respectively"
        )
    return Inferred((None, None), (((), input.dtype),))


DOT = OpDef(
    "dot",
    kind="contract",
    inputs=("input", "tensor"),
    infer=_dot_infer,
    decompose=lambda input, tensor: _matmul(input.unsqueeze(0), tensor.unsqueeze(1)).reshape(()),
    gradient={
        "input": lambda g, tensor: g * _conj(tensor),
        "tensor": lambda g, input: g * _conj(input),
    },
    accepts=d.NUMBER,
    reference=np.dot,
    samples=_operands(((7,), (7,)), ((0,), (0,)), ((1,), (1,))),
    tolerance=_CONTRACTION,
)


@operator(DOT, out=True)
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Sum of the products of two vectors, without conjugation: (K) by (K) -> ().

    Raises:
        RuntimeError: not vectors, or sizes or dtypes that do not fit.
    """
    return call(DOT, (input, tensor))  # type: ignore[no-any-return]


@publish(out=True)
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """As ``dot``, with the first vector conjugated."""
    return dot(_conj(input), other)


# ----------------------------------------------------------- addmm, baddbmm


def _affine(input: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """``beta * input + alpha * product``; an input that counts for nothing is not looked at."""
    result = _times(product, alpha)
    if beta == 0:
        return result
    return result + _times(input, beta)


def _expandable(input: Spec, shape: tuple[int, ...]) -> None:
    lead = len(shape) - input.ndim
    for i, n in enumerate(shape):
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
        raise _cannot_multiply(mat1.shape[0], mat1, mat2)
    _same_as_product(input, mat1, mat2)
    shape = (mat1.shape[0], mat2.shape[1])
    _expandable(input, shape)
    return Inferred((None,) * 3, ((shape, mat1.dtype),))


def _same_as_product(input: Spec, mat1: Spec, mat2: Spec) -> None:
    if input.dtype is not mat2.dtype:
        raise RuntimeError(
            "self and mat2 must have the same dtype, but got "
            f"{type_name(input.dtype)} and {type_name(mat2.dtype)}"
        )
    _same_dtype(mat1, mat2)


_AFFINE_CASES = (
    ((4,), (2, 3), (3, 4)),
    ((2, 1), (2, 3), (3, 4)),
    ((), (0, 3), (3, 4)),
    ((2, 4), (2, 0), (0, 4)),
)


def _affine_samples(
    *cases: tuple[tuple[int, ...], ...],
) -> Callable[[np.random.Generator, d.dtype], list[Sample]]:
    plain, scaled = _operands(*cases), _operands(*cases)

    def samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
        return plain(rng, dtype) + [
            Sample(s.args, {"beta": beta, "alpha": alpha})
            for s, beta, alpha in zip(scaled(rng, dtype), (2, 0, 1, 3), (3, 1, 2, 1), strict=False)
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
    decompose=lambda input, mat1, mat2, beta, alpha: _affine(input, mm(mat1, mat2), beta, alpha),
    gradient={
        "input": lambda g, beta: _times(g, beta),
        "mat1": lambda g, mat2, alpha: _times(mm(g, _h(mat2)), _conjugate(alpha)),
        "mat2": lambda g, mat1, alpha: _times(mm(_h(mat1), g), _conjugate(alpha)),
    },
    accepts=d.NUMBER,
    reference=_affine_reference,
    samples=_affine_samples(*_AFFINE_CASES),
    tolerance=_CONTRACTION,
    inplace=True,
)


def _conjugate(factor: Any) -> Any:
    return factor.conjugate() if isinstance(factor, complex) else factor


def _factors(input: Tensor, beta: Any, alpha: Any) -> tuple[Any, Any]:
    """beta and alpha as numbers of the result's kind."""
    if isinstance(input, Tensor) and input._spec.dtype.category == 1:
        return int(beta), int(alpha)
    return beta, alpha


@operator(ADDMM, out=True)
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``.

    Args:
        input: broadcast to (M, N); not looked at when ``beta`` is 0.
        mat1, mat2: (M, K) and (K, N).

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    return call(ADDMM, (input, mat1, mat2), _factors(input, beta, alpha))  # type: ignore[no-any-return]


def _baddbmm_infer(input: Spec, batch1: Spec, batch2: Spec, beta: Any, alpha: Any) -> Inferred:
    inferred = _bmm_infer(batch1, batch2)
    shape = inferred.outs[0][0]
    _expandable(input, shape)
    if input.dtype is not batch1.dtype:
        raise RuntimeError(
            f"Input dtypes must be the same, got: input {_C_NAMES[input.dtype.name]}, batch1: "
            f"{_C_NAMES[batch1.dtype.name]}, batch2: {_C_NAMES[batch2.dtype.name]}"
        )
    return Inferred((None,) * 3, inferred.outs)


BADDBMM = OpDef(
    "baddbmm",
    kind="contract",
    inputs=("input", "batch1", "batch2"),
    attributes=("beta", "alpha"),
    infer=_baddbmm_infer,
    decompose=lambda input, batch1, batch2, beta, alpha: _affine(
        input, bmm(batch1, batch2), beta, alpha
    ),
    gradient={
        "input": lambda g, beta: _times(g, beta),
        "batch1": lambda g, batch2, alpha: _times(bmm(g, _h(batch2)), _conjugate(alpha)),
        "batch2": lambda g, batch1, alpha: _times(bmm(_h(batch1), g), _conjugate(alpha)),
    },
    accepts=d.NUMBER,
    reference=_affine_reference,
    samples=_affine_samples(((2, 4), (5, 2, 3), (5, 3, 4)), ((5, 1, 4), (5, 2, 3), (5, 3, 4))),
    tolerance=_CONTRACTION,
    inplace=True,
)


@operator(BADDBMM, out=True)
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """``beta * input + alpha * bmm(batch1, batch2)``.

    Args:
        input: broadcast to (B, M, N); not looked at when ``beta`` is 0.
        batch1, batch2: (B, M, K) and (B, K, N).

    Raises:
        RuntimeError: sizes or dtypes that do not fit.
    """
    return call(BADDBMM, (input, batch1, batch2), _factors(input, beta, alpha))  # type: ignore[no-any-return]


# ------------------------------------------------------------------- linear


def _linear_infer(input: Spec, weight: Spec, bias: Spec | None) -> Inferred:
    if weight.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {weight.ndim}D")
    if weight.ndim != 2:
        raise RuntimeError(f"mat2 must be a matrix, got {weight.ndim}-D tensor")
    if bias is None:
        _same_dtype(input, weight)
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
        _expandable(bias, (rows, weight.shape[0]) if bias.ndim < 2 else shape)
    return Inferred((None,) * 3, ((shape, input.dtype),))


def _linear(input: Any, weight: Any, bias: Any) -> Any:
    product = _matmul(_rows(input), weight.t())
    if input._spec.ndim != 2:
        product = product.reshape(*input._spec.shape[:-1], weight._spec.shape[0])
    return product if bias is None else product + bias


def _linear_input_gradient(g: Any, weight: Any, specs: Any) -> Any:
    product = mm(_rows(g), _conj(weight))
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
    )
    found = _operands(*shapes)(rng, dtype)
    return found + [Sample((*s.args[:2], None)) for s in found[:3]]


LINEAR = OpDef(
    "linear",
    kind="contract",
    inputs=("input", "weight", "bias"),
    infer=_linear_infer,
    decompose=_linear,
    gradient={
        "input": _linear_input_gradient,
        "weight": lambda g, input: mm(_rows(g).t(), _conj(_rows(input))),
        "bias": lambda g, specs: _rows(g) if specs[2].ndim < 2 else g,
    },
    accepts=d.NUMBER,
    reference=lambda x, w, b=None: x @ w.T + (0 if b is None else b),
    samples=_linear_samples,
    tolerance=_CONTRACTION,
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
            return run(input, weight, bias)  # type: ignore[no-any-return]
    _tensors("linear", input=input, weight=weight)
    one, two = input._spec.ndim, weight._spec.ndim
    if not one or not two:
        raise RuntimeError(
            f"both arguments to linear need to be at least 1D, but they are {one}D and {two}D"
        )
    if two == 1 and bias is None:
        return matmul(input, weight)
    return call(LINEAR, (input, weight, bias))  # type: ignore[no-any-return]


operator(LINEAR)(linear)
