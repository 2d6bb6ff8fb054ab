"""Fourier transforms on the device: one launch for few points, as exact as their definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt

SETUP = """
import os
import numpy as np
import dovetail as dt

os.environ["DOVETAIL_FALLBACK"] = "error"
random = np.random.default_rng(0)

def drawn(shape, kind):
    x = random.standard_normal(shape)
    if np.dtype(kind).kind == "c":
        x = x + 1j * random.standard_normal(shape)
    return x.astype(kind)

def compared(name, x, *given, **options):
    # Errors of a transform grow as log2 of its points, in units of the root mean square.
    x = np.asarray(x)
    found = getattr(dt.fft, name)(dt.tensor(x, device="opencl:0"), *given, **options)
    if "dim" in options:
        dim = options.pop("dim")
        options["axes" if isinstance(dim, tuple) else "axis"] = dim
    wide = x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    wanted = getattr(np.fft, name)(wide, *given, **options)
    found = found.cpu().numpy()
    assert found.shape == wanted.shape
    assert found.real.dtype == x.real.dtype
    points = max(x.size, 2)
    size = np.sqrt(np.mean(abs(wanted) ** 2)) if wanted.size else 1.0
    unit = np.finfo(x.real.dtype).eps / 2
    off = abs(found - wanted).max(initial=0) / max(size, 1e-300)
    assert off < 6 * unit * (np.log2(points) + 2), (name, x.shape, given, options, off / unit)

def all_four(n, lines, kind):
    x = drawn((lines, n), kind)
    for axis in (0, 1):
        turned = x if axis else x.T
        laid = np.ascontiguousarray(turned)
        half = np.ascontiguousarray(turned[:, : n // 2 + 1] if axis else turned[: n // 2 + 1])
        compared("fft", laid, dim=axis)
        compared("ifft", laid, dim=axis, norm="ortho")
        compared("rfft", np.ascontiguousarray(laid.real), dim=axis, norm="forward")
        compared("irfft", half, n, dim=axis, norm="ortho")
"""

CHECKS = {
    "lengths": """
for n in (*range(1, 10), 15, 16, 30, 49, 61, 64, 67, 100, 113, 224, 1000, 1009, 1024, 2048):
    all_four(n, 3, "complex64")
    all_four(n, 1, "complex128")
for lines in (15, 16, 17, 33):
    all_four(60, lines, "complex64")
    all_four(67, lines, "complex128")
""",
    "long lines": """
for n in (4099, 5000, 8192, 3 * 5 * 7 * 11 * 13):
    all_four(n, 2, "complex64")
all_four(1 << 16, 1, "complex64")
all_four(100003, 1, "complex128")
""",
    "steps": """
# The same steps with little memory: two and three of them for a line, on either side of a chirp.
import dovetail_kernels.fused.fourier as fourier
from dovetail_kernels.fused.fourier_steps import Plan
whole = fourier._plan
try:
    for most in (8, 16):
        fourier._plan = lambda device, itemsize, lines: Plan(most, 2 * most + 40)
        for n in (12, 34, 60, 64, 67, 120, 128):
            for lines in (1, 17):
                all_four(n, lines, "complex64")
finally:
    fourier._plan = whole
""",
    "several dims": """
x = drawn((3, 4, 5, 6), "complex64")
for dims in ((0,), (2, 1), (3, 0), (0, 1, 2, 3), (1, 3, 2)):
    compared("fftn", x, dim=dims)
    compared("ifftn", x, dim=dims, norm="forward")
    compared("rfftn", x.real, dim=dims)
    compared("irfftn", x, dim=dims)
compared("rfft2", drawn((2, 3, 40, 41), "float32"))
compared("irfft2", drawn((2, 3, 40, 41), "complex128"))
compared("fft2", drawn((70, 130), "complex128"))
""",
    "other sizes": """
x = drawn((5, 12), "complex64")
for n in (1, 7, 12, 20):
    compared("fft", x, n)
    compared("rfft", x.real, n)
    compared("irfft", x, n)
    compared("hfft", x, n)
    compared("ihfft", x.real, n)
compared("fft2", x, (3, 20))
compared("fft", np.zeros((0, 4), np.complex64))
""",
    "views": """
flat = drawn(3000, "complex64")
base = dt.tensor(flat, device="opencl:0")
for cut, view in (
    (flat[7::3], base[7::3]),
    (flat[1:601].reshape(20, 30).T, base[1:601].reshape(20, 30).t()),
    (np.broadcast_to(flat[5:14], (4, 9)), base[5:14].expand(4, 9)),
    (flat[:960].reshape(4, 10, 24)[:, 2:9, ::2], base[:960].reshape(4, 10, 24)[:, 2:9, ::2]),
):
    for axis in range(cut.ndim):
        wanted = np.fft.fft(cut.astype(np.complex128), axis=axis)
        found = dt.fft.fft(view, dim=axis).cpu().numpy()
        assert abs(found - wanted).max() < 3e-6 * abs(wanted).max()
        wanted = np.fft.rfft(cut.real.astype(np.float64), axis=axis)
        found = dt.fft.rfft(view.real, dim=axis).cpu().numpy()
        assert abs(found - wanted).max() < 3e-6 * abs(wanted).max()
""",
    "what is no number": """
x = drawn((20, 64), "complex64")
x[3, 5], x[7, 0] = np.nan, np.inf
for kind in ("fft", "rfft", "irfft"):
    for axis in (0, 1):
        laid = np.ascontiguousarray(x if axis else x.T)
        laid = laid.real if kind == "rfft" else laid
        given = dt.tensor(np.ascontiguousarray(laid), device="opencl:0")
        found = getattr(dt.fft, kind)(given, dim=axis).cpu().numpy()
        found = found if axis else found.T
        spoilt = ~np.isfinite(found).all(1)
        assert spoilt.nonzero()[0].tolist() == [3, 7], (kind, axis)
        assert not np.isfinite(found[[3, 7]]).any(), (kind, axis)
# The imaginary part of what is its own mirror image counts nothing, whatever it is.
half = drawn((2, 9), "complex64")
odd = half.copy()
odd.imag[:, [0, 8]] = np.nan
made = [dt.fft.irfft(dt.tensor(h, device="opencl:0"), 16).cpu().numpy() for h in (half, odd)]
assert (made[0] == made[1]).all()
""",
    "gradients": """
for n in (7, 8):
    x = drawn((3, n), "complex128")
    for name, given, like in (
        ("fft", x, "complex128"), ("rfft", x.real, "float64"), ("irfft", x, "complex128"),
    ):
        made = []
        for device in ("cpu", "opencl:0"):
            leaf = dt.tensor(given.astype(like), device=device, requires_grad=True)
            out = getattr(dt.fft, name)(leaf)
            weights = np.cos(np.arange(out.numel())).reshape(tuple(out.shape))
            out = dt.view_as_real(out).sum(-1) if out.dtype.is_complex else out
            (out * dt.tensor(weights, device=device)).sum().backward()
            made.append(leaf.grad.cpu().numpy())
        np.testing.assert_allclose(*made, rtol=0, atol=1e-13 * abs(made[0]).max())
""",
    "short-time spectra": """
signal, window = drawn((2, 400), "float64"), np.hanning(64)
made = []
for device in ("cpu", "opencl:0"):
    x, w = dt.tensor(signal, device=device), dt.tensor(window, device=device)
    spectra = dt.stft(x, 64, window=w, return_complex=True)
    made.append(spectra.cpu().numpy())
    back = dt.istft(spectra, 64, window=w, length=400)
    np.testing.assert_allclose(back.cpu().numpy(), signal, atol=1e-12)
np.testing.assert_allclose(*made, rtol=0, atol=1e-12)
""",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_both_classes_of_device_compute_what_the_definition_says(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    in_class(SETUP + CHECKS[name], kind)


def _launches(queue: Any, function: Callable[[], Any]) -> int:
    function()
    before = queue.launches
    function()
    return int(queue.launches - before)


def test_few_points_are_one_launch(opencl: dt.device, queue: Any) -> None:
    x = dt.ones(8, 8, dtype=dt.complex64, device=opencl)
    half, real, prime = x[:, :5], dt.ones(8, 8, device=opencl), dt.ones(67, device=opencl)
    fft = dt.fft
    for function in (
        lambda: fft.fft(x), lambda: fft.ifft(x, dim=0), lambda: fft.fft2(x), lambda: fft.rfft(real),
        lambda: fft.rfft2(real), lambda: fft.irfft(half), lambda: fft.irfft2(half),
        lambda: fft.fft(real), lambda: fft.fft(prime),
    ):  # fmt: skip
        assert _launches(queue, function) == 1


def test_many_points_are_a_launch_for_each_step(opencl: dt.device, queue: Any) -> None:
    x = dt.ones(100, 60, 60, dtype=dt.complex64, device=opencl)
    assert _launches(queue, lambda: dt.fft.fft(x)) == 1
    assert _launches(queue, lambda: dt.fft.fftn(x)) == 3
    assert _launches(queue, lambda: dt.fft.fft(x.reshape(-1))) == 2


def test_a_length_has_one_table_for_all_layouts(opencl: dt.device, queue: Any) -> None:
    def tables() -> int:
        return sum(key[0] == "fourier" for key in queue.kept if isinstance(key, tuple))

    x = dt.ones(6, 46, dtype=dt.complex64, device=opencl)
    dt.fft.fft(x)
    before = tables()
    dt.fft.ifft(x[::2])
    dt.fft.fft(x.t(), dim=0)
    assert tables() == before > 0


def test_passes_and_steps_of_a_length() -> None:
    from dovetail_kernels.fused.fourier_tables import divided, good_length, radices

    for n in (*range(1, 200), 1024, 30030, 1 << 20):
        assert np.prod([1, *radices(n)]) == n
        assert good_length(n) >= n
        assert max(radices(good_length(n)), default=1) <= 8
        for most in (8, 64):
            parts = divided(n, most)
            assert not parts or (np.prod(parts) == n and max(parts) <= most)
    assert divided(1 << 20, 2048) == (1024, 1024)
    assert divided(1 << 20, 512) == (128, 128, 64)
    assert divided(127, 64) == ()
