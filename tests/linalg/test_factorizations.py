"""Factorizations by what they must satisfy: products, orthogonality, order, info, fallback."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from tests.parity.harness import torch

import dovetail as dt
from dovetail.backend.state import state_of
from dovetail.errors import HostFallbackError, HostFallbackWarning
from dovetail.ops.linear_algebra.matrices import LINALG

KINDS = (dt.float32, dt.float64, dt.complex64, dt.complex128)
SIDE = 131
"""More than four blocks of the kernels' own, and a rest."""


def matrix(dtype: Any, *shape: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if dtype.is_complex:
        x = x + 1j * rng.standard_normal(shape)
    return dt.tensor(x.astype(dtype.numpy))


def near(a: Any, b: Any, factor: float = 1.0) -> None:
    eps = float(np.finfo(a.dtype.numpy).eps)
    size = max(1.0, float(b.abs().amax())) if b.numel() else 1.0
    assert a.shape == b.shape
    assert a.dtype is b.dtype
    if b.numel():
        assert float((a - b).abs().amax()) <= 200 * factor * eps * size * SIDE**0.5


def one(n: int, dtype: Any) -> Any:
    return dt.eye(n, dtype=dtype)


@pytest.mark.parametrize("dtype", KINDS, ids=str)
class TestLarge:
    def test_lu(self, dtype: Any) -> None:
        for shape in ((2, SIDE, SIDE), (SIDE, 40), (40, SIDE)):
            x = matrix(dtype, *shape)
            p, lower, upper = dt.linalg.lu(x)
            near(p @ lower @ upper, x)
            assert bool((lower.abs() <= 1.5).all())
            assert not lower.triu(1).abs().sum()
            assert not upper.tril(-1).abs().sum()

    @pytest.mark.parametrize("upper", [False, True])
    def test_solve_triangular(self, dtype: Any, upper: bool) -> None:
        a = matrix(dtype, 2, SIDE, SIDE) * 0.1 + 20 * one(SIDE, dtype)
        read = a.triu() if upper else a.tril()
        for b, left in ((matrix(dtype, 2, SIDE, 3), True), (matrix(dtype, 3, SIDE), False)):
            x = dt.linalg.solve_triangular(a, b, upper=upper, left=left)
            near(read @ x if left else x @ read, b.expand(x.shape), 10)

    def test_cholesky(self, dtype: Any) -> None:
        x = matrix(dtype, SIDE, SIDE)
        x = x @ x.mH + SIDE * one(SIDE, dtype)
        lower = dt.linalg.cholesky(x)
        near(lower @ lower.mH, x)
        near(dt.linalg.cholesky(x.tril()), lower)
        near(dt.linalg.cholesky(x.triu(), upper=True), lower.mH.contiguous(), 10)
        near(x @ dt.cholesky_inverse(lower), one(SIDE, dtype), 10)

    def test_qr_and_reflections(self, dtype: Any) -> None:
        x = matrix(dtype, SIDE, 50)
        for mode, k in (("reduced", 50), ("complete", SIDE)):
            q, r = dt.linalg.qr(x, mode)
            near(q @ r, x)
            near(q.mH @ q, one(k, dtype))
        a, tau = dt.geqrf(x)
        near(dt.linalg.householder_product(a, tau) @ a.triu()[:50], x)
        full = dt.ormqr(a, tau, one(SIDE, dtype))
        near(full.mH @ full, one(SIDE, dtype))
        near(dt.ormqr(a, tau, x, transpose=True)[:50], a.triu()[:50])
        near(dt.ormqr(a, tau, x.mH, left=False), x.mH @ full, 10)

    def test_svd(self, dtype: Any) -> None:
        x = matrix(dtype, 40, SIDE)
        u, s, vh = dt.linalg.svd(x)
        near((u * s) @ vh[:40], x)
        near(vh @ vh.mH, one(SIDE, dtype))
        near(dt.linalg.svdvals(x), s)
        assert bool((s[:-1] >= s[1:]).all())

    def test_eigen(self, dtype: Any) -> None:
        x = matrix(dtype, 60, 60)
        h = x + x.mH
        w, v = dt.linalg.eigh(h)
        near((v * w) @ v.mH, h)
        near(dt.linalg.eigh(h.triu(), "U").eigenvalues, w)
        near(dt.linalg.eigvalsh(h), w)
        values, vectors = dt.linalg.eig(x)
        near(x.to(vectors.dtype) @ vectors, vectors * values, 10)

    def test_ldl(self, dtype: Any) -> None:
        x = matrix(dtype, 2, 30, 30)
        for hermitian in (False, True) if dtype.is_complex else (False,):
            h = x + (x.mH if hermitian else x.mT)
            packed, pivots = dt.linalg.ldl_factor(h, hermitian=hermitian)
            assert bool((pivots < 0).any())
            theirs = torch.linalg.ldl_factor(torch.tensor(h.numpy()), hermitian=hermitian)
            assert pivots.tolist() == theirs.pivots.tolist()
            near(packed, dt.tensor(theirs.LD.tril().numpy()), 100)
            b = matrix(dtype, 30, 2)
            made = dt.linalg.ldl_solve(packed, pivots, b, hermitian=hermitian)
            near(h @ made, b.expand(2, 30, 2), 1000)


def test_info_names_the_first_that_fails() -> None:
    good, bad = dt.eye(3), dt.diag(dt.tensor([1.0, -1.0, 1.0]))
    made, info = dt.linalg.cholesky_ex(dt.stack([good, bad]))
    assert info.tolist() == [0, 2]
    assert info.dtype is dt.int32
    assert dt.equal(made[0], good)
    singular = dt.stack([good, dt.diag(dt.tensor([1.0, 0.0, 0.0]))])
    assert dt.linalg.lu_factor_ex(singular).info.tolist() == [0, 2]
    assert dt.linalg.inv_ex(singular).info.tolist() == [0, 2]
    assert dt.linalg.solve_ex(singular, dt.ones(3, 1)).info.tolist() == [0, 2]
    assert dt.equal(dt.linalg.inv_ex(singular).inverse[0], good)
    flat = dt.diag(dt.tensor([1.0, 0.0]))
    assert dt.linalg.ldl_factor_ex(flat).info.item() == 2
    with pytest.raises(dt.linalg.LinAlgError, match="block 2 of D is zero"):
        dt.linalg.ldl_factor(flat)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_det_of_a_singular_matrix_has_gradients(rank: int) -> None:
    rng = np.random.default_rng(rank)
    values = rng.standard_normal((3, rank)) @ rng.standard_normal((rank, 3))
    values[2] = 0
    x = dt.tensor(values, requires_grad=True)
    x.det().backward()
    minors = [[np.delete(np.delete(values, i, 0), j, 1) for j in range(3)] for i in range(3)]
    signs = [[(-1) ** (i + j) for j in range(3)] for i in range(3)]
    cofactors = np.linalg.det(np.array(minors)) * signs
    np.testing.assert_allclose(x.grad.numpy(), cofactors, atol=1e-12)
    (first,) = dt.autograd.grad(x.det(), x, create_graph=True)
    np.testing.assert_allclose(first.detach().numpy(), cofactors, atol=1e-12)


def test_a_phase_that_is_free_has_no_gradient() -> None:
    x = matrix(dt.complex128, 3, 3).requires_grad_()
    with pytest.raises(RuntimeError, match="singular vectors in the complex case"):
        dt.linalg.svd(x).U.imag.sum().backward()
    with pytest.raises(RuntimeError, match="eigenvectors in the complex case"):
        dt.linalg.eigh(x + x.mH).eigenvectors.real.sum().backward()
    with pytest.raises(RuntimeError, match="eigenvectors in the complex case"):
        dt.linalg.eig(x).eigenvectors.imag.sum().backward()


def test_qr_without_a_gradient() -> None:
    x = matrix(dt.float64, 4, 2).requires_grad_()
    with pytest.raises(RuntimeError, match="mode='complete' and nrows > ncols"):
        dt.linalg.qr(x, "complete").R.sum().backward()
    with pytest.raises(RuntimeError, match="mode='r'"):
        dt.linalg.qr(x, "r").R.sum().backward()


def test_results_are_named_as_in_pytorch() -> None:
    calls = {
        "cholesky_ex": (), "eig": (), "eigh": (), "inv_ex": (), "ldl_factor": (),
        "ldl_factor_ex": (), "lu": (), "lu_factor": (), "lu_factor_ex": (), "qr": (),
        "slogdet": (), "svd": (), "solve_ex": (1,), "lstsq": (1,),
    }  # fmt: skip
    for name, more in calls.items():
        mine = getattr(dt.linalg, name)(dt.eye(2), *[dt.eye(2) for _ in more])
        yours = getattr(torch.linalg, name)(torch.eye(2), *[torch.eye(2) for _ in more])
        assert type(mine).__name__ == type(yours).__name__.removeprefix("torch.return_types.")
        assert all(hasattr(yours, field) for field in mine._fields), name
        assert len(mine) == len(yours)
    for name in ("qr", "svd", "slogdet", "geqrf"):
        mine = getattr(dt, name)(dt.eye(2))
        assert type(mine).__name__ == name


def test_every_name_of_pytorch_is_there() -> None:
    theirs = {n for n in dir(torch.linalg) if not n.startswith("_")} - {"common_notes"}
    assert set(dt.linalg.__all__) == theirs
    assert all(LINALG[n].__doc__ for n in LINALG)


def test_out_is_written() -> None:
    x = dt.eye(2) * 2
    out = dt.empty(0)
    assert dt.linalg.inv(x, out=out) is out
    assert out.tolist() == [[0.5, 0], [0, 0.5]]
    pair = (dt.empty(2, 2), dt.empty(2, dtype=dt.int32))
    made = dt.linalg.lu_factor(x, out=pair)
    assert made.LU is pair[0]
    assert pair[1].tolist() == [1, 2]


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("method", ["ortho", "basic"])
def test_lobpcg(largest: bool, method: str) -> None:
    x = dt.diag(dt.arange(1.0, 41, dtype=dt.float64))
    x[0, 1] = x[1, 0] = 0.5
    w, v = dt.lobpcg(x, k=3, largest=largest, tol=1e-9, method=method)
    expected = dt.linalg.eigvalsh(x)
    expected = expected.flip(0)[:3] if largest else expected[:3]
    np.testing.assert_allclose(w.numpy(), expected.numpy(), rtol=1e-9)
    np.testing.assert_allclose((x @ v).numpy(), (v * w).numpy(), atol=1e-6)
    b = dt.eye(40, dtype=dt.float64) * 2
    np.testing.assert_allclose(
        dt.lobpcg(x, k=3, B=b, largest=largest, tol=1e-9)[0].numpy(), expected.numpy() / 2, 1e-9
    )


def test_lobpcg_is_differentiable() -> None:
    start = matrix(dt.float64, 12, 12)
    results = []
    for library in (dt, torch):
        x = library.tensor((start + start.mT).numpy()).requires_grad_()
        library.manual_seed(0)
        w, v = library.lobpcg(x, k=2, tol=1e-10, niter=300)
        ((w * w).sum() + ((v * v) @ library.tensor([[1.0], [2.0]], dtype=library.float64)).sum(1)
         @ library.arange(12, dtype=library.float64)).backward()  # fmt: skip
        results.append(np.asarray(x.grad.tolist()))
    mine, yours = ((g + g.T) / 2 for g in results)
    np.testing.assert_allclose(mine, yours, atol=1e-5)


def test_low_rank() -> None:
    x = matrix(dt.float64, 30, 3) @ matrix(dt.float64, 3, 20, seed=1)
    u, s, v = dt.svd_lowrank(x, 5)
    near((u * s) @ v.mT, x)
    u, s, v = dt.pca_lowrank(x.mT, 4)
    centered = x.mT - x.mT.mean(0, keepdim=True)
    near((u * s) @ v.mT, centered)
    with pytest.raises(ValueError, match="must be non-negative integer"):
        dt.pca_lowrank(x, 21)


def test_host_fallback_is_a_policy(need_device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = dt.eye(3, device=need_device("loop:0")) * 2
    state = state_of(x.device)
    whole = state.table
    bare = whole.copy()
    for name in ("linalg_lu_factor_ex", "linalg_solve_triangular", "linalg_lu_permutation"):
        bare.remove(name)
    for name in ("linalg_inv_ex", "linalg_solve_ex", "det"):
        if name in bare:
            bare.remove(name)
    monkeypatch.setattr(state, "table", bare)
    from dovetail.dispatch import clear_plans

    clear_plans()
    try:
        monkeypatch.setenv("DOVETAIL_FALLBACK", "error")
        with pytest.raises(HostFallbackError, match="linalg_lu_factor_ex: loop:0 has no kernel"):
            dt.linalg.det(x)
        monkeypatch.setenv("DOVETAIL_FALLBACK", "warn")
        with pytest.warns(HostFallbackWarning, match="linalg_lu_factor_ex"):
            assert dt.linalg.det(x).item() == 8
        monkeypatch.setenv("DOVETAIL_FALLBACK", "allow")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = dt.linalg.inv(x)
        assert str(made.device) == "loop:0"
        assert made.cpu().tolist() == (dt.eye(3) / 2).tolist()
    finally:
        clear_plans()
