"""``dovetail.linalg`` beside ``torch.linalg``: values, dtypes, first and second gradients, errors.

What is unique only up to a sign or a phase is compared through functions that do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.parity.harness import compare, cotangents, tensors_in, to_ours, to_torch, torch

import dovetail as dt

Function = Callable[..., Any]


def general(*shape: int) -> Any:
    return lambda rng: rng.standard_normal(shape)


def regular(*shape: int) -> Any:
    """Far from singular, singular values apart."""
    return lambda rng: (
        rng.standard_normal(shape) + np.eye(*shape[-2:]) * np.arange(2, 2 + 2 * shape[-1], 2)
    )


def integers(*shape: int) -> Any:
    return lambda rng: rng.integers(-3, 4, shape)


def mh(x: Any) -> Any:
    return x.mH


def positive(x: Any) -> Any:
    return x @ mh(x)


def hermitian(x: Any) -> Any:
    return x + mh(x)


def below(x: Any) -> Any:
    """A lower triangle that may be a factor of Cholesky's: real and positive on its diagonal."""
    return x.tril(-1) + abs(x.diagonal(0, -2, -1)).to(x.dtype).diag_embed()


def qr_of(lib: Any, x: Any, mode: str = "reduced") -> Any:
    q, r = lib.linalg.qr(x, mode)
    s = r.diagonal(0, -2, -1).real.sign().detach().to(r.dtype)
    return q * s.unsqueeze(-2), r * s.unsqueeze(-1)


def svd_of(lib: Any, x: Any, full: bool = False) -> Any:
    u, s, vh = lib.linalg.svd(x, full_matrices=full)
    k = s.shape[-1]
    u, vh = u[..., :k], vh[..., :k, :]
    return (u * (s * s).unsqueeze(-2)) @ vh, s, (u @ vh), abs(u[..., 0, :])


def eigh_of(lib: Any, x: Any, uplo: str = "L") -> Any:
    w, v = lib.linalg.eigh(x, uplo)
    return w, (v * w.exp().unsqueeze(-2)) @ mh(v), abs(v)


def eig_of(lib: Any, x: Any) -> Any:
    w, v = lib.linalg.eig(x)
    order = (w.real + 0.6 * w.imag).argsort(-1)
    w = w.gather(-1, order)
    v = v.gather(-1, order.unsqueeze(-2).expand(v.shape))
    return w, abs(v)


def sorted_vals(lib: Any, x: Any) -> Any:
    w = lib.linalg.eigvals(x)
    return w.gather(-1, (w.real + 0.6 * w.imag).argsort(-1))


def factored(lib: Any, a: Any, b: Any, **kwargs: Any) -> Any:
    packed, pivots = lib.linalg.lu_factor(a)
    return lib.linalg.lu_solve(packed, pivots, b, **kwargs)


def householder(lib: Any, x: Any) -> Any:
    a, tau = lib.geqrf(x.detach())
    scale = x.sum() * 0 + 1
    return lib.linalg.householder_product(a * scale, tau * scale)


CASES: dict[str, tuple[Function, tuple[Any, ...]]] = {
    "cholesky": (lambda t, x: t.linalg.cholesky(positive(x)), (regular(2, 3, 3),)),
    "cholesky upper": (lambda t, x: t.linalg.cholesky(positive(x), upper=True), (regular(3, 3),)),
    "cholesky raw": (lambda t, x: t.linalg.cholesky(x), (lambda r: np.diag([2.0, 3, 4]) + 0.1,)),
    "cholesky_ex": (lambda t, x: t.linalg.cholesky_ex(positive(x)), (regular(3, 3),)),
    "cholesky of nothing": (lambda t, x: t.linalg.cholesky(x), (general(2, 0, 0),)),
    "torch.cholesky": (lambda t, x: t.cholesky(positive(x), True), (regular(3, 3),)),
    "cholesky_solve": (
        lambda t, b, x: t.cholesky_solve(b, below(x)), (general(3, 2), regular(3, 3)),
    ),
    "cholesky_solve upper": (
        lambda t, b, x: t.cholesky_solve(b, below(x).mH, True), (general(2, 3, 2), regular(3, 3)),
    ),
    "cholesky_inverse": (lambda t, x: t.cholesky_inverse(below(x)), (regular(2, 3, 3),)),
    "qr": (lambda t, x: qr_of(t, x), (general(2, 4, 3),)),
    "qr square": (lambda t, x: qr_of(t, x), (general(3, 3),)),
    "qr wide": (lambda t, x: qr_of(t, x), (general(2, 4),)),
    "qr complete": (lambda t, x: qr_of(t, x, "complete"), (general(2, 4),)),
    "qr r": (lambda t, x: abs(t.linalg.qr(x.detach(), "r").R), (general(4, 2),)),
    "qr of nothing": (lambda t, x: t.linalg.qr(x).R, (general(0, 3),)),
    "torch.qr": (lambda t, x: (t.qr(x).R ** 2).diagonal(), (general(4, 3),)),
    "svd": (lambda t, x: svd_of(t, x), (regular(2, 4, 3),)),
    "svd wide": (lambda t, x: svd_of(t, x), (regular(3, 4),)),
    "svd full": (lambda t, x: svd_of(t, x, True), (regular(4, 3),)),
    "svd of nothing": (lambda t, x: t.linalg.svd(x), (general(0, 3),)),
    "torch.svd": (lambda t, x: (lambda u, s, v: (u * s) @ mh(v))(*t.svd(x)), (regular(4, 3),)),
    "torch.svd values": (lambda t, x: t.svd(x.detach(), compute_uv=False), (regular(4, 3),)),
    "svdvals": (lambda t, x: t.linalg.svdvals(x), (regular(2, 3, 4),)),
    "eigh": (lambda t, x: eigh_of(t, hermitian(x)), (regular(2, 3, 3),)),
    "eigh upper": (lambda t, x: eigh_of(t, hermitian(x), "U"), (regular(3, 3),)),
    "eigvalsh": (lambda t, x: t.linalg.eigvalsh(hermitian(x)), (regular(2, 3, 3),)),
    "eigvalsh raw": (lambda t, x: t.linalg.eigvalsh(x), (regular(3, 3),)),
    "eig": (lambda t, x: eig_of(t, x), (regular(2, 3, 3),)),
    "eigvals": (lambda t, x: sorted_vals(t, x), (general(3, 3),)),
    "lu": (lambda t, x: t.linalg.lu(x), (general(2, 3, 3),)),
    "lu tall": (lambda t, x: t.linalg.lu(x), (general(4, 3),)),
    "lu wide": (lambda t, x: t.linalg.lu(x), (general(2, 4),)),
    "lu_factor": (lambda t, x: t.linalg.lu_factor(x), (general(2, 3, 3),)),
    "lu_factor_ex": (lambda t, x: t.linalg.lu_factor_ex(x), (general(4, 3),)),
    "lu_factor large": (lambda t, x: t.linalg.lu_factor_ex(x), (general(2, 90, 70),)),
    "torch.lu": (lambda t, x: t.lu(x, get_infos=True), (general(3, 3),)),
    "lu_unpack": (lambda t, x: t.lu_unpack(*t.linalg.lu_factor(x)), (general(2, 3, 3),)),
    "lu_solve": (lambda t, a, b: factored(t, a, b), (regular(2, 3, 3), general(2, 3, 2))),
    "lu_solve adjoint": (
        lambda t, a, b: factored(t, a, b, adjoint=True), (regular(3, 3), general(2, 3, 2)),
    ),
    "lu_solve right": (
        lambda t, a, b: factored(t, a, b, left=False), (regular(3, 3), general(2, 3)),
    ),
    "torch.lu_solve": (
        lambda t, a, b: t.lu_solve(b, *t.linalg.lu_factor(a)), (regular(3, 3), general(3, 2)),
    ),
    "solve": (lambda t, a, b: t.linalg.solve(a, b), (regular(2, 3, 3), general(2, 3, 2))),
    "solve vector": (lambda t, a, b: t.linalg.solve(a, b), (regular(3, 3), general(3))),
    "solve vectors": (lambda t, a, b: t.linalg.solve(a, b), (regular(2, 3, 3), general(2, 3))),
    "solve right": (
        lambda t, a, b: t.linalg.solve(a, b, left=False), (regular(3, 3), general(2, 2, 3)),
    ),
    "solve_ex": (lambda t, a, b: t.linalg.solve_ex(a, b), (regular(3, 3), general(2, 3, 1))),
    "solve_triangular": (
        lambda t, a, b: t.linalg.solve_triangular(a, b, upper=True),
        (regular(3, 3), general(2, 3, 2)),
    ),
    "solve_triangular right": (
        lambda t, a, b: t.linalg.solve_triangular(a, b, upper=False, left=False),
        (regular(2, 3, 3), general(2, 3)),
    ),
    "solve_triangular unit": (
        lambda t, a, b: t.linalg.solve_triangular(a, b, upper=False, unitriangular=True),
        (general(3, 3), general(3, 2)),
    ),
    "triangular_solve": (
        lambda t, b, a: t.triangular_solve(b, a, True, True)[0], (general(3, 2), regular(3, 3)),
    ),
    "inv": (lambda t, x: t.linalg.inv(x), (regular(2, 3, 3),)),
    "inv_ex": (lambda t, x: t.linalg.inv_ex(x), (regular(3, 3),)),
    "inverse": (lambda t, x: x.inverse(), (regular(3, 3),)),
    "inv of nothing": (lambda t, x: t.linalg.inv(x), (general(2, 0, 0),)),
    "det": (lambda t, x: t.linalg.det(x), (general(2, 3, 3),)),
    "det of nothing": (lambda t, x: t.linalg.det(x), (general(0, 0),)),
    "torch.det": (lambda t, x: t.det(x) + x.det(), (general(4, 4),)),
    "slogdet": (lambda t, x: t.linalg.slogdet(x), (general(2, 3, 3),)),
    "torch.slogdet": (lambda t, x: t.slogdet(x)[1], (general(3, 3),)),
    "logdet": (lambda t, x: t.logdet(positive(x)), (regular(2, 3, 3),)),
    "pinv": (lambda t, x: t.linalg.pinv(x), (regular(2, 4, 3),)),
    "pinv wide": (lambda t, x: t.linalg.pinv(x), (regular(3, 4),)),
    "pinv flat": (lambda t, x: t.linalg.pinv(x[:, :1] @ x[:1], rtol=1e-6), (regular(3, 3),)),
    "pinv hermitian": (lambda t, x: t.linalg.pinv(hermitian(x), hermitian=True), (regular(3, 3),)),
    "pinv of nothing": (lambda t, x: t.linalg.pinv(x), (general(0, 3),)),
    "pinverse": (lambda t, x: t.pinverse(x), (regular(4, 3),)),
    "matrix_rank": (
        lambda t, x: (t.linalg.matrix_rank(x), t.linalg.matrix_rank(x[..., :1] @ x[..., :1, :]),
                      t.linalg.matrix_rank(x, atol=5.0), t.linalg.matrix_rank(x, rtol=0.5),
                      t.linalg.matrix_rank(hermitian(x), hermitian=True)),
        (regular(2, 3, 3),),
    ),
    "lstsq": (lambda t, a, b: t.linalg.lstsq(a, b)[0], (regular(2, 4, 3), general(2, 4, 2))),
    "lstsq gels": (
        lambda t, a, b: t.linalg.lstsq(a, b, driver="gels"), (regular(4, 3), general(4, 2)),
    ),
    "lstsq gelsd": (
        lambda t, a, b: t.linalg.lstsq(a, b, driver="gelsd"), (regular(2, 4, 3), general(2, 4, 2)),
    ),
    "lstsq gelss": (
        lambda t, a, b: t.linalg.lstsq(a, b, driver="gelss"), (regular(3, 3), general(3, 2)),
    ),
    "lstsq gelsy": (
        lambda t, a, b: t.linalg.lstsq(a, b, driver="gelsy"), (regular(3, 4), general(3, 2)),
    ),
    "lstsq vectors": (lambda t, a, b: t.linalg.lstsq(a, b)[0], (regular(2, 4, 3), general(2, 4))),
    "matrix_exp": (lambda t, x: t.linalg.matrix_exp(x), (general(2, 3, 3),)),
    "matrix_exp large": (lambda t, x: t.matrix_exp(x * 4), (general(2, 3, 3),)),
    "matrix_exp of 0": (lambda t, x: x.matrix_exp(), (lambda rng: np.zeros((2, 2)),)),
    "matrix_power": (
        lambda t, x: (t.linalg.matrix_power(x, 3), t.matrix_power(x, -2),
                      x.detach().matrix_power(0), t.linalg.matrix_power(x, 1)),
        (regular(2, 3, 3),),
    ),
    "multi_dot": (
        lambda t, a, b, c: t.linalg.multi_dot([a, b, c]),
        (general(3), general(3, 4), general(4, 2)),
    ),
    "householder_product": (lambda t, x: householder(t, x), (general(2, 4, 3),)),
    "orgqr": (lambda t, x, tau: t.orgqr(x, tau), (general(4, 3), general(2))),
    "ormqr": (
        lambda t, x, tau, c: (t.ormqr(x, tau, c), t.ormqr(x, tau, c.mH, False, True)),
        (general(4, 3), general(3), general(4, 2)),
    ),
    "geqrf": (lambda t, x: t.geqrf(x.detach()), (general(2, 4, 3),)),
    "tensorinv": (lambda t, x: t.linalg.tensorinv(x.reshape(2, 3, 6), 2), (regular(6, 6),)),
    "tensorsolve": (
        lambda t, a, b: t.linalg.tensorsolve(a.reshape(2, 3, 6), b), (regular(6, 6), general(2, 3)),
    ),
    "tensorsolve dims": (
        lambda t, a, b: t.linalg.tensorsolve(a.reshape(2, 6, 3), b, (0,)),
        (lambda rng: rng.standard_normal((6, 6)), general(6)),
    ),
    "cross": (lambda t, a, b: t.linalg.cross(a, b), (general(2, 3), general(1, 3))),
    "vecdot": (lambda t, a, b: t.linalg.vecdot(a, b), (general(2, 3), general(3))),
    "vecdot dim": (lambda t, a, b: t.linalg.vecdot(a, b, dim=0), (general(3, 2), general(3, 1))),
    "vander": (lambda t, x: t.linalg.vander(x, N=4), (general(2, 3),)),
    "torch.vander": (lambda t, x: (t.vander(x), t.vander(x, 2, True)), (general(3),)),
    "diagonal": (lambda t, x: t.linalg.diagonal(x, offset=1), (general(2, 3, 4),)),
    "matmul": (lambda t, a, b: t.linalg.matmul(a, b), (general(2, 3), general(3, 2))),
    **{
        f"matrix_norm {ord}": (
            lambda t, x, ord=ord: t.linalg.matrix_norm(x, ord, (0, 2), True), (general(3, 2, 4),)
        )
        for ord in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
    },
    **{
        f"cond {p}": (lambda t, x, p=p: t.linalg.cond(x, p), (regular(2, 3, 3),))
        for p in (None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
    },
    "norm": (
        lambda t, x: (t.linalg.norm(x), t.linalg.norm(x[0], 1), t.linalg.norm(x[0, 0], 3),
                      t.linalg.norm(x, 2, (0, 1)), t.linalg.norm(x, dim=1, keepdim=True)),
        (general(2, 3, 4),),
    ),
    "vector_norm": (lambda t, x: t.linalg.vector_norm(x, 3, (0, 2)), (general(2, 3, 4),)),
    "torch.norm": (
        lambda t, x: (t.norm(x[0], "nuc"), t.norm(x, "nuc", (0, 2)), x.norm("nuc", (1, 2), True)),
        (general(2, 3, 4),),
    ),
}  # fmt: skip

NOT_COMPLEX = ("cholesky raw",)
"""A Hermitian matrix is real on its diagonal."""

VALUES_ALONE = ("torch.vander", "cond fro", "cond 1", "cond -1", "cond inf", "cond -inf")
"""PyTorch has no gradient: it writes to what backward needs."""


def arrays_of(makers: Any, is_complex: bool) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(3)
    made = []
    for make in makers:
        x = make(rng)
        made.append(np.asarray(x + 1j * 0.5 * rng.standard_normal(x.shape) if is_complex else x))
    return tuple(made)


def both(name: str, is_complex: bool) -> None:
    function, makers = CASES[name]
    arrays = arrays_of(makers, is_complex)
    results = []
    for library, convert in ((dt, to_ours), (torch, to_torch)):
        inputs = [convert(a, "cpu", True) if library is dt else convert(a, True) for a in arrays]
        made = function(library, *inputs)
        outs = list(tensors_in(tuple(made) if isinstance(made, (tuple, list)) else made))
        results.append((inputs, outs))
    (mine_in, mine), (yours_in, yours) = results
    assert len(mine) == len(yours)
    what = f"{name}, {'complex' if is_complex else 'real'}"
    for i, (a, b) in enumerate(zip(mine, yours, strict=True)):
        compare(a, b, f"{what}, output {i}")
    seeds = cotangents(yours, 1)
    flags = [o.requires_grad and o.numel() > 0 for o in yours]
    assert [o.requires_grad and o.numel() > 0 for o in mine] == flags, f"{what}: {flags}"
    if not any(flags) or name in VALUES_ALONE:
        return
    grads = []
    for library, inputs, outs in ((dt, mine_in, mine), (torch, yours_in, yours)):
        used = [(o, s) for o, s, f in zip(outs, seeds, flags, strict=True) if f]
        vectors = [to_ours(s, "cpu", True) if library is dt else to_torch(s, True) for _, s in used]
        first = library.autograd.grad(
            [o for o, _ in used], inputs, vectors, create_graph=True, allow_unused=True
        )
        total = sum((g.abs() ** 2 * (i + 1)).sum() for i, g in enumerate(first) if g is not None)
        second: Any = ()
        if all(x.numel() for x in inputs):
            second = library.autograd.grad(total, [*inputs, *vectors], allow_unused=True)
        grads.append((first, second))
    for order, (ours, theirs) in enumerate(zip(*grads, strict=True)):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            if a is None or b is None:
                rest = a if b is None else b
                assert rest is None or float(rest.detach().abs().sum()) < 1e-12, what
                continue
            compare(a, b, f"{what}, gradient {i} of order {order + 1}", loosen=10**order)


@pytest.mark.filterwarnings("ignore:torch:UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_real(name: str) -> None:
    both(name, False)


@pytest.mark.filterwarnings("ignore:torch:UserWarning")
@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_COMPLEX])
def test_complex(name: str) -> None:
    both(name, True)
