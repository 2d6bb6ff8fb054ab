"""The discrete Fourier transform over several dims: three records without a decomposition.

A device may have kernels of them; on one that has none the host transforms, by the policy
``DOVETAIL_FALLBACK``. The names of :mod:`dovetail.fft` and ``stft`` are made of these.

``normalization`` multiplies by 1 (0), ``1 / sqrt(n)`` (1) or ``1 / n`` (2), n being the product of
the signal's sizes along ``dim``. Source: PyTorch's ``_fft_c2c``, ``_fft_r2c``, ``_fft_c2r``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.dispatch import call
from dovetail.dtypes import type_name
from dovetail.ops.expose import operator
from dovetail.ops.families import draw
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.ops.schema import ErrorInput, Inferred, OpDef, Sample, Tolerance
from dovetail.spec import Spec
from dovetail.tensor import Tensor, check_dim

__all__ = ["COMPLEX", "REAL", "fft_c2c", "fft_c2r", "fft_r2c"]

REAL = (d.float32, d.float64)
COMPLEX = (d.complex64, d.complex128)

Dims = tuple[int, ...]


def _prepared(
    name: str, input: Tensor, dim: Any, normalization: int, kind: str, accepts: tuple[d.dtype, ...]
) -> tuple[Dims, int]:
    """The dims, counted from the front, and what must be multiplied by.

    Raises:
        RuntimeError: a dtype that is not transformed so.
        IndexError: a dim out of range.
        ValueError: no such normalization.
    """
    spec = input._spec
    if spec.dtype not in accepts:
        raise RuntimeError(
            f"{name}: Only supports {kind} dtypes ({' and '.join(k.name for k in accepts)}), but "
            f"found: {type_name(spec.dtype)}"
        )
    normalization = whole_number(name, "normalization", normalization)
    if len(dim) and not spec.ndim:
        raise RuntimeError(f"{name}: input must have at least one dim, got none")
    if len(dim) > 1 and len(set(dim)) < len(dim):
        raise RuntimeError(f"{name}: each dim may be named once, got {tuple(dim)}")
    if normalization not in (0, 1, 2):
        raise ValueError(f"{name}: normalization must be 0, 1 or 2, got {normalization}")
    return tuple([check_dim(i, spec.ndim) for i in dim]), normalization


def _with_size(shape: Dims, dim: int, size: int) -> Dims:
    return (*shape[:dim], size, *shape[dim + 1 :])


def _sorted(strides: Dims, dim: Dims) -> Dims:
    return tuple(sorted(dim, key=lambda i: -strides[i]))


def _strides(shape: Dims, strides: Dims, dim: Dims) -> Dims:
    """Of a result: the other dims in the order of the input's strides, then ``dim`` as given.

    Source: PyTorch's ``_exec_fft`` on the cpu.
    """
    others = _sorted(strides, tuple(i for i in range(len(shape)) if i not in dim))
    made, step = [0] * len(shape), 1
    for i in reversed((*others, *dim)):
        made[i] = step
        step *= max(shape[i], 1)
    return tuple(made)


# ------------------------------------------------------------- references


def _transformed(x: Any, dim: int, sign: int) -> Any:
    """One dim by the definition: a product with the matrix of roots of unity."""
    n = x.shape[dim]
    turns = np.outer(np.arange(n), np.arange(n)) % max(n, 1) / max(n, 1)
    roots = np.exp(sign * 2j * np.pi * turns)
    return np.moveaxis(np.tensordot(roots, x, (1, dim)), 0, dim)


def _share(sizes: list[int], normalization: int) -> float:
    n = math.prod(sizes)
    return (1.0, n**-0.5, 1 / n)[normalization] if n else 1.0


def _c2c_reference(x: Any, dim: Any, normalization: int, forward: bool) -> Any:
    made = np.asarray(x, np.complex128)
    for i in dim:
        made = _transformed(made, i, -1 if forward else 1)
    return made * _share([x.shape[i] for i in dim], normalization)


def _r2c_reference(x: Any, dim: Any, normalization: int, onesided: bool) -> Any:
    made = _c2c_reference(x, dim, normalization, True)
    return made.take(range(x.shape[dim[-1]] // 2 + 1), dim[-1]) if onesided else made


def _c2r_reference(x: Any, dim: Any, normalization: int, last_dim_size: int) -> Any:
    """Every frequency but the lowest and the middle one stands for its mirror image too."""
    *others, last = dim
    made = np.moveaxis(_c2c_reference(x, others, 0, False), last, -1)
    n, k = last_dim_size, np.arange(last_dim_size // 2 + 1)
    turns = np.outer(k, np.arange(n)) % n / n
    twice = np.where((k == 0) | (2 * k == n), 1, 2)[:, None]
    waves = twice * np.exp(2j * np.pi * turns)
    total = np.moveaxis((made @ waves).real, -1, last)
    return total * _share([*[x.shape[i] for i in others], n], normalization)


# ----------------------------------------------------------------- samples

_SHAPES: tuple[tuple[Dims, Dims], ...] = (
    ((7,), (0,)), ((8,), (0,)), ((1,), (0,)), ((3, 4), (0,)), ((3, 4), (1, 0)),
    ((2, 3, 5), (0, 2)), ((2, 6, 2), (1,)), ((4, 3, 2), (0, 1, 2)), ((0, 4), (1,)),
)  # fmt: skip


def _c2c_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((draw(rng, shape, dtype, -2, 2), dim, i % 3, i % 2 == 0))
        for i, (shape, dim) in enumerate(_SHAPES)
    ]


def _r2c_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    return [
        Sample((draw(rng, shape, dtype, -2, 2), dim, i % 3, i % 4 != 3))
        for i, (shape, dim) in enumerate(_SHAPES[:-1])  # of nothing PyTorch's library refuses it
    ]


def _c2r_samples(rng: np.random.Generator, dtype: d.dtype) -> list[Sample]:
    made = []
    for i, (shape, dim) in enumerate(_SHAPES):
        half = _with_size(shape, dim[-1], shape[dim[-1]] // 2 + 1)
        made.append(Sample((draw(rng, half, dtype, -2, 2), dim, (i + 1) % 3, shape[dim[-1]])))
    return made


def _errors(wrong: Any, kind: str, *rest: Any) -> Any:
    def errors() -> list[ErrorInput]:
        match = f"Only supports {kind} dtypes"
        return [
            ErrorInput((np.ones((3, 4), k), (1,), *rest), {}, RuntimeError, match)
            for k in (wrong, np.int64)
        ]

    return errors


# A transform adds up n terms in about log2(n) steps: what it is off grows more slowly than sqrt(n).
_TOLERANCE = Tolerance(ulp=4, against="inputs")


# ------------------------------------------------------------------ records


def _c2c_infer(input: Spec, dim: Dims, normalization: int, forward: bool) -> Inferred:
    shape, order = tuple(input.shape), _sorted(input.strides, dim)
    return Inferred((None,), ((shape, input.dtype, _strides(shape, input.strides, order)),))


def _c2c_gradient(g: Any, dim: Dims, normalization: int, forward: bool) -> Any:
    return call(C2C, (g,), (dim, normalization, not forward))


C2C = OpDef(
    "fft_c2c",
    attributes=("dim", "normalization", "forward"),
    infer=_c2c_infer,
    gradient={"input": _c2c_gradient},
    accepts=COMPLEX,
    reference=_c2c_reference,
    samples=_c2c_samples,
    errors=_errors(np.float32, "complex", 0, True),
    tolerance=_TOLERANCE,
    method=False,
    public=False,
)


@operator(C2C)
def fft_c2c(input: Tensor, dim: Any, normalization: int, forward: bool) -> Tensor:
    """Complex numbers to complex ones: (*) -> (*); ``exp(-2j*pi*...)`` where ``forward``.

    Raises:
        RuntimeError: not complex.
        IndexError: a dim is out of range.
    """
    dims = _prepared("fft_c2c", input, dim, normalization, "complex", COMPLEX)
    return call(C2C, (input,), (*dims, bool(forward)))


def _r2c_infer(input: Spec, dim: Dims, normalization: int, onesided: bool) -> Inferred:
    shape, last = tuple(input.shape), dim[-1]
    if onesided:
        shape = _with_size(shape, last, shape[last] // 2 + 1)
    order = (*_sorted(input.strides, dim[:-1]), last)
    strides = _strides(shape, input.strides, order)
    return Inferred((None,), ((shape, input.dtype.to_complex(), strides),))


def _r2c_gradient(g: Any, specs: Any, dim: Dims, normalization: int, onesided: bool) -> Any:
    """The frequencies that were left out get none; the signal has no imaginary part."""
    if onesided:
        g = _zeros_after(g, dim[-1], specs[0].shape[dim[-1]])
    return call(C2C, (g,), (dim, normalization, False)).real


def _zeros_after(x: Any, dim: int, size: int) -> Any:
    from dovetail.ops import cat

    missing = size - x.shape[dim]
    if not missing:
        return x
    return cat([x, x.new_zeros(_with_size(tuple(x.shape), dim, missing))], dim)


R2C = OpDef(
    "fft_r2c",
    attributes=("dim", "normalization", "onesided"),
    infer=_r2c_infer,
    gradient={"input": _r2c_gradient},
    accepts=REAL,
    reference=_r2c_reference,
    samples=_r2c_samples,
    errors=_errors(np.complex64, "floating-point", 0, True),
    tolerance=_TOLERANCE,
    method=False,
    public=False,
)


@operator(R2C)
def fft_r2c(input: Tensor, dim: Any, normalization: int, onesided: bool) -> Tensor:
    """Real numbers to complex ones, forward; ``onesided`` keeps n // 2 + 1 of the last dim.

    Raises:
        RuntimeError: not float32 or float64.
        IndexError: a dim is out of range.
    """
    dims = _prepared("fft_r2c", input, dim, normalization, "floating-point", REAL)
    return call(R2C, (input,), (*dims, bool(onesided)))


def _c2r_infer(input: Spec, dim: Dims, normalization: int, last_dim_size: int) -> Inferred:
    *others, last = dim
    before = input.strides
    if others:
        before = _strides(tuple(input.shape), before, _sorted(before, tuple(others)))
    shape = _with_size(tuple(input.shape), last, last_dim_size)
    return Inferred((None,), ((shape, input.dtype.to_real(), _strides(shape, before, (last,))),))


def _c2r_gradient(g: Any, specs: Any, dim: Dims, normalization: int) -> Any:
    """What stood for its mirror image too gets twice as much."""
    made = call(R2C, (g,), (dim, normalization, True))
    last = dim[-1]
    half = specs[0].shape[last]
    doubled = g.shape[last] - half
    if doubled < 1:
        return made
    share = g.new_ones((half, *[1] * (made.ndim - last - 1)))
    share.narrow(0, 1, doubled).fill_(2)
    return made * share


C2R = OpDef(
    "fft_c2r",
    attributes=("dim", "normalization", "last_dim_size"),
    infer=_c2r_infer,
    gradient={"input": _c2r_gradient},
    accepts=COMPLEX,
    reference=_c2r_reference,
    samples=_c2r_samples,
    errors=_errors(np.float32, "complex", 0, 6),
    tolerance=_TOLERANCE,
    method=False,
    public=False,
)


@operator(C2R)
def fft_c2r(input: Tensor, dim: Any, normalization: int, last_dim_size: int) -> Tensor:
    """Half of a spectrum with Hermitian symmetry to real numbers, backward.

    ``input`` has ``last_dim_size // 2 + 1`` frequencies along the last of ``dim``; the imaginary
    part of the lowest, and of the middle one where ``last_dim_size`` is even, counts nothing.

    Raises:
        RuntimeError: not complex, or of another size along the last dim.
        IndexError: a dim is out of range.
    """
    dims, scale = _prepared("fft_c2r", input, dim, normalization, "complex", COMPLEX)
    last_dim_size = whole_number("fft_c2r", "last_dim_size", last_dim_size)
    have = input._spec.shape[dims[-1]]
    if have != last_dim_size // 2 + 1:
        raise RuntimeError(
            f"fft_c2r: input must have {last_dim_size // 2 + 1} frequencies along dim {dims[-1]} "
            f"for last_dim_size={last_dim_size}, got {have}"
        )
    return call(C2R, (input,), (dims, scale, last_dim_size))
