"""Factorizations of small matrices, and matrix_exp, beside LAPACK's of float64, in both classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import fallback
from dovetail.errors import HostFallbackError, LinAlgError

CASES = """
import os
import numpy as np
import dovetail as dt

random = np.random.default_rng(0)
KINDS = "float32", "complex64", "float64", "complex128"
if os.environ["DOVETAIL_OPENCL_CLASS"] == "gpu":  # PoCL takes seconds for each
    KINDS = KINDS[:2]

def drawn(shape, kind, how):
    x = random.standard_normal(shape)
    x = (x + 1j * random.standard_normal(shape) if "complex" in kind else x).astype(kind)
    if how == "of low rank" and shape[-1] > 1:
        x[..., -1] = 2 * x[..., 0]
    if how == "zero":
        x[...] = 0
    if how == "tiny":
        x *= 1e-30
    return x, x.astype("complex128" if "complex" in kind else "float64")

def back(x):
    return np.swapaxes(x, -2, -1).conj()

def given(x):  # transposed in memory, and not at its beginning
    wide = np.zeros((2, *x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    wide[1] = np.swapaxes(x, -2, -1)
    return dt.tensor(wide, device="opencl:0")[1].mT

def near(found, wanted, kind, size=1.0, factor=32):
    bound = factor * np.finfo(kind).eps * max(size, 1e-300)
    assert np.shape(found) == np.shape(wanted), (np.shape(found), np.shape(wanted))
    assert np.all(np.abs(found - wanted) <= bound), np.max(np.abs(found - wanted)) / bound

def orthonormal(q, kind):
    one = np.broadcast_to(np.eye(q.shape[-1]), (*q.shape[:-2], *[q.shape[-1]] * 2))
    near(back(q) @ q, one, kind)

def every(shapes, *hows):
    for kind in KINDS:
        for shape in shapes:
            for how in hows:
                x, wide = drawn(shape, kind, how)
                size = np.abs(wide).max(initial=0) * max(shape[-2:]) ** 0.5
                yield kind, x, wide, size

def on_host(made):
    return [x.cpu().numpy() for x in made]
"""

CHECKS = {
    "qr": """
shapes = (5, 4, 3), (33, 6, 6), (3, 4), (1, 7), (2, 9, 9)
for kind, x, wide, size in every(shapes, "full", "of low rank", "zero", "tiny"):
    for mode in ("reduced", "complete"):
        q, r = on_host(dt.linalg.qr(given(x), mode))
        near(q @ r, wide, kind, size)
        orthonormal(q, kind)
        assert not np.tril(r, -1).any() and not np.diagonal(r, 0, -2, -1).imag.any()
    near(on_host(dt.linalg.qr(given(x), "r"))[1], r[..., : min(x.shape[-2:]), :], kind, size)
# The signs are LAPACK's, and so is what geqrf leaves.
for kind, x, wide, size in every(((4, 3), (6, 6)), "full"):
    packed, tau = np.linalg.qr(wide, "raw")
    found, ours = on_host(dt.geqrf(given(x)))
    near(found, packed.T, kind, size, 256)
    near(ours, tau, kind, 1, 256)
""",
    "eigh": """
shapes = (5, 4, 4), (33, 6, 6), (1, 1), (2, 9, 9)
for kind, x, wide, size in every(shapes, "full", "zero", "tiny"):
    wide = np.tril(wide) + back(np.tril(wide, -1))
    wide = wide - 1j * np.eye(wide.shape[-1]) * wide.imag if "complex" in kind else wide
    for part in "LU":
        given_part = np.tril(wide) if part == "L" else np.triu(wide)
        values, vectors = on_host(dt.linalg.eigh(given(given_part.astype(kind)), part))
        near(values, np.linalg.eigvalsh(wide), kind, size)
        near(wide @ vectors, vectors * values[..., None, :], kind, size)
        orthonormal(vectors, kind)
        alone = dt.linalg.eigvalsh(given(given_part.astype(kind)), part).cpu().numpy()
        near(alone, values, kind, size)
""",
    "svd": """
shapes = (5, 4, 3), (33, 5, 5), (3, 4), (1, 7), (2, 8, 8)
for kind, x, wide, size in every(shapes, "full", "of low rank", "zero", "tiny"):
    k = min(x.shape[-2:])
    for full in (False, True):
        u, s, vh = on_host(dt.linalg.svd(given(x), full))
        near((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], wide, kind, size)
        orthonormal(u, kind)
        orthonormal(back(vh), kind)
        near(s, np.linalg.svd(wide, compute_uv=False), kind, size)
        assert np.all(np.diff(s) <= 0) and np.all(s >= 0)
    near(dt.linalg.svdvals(given(x)).cpu().numpy(), s, kind, size)
""",
    "solutions": """
for kind, x, wide, _ in every(((5, 4, 3), (17, 5, 5), (3, 4)), "full", "of low rank"):
    is_full = np.linalg.matrix_rank(wide, tol=1e-4).min() == min(wide.shape[-2:])
    inverse = np.linalg.pinv(wide, rcond=1e-4)
    size = np.abs(inverse).max() * (np.linalg.cond(wide).max() if is_full else 1e3)
    near(dt.linalg.pinv(given(x), rtol=1e-4).cpu().numpy(), inverse, kind, size)
    right, of_right = drawn((*x.shape[:-1], 2), kind, "full")
    for driver in ("gels", "gelsd") if is_full else ("gelsd",):
        found = dt.linalg.lstsq(given(x), given(right), rcond=1e-4, driver=driver)
        near(found.solution.cpu().numpy(), inverse @ of_right, kind, 8 * size)
    if x.shape[-2] == x.shape[-1]:
        even, other = x + back(x), wide + back(wide)
        found = dt.linalg.pinv(given(even), rtol=1e-4, hermitian=True).cpu().numpy()
        size = np.abs(np.linalg.pinv(other, rcond=1e-4)).max() * 1e3
        near(found, np.linalg.pinv(other, rcond=1e-4), kind, size)
""",
    "exponentials": """
for kind, x, wide, _ in every(((5, 3, 3), (33, 4, 4), (2, 6, 6)), "full", "zero"):
    for factor in (0.1, 3.0):
        values, vectors = wide[..., 0], np.eye(x.shape[-1])
        if wide.any():
            values, vectors = np.linalg.eig(wide * factor)
        wanted = (vectors * np.exp(values)[..., None, :]) @ np.linalg.inv(vectors)
        size = np.abs(wanted).max((-2, -1), keepdims=True) * np.linalg.cond(vectors).max() * 16
        found = dt.linalg.matrix_exp(given((x * factor).astype(kind))).cpu().numpy()
        near(found / size, wanted / size, kind)
half = dt.tensor(np.array([[0, 1], [-1, 0]]), dtype=dt.float16, device="opencl:0").matrix_exp()
assert half.dtype is dt.float16
turned = [[np.cos(1), np.sin(1)], [-np.sin(1), np.cos(1)]]
near(half.cpu().numpy().astype("float64"), turned, "float16", 1, 1)
lost = np.array([[[1, np.inf], [0, 1]], [[0, 0], [0, 0]]], "float32")
lost = dt.tensor(lost, device="opencl:0").matrix_exp()
assert np.isnan(lost[0].cpu().numpy()).all() and (lost[1].cpu().numpy() == np.eye(2)).all()
""",
    "nothing": """
for shape in ((0, 3), (3, 0), (0, 0), (0, 2, 2), (2, 0, 3)):
    x, like = dt.zeros(shape, device="opencl:0"), np.zeros(shape)
    for mode in ("reduced", "complete"):
        made = on_host(dt.linalg.qr(x, mode))
        for ours, theirs in zip(made, np.linalg.qr(like, mode), strict=True):
            near(ours, theirs, "float32")
    for full in (False, True):
        made = on_host(dt.linalg.svd(x, full))
        for ours, theirs in zip(made, np.linalg.svd(like, full), strict=True):
            near(ours, theirs, "float32")
    assert dt.linalg.pinv(x).shape == (*shape[:-2], shape[-1], shape[-2])
    right = dt.ones(*shape[:-1], 2, device="opencl:0")
    for driver in ("gels", "gelsd"):
        found = dt.linalg.lstsq(x, right, driver=driver).solution
        assert found.shape == (*shape[:-2], shape[-1], 2) and not found.cpu().numpy().any()
""",
}


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
@pytest.mark.parametrize("name", list(CHECKS))
def test_both_classes_of_device_compute_what_lapack_does(
    in_class: Callable[[str, str], None], name: str, kind: str
) -> None:
    in_class(CASES + CHECKS[name], kind)


@pytest.mark.parametrize(
    "name", ["qr", "eigh", "eigvalsh", "svd", "svdvals", "matrix_exp", "lstsq", "pinv"]
)
def test_launches(opencl: dt.device, queue: Any, name: str) -> None:
    x = dt.tensor(np.random.default_rng(0).standard_normal((20, 4, 4)), device=opencl)
    function = getattr(dt.linalg, name)

    def made() -> Any:
        return function(x, x, driver="gels") if name == "lstsq" else function(x)

    made()
    before = queue.launches
    made()
    # gels is given a limit that it does not need.
    assert queue.launches == before + {"lstsq": 2}.get(name, 1)


def test_what_is_not_finite_is_told_when_values_are_asked_for(opencl: dt.device) -> None:
    x = np.eye(3, dtype=np.float32)[None].repeat(20, 0)
    x[17, 2, 1] = np.nan
    with pytest.raises(LinAlgError, match="the input matrix contained non-finite values"):
        dt.linalg.svd(dt.tensor(x, device=opencl)).S.cpu()
    for found in dt.linalg.eigh(dt.tensor(x, device=opencl)):
        wrong = np.isnan(found.cpu().numpy()).reshape(20, -1)
        assert wrong[17].all()
        assert not wrong[:17].any()


def test_large_matrices_are_left_to_the_host(
    opencl: dt.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOVETAIL_FALLBACK", "error")
    fallback.ledger.clear()
    for name in ("qr", "eigh", "svd"):
        function = getattr(dt.linalg, name)
        function(dt.ones(64, 6, 6, device=opencl))
        with pytest.raises(HostFallbackError):
            function(dt.ones(300, 300, device=opencl))
