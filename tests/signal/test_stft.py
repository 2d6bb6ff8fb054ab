"""``stft`` and ``istft`` against PyTorch: values, options, errors, gradients, the way back."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

pytestmark = pytest.mark.filterwarnings("ignore:.*[wW]indow was not provided")

RNG = np.random.default_rng(0)
LONG = RNG.standard_normal(40)
BATCH = RNG.standard_normal((3, 37))
WINDOW = RNG.uniform(0.5, 1, 8)
SHORT = RNG.uniform(0.5, 1, 5)


def check(mine: Any, theirs: Any, what: Any = "") -> None:
    name = str(theirs.dtype).removeprefix("torch.")
    assert (mine.dtype.name, tuple(mine.shape)) == (name, tuple(theirs.shape)), what
    made = np.array(dt.raw.to_host(mine.detach()))
    expected = theirs.detach().resolve_conj().numpy()
    rtol = 1e-5 if name in ("float32", "complex64") else 1e-11
    np.testing.assert_allclose(made, expected, rtol, rtol, err_msg=str(what))


CALLS: list[dict[str, Any]] = [
    {"window": WINDOW},
    {},
    {"window": SHORT, "win_length": 5},
    {"win_length": 5, "hop_length": 3},
    {"window": WINDOW, "center": False},
    {"window": SHORT, "win_length": 5, "center": False, "align_to_window": False},
    {"window": SHORT[:4], "win_length": 4, "center": False, "align_to_window": True},
    {"window": WINDOW, "pad_mode": "constant"},
    {"window": WINDOW, "pad_mode": "replicate", "hop_length": 5},
    {"window": WINDOW, "pad_mode": "circular"},
    {"window": WINDOW, "normalized": True},
    {"window": WINDOW, "onesided": False},
    {"window": WINDOW, "return_complex": False},
    {"window": WINDOW + 0.5j},
    {"window": WINDOW, "n_fft": 7, "win_length": 7},
]


def call(lib: Any, x: Any, options: dict[str, Any], device: Any = None) -> Any:
    make = (lambda a: dt.tensor(a, device=device)) if lib is dt else torch.tensor
    options = {"return_complex": True, "n_fft": 8, **options}
    if options.get("window") is not None:
        kind = x.real.dtype if not np.iscomplexobj(options["window"]) else None
        window = options["window"][: options.get("win_length") or options["n_fft"]]
        options["window"] = make(window.astype(kind) if kind else window)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*return_complex=False")
        return lib.stft(make(x), options.pop("n_fft"), **options)


@pytest.mark.parametrize("options", CALLS, ids=str)
def test_stft(options: dict[str, Any], device: Any) -> None:
    for x in (LONG, BATCH, LONG.astype(np.float32)):
        check(call(dt, x, options, device), call(torch, x, options), options)


def test_stft_of_complex_signals(device: Any) -> None:
    x = LONG + 1j * LONG[::-1]
    for options in ({"window": WINDOW}, {"window": WINDOW, "return_complex": None}):
        check(call(dt, x, options, device), call(torch, x, options), options)


INVERSE: list[dict[str, Any]] = [
    {"window": WINDOW},
    {"window": WINDOW, "length": 33},
    {"window": WINDOW, "length": 50},
    {"window": WINDOW, "normalized": True},
    {"window": WINDOW, "hop_length": 3},
    {"window": WINDOW, "center": False},
    {"window": WINDOW, "center": False, "length": 20},
    {"window": SHORT, "win_length": 5},
    {"win_length": 5},
    {"window": WINDOW, "onesided": False},
    {"window": WINDOW, "onesided": False, "return_complex": True},
]


@pytest.mark.parametrize("options", INVERSE, ids=str)
def test_istft(options: dict[str, Any], device: Any) -> None:
    frequencies = 8 if options.get("onesided") is False else 5
    for shape in ((frequencies, 9), (2, frequencies, 9)):
        x = RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)
        both = []
        for lib in (dt, torch):
            make = (lambda a: dt.tensor(a, device=device)) if lib is dt else torch.tensor
            named = {k: make(v) if k == "window" else v for k, v in options.items()}
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*length of signal is shorter")
                both.append(lib.istft(make(x), 8, **named))
        check(*both, options)


def test_there_and_back(device: Any) -> None:
    window = dt.hann_window(8, dtype=dt.float64, device=device)
    x = dt.tensor(BATCH, device=device)
    spectra = dt.stft(x, 8, window=window, return_complex=True)
    back = dt.istft(spectra, 8, window=window, length=37)
    np.testing.assert_allclose(back.cpu().numpy(), BATCH, 1e-12, 1e-12)
    np.testing.assert_allclose(spectra.istft(8, window=window, length=37).cpu(), BATCH, 1e-12)


def test_warnings() -> None:
    with pytest.warns(UserWarning, match="window was not provided"):
        dt.stft(dt.ones(16), 4, return_complex=True)
    with pytest.warns(UserWarning, match="return_complex=False is deprecated"):
        dt.stft(dt.ones(16), 4, window=dt.ones(4), return_complex=False)
    spectra = dt.stft(dt.ones(16), 4, window=dt.ones(4), return_complex=True)
    with pytest.warns(UserWarning, match="window was not provided"):
        dt.istft(spectra, 4)
    with pytest.warns(UserWarning, match="length of signal is shorter"):
        assert dt.istft(spectra, 4, window=dt.ones(4), length=30).shape == (30,)


WRONG: dict[str, Any] = {
    "return_complex": lambda lib, x, w, c: lib.stft(x, 8, window=w),
    "integers": lambda lib, x, w, c: lib.stft(x.int(), 8, window=w, return_complex=True),
    "dims": lambda lib, x, w, c: lib.stft(x.reshape(1, 2, 20), 8, window=w, return_complex=True),
    "n_fft": lambda lib, x, w, c: lib.stft(x, 0, window=w, return_complex=True),
    "n_fft too long": lambda lib, x, w, c: lib.stft(x, 50, center=False, return_complex=True),
    "hop": lambda lib, x, w, c: lib.stft(x, 8, hop_length=0, return_complex=True),
    "win_length": lambda lib, x, w, c: lib.stft(x, 8, win_length=9, return_complex=True),
    "window": lambda lib, x, w, c: lib.stft(x, 8, window=w[:7], return_complex=True),
    "window's dims": lambda lib, x, w, c: lib.stft(x, 8, window=w[None], return_complex=True),
    "half": lambda lib, x, w, c: lib.stft(x.half(), 8, return_complex=True),
    "onesided": lambda lib, x, w, c: lib.stft(x + 0j, 8, onesided=True),
    "pad_mode": lambda lib, x, w, c: lib.stft(x, 8, pad_mode="x", return_complex=True),
    "padding": lambda lib, x, w, c: lib.stft(x, 100, return_complex=True),
    "align": lambda lib, x, w, c: lib.stft(x, 8, align_to_window=True, return_complex=True),
    "istft of real": lambda lib, x, w, c: lib.istft(x, 8),
    "istft, dims": lambda lib, x, w, c: lib.istft(c[None, None], 8),
    "istft, one dim": lambda lib, x, w, c: lib.istft(c[0], 8),
    "istft, n_fft": lambda lib, x, w, c: lib.istft(c, 10),
    "istft, onesided": lambda lib, x, w, c: lib.istft(c, 8, onesided=False),
    "istft, hop": lambda lib, x, w, c: lib.istft(c, 8, hop_length=9),
    "istft, hop 0": lambda lib, x, w, c: lib.istft(c, 8, hop_length=0),
    "istft, win_length": lambda lib, x, w, c: lib.istft(c, 8, win_length=9),
    "istft, window": lambda lib, x, w, c: lib.istft(c, 8, window=w[:7]),
    "istft, complex": lambda lib, x, w, c: lib.istft(c, 8, return_complex=True),
    "istft, complex window": lambda lib, x, w, c: lib.istft(c, 8, window=w + 0j),
    "istft, empty": lambda lib, x, w, c: lib.istft(c[:, :0], 8),
    "istft, zeros": lambda lib, x, w, c: lib.istft(c, 8, window=w * 0),
    "istft, length": lambda lib, x, w, c: lib.istft(c, 8, window=w, length=0),
}

OTHER_WORDS = ("half", "pad_mode", "padding", "istft, one dim", "istft, length", "istft, zeros")


@pytest.mark.parametrize("name", WRONG)
def test_errors(name: str) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011 (the class is what is compared)
        WRONG[name](torch, torch.ones(40), torch.ones(8), torch.ones(5, 21) + 0j)
    with pytest.raises(type(theirs.value)) as mine:
        WRONG[name](dt, dt.ones(40), dt.ones(8), dt.ones(5, 21) + 0j)
    said = str(theirs.value).split(") : ")[-1].split("\n")[0]
    if name not in (
        "half",
        "pad_mode",
        "padding",
        "istft, one dim",
        "istft, length",
        "istft, zeros",
    ):
        assert said[:60] in str(mine.value)


def test_gradients(device: Any) -> None:
    both = []
    for lib in (dt, torch):
        make = (lambda a: dt.tensor(a, device=device)) if lib is dt else torch.tensor
        x, w = make(BATCH).requires_grad_(), make(WINDOW).requires_grad_()
        spectra = lib.stft(x, 8, window=w, return_complex=True)
        back = lib.istft(spectra * spectra, 8, window=w)
        first = lib.autograd.grad((back * back).sum(), (x, w), create_graph=True)
        size = sum((g * g).sum() for g in first)
        both.append((*first, *lib.autograd.grad(size, (x, w))))
    for mine, theirs in zip(*both, strict=True):
        made, expected = mine.detach().cpu().numpy(), theirs.detach().numpy()
        np.testing.assert_allclose(made, expected, 1e-9, 1e-9 * abs(expected).max())
