"""Statistics: mean nanmean nansum var std var_mean std_mean norm logsumexp.

All are composites; half and bfloat16 are computed in float32.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.dispatch import call, type_name
from dovetail.ops.expose import FUNCTIONS, attach, finish
from dovetail.ops.families import composite
from dovetail.ops.reduce import (
    accept_numpy_names,
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
from dovetail.ops.schema import Inferred, OpDef
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__: list[str] = []

WIDE = (*d.FLOATING, *d.COMPLEX)


def _count(spec: Spec, dim: tuple[int, ...]) -> int:
    """How many elements go into one result."""
    return math.prod(spec.shape[n] for n in dim)


def _same_dtype(spec: Spec, dim: tuple[int, ...], keepdim: bool) -> Inferred:
    return Inferred((None,), ((reduced_shape(spec, dim, keepdim), spec.dtype),))


# mean

MEAN = OpDef(
    "mean",
    attributes=("dim", "keepdim"),
    infer=_same_dtype,
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
        filled = input.masked_fill(input.isnan(), 0)  # type: ignore[attr-defined]
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
    count = x.isnan().logical_not().sum(dim, keepdim)
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
    if freedom <= 0:
        # As PyTorch: the mean itself is 0 * inf, everything else infinitely steep.
        return g * input.new_full((), math.inf).masked_fill(input.eq(mean), math.nan)
    return g * (2.0 / freedom) * (input - mean)


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
    options = {"axis": axis, "keepdims": keepdim and x.ndim > 0}
    return np.var(x, ddof=ddof, **options), np.mean(x, **options)


def _moment_samples(rng: np.random.Generator, dtype: d.dtype) -> Any:
    from dovetail.ops.families import draw
    from dovetail.ops.schema import Sample

    return [
        Sample((draw(rng, (7,), dtype, -5, 5),)),
        Sample((draw(rng, (3, 4), dtype, -5, 5), 0)),
        Sample((draw(rng, (3, 4), dtype, -5, 5), (0, 1), False)),
        Sample((draw(rng, (2, 3, 4), dtype, -5, 5), (0, 2)), {"correction": 2, "keepdim": True}),
        Sample((draw(rng, (1, 4), dtype, -5, 5), 0), {"correction": 0}),
    ]


def _moment(name: str, outputs: int, decompose: Any, gradient: Any, reference: Any) -> None:
    op = OpDef(
        name,
        attributes=("dim", "correction", "keepdim"),
        outputs=outputs,
        infer=_moment_infer(outputs),
        gradient={"input": gradient},
        differentiable=tuple(range(outputs)),
        decompose=decompose,
        compute=d.float32,
        accepts=WIDE,
        reference=lambda *args, **kwargs: reference(*_moment_reference(*args, **kwargs)),
        samples=_moment_samples,
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
            warnings.warn(
                f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the "
                "reduction factor (input numel divided by output numel).",
                UserWarning,
                stacklevel=3,
            )
        return finish(name, call(op, (input,), (dims, correction, keepdim)), out)

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


# norms


def _powers(x: Any, ord: float, dim: tuple[int, ...], keepdim: bool) -> Any:
    """The norm of order ``ord`` (not infinite) of real ``x``, by its definition."""
    if ord == 2:
        return (x * x).sum(dim, keepdim).sqrt()
    if ord == 0:
        return x.ne(0).sum(dim, keepdim).to(x.dtype)
    if ord == 1:
        return x.abs().sum(dim, keepdim)
    return x.abs().pow(ord).sum(dim, keepdim).pow(1.0 / ord)


def _norm_gradient(
    g: Any, input: Any, out: Any, specs: Any, ord: float, dim: tuple[int, ...], keepdim: bool
) -> Any:
    g, norm = restored(g, specs, dim, keepdim), restored(out, specs, dim, keepdim)
    if ord == 0:
        return None
    if ord == 1:
        return g * input.sgn()
    if ord == 2:
        return g * (input / norm).masked_fill(norm.eq(0), 0)
    size = input.abs()
    if math.isinf(ord):
        ties = (size.eq(norm) | size.ne(size)).to(g.dtype)
        return input.sgn() * (g * ties / ties.sum(dim, True))
    slope = size.pow(ord - 1)
    if ord < 1:
        return input.sgn() * slope.masked_fill(input.eq(0), 0) * g * norm.pow(1 - ord)
    return input.sgn() * slope * (g / norm.pow(ord - 1)).masked_fill(norm.eq(0), 0)


def _norm_dims(
    input: Any, ord: Any, dim: Any, keepdim: bool
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    spec = spec_of_input("linalg.vector_norm", input)
    if spec.dtype.category < 2:
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{type_name(spec.dtype)}"
        )
    ord = float(ord)
    dims = dims_of("linalg.vector_norm", dim, spec.ndim)
    if (ord < 0 or math.isinf(ord)) and not spec.numel:
        if dim is None:
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {ord:g} norm on an empty tensor because the "
                "operation does not have an identity"
            )
        for n in dims:
            if not spec.shape[n]:
                raise RuntimeError(
                    f"linalg.vector_norm cannot compute the {ord:g} norm on the dimension {n} "
                    "because this dimension is empty and the operation does not have an identity"
                )
    return (input,), (ord, dims, keepdim)


def _norm_reference(x: np.ndarray, ord: float = 2, dim: Any = None, keepdim: bool = False) -> Any:
    size = np.abs(x)
    options: dict[str, Any] = {
        "axis": None if not x.ndim else dim,
        "keepdims": keepdim and x.ndim > 0,
    }
    if math.isinf(ord):
        return (np.max if ord > 0 else np.min)(size, **options)
    if ord == 0:
        return np.sum(size != 0, **options).astype(size.dtype)
    return np.sum(size**ord, **options) ** (1 / ord)


def _norm_samples(rng: np.random.Generator, dtype: d.dtype) -> Any:
    from dovetail.ops.families import draw
    from dovetail.ops.schema import Sample

    orders = (2, 1, 0, 3, 0.5, 1.5, -1, math.inf, -math.inf)
    found = [Sample((draw(rng, (3, 4), dtype, 0.5, 5), ord, 1)) for ord in orders]
    found += [Sample((draw(rng, (2, 3, 4), dtype, -5, 5), ord, (0, 2), True)) for ord in (2, 1, 3)]
    zeros = Sample((np.zeros((2, 3), dtype.numpy), 2, 1), {}, "at 0")
    return [*found, Sample((draw(rng, (7,), dtype, -5, 5),)), zeros]


@composite(
    "vector_norm",
    infer=lambda spec, ord, dim, keepdim: Inferred(
        (None,), ((reduced_shape(spec, dim, keepdim), spec.dtype.to_real()),)
    ),
    prepare=_norm_dims,
    gradient={"input": _norm_gradient},
    compute=d.float32,
    accepts=WIDE,
    reference=_norm_reference,
    samples=_norm_samples,
    method=False,
    public=False,
)
def vector_norm(input: Any, ord: float = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """``(sum |x| ** ord) ** (1 / ord)`` of all elements, or over some dims (any ``ord``).

    ``inf`` is the largest |x|, ``-inf`` the smallest, 0 the number of elements that are not zero.
    The gradient at 0 is 0.

    Raises:
        RuntimeError: the input is of integers or bool, or empty where there is no such norm.
    """
    x = input.abs() if input.dtype.is_complex else input
    if math.isinf(ord):
        return x.abs().amax(dim, keepdim) if ord > 0 else x.abs().amin(dim, keepdim)
    return _powers(x, ord, dim, keepdim)


@numpy_names
def _norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    out: Tensor | None = None,
    dtype: d.dtype | None = None,
) -> Any:
    """The norm of order ``p`` of all elements, or over some dims, as vectors.

    Args:
        input: any shape, floating-point or complex.
        p: a number; ``"fro"`` (also None) is 2.
        dim: an int or a tuple of them.
        keepdim: reduced dims stay, with size 1.
        dtype: the dtype to cast to first.

    Raises:
        RuntimeError: an unknown ``p``, or the input is of integers or bool.
        NotImplementedError: ``p`` is ``"nuc"``.
    """
    if p is None or p == "fro":
        p = 2
    elif p == "nuc":
        raise NotImplementedError("norm: p must be a number or 'fro', got 'nuc', a matrix norm")
    elif isinstance(p, str):
        raise RuntimeError(f"linalg.matrix_norm: Order {p} not supported.")
    x: Any = input
    if dtype is not None:
        x = x.to(dtype)
    return finish("norm", vector_norm(x, p, dim, keepdim), out)


_norm.__name__ = _norm.__qualname__ = "norm"
FUNCTIONS["norm"] = Tensor.norm = _norm  # type: ignore[attr-defined]


# logsumexp


def _logsumexp_dims(input: Any, dim: Any, keepdim: bool) -> Any:
    spec = spec_of_input("logsumexp", input)
    if spec.dtype.category < 2:
        input = input.to(d.get_default_dtype())
    return (input,), (dims_of("logsumexp", dim, spec.ndim), keepdim)


def _logsumexp_reference(x: np.ndarray, dim: Any, keepdim: bool = False) -> Any:
    axis = None if not x.ndim else dim
    keep = {"axis": axis, "keepdims": keepdim and x.ndim > 0}
    if not x.size:
        return np.log(np.sum(np.exp(x), **keep))
    top = np.max(x, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(x - top), **keep))
    return total + top.reshape(np.shape(total))


@composite(
    "logsumexp",
    infer=_same_dtype,
    prepare=_logsumexp_dims,
    gradient={
        "input": lambda g, input, out, specs, dim, keepdim: (
            restored(g, specs, dim, keepdim) * (input - restored(out, specs, dim, keepdim)).exp()
        )
    },
    compute=d.float32,
    accepts=d.FLOATING,
    reference=_logsumexp_reference,
    samples=lambda rng, dtype: [
        s._replace(args=(s.args[0], 0 if len(s.args) == 1 else s.args[1], *s.args[2:]))
        for s in samples(-5, 5)(rng, dtype)
    ],
)
def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """``log(sum(exp(x)))`` over some dims, without overflow.

    Raises:
        IndexError: a dim is out of range.
    """
    if not input.numel():
        return input.exp().sum(dim, keepdim).log()
    top = input.amax(dim, True)
    # Infinity minus itself would be NaN; such a row is exp'd as it is.
    top = top.masked_fill(top.abs().eq(math.inf), 0)
    total = (input - top).exp().sum(dim, True).log() + top
    return total if keepdim or not dim else total.reshape(reduced_shape(input._spec, dim, False))


accept_numpy_names("logsumexp")
