"""PyTorch's ``torch.fft``: discrete Fourier transforms.

All take real, complex or whole numbers (those become the default float), not half precision, and
can be differentiated. ``norm`` says what is divided by the product n of the sizes: ``"backward"``
(default) the inverse transforms, ``"forward"`` the forward ones, ``"ortho"`` both by its root.

``n`` and ``s`` cut the signal, or fill it up with zeros, before it is transformed.

Where a device has no kernels of ``fft_c2c``, ``fft_r2c``, ``fft_c2r`` the host transforms, as the
policy ``DOVETAIL_FALLBACK`` says.
"""

from __future__ import annotations

from dovetail.autocast_rules import cover
from dovetail.fft.frequencies import fftfreq, fftshift, ifftshift, rfftfreq
from dovetail.fft.transforms import complex_to_real, one_dim, real_to_complex, several_dims
from dovetail.ops.reduction.reducing import numpy_names
from dovetail.tensor import Tensor

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2",
    "ifftn", "ifftshift", "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft",
    "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

Sizes = int | tuple[int, ...] | list[int] | None
LAST_TWO = (-2, -1)


# ----------------------------------------------------------------- one dim


@numpy_names
def fft(
    input: Tensor,
    n: int | None = None,
    dim: int = -1,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The spectrum of a signal along one dim: (*, N, *) -> (*, n, *), complex.

    Raises:
        RuntimeError: half precision, less than one point, or an unknown ``norm``.
        IndexError: the dim is out of range.

    Example:
        >>> import dovetail as dt
        >>> fft(dt.tensor([0.0, 1.0, 2.0, 3.0]))
        tensor([ 6.+0.j, -2.+2.j, -2.+0.j, -2.-2.j])
    """
    return one_dim("fft", input, n, dim, norm, out, forward=True, half=False)


@numpy_names
def ifft(
    input: Tensor,
    n: int | None = None,
    dim: int = -1,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The signal of a spectrum along one dim: (*, N, *) -> (*, n, *), complex.

    Raises:
        RuntimeError: half precision, less than one point, or an unknown ``norm``.
        IndexError: the dim is out of range.
    """
    return one_dim("ifft", input, n, dim, norm, out, forward=False, half=False)


@numpy_names
def rfft(
    input: Tensor,
    n: int | None = None,
    dim: int = -1,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The half of a real signal's spectrum that is not mirrored: (*, N, *) -> (*, n // 2 + 1, *).

    Raises:
        RuntimeError: complex or half precision, less than one point, or an unknown ``norm``.
        IndexError: the dim is out of range.
    """
    return one_dim("rfft", input, n, dim, norm, out, forward=True, half=True)


@numpy_names
def irfft(
    input: Tensor,
    n: int | None = None,
    dim: int = -1,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The real signal of such a half: (*, N, *) -> (*, n, *), n being 2 * (N - 1) where not given.

    Raises:
        RuntimeError: half precision, less than one point, or an unknown ``norm``.
        IndexError: the dim is out of range.
    """
    return complex_to_real("irfft", input, n, dim, norm, out, forward=False, several=False)


@numpy_names
def hfft(
    input: Tensor,
    n: int | None = None,
    dim: int = -1,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The real spectrum of a signal with Hermitian symmetry, of which half is given, as ``irfft``.

    Raises:
        RuntimeError: half precision, less than one point, or an unknown ``norm``.
        IndexError: the dim is out of range.
    """
    return complex_to_real("hfft", input, n, dim, norm, out, forward=True, several=False)


@numpy_names
def ihfft(
    input: Tensor,
    n: int | None = None,
    dim: int = -1,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Half of the signal of a real spectrum: (*, N, *) -> (*, n // 2 + 1, *); undoes ``hfft``.

    Raises:
        RuntimeError: complex or half precision, less than one point, or an unknown ``norm``.
        IndexError: the dim is out of range.
    """
    return one_dim("ihfft", input, n, dim, norm, out, forward=False, half=True)


# ------------------------------------------------------- two dims, several


@numpy_names
def fft2(
    input: Tensor,
    s: Sizes = None,
    dim: Sizes = LAST_TWO,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The spectrum along two dims, the last ones.

    Raises:
        RuntimeError: half precision, a dim twice, less than one point, or an unknown ``norm``.
        IndexError: a dim is out of range.
    """
    return several_dims("fftn", input, s, dim, norm, out, forward=True)


@numpy_names
def fftn(
    input: Tensor,
    s: Sizes = None,
    dim: Sizes = None,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The spectrum along several dims, all where none are given.

    Raises:
        RuntimeError: half precision, a dim twice, less than one point, or an unknown ``norm``.
        IndexError: a dim is out of range.
    """
    return several_dims("fftn", input, s, dim, norm, out, forward=True)


@numpy_names
def ifft2(
    input: Tensor,
    s: Sizes = None,
    dim: Sizes = LAST_TWO,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The signal of a spectrum along two dims, the last ones.

    Raises:
        RuntimeError: half precision, a dim twice, less than one point, or an unknown ``norm``.
        IndexError: a dim is out of range.
    """
    return several_dims("ifftn", input, s, dim, norm, out, forward=False)


@numpy_names
def ifftn(
    input: Tensor,
    s: Sizes = None,
    dim: Sizes = None,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The signal of a spectrum along several dims, all where none are given.

    Raises:
        RuntimeError: half precision, a dim twice, less than one point, or an unknown ``norm``.
        IndexError: a dim is out of range.
    """
    return several_dims("ifftn", input, s, dim, norm, out, forward=False)


@numpy_names
def rfft2(
    input: Tensor,
    s: Sizes = None,
    dim: Sizes = LAST_TWO,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Half (in the last dim) of the spectrum of real numbers along two dims, the last ones.

    Raises:
        RuntimeError: complex or half precision, a dim twice, no point, or an unknown ``norm``.
        IndexError: a dim is out of range.
    """
    return real_to_complex("rfftn", input, s, dim, norm, out, forward=True)


@numpy_names
def rfftn(
    input: Tensor,
    s: Sizes = None,
    dim: Sizes = None,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Half (in the last dim) of the spectrum of real numbers along several dims, or all.

    Raises:
        RuntimeError: complex or half precision, a dim twice, no point, or an unknown ``norm``.
        IndexError: a dim is out of range.
    """
    return real_to_complex("rfftn", input, s, dim, norm, out, forward=True)


@numpy_names
def irfft2(
    input: Tensor,
    s: Sizes = None,
    dim: Sizes = LAST_TWO,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The real signal of half of a spectrum along two dims, the last ones.

    Raises:
        RuntimeError: half precision, a dim twice, less than one point, or an unknown ``norm``.
        IndexError: a dim is out of range.
    """
    return complex_to_real("irfftn", input, s, dim, norm, out, forward=False, several=True)


@numpy_names
def irfftn(
    input: Tensor,
    s: Sizes = None,
    dim: Sizes = None,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The real signal of half of a spectrum along several dims, all where none are given.

    Raises:
        RuntimeError: half precision, a dim twice, less than one point, or an unknown ``norm``.
        IndexError: a dim is out of range.
    """
    return complex_to_real("irfftn", input, s, dim, norm, out, forward=False, several=True)


@numpy_names
def hfft2(
    input: Tensor,
    s: Sizes = None,
    dim: Sizes = LAST_TWO,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The real spectrum of half of a signal with Hermitian symmetry along two dims, the last ones.

    Raises:
        RuntimeError: half precision, a dim twice, less than one point, or an unknown ``norm``.
        IndexError: a dim is out of range.
    """
    return complex_to_real("hfftn", input, s, dim, norm, out, forward=True, several=True)


@numpy_names
def hfftn(
    input: Tensor,
    s: Sizes = None,
    dim: Sizes = None,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """The real spectrum of half of a signal with Hermitian symmetry along several dims, or all.

    Raises:
        RuntimeError: half precision, a dim twice, less than one point, or an unknown ``norm``.
        IndexError: a dim is out of range.
    """
    return complex_to_real("hfftn", input, s, dim, norm, out, forward=True, several=True)


@numpy_names
def ihfft2(
    input: Tensor,
    s: Sizes = None,
    dim: Sizes = LAST_TWO,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Half of the signal of a real spectrum along two dims, the last ones.

    Raises:
        RuntimeError: complex or half precision, a dim twice, no point, or an unknown ``norm``.
        IndexError: a dim is out of range.
    """
    return real_to_complex("ihfftn", input, s, dim, norm, out, forward=False)


@numpy_names
def ihfftn(
    input: Tensor,
    s: Sizes = None,
    dim: Sizes = None,
    norm: str | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Half of the signal of a real spectrum along several dims, all where none are given.

    Raises:
        RuntimeError: complex or half precision, a dim twice, no point, or an unknown ``norm``.
        IndexError: a dim is out of range.
    """
    return real_to_complex("ihfftn", input, s, dim, norm, out, forward=False)


cover(globals(), "fft.")
