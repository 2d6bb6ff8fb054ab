"""The short-time Fourier transform and its inverse: spectra of windows that slide over a signal.

Source: PyTorch's ``stft`` and ``istft`` (``SpectralOps.cpp``). Both put operators together; what
transforms is ``fft_r2c``, ``fft_c2c`` and ``fft_c2r``.
"""

from __future__ import annotations

from typing import Any

from dovetail.dtypes import type_name
from dovetail.factories import ones, zeros
from dovetail.ops.expose import publish
from dovetail.ops.linear_algebra.operands import need_tensors
from dovetail.ops.pointwise.complex import view_as_real
from dovetail.ops.spectral.fourier import REAL, fft_c2c, fft_c2r, fft_r2c
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = ["istft", "stft"]

_NO_WINDOW = (
    "{}: A window was not provided. A rectangular window will be applied, which {}. To suppress "
    "this warning pass window=ones(n_fft, device=<device>)"
)
_TOO_SHORT = 1e-11
"""A sum of squared windows below which there is nothing to divide by."""


def _say(call: str, what: str) -> RuntimeError:
    return RuntimeError(f"{call} : {what}")


def _shown(name: str, input: Tensor, **arguments: Any) -> str:
    """The call as the errors print it."""
    window = arguments.pop("window")
    sizes = None if window is None else f"Tensor{list(window.shape)}"
    rest = ", ".join(f"{k}={v}" for k, v in arguments.items())
    return f"{name}({type_name(input.dtype)}{list(input.shape)}, window={sizes}, {rest})"


def _check_device(name: str, input: Tensor, window: Tensor | None) -> None:
    if window is not None and window.device != input.device:
        raise RuntimeError(
            f"{name} input and window must be on the same device but got self on {input.device} "
            f"and window on {window.device}"
        )


def _padded_window(window: Tensor | None, like: Tensor, n_fft: int, length: int) -> Tensor | None:
    """The window in the middle of ``n_fft`` points; None where all of them count the same."""
    if length == n_fft:
        return window
    before = (n_fft - length) // 2
    if window is None:
        kind = like.dtype.to_real() if like.dtype.is_complex else like.dtype
        window = ones(length, dtype=kind, device=like.device)
    return _padded(window, before, n_fft - length - before)


def _padded(x: Tensor, before: int, after: int, mode: str = "constant") -> Any:
    from dovetail.nn.functional import pad

    return pad(x, (before, after), mode)


@publish()
def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """Spectra of windows every ``hop_length`` points: (B, L) or (L,) -> (B, frequencies, windows).

    Args:
        hop_length: ``n_fft // 4`` where not given.
        win_length: ``n_fft`` where not given; shorter windows are filled up on both sides.
        center: windows are centred on their point; the ends are padded by ``pad_mode``.
        normalized: divide by the root of ``n_fft``.
        onesided: half of a real signal's spectrum, as is usual for real signals.
        return_complex: False gives pairs of real numbers, which PyTorch deprecates.
        align_to_window: without ``center``, windows begin where ``win_length`` points fit, not
            ``n_fft``.

    Raises:
        RuntimeError: a length that does not fit, a signal of whole numbers or of half precision.

    Example:
        >>> import dovetail as dt
        >>> dt.stft(dt.ones(16), 4, window=dt.ones(4), return_complex=True).shape
        torch.Size([3, 17])
    """
    need_tensors("stft", input=input)
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    _check_device("stft", input, window)
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    signal = _centred(input, n_fft, pad_mode) if center else input
    _warn_of_no_window("stft", window, "is known to cause spectral leakage")
    is_complex = input.dtype.is_complex or (window is not None and window.dtype.is_complex)
    shown = _shown(
        "stft", signal, n_fft=n_fft, hop_length=hop, win_length=length, window=window,
        normalized=normalized, onesided=onesided, return_complex=return_complex,
    )  # fmt: skip
    as_pairs = _as_pairs(return_complex, is_complex)
    _check_stft(shown, signal, n_fft, hop, length, window)
    if input.ndim == 1:
        signal = signal.unsqueeze(0)
    if align_to_window and length < n_fft:
        before = (n_fft - length) // 2
        signal = _padded(signal, before, n_fft - length - before)
    frames = signal.unfold(1, n_fft, hop)
    whole = _padded_window(window, input, n_fft, length)
    if whole is not None:
        frames = frames * whole
    made = _spectra(frames, normalized, onesided).transpose(1, 2)
    made = made.squeeze(0) if input.ndim == 1 else made
    return view_as_real(made) if as_pairs else made


def _spectra(frames: Tensor, normalized: bool, onesided: bool | None) -> Tensor:
    if frames.dtype.is_complex:
        if onesided:
            raise RuntimeError("Cannot have onesided output if window or input is complex")
        return fft_c2c(frames, (2,), int(normalized), True)
    if frames.dtype not in REAL:
        raise RuntimeError(f"stft: Unsupported dtype {type_name(frames.dtype)}")
    return fft_r2c(frames, (2,), int(normalized), onesided is None or bool(onesided))


def _centred(input: Tensor, n_fft: int, pad_mode: str) -> Tensor:
    if not 1 <= input.ndim <= 3:
        return input
    sides = n_fft // 2
    whole = input.reshape([1] * (3 - input.ndim) + list(input.shape))
    made: Tensor = _padded(whole, sides, sides, pad_mode)
    return made.reshape(tuple(made.shape)[3 - input.ndim :])


def _as_pairs(return_complex: bool | None, is_complex: bool) -> bool:
    if return_complex or (return_complex is None and is_complex):
        return False
    if return_complex is None:
        raise RuntimeError(
            "stft requires the return_complex parameter be given for real inputs, and will "
            "further require that return_complex=True in a future PyTorch release."
        )
    warn(
        "stft with return_complex=False is deprecated; view_as_real of the complex result gives "
        "the same",
        UserWarning,
    )
    return True


def _warn_of_no_window(name: str, window: Tensor | None, why: str) -> None:
    if window is None:
        warn(_NO_WINDOW.format(name, why), UserWarning)


def _check_stft(
    shown: str, signal: Tensor, n_fft: int, hop: int, length: int, window: Tensor | None
) -> None:
    if signal.dtype.category < 2:
        raise _say(shown, "expected a tensor of floating point or complex values")
    if not 1 <= signal.ndim <= 2:
        raise _say(shown, "expected a 1D or 2D tensor")
    size = signal.shape[-1]
    if not 0 < n_fft <= size:
        raise _say(shown, f"expected 0 < n_fft < {size}, but got n_fft={n_fft}")
    if hop <= 0:
        raise _say(shown, f"expected hop_length > 0, but got hop_length={hop}")
    if not 0 < length <= n_fft:
        raise _say(shown, f"expected 0 < win_length <= n_fft, but got win_length={length}")
    if window is not None and (window.ndim != 1 or window.shape[0] != length):
        raise _say(
            shown,
            f"expected a 1D window tensor of size equal to win_length={length}, but got window "
            f"with size {list(window.shape)}",
        )


@publish()
def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The signal of such spectra: (B, frequencies, windows) or without B -> (B, L) or (L,).

    Each point is the sum of the windows over it, divided by the sum of their squares.

    Args:
        length: of the signal; what the windows do not reach is 0.

    Raises:
        RuntimeError: a length that does not fit, or windows that leave a point out.

    Example:
        >>> import dovetail as dt
        >>> spectra = dt.stft(dt.arange(8.0), 4, window=dt.ones(4), return_complex=True)
        >>> dt.istft(spectra, 4, window=dt.ones(4)).round()
        tensor([0., 1., 2., 3., 4., 5., 6., 7.])
    """
    need_tensors("istft", input=input)
    _warn_of_no_window("istft", window, "inverts only what was made with one")
    _check_device("istft", input, window)
    hop = n_fft // 4 if hop_length is None else hop_length
    size = n_fft if win_length is None else win_length
    shown = _shown(
        "istft", input, n_fft=n_fft, hop_length=hop, win_length=size, window=window,
        center=center, normalized=normalized, onesided=onesided, length=length,
        return_complex=return_complex,
    )  # fmt: skip
    half = _check_istft(shown, input, n_fft, hop, size, window, onesided)
    if return_complex and half:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if not return_complex and window is not None and window.dtype.is_complex:
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    if window is None:
        window = ones(size, dtype=input.dtype.to_real(), device=input.device)
    whole = _padded_window(window, input, n_fft, size)
    assert whole is not None
    spectra = (input.unsqueeze(0) if input.ndim == 2 else input).transpose(1, 2)
    scale = 1 if normalized else 2
    if return_complex:
        frames = fft_c2c(spectra, (2,), scale, False)
    else:
        frames = fft_c2r(spectra.narrow(2, 0, n_fft // 2 + 1), (2,), scale, n_fft)
    reach = n_fft + hop * (frames.shape[1] - 1)
    total = _overlapped(frames * whole, reach, n_fft, hop)
    squares = whole.square().expand(1, frames.shape[1], n_fft)
    shares = _overlapped(squares, reach, n_fft, hop)
    made = _cut(shown, total, shares, reach, n_fft // 2 if center else 0, length)
    return made.squeeze(0) if input.ndim == 2 else made


def _check_istft(
    shown: str, input: Tensor, n_fft: int, hop: int, size: int, window: Tensor | None, onesided: Any
) -> bool:
    """Whether half of each spectrum is given."""
    if not input.dtype.is_complex:
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    if not input.numel():
        raise _say(shown, "input tensor cannot be empty.")
    if not 2 <= input.ndim <= 3:
        if input.ndim < 2:
            raise IndexError(
                f"Dimension out of range (istft: input must be 2-D or 3-D, got {input.ndim}-D)"
            )
        raise _say(shown, f"expected a tensor with 3 or 4 dimensions, but got {input.ndim + 1}")
    have = input.shape[-2]
    half = bool(have != n_fft) if onesided is None else bool(onesided)
    wanted, words = (n_fft // 2 + 1, "n_fft / 2 + 1") if half else (n_fft, "n_fft")
    if have != wanted:
        raise _say(
            shown,
            "expected the frequency dimension (3rd to the last) of the input tensor to match "
            f"{words} when onesided={half}, but got {have}",
        )
    if not 0 < hop <= size:
        raise _say(shown, "expected 0 < hop_length <= win_length")
    if not 0 < size <= n_fft:
        raise _say(shown, "expected 0 < win_length <= n_fft")
    if window is not None and (window.ndim != 1 or window.shape[0] != size):
        raise _say(shown, "Invalid window shape. window has to be 1D and length of `win_length`")
    return half


def _overlapped(frames: Tensor, reach: int, n_fft: int, hop: int) -> Tensor:
    """What lies over each point added up: (B, windows, n_fft) -> (B, reach); undoes ``unfold``."""
    from dovetail import ops

    made: Tensor = ops.strided_backward(
        frames, shape=(frames.shape[0], reach), rule=("unfold", (1, n_fft, hop))
    )
    return made


def _cut(
    shown: str, total: Tensor, shares: Tensor, reach: int, start: int, length: int | None
) -> Tensor:
    """The part that is asked for, divided by what lies over it."""
    end = reach - start if length is None else start + length
    stop = min(end, reach)
    total, shares = (x.narrow(1, start, max(stop - start, 0)) for x in (total, shares))
    if shares.device.type != "meta" and bool(shares.abs().min().lt(_TOO_SHORT)):
        raise RuntimeError(f"{shown} window overlap add min: 1")
    made = total / shares
    if end <= reach:
        return made
    warn(
        "istft: The length of signal is shorter than the length parameter. Result is being padded "
        "with zeros in the tail. Please check your center and hop_length settings.",
        UserWarning,
    )
    more = zeros(made.shape[0], end - reach, dtype=made.dtype, device=made.device)
    from dovetail.ops import cat

    whole: Tensor = cat([made, more], 1)
    return whole
