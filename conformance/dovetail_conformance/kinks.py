"""Calls at points without a derivative: ties, edges and zeros, where a convention decides.

The calls are written for any library with PyTorch's names: PyTorch gave the gradients in
``goldens/kinks.json`` (``conformance/make_goldens.py`` wrote them), a device must give the same.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from importlib import resources
from typing import Any

from dovetail_conformance.kink_calls import Call, find, first, plain
from dovetail_conformance.kinks_of_matrices import MATRICES

__all__ = ["ALSO_OF", "KINKS", "golden", "run"]

inf, nan = math.inf, math.nan
TIES = [1.0, 3.0, 3.0, 2.0, 3.0, 1.0]
ROWS = [[2.0, 5.0, 5.0, 1.0], [4.0, 4.0, 4.0, 4.0], [0.0, -0.0, -1.0, -1.0]]
SIGNS = [-2.0, -1.0, -0.0, 0.0, 1.0, 2.0]
WHOLE = [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0]
ZEROS = [0.0, 2.0, -3.0, 4.0]
DATA = [[1.0, 2.0, 6.0], [3.0, 1.0, 2.0]]
POINTS = [[1.0, 2.0], [1.0, 2.0], [-2.0, 5.0], [1.0, 0.0]]
PIXELS = [
    [[[1.0, 3.0, 3.0, 2.0], [3.0, 3.0, 2.0, 2.0], [0.0, 0.0, 5.0, 1.0], [0.0, 0.0, 1.0, 5.0]]]
]


def _activation(name: str, **options: Any) -> Call:
    return plain(f"nn.functional.{name}", **options)


def _embedding(**options: Any) -> Call:
    def call(lib: Any, weight: Any) -> Any:
        index = lib.tensor([0, 2, 2, 1, 2, 0], device=weight.device)
        return lib.nn.functional.embedding(index, weight, **options)

    return call


def _scatter_reduce(how: str) -> Call:
    def call(lib: Any, x: Any, source: Any) -> Any:
        index = lib.tensor([0, 0, 1, 1, 1, 2], device=x.device)
        return x.scatter_reduce(0, index, source, how)

    return call


def _segments(how: str, **options: Any) -> Call:
    def call(lib: Any, x: Any) -> Any:
        lengths = lib.tensor([2, 0, 3, 1], device=x.device)
        return lib.segment_reduce(x, how, lengths=lengths, **options)

    return call


def _embedding_twice(lib: Any, weight: Any, factor: Any) -> Any:
    """The gradient of a loss that weighs what was looked up, as a function of the weights."""
    index = lib.tensor([[0, 2], [1, 0]], device=weight.device)
    made = lib.nn.functional.embedding(index, weight, padding_idx=0)
    return lib.autograd.grad((made * factor).sum(), weight, create_graph=True)[0]


def _complex(call: Call) -> Call:
    """The parts of what is made of ``x + i y``."""
    return lambda lib, x, y: lib.view_as_real(call(lib, lib.complex(x, y)))


def _attention_twice(lib: Any, query: Any, key: Any, value: Any) -> Any:
    """The gradient of the values alone: it depends on the weights, not on the result."""
    made = lib.nn.functional.scaled_dot_product_attention(query, key, value)
    return lib.autograd.grad(made.sum(), value, create_graph=True)[0]


def _cov(correction: int, **weights: list[float]) -> Call:
    """A covariance with weights that nobody differentiates."""

    def call(lib: Any, x: Any) -> Any:
        given = {k: lib.tensor(w, device=x.device) for k, w in weights.items()}
        return x.cov(correction=correction, **given)

    return _quietly(call)


def _has_no_nan(call: Call) -> Call:
    """The first tensor, where no element of the call's result is NaN; else NaN."""

    def checked(lib: Any, *tensors: Any) -> Any:
        bad = call(lib, *tensors).detach().isnan().any()
        return tensors[0] * lib.where(bad, nan, 1.0)

    return checked


def _classes(name: str, *targets: int, **options: Any) -> Call:
    """A loss of classes, for targets of which -100 are ignored."""

    def call(lib: Any, x: Any) -> Any:
        target = lib.tensor(targets, device=x.device)
        return find(lib, f"nn.functional.{name}")(x, target, **options)

    return call


def _strided(start: int, stop: int, *geometry: Any) -> Call:
    """A strided view that sees other elements of the memory than the slice that it is taken of."""
    return lambda lib, x: (x * 1)[start:stop].as_strided(*geometry)


def _strided_twice(lib: Any, x: Any) -> Any:
    """The gradient of a strided view, asked for by a transposed gradient."""
    whole = (x * 1).contiguous()
    part = whole.as_strided((2, 2), (1, 2), 1)
    return lib.autograd.grad((part * part).sum(), whole, create_graph=True)[0].t()


def _gather(lib: Any, x: Any) -> Any:
    return x.gather(0, lib.tensor([1, 1, 1, 0], device=x.device))


def _index_twice(lib: Any, x: Any) -> Any:
    return x[lib.tensor([1, 1, 3], device=x.device)]


def _loss(name: str, **options: Any) -> Call:
    return plain(f"nn.functional.{name}", reduction="sum", **options)


def _quietly(call: Call) -> Call:
    """The call without the warning that there are no degrees of freedom."""

    def quiet(lib: Any, *tensors: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return call(lib, *tensors)

    return quiet


def _fake_quantized(lib: Any, x: Any, scale: Any, zero_point: Any, *rest: Any) -> Any:
    """A staircase with its gradient passed straight through where nothing is cut off."""
    if not isinstance(scale, list):
        return lib.fake_quantize_per_tensor_affine(x, scale, zero_point, *rest)
    return lib.fake_quantize_per_channel_affine(
        x,
        lib.tensor(scale, device=x.device),
        lib.tensor(zero_point, dtype=lib.int32, device=x.device),
        *rest,
    )


def _staircase(scale: Any, zero_point: Any, *rest: int) -> Call:
    return lambda lib, x: _fake_quantized(lib, x, scale, zero_point, *rest)


KINKS: dict[str, tuple[Call, tuple[Any, ...]]] = {
    # ties
    "max of all": (lambda lib, x: x.max(), (TIES,)),
    "min of all": (lambda lib, x: x.min(), (TIES,)),
    "max along rows": (first(0, "max", dim=1), (ROWS,)),
    "min along rows": (first(0, "min", dim=1), (ROWS,)),
    "max of NaN": (lambda lib, x: x.max(), ([1.0, nan, 3.0, nan],)),
    "median of NaN": (lambda lib, x: x.median(), ([1.0, nan, 3.0, nan],)),
    "nanmedian": (lambda lib, x: x.nanmedian(), ([1.0, 2.0, 2.0, 3.0, nan],)),
    "amax along rows": (plain("amax", 1), (ROWS,)),
    "amin along columns": (plain("amin", 0), (ROWS,)),
    "amax of all": (lambda lib, x: x.amax(), (TIES,)),
    "amin of zeros": (lambda lib, x: x.amin(), ([0.0, -0.0, 0.0],)),
    "maximum": (plain("maximum"), ([1.0, 2.0, 2.0, 0.0], [1.0, 1.0, 3.0, -0.0])),
    "minimum": (plain("minimum"), ([1.0, 2.0, 2.0, 0.0], [1.0, 1.0, 3.0, -0.0])),
    "fmax": (plain("fmax"), ([1.0, nan, 2.0, nan, 3.0], [nan, 1.0, 2.0, nan, 1.0])),
    "fmin": (plain("fmin"), ([1.0, nan, 2.0, nan, 3.0], [nan, 1.0, 2.0, nan, 1.0])),
    "nextafter": (plain("nextafter"), ([1.0, 2.0, 3.0], [1.0, 5.0, 3.0])),
    "frexp of large numbers": (
        lambda lib, x: lib.frexp(x.double() * 1e200)[0].to(x.dtype),
        ([1.0, -3.0],),
    ),
    "maximum with itself": (lambda lib, x: lib.maximum(x, x), (SIGNS,)),
    "sort": (first(0, "sort", stable=True), (TIES,)),
    "sort descending": (first(0, "sort", stable=True, descending=True), (TIES,)),
    "cummax": (first(0, "cummax", dim=0), (TIES,)),
    "cummin": (first(0, "cummin", dim=0), (TIES,)),
    "nanquantile": (
        lambda lib, x, q: lib.nanquantile(x, q, 1),
        ([[nan, nan, nan], [1.0, nan, 3.0]], [0.25, 0.75]),
    ),
    "median of different": (lambda lib, x: x.median(), ([3.0, 1.0, 2.0, 4.0],)),
    "max_pool2d": (_activation("max_pool2d", kernel_size=2), (PIXELS,)),
    "max_pool2d overlapping": (
        _activation("max_pool2d", kernel_size=3, stride=1, padding=1),
        (PIXELS,),
    ),
    "adaptive_max_pool2d": (_activation("adaptive_max_pool2d", output_size=2), (PIXELS,)),
    "max_pool1d": (_activation("max_pool1d", kernel_size=3), ([TIES],)),
    "scatter_reduce amax": (_scatter_reduce("amax"), ([3.0, 2.0, 0.0], TIES)),
    "scatter_reduce prod": (_scatter_reduce("prod"), ([3.0, 0.0, 2.0], [0.0, 2, 3, 0, 0, 4])),
    "scatter_reduce prod of zeros": (_scatter_reduce("prod"), ([3.0, 5, 2], [0.0, 2, 3, 0, 0, 0])),
    # edges
    "clamp": (plain("clamp", -1, 1), (SIGNS,)),
    "clamp below": (plain("clamp", min=0), (SIGNS,)),
    "clamp above": (plain("clamp", max=1), (SIGNS,)),
    "clamp between tensors": (
        plain("clamp"),
        (SIGNS, [-2.0, 0.0, 0.0, 0.0, 0.0, 3.0], [-2.0, 0.0, 1.0, 1.0, 1.0, 2.0]),
    ),
    "clamp between equal and crossed bounds": (
        plain("clamp"),
        ([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0, 1.0, 2.0], [0.0, 0, 1, 0, 0, 2]),
    ),
    "hardtanh": (_activation("hardtanh"), (SIGNS,)),
    "relu6": (_activation("relu6"), ([-1.0, -0.0, 0.0, 3.0, 6.0, 7.0],)),
    "relu": (_activation("relu"), (SIGNS,)),
    "leaky_relu": (_activation("leaky_relu", negative_slope=0.1), (SIGNS,)),
    "elu": (_activation("elu", alpha=1.5), (SIGNS,)),
    "celu": (_activation("celu", alpha=1.5), (SIGNS,)),
    "selu": (_activation("selu"), (SIGNS,)),
    "prelu": (_activation("prelu"), (SIGNS, [0.25])),
    "threshold": (_activation("threshold", threshold=1.0, value=5.0), (SIGNS,)),
    "hardshrink": (_activation("hardshrink", lambd=1.0), (SIGNS,)),
    "softshrink": (_activation("softshrink", lambd=1.0), (SIGNS,)),
    "hardsigmoid": (_activation("hardsigmoid"), ([-3.0, -1.0, 0.0, 1.0, 3.0, 4.0],)),
    "hardswish": (_activation("hardswish"), ([-3.0, -1.0, 0.0, 1.0, 3.0, 4.0],)),
    "softsign": (_activation("softsign"), (SIGNS,)),
    "softplus": (_activation("softplus", beta=1.0, threshold=2.0), ([1.0, 2.0, 3.0, -2.0],)),
    "round": (plain("round"), (WHOLE,)),
    "floor": (plain("floor"), (WHOLE,)),
    "ceil": (plain("ceil"), (WHOLE,)),
    "trunc": (plain("trunc"), (WHOLE,)),
    "frac": (plain("frac"), (WHOLE,)),
    "remainder": (plain("remainder"), ([2.0, -2.0, 3.0, -3.5], [2.0, 2.0, -1.5, 0.5])),
    "fmod": (plain("fmod"), ([2.0, -2.0, 3.0, -3.5], [2.0, 2.0, -1.5, 0.5])),
    # zeros
    "abs": (plain("abs"), (SIGNS,)),
    "sign": (plain("sign"), (SIGNS,)),
    "sgn": (plain("sgn"), (SIGNS,)),
    "sgn of complex numbers": (
        _complex(lambda lib, z: z.sgn()),
        ([0.0, 1.0, 3.0], [0.0, 0.0, -4.0]),
    ),
    "times a complex number": (_complex(lambda lib, z: z * (1 + 2j)), ([1.0, 2.0], [3.0, -1.0])),
    "sqrt": (plain("sqrt"), ([0.0, 1.0, 4.0],)),
    "rsqrt": (plain("rsqrt"), ([0.0, 1.0, 4.0],)),
    "log": (plain("log"), ([0.0, 1.0, 4.0],)),
    "reciprocal": (plain("reciprocal"), ([0.0, 1.0, 4.0],)),
    "xlogy": (plain("xlogy"), ([0.0, 0.0, 2.0, 2.0, 0.0, 2.0], [0.0, 2.0, 3.0, 0.0, 0.5, -1.0])),
    "xlogy of a number": (plain("xlogy", 0.0), ([0.0, 2.0],)),
    "xlog1py": (
        lambda lib, x, y: lib.special.xlog1py(x, y),
        ([0.0, 0, 0, 0, 2, 2, 2, 2], [-2.0, -1, -0.5, 2, -2, -1, -0.5, 2]),
    ),
    "logit": (plain("logit"), ([-0.5, 0.0, 0.25, 1.0, 1.5],)),
    "logit of what is bounded": (plain("logit", 0.25), ([0.0, 0.25, 0.5, 0.75, 1.0],)),
    "pow of tensors": (plain("pow"), ([0.0, 0, 0, 2, -2, 0], [0.0, 1, 2, 0, 3, -1])),
    "pow 0": (plain("pow", 0.0), (SIGNS,)),
    "pow 2": (plain("pow", 2.0), (SIGNS,)),
    "0 pow": (lambda lib, x: lib.pow(0.0, x), ([0.0, 1.0, 2.0, -1.0],)),
    "2 pow": (lambda lib, x: lib.pow(2.0, x), ([0.0, 1.0, 2.5, -1.0],)),
    "-2 pow": (lambda lib, x: lib.pow(-2.0, x), ([0.0, 1.0, 2.0, -1.0],)),
    "hypot": (plain("hypot"), ([0.0, 3.0], [0.0, 4.0])),
    "angle of complex numbers": (
        lambda lib, x, y: lib.complex(x, y).angle(),
        ([0.0, 1.0, -2.0, 0.0], [0.0, 0.0, 1.0, -3.0]),
    ),
    "atan2": (plain("atan2"), ([0.0, 0.0, 1.0], [1.0, -1.0, 0.0])),
    "copysign": (plain("copysign"), ([0.0, -0.0, 2.0, -2.0], [1.0, -1.0, -0.0, 0.0])),
    "acos": (plain("acos"), ([0.0, 0.5, -0.5],)),
    "i0e": (plain("special.i0e"), (SIGNS,)),
    "i1": (plain("special.i1"), (SIGNS,)),
    "i1e": (plain("special.i1e"), (SIGNS,)),
    "sinc of a quotient": (lambda lib, x: lib.where(x == 0, 1.0, x.sin() / x), ([1.0, 2.0],)),
    "prod without zeros": (lambda lib, x: x.prod(), ([1.0, 2.0, -3.0],)),
    "prod with a zero": (lambda lib, x: x.prod(), (ZEROS,)),
    "prod with two zeros": (lambda lib, x: x.prod(), ([0.0, 2.0, 0.0, 4.0],)),
    "prod along rows": (plain("prod", 1), ([[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.0]],)),
    "prod of all with a zero": (lambda lib, x: x.prod(), ([[5.0, 2.0, 0.0], [1.0, 2.0, 3.0]],)),
    "prod of half in single precision": (
        lambda lib, x: x.to(lib.float16).prod(dtype=lib.float32) * 2.0**-12,
        ([256.0, 256.0, 256.0],),
    ),
    "cumprod of one zero": (plain("cumprod", 0), (0.0,)),
    "cumprod of zeros": (plain("cumprod", 0), ([0.0, 0.0, 0.0],)),
    "cumprod along the first dim": (
        plain("cumprod", 0),
        ([[[0.0, 2.0], [3.0, 0.0]], [[5.0, 0.0], [2.0, 4.0]], [[3.0, 2.0], [0.0, 7.0]]],),
    ),
    "cumprod of half in single precision": (
        lambda lib, x: x.to(lib.float16).cumprod(0, dtype=lib.float32) * 2.0**-12,
        ([256.0, 256.0, 256.0, 0.0],),
    ),
    "cumprod with a zero": (plain("cumprod", 0), ([2.0, 0.0, 3.0, 4.0],)),
    "cumprod with two zeros": (plain("cumprod", 0), ([2.0, 0.0, 3.0, 0.0, 5.0],)),
    "norm 2 of zero": (lambda lib, x: x.norm(), ([0.0, 0.0],)),
    "norm 1": (lambda lib, x: x.norm(1), (ZEROS,)),
    "norm inf": (lambda lib, x: x.norm(inf), (TIES,)),
    "norm 3": (lambda lib, x: x.norm(3), (ZEROS,)),
    "norm 2 of rows": (lambda lib, x: x.norm(2, 1), ([[0.0, 0.0], [3.0, 4.0]],)),
    **MATRICES,
    "cdist 2 of equal points": (plain("cdist"), (POINTS, POINTS)),
    "cdist 2 by product": (
        lambda lib, x, y: lib.cdist(x, y, compute_mode="use_mm_for_euclid_dist"),
        (POINTS, POINTS),
    ),
    "cdist 2 by product of nearly equal points": (
        _has_no_nan(lambda lib, x: lib.cdist(x, x, compute_mode="use_mm_for_euclid_dist")),
        ([[0.1 * i + 0.07 * j * j for j in range(7)] for i in range(9)],),
    ),
    **{
        f"cdist {p} of equal points": (plain("cdist", p), (POINTS, POINTS))
        for p in (0.0, 0.5, 1.0, 1.5, 3.0, inf)
    },
    **{f"pdist {p} of equal points": (plain("pdist", p), (POINTS,)) for p in (1.5, 2.0, inf)},
    "segment_reduce max": (_segments("max"), (TIES,)),
    "segment_reduce max of NaN": (_segments("max"), ([1.0, nan, 3.0, nan, 2.0, nan],)),
    "segment_reduce max of a start": (_segments("max", initial=2.5), (TIES,)),
    "segment_reduce prod of zeros": (_segments("prod"), ([0.0, 2.0, 0.0, 0.0, 3.0, 4.0],)),
    "renorm at the limit": (plain("renorm", 2, 0, 5.0), ([[3.0, 4.0], [0.0, 0.0], [6.0, 8.0]],)),
    "quantile of NaN": (lambda lib, x: x.quantile(0.5), ([1.0, nan, 3.0, nan],)),
    "nanquantile of NaN": (lambda lib, x: x.nanquantile(0.25), ([1.0, nan, 3.0, nan],)),
    "std of equals": (lambda lib, x: x.std(), ([1.0, 1.0, 1.0, 1.0],)),
    "var of equals": (lambda lib, x: x.var(), ([1.0, 1.0, 1.0, 1.0],)),
    "std of nearly equals": (lambda lib, x: x.std(), ([1e-200, 2e-200, 3e-200],)),
    "var of two": (lambda lib, x: -2 * x.var(), ([1.0, 2.0],)),
    "var without freedom": (
        _quietly(lambda lib, x: -2 * x.var(correction=3)),
        ([1.0, 2.0, 3.0],),
    ),
    "var of rows without freedom": (
        _quietly(lambda lib, x: -x.var(1, correction=3)),
        ([[1.0, 2.0, 3.0], [4.0, 4.0, 5.0]],),
    ),
    "var of rows with less than none": (
        _quietly(lambda lib, x: -x.var(1, correction=4)),
        ([[1.0, 2.0, 3.0], [4.0, 4.0, 5.0]],),
    ),
    "std without freedom": (
        _quietly(lambda lib, x: -2 * x.std(correction=3)),
        ([1.0, 2.0, 3.0],),
    ),
    "cov without freedom": (_cov(3), (DATA,)),
    "cov with less than none": (_cov(4), (DATA,)),
    "cov of counts, with one left": (_cov(2, fweights=[1, 1, 1]), (DATA,)),
    "cov of counts without freedom": (_cov(3, fweights=[1, 1, 1]), (DATA,)),
    "cov of counts with less than none": (_cov(4, fweights=[1, 1, 1]), (DATA,)),
    "cov of weights with less than none": (_cov(4, aweights=[1.0, 1.0, 2.0]), (DATA,)),
    "std of std_mean": (first(0, "std_mean"), ([1.0, 2.0, 4.0],)),
    "mean of std_mean": (first(1, "std_mean"), ([1.0, 2.0, 4.0],)),
    "var of var_mean": (first(0, "var_mean"), ([1.0, 2.0, 4.0],)),
    "mean of var_mean": (first(1, "var_mean"), ([1.0, 2.0, 4.0],)),
    "logcumsumexp": (plain("logcumsumexp", 0), ([-inf, 0.0, 1.0, -inf],)),
    "logcumsumexp of one": (plain("logcumsumexp", 0), (2.0,)),
    "logsumexp": (plain("logsumexp", 0), ([-inf, 0.0, 1.0],)),
    "logaddexp": (plain("logaddexp"), ([0.0, -inf, 2.0], [0.0, 1.0, -inf])),
    "softmax with -inf": (plain("softmax", 0), ([-inf, 0.0, 1.0],)),
    "nan_to_num": (plain("nan_to_num"), ([nan, inf, -inf, 1.0],)),
    "where": (lambda lib, x, y: lib.where(x > y, x, y), (SIGNS, [-2.0, 0.0, 0.0, 0.0, 0.0, 3.0])),
    # losses
    "l1_loss": (_loss("l1_loss"), (SIGNS, [-2.0, 1.0, 0.0, 0.0, 1.0, 0.0])),
    "smooth_l1_loss": (_loss("smooth_l1_loss", beta=1.0), (SIGNS, [-1.0, 1.0, 0.0, 0.0, 1.0, 1])),
    "huber_loss": (_loss("huber_loss", delta=1.0), (SIGNS, [-1.0, 1.0, 0.0, 0.0, 1.0, 1.0])),
    "binary_cross_entropy": (
        lambda lib, x: lib.nn.functional.binary_cross_entropy(x, lib.zeros_like(x).detach()),
        ([0.0, 0.5, 1.0],),
    ),
    "kl_div": (
        lambda lib, x: lib.nn.functional.kl_div(x, lib.zeros_like(x).detach(), reduction="sum"),
        ([-1.0, -2.0],),
    ),
    "nll_loss of ignored": (_classes("nll_loss", -100, -100, -100), (ROWS,)),
    "nll_loss of some ignored": (_classes("nll_loss", 1, -100, 3), (ROWS,)),
    "cross_entropy of ignored": (_classes("cross_entropy", -100, -100, -100), (ROWS,)),
    "cross_entropy of ignored, smoothed": (
        _classes("cross_entropy", -100, -100, -100, label_smoothing=0.1),
        (ROWS,),
    ),
    "attention's gradient of the values": (
        _attention_twice,
        ([[1.0, 2.0], [0.25, -0.5]], [[0.5, 1.0], [2.0, -1.0]], [[1.0, 3.0], [2.0, -2.0]]),
    ),
    # views of memory that their base does not show, or shows again
    "as_strided before and behind its base": (_strided(2, 5, (5,), (1,), 1), (TIES,)),
    "as_strided behind its base": (_strided(0, 3, (3,), (1,), 2), (TIES,)),
    "view_as_complex behind the start": (
        lambda lib, x: lib.view_as_complex((x * 1).contiguous()[1:]).abs(),
        ([[1.0, 2.0], [3.0, -4.0], [-8.0, 6.0]],),
    ),
    "as_strided twice": (_strided_twice, ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],)),
    "kl_div for the target": (_loss("kl_div"), ([-1.0, -2.0, -3.0], [0.0, 0.5, 1.0])),
    # rows read more than once, and those that count as padding
    "gather of one twice": (_gather, ([1.0, 2.0, 3.0],)),
    "index of one twice": (_index_twice, (ZEROS,)),
    "embedding": (_embedding(), ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],)),
    "embedding with padding": (_embedding(padding_idx=2), ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],)),
    "embedding with the first as padding": (
        _embedding(padding_idx=0),
        ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],),
    ),
    "embedding by frequency with padding": (
        _embedding(padding_idx=2, scale_grad_by_freq=True),
        ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],),
    ),
    "embedding with padding twice": (
        _embedding_twice,
        (
            [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
            [[[1.0, 2.0], [3.0, 5.0]], [[2.0, 4.0], [6.0, 1.0]]],
        ),
    ),
    "fake_quantize_per_tensor_affine": (
        _staircase(0.5, 2, 0, 7),
        ([*WHOLE, -1.25, -1.24, 2.75, 2.76, 0.3, 1e3],),
    ),
    "fake_quantize_per_channel_affine": (
        _staircase([0.5, 0.25, 2.0], [0, 1, 2], 1, -2, 3),
        ([[-1.5, 0.125, 3.0], [-1.24, 0.375, 9.0], [2.0, 0.6, -9.0]],),
    ),
    "embedding by frequency": (
        _embedding(scale_grad_by_freq=True),
        ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],),
    ),
}
"""name -> (call, what its tensors hold)."""

LIMITS: dict[str, list[Any]] = {
    "frexp of large numbers": [[math.ldexp(1e200, -665), 2 * math.ldexp(1e200, -666)]],
    "logcumsumexp": [[0.0, 2 + 7 / (1 + math.e), 7 * math.e / (1 + math.e), 0.0]],
}
"""Gradients where PyTorch gives NaN, or 0 by overflow, and a limit is there: that must be given."""

ALSO_OF: dict[str, tuple[str, ...]] = {
    "prod of half in single precision": ("float16", "float32"),
    "cumprod of half in single precision": ("float16", "float32"),
    "angle of complex numbers": ("complex64",),
    "logarithm of slogdet": ("complex64",),
    "sgn of complex numbers": ("complex64",),
    "sign of slogdet": ("complex64",),
    "gradient of the determinant of a complex singular matrix": ("complex64",),
    "right singular vectors of complex numbers": ("float64", "complex128"),
    "times a complex number": ("complex64",),
    "frexp of large numbers": ("float64",),
    **{name: ("complex64",) for name in KINKS if name.startswith("phase of")},
    "view_as_complex behind the start": ("complex64",),
}
"""Dtypes that a call needs besides that of its tensors."""


def run(lib: Any, name: str, make: Callable[[Any], Any]) -> list[Any]:
    """The gradients of one of :data:`KINKS`, of the elements weighted 1, 2, 3, …

    Args:
        lib: PyTorch, or a library with its names.
        make: a tensor that requires a gradient, from numbers.
    """
    call, numbers = KINKS[name]
    tensors = [make(n) for n in numbers]
    made = call(lib, *tensors)
    weights = lib.arange(1, made.numel() + 1, dtype=made.dtype, device=made.device)
    made.backward(weights.reshape(made.shape))
    return [x.grad for x in tensors]


def golden(name: str) -> list[Any]:
    """The gradients that PyTorch gave, as nested lists with the strings ``nan`` and ``inf``.

    Where it gave NaN for a limit, those of :data:`LIMITS`.
    """
    if name in LIMITS:
        return LIMITS[name]
    text = resources.files("dovetail_conformance").joinpath("goldens/kinks.json").read_text()
    found: list[Any] = json.loads(text)["gradients"][name]
    return found
