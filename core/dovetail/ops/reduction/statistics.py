"""Statistics: mean nanmean nansum var std var_mean std_mean.

All are composites; half and bfloat16 are computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail import ops
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import FUNCTIONS, attach
from dovetail.ops.families import draw, elementwise, uniform
from dovetail.ops.out import finish
from dovetail.ops.reduction.reducing import (
    by_numpy,
    dims_of,
    numpy_names,
    reduced_shape,
    restored,
    samples,
    spec_of_input,
    spread,
    summing_function,
)
from dovetail.ops.schema import Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = ["WIDE", "same_dtype"]

WIDE = (*d.FLOATING, *d.COMPLEX)


def _count(spec: Spec, dim: tuple[int, ...]) -> int:
    """How many elements go into one result."""
    return math.prod(spec.shape[n] for n in dim)


def same_dtype(spec: Spec, dim: tuple[int, ...], keepdim: bool) -> Inferred:
    """The shape rule of a reduction that keeps the dtype."""
    return Inferred((None,), ((reduced_shape(spec, dim, keepdim), spec.dtype),))


# mean

MEAN = OpDef(
    "mean",
    attributes=("dim", "keepdim"),
    infer=same_dtype,
    accepts=WIDE,
    compute=d.float32,
    gradient={
        "input": lambda g, specs, dim, keepdim: spread(
            g / _count(specs[0], dim) if specs[0].numel else g, specs, dim, keepdim
        )
    },
    decompose=lambda input, dim, keepdim: input.sum(dim, keepdim) / _count(input._spec, dim),
    reference=by_numpy(np.mean),
    samples=samples(-5, 5),
    tolerance=Tolerance(against="inputs"),
)


def _as_float(input: Any, dtype: d.dtype | None) -> tuple[Any, tuple[Any, ...]]:
    if dtype is not None and dtype is not input._spec.dtype:
        input = input.to(dtype)
    if input._spec.dtype.category < 2:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point "
            f"or complex dtype. Got: {type_name(input._spec.dtype)}"
        )
    return input, ()


attach(
    MEAN,
    summing_function(
        MEAN,
        _as_float,
        """The mean of all elements, or over one or more dims; NaN of none.

    Args:
        input: any shape, floating-point or complex.
        dim: an int or a tuple of them (``axis`` in NumPy's words).
        keepdim: reduced dims stay, with size 1 (``keepdims``).
        dtype: the dtype to cast to first.

    Raises:
        RuntimeError: the input is of integers or bool, and ``dtype`` is not given.
        IndexError: a dim is out of range.
    """,
    ),
)


# nansum, nanmean

elementwise(
    "nan_to_zero",
    accepts=d.FLOATING,
    decompose=lambda input: input.masked_fill(input.isnan(), 0),
    gradient=lambda g, input: g * input.eq(input),  # infinite slopes of NaN are NaN, as PyTorch's
    reference=lambda x: np.where(np.isnan(x), 0, x),
    samples=uniform(-5, 5),
    special=(0.0, -0.0, 1.0, math.inf, -math.inf, math.nan),
    ulp=0,
    inplace=False,
    method=False,
    public=False,
    doc="``input`` with 0 for NaN: what a sum of all but NaN adds up.",
)


@numpy_names
def _nansum(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: d.dtype | None = None,
    out: Tensor | None = None,
) -> Any:
    """The sum over some dims, with NaN counted as 0.

    Raises:
        RuntimeError: the input is complex.
        IndexError: a dim is out of range.
    """
    spec = spec_of_input("nansum", input)
    if spec.dtype.is_complex:
        raise RuntimeError("nansum does not support complex inputs")
    filled: Any = input
    if spec.dtype.is_floating_point:
        filled = ops.nan_to_zero(input)
    return finish("nansum", filled.sum(dim, keepdim, dtype=dtype), out)


@numpy_names
def _nanmean(
    input: Tensor,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: d.dtype | None = None,
    out: Tensor | None = None,
) -> Any:
    """The mean over some dims of what is not NaN; NaN of none.

    Raises:
        RuntimeError: the input is not of a real floating-point dtype.
        IndexError: a dim is out of range.
    """
    spec = spec_of_input("nanmean", input)
    if spec.dtype.category < 2:
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{type_name(spec.dtype)}"
        )
    kind = dtype or spec.dtype
    x: Any = input
    wide = x.to(d.float32) if kind in (d.float16, d.bfloat16) else x.to(kind)
    count = x.eq(x).sum(dim, keepdim)
    result = _nansum(wide, dim, keepdim) / count
    return finish("nanmean", result.to(kind), out)


for _name, _function in (("nansum", _nansum), ("nanmean", _nanmean)):
    _function.__name__ = _function.__qualname__ = _name
    FUNCTIONS[_name] = _function
    setattr(Tensor, _name, _function)


# var, std, and both with the mean


def _moment_infer(outputs: int) -> Callable[..., Inferred]:
    def infer(spec: Spec, dim: tuple[int, ...], correction: float, keepdim: bool) -> Inferred:
        shape = reduced_shape(spec, dim, keepdim)
        outs = ((shape, spec.dtype.to_real()), (shape, spec.dtype))
        return Inferred((None,), outs[:outputs])

    return infer


def _square(x: Any) -> Any:
    x = x.abs() if x.dtype.is_complex else x
    return x * x


def _two_pass(input: Any, dim: tuple[int, ...], correction: float, keepdim: bool) -> Any:
    mean = input.mean(dim, True)
    freedom = max(_count(input._spec, dim) - correction, 0)
    variance = _square(input - mean).sum(dim, keepdim) / freedom
    return variance, mean if keepdim else mean.reshape(variance.shape)


def _var_slope(
    g: Any, input: Any, mean: Any, specs: Any, dim: tuple[int, ...], correction: float
) -> Any:
    """The gradient of a variance; ``g`` and ``mean`` have their reduced dims."""
    freedom = _count(specs[0], dim) - correction
    if freedom <= 0 and len(dim) == len(specs[0].shape):
        # As PyTorch: the mean itself is 0 * inf, everything else infinitely steep.
        return g * input.new_full((), math.inf).masked_fill(input.eq(mean), math.nan)
    # Along some of the dims PyTorch keeps the sign, and divides by less than 0 too.
    return g * (2.0 / freedom if freedom else math.inf) * (input - mean)


def _std_slope(g: Any, std: Any) -> Any:
    """From the gradient of a standard deviation to that of its variance; 0 where it is 0."""
    return (g / (std * 2)).masked_fill(std.eq(0), 0)


def _var_gradient(
    g: Any, input: Any, specs: Any, dim: Any, correction: float, keepdim: bool
) -> Any:
    g = restored(g, specs, dim, keepdim)
    return _var_slope(g, input, input.mean(dim, True), specs, dim, correction)


def _std_gradient(
    g: Any, input: Any, out: Any, specs: Any, dim: Any, correction: float, keepdim: bool
) -> Any:
    return _var_gradient(_std_slope(g, out), input, specs, dim, correction, keepdim)


def _with_mean(
    g: Any,
    first: Any,
    input: Any,
    mean: Any,
    specs: Any,
    dim: Any,
    correction: float,
    keepdim: bool,
) -> Any:
    mean = restored(mean, specs, dim, keepdim)
    total: Any = None
    if first is not None:
        first = restored(first, specs, dim, keepdim)
        total = _var_slope(first, input, mean, specs, dim, correction)
    if g[1] is not None:
        part = spread(g[1] / max(_count(specs[0], dim), 1), specs, dim, keepdim)
        total = part if total is None else total + part
    return total


def _var_mean_gradient(
    g: Any, input: Any, out1: Any, specs: Any, dim: Any, correction: float, keepdim: bool
) -> Any:
    return _with_mean(g, g[0], input, out1, specs, dim, correction, keepdim)


def _std_mean_gradient(
    g: Any, input: Any, out0: Any, out1: Any, specs: Any, dim: Any, correction: float, keepdim: bool
) -> Any:
    first = None if g[0] is None else _std_slope(g[0], out0)
    return _with_mean(g, first, input, out1, specs, dim, correction, keepdim)


def _moment_reference(
    x: np.ndarray,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Any, Any]:
    axis = None if not x.ndim else dim
    ddof = int(unbiased) if correction is None else correction
    options: Any = {"axis": axis, "keepdims": keepdim and x.ndim > 0}
    return np.var(x, ddof=ddof, **options), np.mean(x, **options)


def _moment_samples(rng: np.random.Generator, dtype: d.dtype) -> Any:
    return [
        Sample((draw(rng, (7,), dtype, -5, 5),)),
        Sample((draw(rng, (3, 4), dtype, -5, 5), 0)),
        Sample((draw(rng, (5, 3), dtype, -5, 5), 1)),
        Sample((draw(rng, (3, 4), dtype, -5, 5), (0, 1), False)),
        Sample((draw(rng, (2, 3, 4), dtype, -5, 5), (0, 2)), {"correction": 2, "keepdim": True}),
        Sample((draw(rng, (1, 4), dtype, -5, 5), 0), {"correction": 0}),
    ]


def _moment(name: str, outputs: int, decompose: Any, gradient: Any, reference: Any) -> None:
    op = OpDef(
        name,
        attributes=("dim", "correction", "keepdim"),
        outputs=outputs,
        method=outputs == 1,
        infer=_moment_infer(outputs),
        gradient={"input": gradient},
        differentiable=tuple(range(outputs)),
        decompose=decompose,
        compute=d.float32,
        accepts=WIDE,
        reference=lambda *args, **kwargs: reference(*_moment_reference(*args, **kwargs)),
        samples=_moment_samples,
        tolerance=Tolerance(against="inputs"),
    )

    @numpy_names
    def function(
        input: Tensor,
        dim: Any = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: float | None = None,
        out: Any = None,
    ) -> Any:
        spec = spec_of_input(name, input)
        if isinstance(dim, bool):  # var(input, unbiased)
            dim, unbiased = None, dim
        if correction is None:
            correction = 1 if unbiased is None else int(unbiased)
        elif unbiased is not None:
            raise TypeError(f"{name}(): expected unbiased or correction, got both")
        if spec.dtype.category < 2:
            raise RuntimeError("std and var only support floating point and complex dtypes")
        dims = dims_of(name, dim, spec.ndim)
        if _count(spec, dims) <= correction:
            warn(
                f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than "
                "the reduction factor (input numel divided by output numel).",
                UserWarning,
            )
        # Of all dims together, and of all dims by their names, PyTorch has two gradients.
        is_named = dim is not None and 0 < spec.ndim == len(dims)
        if is_named and _count(spec, dims) <= correction:
            rows = tuple(n + 1 for n in dims)
            made = call(op, (input.unsqueeze(0),), (rows, correction, keepdim))
            made = made.squeeze(0) if outputs == 1 else tuple(x.squeeze(0) for x in made)
        else:
            made = call(op, (input,), (dims, correction, keepdim))
        return finish(name, made, out)

    attach(op, function, doc=_MOMENT_DOCS[name])


_MORE = """, of all elements or over some dims.

    Args:
        input: any shape, floating-point or complex.
        dim: an int or a tuple of them.
        unbiased: the same as ``correction`` 1 (True) or 0.
        keepdim: reduced dims stay, with size 1.
        correction: taken off the number of elements before dividing by it.

    Raises:
        RuntimeError: the input is of integers or bool.
        IndexError: a dim is out of range.
    """
_MOMENT_DOCS = {
    "var": "The variance" + _MORE,
    "std": "The standard deviation" + _MORE,
    "var_mean": "The variance and the mean" + _MORE,
    "std_mean": "The standard deviation and the mean" + _MORE,
}
_moment(
    "var", 1, lambda *x, **named: _two_pass(*x, **named)[0], _var_gradient, lambda v, m: v
)  # fmt: skip
_moment(
    "std", 1, lambda *x, **named: _two_pass(*x, **named)[0].sqrt(), _std_gradient,
    lambda v, m: np.sqrt(v),
)  # fmt: skip
_moment("var_mean", 2, _two_pass, _var_mean_gradient, lambda v, m: (v, m))


def _std_mean(input: Any, dim: Any, correction: float, keepdim: bool) -> Any:
    variance, mean = _two_pass(input, dim, correction, keepdim)
    return variance.sqrt(), mean


_moment("std_mean", 2, _std_mean, _std_mean_gradient, lambda v, m: (np.sqrt(v), m))
