"""What the functions of :mod:`dovetail.fft` share: arguments, sizes, promotion, ``out=``.

Source: PyTorch's ``SpectralOps.cpp``, whose order of checks and whose words these are.
"""

from __future__ import annotations

from typing import Any

from dovetail import dtypes as d
from dovetail.dtypes import type_name
from dovetail.nn.functional.padding import pad
from dovetail.ops.linear_algebra.operands import need_tensors
from dovetail.ops.out import finish
from dovetail.ops.spectral.fourier import REAL, fft_c2c, fft_c2r, fft_r2c
from dovetail.tensor import Tensor, check_dim

__all__ = ["complex_to_real", "one_dim", "real_to_complex", "several_dims"]

Dims = tuple[int, ...]


# --------------------------------------------------------------- arguments


def _whole(name: str, label: str, value: Any) -> int:
    if type(value) is int:
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"fft_{name}(): argument '{label}' must be int, not {type(value).__name__}")
    return int(value.__index__())


def _normalization(name: str, norm: Any, forward: bool) -> int:
    """0: none, 1: by the root of n, 2: by n."""
    if norm is not None and not isinstance(norm, str):
        raise TypeError(f"fft_{name}(): argument 'norm' must be str, not {type(norm).__name__}")
    norm = "backward" if norm is None else norm
    if norm not in ("forward", "backward", "ortho"):
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    if norm == "ortho":
        return 1
    return 2 if (norm == "forward") == forward else 0


def _promoted(input: Tensor, to_complex: bool) -> Tensor:
    """Integers and bool in the default float; real numbers as complex ones where asked.

    Raises:
        RuntimeError: half precision.
    """
    kind = input.dtype
    if kind.category < 2:
        kind = d.get_default_dtype()
    if not kind.is_complex and kind not in REAL:
        raise RuntimeError(f"Unsupported dtype {type_name(kind)}")
    wanted = kind.to_complex() if to_complex else kind
    return input if wanted is input.dtype else input.to(wanted)


def _of_real_numbers(name: str, input: Tensor, what: str) -> None:
    if input.dtype.is_complex:
        raise RuntimeError(
            f"{name} expects a {what} input tensor, but got {type_name(input.dtype)}"
        )


def _resized(x: Tensor, dims: Dims, sizes: Dims) -> Tensor:
    """Cut, or filled up with zeros, to ``sizes`` along ``dims``."""
    shape = x._spec.shape
    for dim, n in zip(dims, sizes, strict=True):
        if shape[dim] != n:
            break
    else:
        return x
    missing = [0] * (2 * x.ndim)
    for dim, n in zip(dims, sizes, strict=True):
        have = x.shape[dim]
        if have > n:
            x = x.narrow(dim, 0, n)
        missing[2 * (x.ndim - 1 - dim) + 1] = max(n - have, 0)
    return pad(x, missing) if any(missing) else x


def _check_points(n: int) -> None:
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")


def _one(name: str, input: Tensor, n: Any, dim: Any) -> tuple[int, int | None]:
    dim = _whole(name, "dim", dim)
    if not input.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return check_dim(dim, input.ndim), None if n is None else _whole(name, "n", n)


def _integers(name: str, label: str, value: Any) -> Dims | None:
    if value is None:
        return None
    if isinstance(value, (tuple, list)):
        return tuple([_whole(name, label, v) for v in value])
    return (_whole(name, label, value),)


def _several(name: str, input: Tensor, s: Any, dim: Any) -> tuple[Dims, Dims]:
    """Dims from the front, and the sizes to transform at."""
    sizes, named = _integers(name, "s", s), _integers(name, "dim", dim)
    shape = tuple(input._spec.shape)
    ndim = len(shape)
    dims: Dims = ()
    if named is not None:
        if named and not ndim:
            raise IndexError(f"Dimension specified as {named[0]} but tensor has no dimensions")
        dims = tuple([check_dim(i, ndim) for i in named])
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
    if sizes is not None:
        if named is not None and len(named) != len(sizes):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
        if len(sizes) > ndim:
            raise RuntimeError(
                f"Got shape with {len(sizes)} values but input tensor only has {ndim} dimensions."
            )
        if named is None:
            dims = tuple(range(ndim - len(sizes), ndim))
        sizes = tuple(shape[i] if n == -1 else n for i, n in zip(dims, sizes, strict=True))
    else:
        if named is None:
            dims = tuple(range(ndim))
        sizes = tuple([shape[i] for i in dims])
    for n in sizes:
        _check_points(n)
    return dims, sizes


def _delivered(name: str, result: Tensor, out: Any) -> Tensor:
    if isinstance(out, Tensor) and out.dtype.is_complex != result.dtype.is_complex:
        wanted = "a complex" if result.dtype.is_complex else "a floating point"
        raise RuntimeError(f"{name} expects {wanted} output tensor, but got {type_name(out.dtype)}")
    made: Tensor = finish(f"fft_{name}", result, out)
    return made


# -------------------------------------------------------------- transforms


def one_dim(
    name: str, input: Any, n: Any, dim: Any, norm: Any, out: Any, *, forward: bool, half: bool
) -> Tensor:
    """``fft`` and ``ifft``; with ``half`` the frequencies of a real signal that are not mirrored.

    (*, N, *) -> (*, n, *), or (*, n // 2 + 1, *).
    """
    need_tensors(f"fft_{name}", input=input)
    if half:
        _of_real_numbers(name, input, "real")
    is_real = not input.dtype.is_complex
    x = _promoted(input, to_complex=False)
    at, size = _one(name, input, n, dim)
    _check_points(x._spec.shape[at] if size is None else size)
    if size is not None:
        x = _resized(x, (at,), (size,))
    normalization = _normalization(name, norm, forward)
    if not is_real:
        return _delivered(name, fft_c2c(x, (at,), normalization, forward), out)
    made = fft_r2c(x, (at,), normalization, half)
    return _delivered(name, made if forward else made.conj(), out)


def complex_to_real(
    name: str, input: Any, s: Any, dim: Any, norm: Any, out: Any, *, forward: bool, several: bool
) -> Tensor:
    """``irfft`` and ``hfft``, of one dim or several: half of a spectrum to real numbers."""
    need_tensors(f"fft_{name}", input=input)
    if several:
        dims, sizes = _several(name, input, s, dim)
        if not dims:
            raise RuntimeError(f"{name} must transform at least one axis")
        given = _integers(name, "s", s)
        is_last_given = given is not None and given[-1] != -1
    else:
        at, n = _one(name, input, s, dim)
        is_last_given = n is not None
        dims, sizes = (at,), (1 if n is None else n,)
    last = sizes[-1] if is_last_given else 2 * (input._spec.shape[dims[-1]] - 1)
    _check_points(last)
    x = _resized(_promoted(input, to_complex=True), dims, (*sizes[:-1], last // 2 + 1))
    normalization = _normalization(name, norm, forward)
    if forward:
        others = dims[:-1]
        x = (fft_c2c(x, others, normalization, True) if others else x).conj()
        dims = dims[-1:]
    return _delivered(name, fft_c2r(x, dims, normalization, last), out)


def real_to_complex(
    name: str, input: Any, s: Any, dim: Any, norm: Any, out: Any, *, forward: bool
) -> Tensor:
    """``rfftn`` and ``ihfftn``: real numbers to half of a spectrum."""
    need_tensors(f"fft_{name}", input=input)
    _of_real_numbers(name, input, "real-valued")
    dims, sizes = _several(name, input, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    x = _resized(_promoted(input, to_complex=False), dims, sizes)
    normalization = _normalization(name, norm, forward)
    if forward:
        return _delivered(name, fft_r2c(x, dims, normalization, True), out)
    made = fft_r2c(x, dims[-1:], normalization, True).conj()
    others = dims[:-1]
    made = fft_c2c(made, others, normalization, False) if others else made
    return _delivered(name, made, out)


def several_dims(
    name: str, input: Any, s: Any, dim: Any, norm: Any, out: Any, *, forward: bool
) -> Tensor:
    """``fftn`` and ``ifftn``."""
    need_tensors(f"fft_{name}", input=input)
    dims, sizes = _several(name, input, s, dim)
    x = _resized(_promoted(input, to_complex=True), dims, sizes)
    return _delivered(name, fft_c2c(x, dims, _normalization(name, norm, forward), forward), out)
