"""``dovetail.fft`` against PyTorch: values, sizes, norms, errors, ``out=``, gradients."""

from __future__ import annotations

import itertools
import re
import warnings
from typing import Any

import numpy as np
import pytest

import dovetail as dt

torch = pytest.importorskip("torch", reason="parity needs the extra: pip install dovetail[parity]")

ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
TWO = tuple(f"{name}2" for name in ONE)
MANY = tuple(f"{name}n" for name in ONE)
NORMS = (None, "forward", "backward", "ortho")
REAL_ONLY = ("rfft", "ihfft", "rfft2", "ihfft2", "rfftn", "ihfftn")
TOLERANCE = {"complex64": 2e-6, "float32": 2e-6, "complex128": 1e-14, "float64": 1e-14}


def values(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    made = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        made = made + 1j * rng.standard_normal(shape)
    if dtype in ("int64", "bool"):
        made = made * 3
    return made.astype(dtype)


def ours(array: Any, device: Any) -> Any:
    return dt.tensor(array, device=device)


def check(mine: Any, theirs: Any, what: Any = "") -> None:
    name = str(theirs.dtype).removeprefix("torch.")
    assert (mine.dtype.name, tuple(mine.shape)) == (name, tuple(theirs.shape)), what
    expected = theirs.detach().resolve_conj().numpy()
    off = np.abs(np.array(dt.raw.to_host(mine.detach())) - expected).max(initial=0)
    size = max(1.0, float(np.abs(expected).max(initial=0)))
    assert off <= 8 * TOLERANCE[name] * size, (what, off)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "complex64", "complex128", "int64", "bool"]
)
@pytest.mark.parametrize("name", ONE)
def test_one_dim(name: str, dtype: str, device: Any) -> None:
    if dtype.startswith("complex") and name in REAL_ONLY:
        return
    x = values((3, 4, 5), dtype)
    for n, dim, norm in itertools.product((None, 1, 3, 8), (-1, 0, 1), NORMS):
        call = {"n": n, "dim": dim, "norm": norm}
        mine = getattr(dt.fft, name)(ours(x, device), **call)
        yours = getattr(torch.fft, name)(torch.tensor(x), **call)
        check(mine, yours, call)
        pairs = zip(mine.shape, mine.stride(), yours.stride(), strict=True)
        assert all(n == 1 or a == b for n, a, b in pairs), call


@pytest.mark.parametrize("dtype", ["float32", "complex128", "int64"])
@pytest.mark.parametrize("name", TWO + MANY)
def test_several_dims(name: str, dtype: str, device: Any) -> None:
    if dtype.startswith("complex") and name in REAL_ONLY:
        return
    x = values((3, 4, 5), dtype)
    calls: list[dict[str, Any]] = [
        {}, {"s": (2, 6)}, {"s": (5, -1)}, {"s": (-1, 3)}, {"dim": (0, 1)}, {"dim": (1, -1)},
        {"dim": (2, 0), "s": (3, 2)}, {"dim": 1}, {"dim": (1,), "s": 6}, {"axis": (0, 2)},
    ]  # fmt: skip
    for call, norm in itertools.product(calls, NORMS):
        if name in TWO and call == {"s": (5, -1)}:
            call = {"s": (5, -1), "dim": (0, 2)}
        mine = getattr(dt.fft, name)(ours(x, device), norm=norm, **call)
        check(mine, getattr(torch.fft, name)(torch.tensor(x), norm=norm, **call), call)


@pytest.mark.parametrize("name", [*ONE, *MANY])
def test_strided_input_and_empty_batch(name: str, device: Any) -> None:
    x = values((6, 8), "float32")
    mine = getattr(dt.fft, name)(ours(x, device)[::2].t())
    check(mine, getattr(torch.fft, name)(torch.tensor(x)[::2].t()))
    if name in ONE:  # PyTorch's library refuses it
        made = getattr(dt.fft, name)(dt.zeros(0, 4, device=device))
        sizes = {"rfft": 3, "ihfft": 3, "irfft": 6, "hfft": 6}
        assert tuple(made.shape) == (0, sizes.get(name, 4))


def test_no_dims(device: Any) -> None:
    x = values((3, 4), "float32")
    check(dt.fft.fftn(ours(x, device), dim=()), torch.fft.fftn(torch.tensor(x), dim=()))
    check(dt.fft.fftn(dt.tensor(2.0, device=device)), torch.fft.fftn(torch.tensor(2.0)))


WRONG: dict[str, Any] = {
    "half": lambda lib, x, c: lib.fft.fft(x.half()),
    "bfloat16": lambda lib, x, c: lib.fft.rfft(x.bfloat16()),
    "half of several": lambda lib, x, c: lib.fft.irfftn(x.half()),
    "no points": lambda lib, x, c: lib.fft.fft(x, n=0),
    "negative n": lambda lib, x, c: lib.fft.ihfft(x, n=-1),
    "irfft n": lambda lib, x, c: lib.fft.irfft(x, n=0),
    "irfft of one": lambda lib, x, c: lib.fft.irfft(x[:, :1]),
    "empty signal": lambda lib, x, c: lib.fft.fft(x[:, :0]),
    "dim": lambda lib, x, c: lib.fft.fft(x, dim=2),
    "dims": lambda lib, x, c: lib.fft.fftn(x, dim=(0, -3)),
    "0-d": lambda lib, x, c: lib.fft.fft(x[0, 0]),
    "0-d, dims": lambda lib, x, c: lib.fft.fftn(x[0, 0], dim=0),
    "norm": lambda lib, x, c: lib.fft.fft(x, norm="x"),
    "norm of several": lambda lib, x, c: lib.fft.hfftn(x, norm=""),
    "norm's class": lambda lib, x, c: lib.fft.fft(x, norm=3),
    "rfft of complex": lambda lib, x, c: lib.fft.rfft(c),
    "ihfft of complex": lambda lib, x, c: lib.fft.ihfft(c),
    "rfftn of complex": lambda lib, x, c: lib.fft.rfftn(c),
    "a dim twice": lambda lib, x, c: lib.fft.fftn(x, dim=(0, -2)),
    "lengths": lambda lib, x, c: lib.fft.fftn(x, s=(1, 2), dim=0),
    "too many sizes": lambda lib, x, c: lib.fft.fftn(x, s=(1, 2, 3)),
    "size 0": lambda lib, x, c: lib.fft.fftn(x, s=(0, 2)),
    "rfftn of none": lambda lib, x, c: lib.fft.rfftn(x, dim=()),
    "irfftn of none": lambda lib, x, c: lib.fft.irfftn(x, dim=()),
    "hfftn of none": lambda lib, x, c: lib.fft.hfftn(x, dim=()),
    "ihfftn of none": lambda lib, x, c: lib.fft.ihfftn(x, dim=()),
    "fft2 of one": lambda lib, x, c: lib.fft.fft2(x[0]),
    "input's class": lambda lib, x, c: lib.fft.fft(3),
    "n's class": lambda lib, x, c: lib.fft.fft(x, "a"),
    "n is a bool": lambda lib, x, c: lib.fft.rfft(x, n=True),
    "dim's class": lambda lib, x, c: lib.fft.fft(x, dim=(0, 1)),
    "out, real": lambda lib, x, c: lib.fft.fft(x, out=x),
    "out, rfft": lambda lib, x, c: lib.fft.rfft(x, out=x),
    "out, complex": lambda lib, x, c: lib.fft.irfft(x, out=c),
    "out of a gradient": lambda lib, x, c: lib.fft.fft(x.requires_grad_(), out=c),
    "fftfreq n": lambda lib, x, c: lib.fft.fftfreq(-1),
    "fftfreq dtype": lambda lib, x, c: lib.fft.fftfreq(4, dtype=lib.int32),
    "fftfreq out": lambda lib, x, c: lib.fft.fftfreq(4, out=lib.empty(4, dtype=lib.int64)),
    "fftfreq class": lambda lib, x, c: lib.fft.fftfreq(4.5),
    "fftshift dim": lambda lib, x, c: lib.fft.fftshift(x, dim=3),
    "fftshift 0-d": lambda lib, x, c: lib.fft.fftshift(x[0, 0]),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name: str) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011 (the class is what is compared)
        WRONG[name](torch, torch.ones(3, 4), torch.ones(3, 4, dtype=torch.complex64))
    with pytest.raises(type(theirs.value)) as mine:
        WRONG[name](dt, dt.ones(3, 4), dt.ones(3, 4, dtype=dt.complex64))
    if "out of" not in name and "class" not in name:
        first = re.split(r"[\n,.]", str(theirs.value))[0]
        assert first.rstrip(".") in str(mine.value)


def test_out(device: Any) -> None:
    x = values((3, 4), "float32")
    for kind in ("complex64", "complex128"):
        out = dt.empty(3, 4, dtype=getattr(dt, kind), device=device)
        theirs = torch.empty(3, 4, dtype=getattr(torch, kind))
        assert dt.fft.fft(ours(x, device), out=out) is out
        torch.fft.fft(torch.tensor(x), out=theirs)
        np.testing.assert_allclose(out.cpu().numpy(), theirs.numpy(), 1e-5, 1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        out = dt.empty(2, device=device)
        dt.fft.irfft(ours(x, device), out=out)
    assert out.shape == (3, 6)


@pytest.mark.parametrize("n", [0, 1, 4, 5])
@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
def test_frequencies(name: str, n: int, device: Any) -> None:
    for options in ({}, {"dtype": "float64"}, {"dtype": "float16"}):
        named = {k: getattr(dt, v) for k, v in options.items()}
        theirs = {k: getattr(torch, v) for k, v in options.items()}
        mine = getattr(dt.fft, name)(n, 0.25, device=device, **named)
        expected = getattr(torch.fft, name)(n, 0.25, **theirs)
        assert (mine.dtype.name, tuple(mine.shape)) == (
            str(expected.dtype).removeprefix("torch."), tuple(expected.shape),
        )  # fmt: skip
        np.testing.assert_allclose(mine.cpu().numpy(), expected.numpy(), 1e-3 if options else 1e-6)
    assert getattr(dt.fft, name)(n, device=device, requires_grad=True).requires_grad
    out = dt.empty(n if name == "fftfreq" else n // 2 + 1, device=device)
    assert getattr(dt.fft, name)(n, out=out) is out


def test_frequencies_of_no_distance() -> None:
    mine, theirs = dt.fft.fftfreq(4, 0.0).numpy(), torch.fft.fftfreq(4, 0.0).numpy()
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("dim", [None, 0, (0,), (1, -1), (0, 0)])
@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
def test_shifts(name: str, dim: Any, device: Any) -> None:
    x = values((3, 4, 5), "float32")
    mine = getattr(dt.fft, name)(ours(x, device), dim)
    np.testing.assert_array_equal(
        mine.cpu().numpy(), getattr(torch.fft, name)(torch.tensor(x), dim).numpy()
    )


# ---------------------------------------------------------------- gradients


def _loss(lib: Any, name: str, x: Any, options: dict[str, Any]) -> Any:
    made = getattr(lib.fft, name)(x, **options)
    parts = lib.view_as_real(made.resolve_conj()) if made.is_complex() else made
    return (parts * parts * parts).sum()


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("name", [*ONE, *MANY])
def test_gradients_first_and_second(name: str, dtype: str, device: Any) -> None:
    if dtype.startswith("complex") and name in REAL_ONLY:
        return
    calls: list[dict[str, Any]] = [{}, {"norm": "ortho"}]
    calls += [{"n": 6, "dim": 0}, {"n": 3}] if name in ONE else [{"s": (5, 2)}, {"dim": (1, 0)}]
    for options in calls:
        both = []
        for lib in (dt, torch):
            x = (
                ours(values((3, 4), dtype), device)
                if lib is dt
                else torch.tensor(values((3, 4), dtype))
            )
            x.requires_grad_()
            (first,) = lib.autograd.grad(_loss(lib, name, x, options), x, create_graph=True)
            size = (
                (first * first.conj()).real.sum() if first.is_complex() else (first * first).sum()
            )
            (second,) = lib.autograd.grad(size, x)
            both.append((first, second))
        for mine, theirs in zip(*both, strict=True):
            check(mine, theirs, (name, options))


def test_gradcheck(device: Any) -> None:
    for name in ("fft_c2c", "fft_c2r"):
        from dovetail.ops.spectral import fourier

        function = getattr(fourier, name)
        rest = (True,) if name == "fft_c2c" else (6,)
        x = ours(values((2, 4), "complex128"), device).requires_grad_()
        call = lambda x, f=function, r=rest: f(x, (0, 1), 1, *r)
        assert dt.autograd.gradcheck(call, (x,))
        assert dt.autograd.gradgradcheck(call, (x,))
