"""How variables vary together: cov and corrcoef."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.backend.sentences import NEGATIVE
from dovetail.backend.state import state_of
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import operator
from dovetail.ops.families import composite, draw
from dovetail.ops.indexed.index_checks import host_values, true_anywhere, values_of
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.ops.reduction.reducing import spec_of_input
from dovetail.ops.schema import ErrorInput, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__: list[str] = []

_WEIGHTS = ("fweights", "aweights")
_ACCEPTS = (*d.INTEGRAL, *d.FLOATING, *d.COMPLEX)


def _matrix_only(name: str, input: Any) -> Spec:
    spec = spec_of_input(name, input)
    if spec.ndim > 2:
        raise RuntimeError(
            f"{name}(): expected input to have two or fewer dimensions but got an input with "
            f"{spec.ndim} dimensions"
        )
    if spec.dtype is d.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    return spec


def _check_weights(label: str, weights: Any, count: int) -> None:
    spec = weights._spec
    if spec.ndim > 1:
        raise RuntimeError(
            f"cov(): expected {label} to have one or fewer dimensions but got {label} with "
            f"{spec.ndim} dimensions"
        )
    kinds, word = (
        (d.INTEGRAL, "integral") if label == "fweights" else (d.FLOATING, "floating point")
    )
    if spec.dtype not in kinds:
        raise RuntimeError(
            f"cov(): expected {label} to have {word} dtype but got {label} with "
            f"{type_name(spec.dtype)} dtype"
        )
    if spec.numel != count:
        raise RuntimeError(
            f"cov(): expected {label} to have the same numel as there are observations in the "
            f"input but got {spec.numel} != {count}"
        )


def _check_signs(fweights: Any, aweights: Any) -> None:
    """Refuse negative weights; waits for the device that they are on."""
    for label, weights in zip(_WEIGHTS, (fweights, aweights), strict=True):
        values = None if weights is None or not weights._spec.numel else values_of(weights)
        if values is not None and (values < 0).any():
            raise RuntimeError(NEGATIVE.format(label=label))


def _observed(
    input: Any, fweights: Any, aweights: Any, correction: int
) -> tuple[Any, Any, Any, Any, Any]:
    """(rows of variables, weight per column or None, weights' sum, mean, what to divide by)."""
    x = input.reshape(1, -1) if input.ndim < 2 else input
    count = x.shape[1]
    f, a = fweights, aweights
    if f is None and a is None:
        freedom: Any = count - correction
        return x, None, count, x.sum(1, keepdim=True) / count, max(freedom, 0)
    weight = f if a is None else a if f is None else f * a
    total = weight.sum()
    freedom = total - correction
    if a is not None and correction:
        freedom = total - correction * (weight * a).sum() / total
    freedom = freedom.masked_fill(freedom.le(0), 0)
    return x, weight, total, (x * weight).sum(1, keepdim=True) / total, freedom


def _decompose(input: Any, fweights: Any, aweights: Any, correction: int) -> Any:
    if not state_of(input.device).host_arrays:  # there they were looked at
        _check_signs(fweights, aweights)
    return _products(input, fweights, aweights, correction).squeeze()


def _products(input: Any, fweights: Any, aweights: Any, correction: int) -> Any:
    """The covariances as a matrix, of one variable too."""
    x, weight, _, mean, freedom = _observed(input, fweights, aweights, correction)
    x = x - mean
    other = (x if weight is None else x * weight).t()
    return x.matmul(other.conj() if other.dtype.is_complex else other) / freedom


def _reference(
    x: np.ndarray, *, correction: int = 1, fweights: Any = None, aweights: Any = None
) -> np.ndarray:
    rows = np.atleast_2d(x if x.ndim else x.reshape(1))
    count = rows.shape[1]
    weight = np.ones(count)
    if fweights is not None:
        weight = weight * fweights
    if aweights is not None:
        weight = weight * aweights
    total = weight.sum()
    freedom = total - correction
    if aweights is not None:
        freedom = total - correction * (weight * aweights).sum() / total
    made = np.empty((rows.shape[0],) * 2, np.result_type(rows.dtype, np.float64))
    centred = rows - (rows * weight).sum(1, keepdims=True) / total
    for i, one in enumerate(centred):
        for j, other in enumerate(centred):
            made[i, j] = (weight * one * other.conj()).sum() / max(freedom, 0)
    return made.squeeze()


def _weights(rng: np.random.Generator, n: int, dtype: d.dtype) -> tuple[np.ndarray, np.ndarray]:
    kind = np.dtype(np.float32) if dtype.category < 2 else dtype.to_real().numpy
    return rng.integers(0, 4, n) + (np.arange(n) == 0), rng.uniform(0.5, 2, n).astype(kind)


def _samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    def make(*shape: int) -> np.ndarray:
        return draw(rng, shape, dtype, -5, 5)

    f, a = _weights(rng, 6, dtype)
    return [
        Sample((make(3, 6),)),
        Sample((make(7),)),
        Sample((make(4, 2),), {"correction": 0}),
        Sample((make(1, 5),), {"correction": 2}),
        Sample((make(0, 3),)),
        Sample((make(2, 6),), {"fweights": f}, "counts"),
        Sample((make(2, 6),), {"aweights": a}, "weights"),
        Sample((make(3, 6),), {"fweights": f, "aweights": a, "correction": 2}, "both"),
        Sample((make(3, 6),), {"fweights": f, "aweights": a, "correction": 0}, "both"),
        Sample((make(6),), {"aweights": a}, "weights"),
    ]


def _errors() -> list[ErrorInput]:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    return [
        ErrorInput((x.reshape(1, 2, 3),), {}, RuntimeError, "two or fewer dimensions"),
        ErrorInput((x > 1,), {}, RuntimeError, "bool dtype is not supported"),
    ]


COV = OpDef(
    "cov",
    inputs=("input", "fweights", "aweights"),
    attributes=("correction",),
    decompose=_decompose,
    compute=d.float32,
    accepts=_ACCEPTS,
    reference=_reference,
    samples=_samples,
    errors=_errors,
    tolerance=Tolerance(8, contraction=True, against="inputs"),
)


@operator(COV)
def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """The covariance of every two variables.

    Args:
        input: (variables, observations), or a vector of observations of one variable; not bool.
        correction: taken off the number of observations before dividing by it.
        fweights: how often each observation was made, integers.
        aweights: how much each observation counts, floating-point.

    Returns:
        (variables, variables); 0-d of one variable.

    Raises:
        RuntimeError: more dims, or weights of another size or dtype or below 0: at the call, or
            where values are asked for of a device that looks at them itself.
    """
    spec = _matrix_only("cov", input)
    correction = whole_number("cov", "correction", correction)
    count = spec.shape[1] if spec.ndim == 2 else spec.numel
    together = True
    for label, weights in zip(_WEIGHTS, (fweights, aweights), strict=True):
        if weights is not None:
            _check_weights(label, weights, count)
            together = together and weights._spec.device is spec.device
    if together and state_of(spec.device).host_arrays:
        _check_signs(fweights, aweights)
        freedom = _freedom(count, fweights, aweights, correction)
        if freedom <= 0:
            warn(
                "cov(): degrees of freedom is <= 0. Correction should be strictly less than the "
                "number of observations.",
                UserWarning,
            )
    return call(COV, (input, fweights, aweights), (correction,))


def _freedom(count: int, fweights: Any, aweights: Any, correction: int) -> float:
    """What the sums of products are divided by; the least of all examples inside of a vmap.

    Raises:
        RuntimeError: the weights add up to 0.
    """
    if fweights is None and aweights is None:
        return count - correction
    f, a = (
        None if w is None else w.detach().reshape(-1).to(d.float64) for w in (fweights, aweights)
    )
    weight = f if a is None else a if f is None else f * a
    total = weight.sum()
    if true_anywhere(total.eq(0)):
        raise RuntimeError("cov(): weights sum to zero, can't be normalized")
    freedom = total - correction
    if a is not None and correction:
        freedom = total - correction * (weight * a).sum() / total
    return float(np.min(host_values(freedom), initial=math.inf))


def _corr_reference(x: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.corrcoef(x)


@composite(
    "corrcoef",
    prepare=lambda input: (_matrix_only("corrcoef", input), ((input,), ()))[1],
    compute=d.float32,
    accepts=_ACCEPTS,
    reference=_corr_reference,
    samples=lambda rng, dtype: [
        Sample((draw(rng, shape, dtype, -9, 9),))
        # One variable alone has no slope anywhere, and no value where it is constant.
        for shape in ((3, 6), (2, 9), *(((1, 5), (7,)) if dtype.category < 2 else ()))
    ],
    errors=_errors,
    tolerance=Tolerance(16),
)
def corrcoef(input: Any) -> Any:
    """The correlation of every two variables, from -1 to 1: the covariance over both deviations.

    Args:
        input: (variables, observations), or a vector of observations of one variable; not bool.

    Raises:
        RuntimeError: more dims, or bool.
    """
    from dovetail.ops import complex

    c = _products(input, None, None, 1)
    spread = c.diagonal().real.sqrt()
    c = (c / spread.unsqueeze(1) / spread).squeeze()
    if c.dtype.is_complex:
        return complex(c.real.clamp(-1, 1), c.imag.clamp(-1, 1))
    return c.clamp(-1, 1)
