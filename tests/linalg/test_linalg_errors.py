"""Wrong calls of ``dovetail.linalg``: the class and the words are PyTorch's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from tests.parity.harness import torch

import dovetail as dt

SQUARE = (
    "det", "slogdet", "inv", "inv_ex", "cholesky", "cholesky_ex", "eig", "eigvals", "eigh",
    "eigvalsh", "ldl_factor", "ldl_factor_ex", "matrix_exp",
)  # fmt: skip
ANY = ("lu", "lu_factor", "lu_factor_ex", "qr", "svd", "svdvals", "pinv", "matrix_rank", "cond")


def eye(t: Any) -> Any:
    return t.eye(3)


def whole(t: Any, *shape: int) -> Any:
    return t.ones(shape, dtype=t.int32)


CALLS: dict[str, Callable[[Any], Any]] = {
    **{f"{n} 1-D": lambda t, n=n: getattr(t.linalg, n)(t.ones(3)) for n in (*SQUARE, *ANY)},
    **{f"{n} shape": lambda t, n=n: getattr(t.linalg, n)(t.ones(2, 3)) for n in SQUARE},
    "inv singular": lambda t: t.linalg.inv(t.zeros(2, 3, 3)),
    "inv one singular": lambda t: t.linalg.inv(t.stack([t.eye(3), t.zeros(3, 3)])),
    "inv_ex singular": lambda t: t.linalg.inv_ex(t.zeros(3, 3), check_errors=True),
    "cholesky not positive": lambda t: t.linalg.cholesky(t.stack([eye(t), -eye(t)])),
    "cholesky third": lambda t: t.linalg.cholesky(eye(t) - 2 * t.diag(t.tensor([0.0, 0, 1]))),
    "cholesky_ex": lambda t: t.linalg.cholesky_ex(-eye(t), check_errors=True),
    "lu_factor singular": lambda t: t.linalg.lu_factor(t.zeros(2, 3, 3)),
    "lu_factor_ex singular": lambda t: t.linalg.lu_factor_ex(t.zeros(3, 3), check_errors=True),
    "solve 1-D": lambda t: t.linalg.solve(t.ones(3), t.ones(3)),
    "solve shape": lambda t: t.linalg.solve(t.ones(2, 3), t.ones(3)),
    "solve sizes": lambda t: t.linalg.solve(eye(t), t.ones(4)),
    "solve columns": lambda t: t.linalg.solve(eye(t), t.ones(4, 2)),
    "solve right": lambda t: t.linalg.solve(eye(t), t.ones(2, 4), left=False),
    "solve vector right": lambda t: t.linalg.solve(eye(t), t.ones(3), left=False),
    "solve dtypes": lambda t: t.linalg.solve(eye(t), t.ones(3, dtype=t.float64)),
    "solve integers": lambda t: t.linalg.solve(whole(t, 3, 3), whole(t, 3)),
    "solve singular": lambda t: t.linalg.solve(t.zeros(2, 3, 3), t.ones(2, 3)),
    "solve_ex singular": lambda t: t.linalg.solve_ex(t.zeros(3, 3), t.ones(3), check_errors=True),
    "solve batches": lambda t: t.linalg.solve(eye(t).expand(2, 3, 3), t.ones(4, 3, 3)),
    "triangular shape": lambda t: t.linalg.solve_triangular(t.ones(2, 3), eye(t), upper=True),
    "triangular vector": lambda t: t.linalg.solve_triangular(eye(t), t.ones(3), upper=True),
    "triangular sizes": lambda t: t.linalg.solve_triangular(eye(t), t.ones(4, 2), upper=True),
    "triangular integers": lambda t: t.linalg.solve_triangular(
        whole(t, 3, 3), whole(t, 3, 2), upper=True
    ),
    "triangular_solve sizes": lambda t: t.triangular_solve(t.ones(4, 2), eye(t)),
    "qr mode": lambda t: t.linalg.qr(eye(t), "x"),
    "eigh UPLO": lambda t: t.linalg.eigh(eye(t), UPLO="X"),
    "lstsq 1-D": lambda t: t.linalg.lstsq(t.ones(3), t.ones(3)),
    "lstsq driver": lambda t: t.linalg.lstsq(eye(t), eye(t), driver="x"),
    "lstsq dtypes": lambda t: t.linalg.lstsq(eye(t), eye(t).double()),
    "lstsq sizes": lambda t: t.linalg.lstsq(t.ones(3, 2), t.ones(2, 2)),
    "lstsq integers": lambda t: t.linalg.lstsq(whole(t, 3, 2), whole(t, 3, 2)),
    "lstsq number": lambda t: t.linalg.lstsq(t.ones(3, 2), t.tensor(1.0)),
    "lstsq batches": lambda t: t.linalg.lstsq(t.ones(2, 3, 2), t.ones(4, 3, 2)),
    "householder wide": lambda t: t.linalg.householder_product(t.ones(2, 3), t.ones(2)),
    "householder many": lambda t: t.linalg.householder_product(t.ones(3, 2), t.ones(3)),
    "householder 1-D": lambda t: t.linalg.householder_product(t.ones(3), t.ones(3)),
    "householder dtypes": lambda t: t.linalg.householder_product(
        t.ones(3, 2), t.ones(2).double()
    ),
    "householder batches": lambda t: t.linalg.householder_product(t.ones(2, 3, 2), t.ones(3, 2)),
    "ormqr rows": lambda t: t.ormqr(t.ones(3, 2), t.ones(2), t.ones(2, 2)),
    "ormqr tau": lambda t: t.ormqr(t.ones(3, 2), t.ones(1, 2), t.ones(3, 2)),
    "lu_solve pivots": lambda t: t.linalg.lu_solve(eye(t), t.ones(3).long(), t.ones(3, 2)),
    "lu_solve vector": lambda t: t.linalg.lu_solve(eye(t), whole(t, 3), t.ones(3)),
    "lu_solve sizes": lambda t: t.linalg.lu_solve(eye(t), whole(t, 3), t.ones(4, 2)),
    "lu_solve shape": lambda t: t.linalg.lu_solve(t.ones(2, 3), whole(t, 2), t.ones(3, 2)),
    "lu_solve count": lambda t: t.linalg.lu_solve(eye(t), whole(t, 2), t.ones(3, 2)),
    "lu_unpack dtype": lambda t: t.lu_unpack(eye(t), t.ones(3)),
    "lu_unpack 1-D": lambda t: t.lu_unpack(t.ones(3), t.ones(3)),
    "lu_unpack rows": lambda t: t.lu_unpack(eye(t), 7 * whole(t, 3)),
    "ldl_solve sizes": lambda t: t.linalg.ldl_solve(eye(t), whole(t, 3), t.ones(4, 1)),
    "ldl_solve pivots": lambda t: t.linalg.ldl_solve(eye(t), t.ones(3), t.ones(3, 1)),
    "cholesky_solve vector": lambda t: t.cholesky_solve(t.ones(3), eye(t)),
    "cholesky_solve sizes": lambda t: t.cholesky_solve(t.ones(4, 2), eye(t)),
    "cholesky_inverse shape": lambda t: t.cholesky_inverse(t.ones(4, 2)),
    "cholesky_inverse 1-D": lambda t: t.cholesky_inverse(t.ones(4)),
    "logdet shape": lambda t: t.logdet(t.ones(2, 3)),
    "matrix_power shape": lambda t: t.linalg.matrix_power(t.ones(2, 3), 2),
    "matrix_power integers": lambda t: t.linalg.matrix_power(whole(t, 2, 2), -1),
    "matrix_power singular": lambda t: t.linalg.matrix_power(t.zeros(2, 2), -1),
    "cross dims": lambda t: t.linalg.cross(t.ones(2, 3), t.ones(3)),
    "cross size": lambda t: t.linalg.cross(t.ones(2, 4), t.ones(2, 4)),
    "vecdot sizes": lambda t: t.linalg.vecdot(t.ones(2, 3), t.ones(2, 4)),
    "vecdot dtypes": lambda t: t.linalg.vecdot(t.ones(2, 3), t.ones(2, 3).double()),
    "vecdot integers": lambda t: t.linalg.vecdot(whole(t, 3), whole(t, 3)),
    "vander number": lambda t: t.linalg.vander(t.tensor(1.0)),
    "vander one": lambda t: t.linalg.vander(t.ones(3), N=1),
    "multi_dot one": lambda t: t.linalg.multi_dot([eye(t)]),
    "multi_dot sizes": lambda t: t.linalg.multi_dot([eye(t), t.ones(4, 4), eye(t)]),
    "multi_dot dims": lambda t: t.linalg.multi_dot([t.ones(2, 3, 3), eye(t)]),
    "multi_dot dims inside": lambda t: t.linalg.multi_dot([eye(t), t.ones(2, 3, 3), eye(t)]),
    "multi_dot dtypes": lambda t: t.linalg.multi_dot([eye(t), eye(t).double()]),
    "tensorinv sizes": lambda t: t.linalg.tensorinv(t.ones(4, 6, 3), ind=1),
    "tensorinv ind": lambda t: t.linalg.tensorinv(t.ones(4, 6, 3), ind=0),
    "tensorsolve sizes": lambda t: t.linalg.tensorsolve(t.ones(4, 6, 3), t.ones(4, 6)),
    "tensorsolve singular": lambda t: t.linalg.tensorsolve(t.zeros(2, 2, 4), t.ones(2, 2)),
    "matrix_norm 1-D": lambda t: t.linalg.matrix_norm(t.ones(3)),
    "matrix_norm integers": lambda t: t.linalg.matrix_norm(whole(t, 3, 3)),
    "matrix_norm ord": lambda t: t.linalg.matrix_norm(eye(t), "x"),
    "matrix_norm number": lambda t: t.linalg.matrix_norm(eye(t), 3),
    "matrix_norm dims": lambda t: t.linalg.matrix_norm(eye(t), "fro", (0, 0)),
    "matrix_norm one dim": lambda t: t.linalg.matrix_norm(eye(t), "fro", (0,)),
    "matrix_norm of nothing": lambda t: t.linalg.matrix_norm(t.ones(0, 3), -2),
    "norm nuc of a vector": lambda t: t.linalg.norm(t.ones(3), "nuc"),
    "norm three dims": lambda t: t.linalg.norm(t.ones(3, 3, 3), 2, (0, 1, 2)),
    "norm of 3-D": lambda t: t.linalg.norm(t.ones(3, 3, 3), 2),
    "norm narrows": lambda t: t.linalg.norm(eye(t).double(), 2, dtype=t.float32),
    "norm narrows to half": lambda t: t.linalg.norm(eye(t), dtype=t.float16),
    "norm complex": lambda t: t.linalg.norm(eye(t), 2, dtype=t.complex64),
    "norm real": lambda t: t.linalg.norm(eye(t) + 0j, 2, dtype=t.float32),
    "norm integers": lambda t: t.linalg.norm(eye(t), 2, dtype=t.int64),
    "vector_norm integers": lambda t: t.linalg.vector_norm(whole(t, 3)),
    "torch.norm nuc of a vector": lambda t: t.norm(t.ones(3), "nuc"),
    "torch.norm nuc of 3-D": lambda t: t.norm(t.ones(3, 3, 3), "nuc"),
    "cond p": lambda t: t.linalg.cond(eye(t), "x"),
    "cond shape": lambda t: t.linalg.cond(t.ones(2, 3), 1),
    "pinv shape": lambda t: t.linalg.pinv(t.ones(2, 3), hermitian=True),
    "matrix_rank complex": lambda t: t.linalg.matrix_rank(eye(t), t.ones(1) + 0j),
    "trace": lambda t: t.ones(2, 3, 3).trace(),
    "diagonal": lambda t: t.linalg.diagonal(t.ones(3)),
    "frobenius_norm": lambda t: t.frobenius_norm(t.ones(2, 2, 2), (0, 1, 2)),
    "geqrf": lambda t: t.geqrf(t.ones(3)),
    **{
        f"{n} of half": lambda t, n=n: getattr(t.linalg, n)(t.ones(2, 2, dtype=t.float16))
        for n in (*SQUARE[:-1], *ANY) if n not in ("ldl_factor", "ldl_factor_ex")
    },
    "symeig": lambda t: t.symeig(eye(t)),
    "eig": lambda t: t.eig(eye(t)),
    "solve removed": lambda t: t.solve(eye(t), eye(t)),
    "lstsq removed": lambda t: eye(t).lstsq(eye(t)),
    "matrix_rank removed": lambda t: t.matrix_rank(eye(t)),
}  # fmt: skip

OTHER_WORDS = (
    "eig 1-D", "pinv 1-D", "multi_dot dtypes", "lu_solve sizes", "lu_unpack rows",
    "lu_unpack dtype",
    "solve batches", "lstsq batches", "vecdot sizes",
    "symeig", "eig", "solve removed", "lstsq removed", "matrix_rank removed", "diagonal",
    "matrix_norm of nothing",
)  # fmt: skip
"""Their sentences say the same otherwise."""


def raised(call: Callable[[Any], Any], library: Any) -> Exception:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call(library)
        except Exception as error:
            return error
    raise AssertionError(f"{library.__name__} accepts the call")


@pytest.mark.parametrize("name", CALLS)
def test_as_pytorch(name: str) -> None:
    mine, yours = raised(CALLS[name], dt), raised(CALLS[name], torch)
    wanted: Any = type(yours)
    if isinstance(yours, torch.linalg.LinAlgError):
        wanted = dt.linalg.LinAlgError
    if isinstance(yours, NotImplementedError):
        wanted = (NotImplementedError, RuntimeError)
    assert isinstance(mine, wanted), f"{mine!r}, PyTorch raises {yours!r}"
    assert isinstance(mine, dt.linalg.LinAlgError) >= isinstance(yours, torch.linalg.LinAlgError)
    if name not in OTHER_WORDS and not isinstance(yours, NotImplementedError):
        assert str(mine).split("\n")[0].rstrip(". ") == str(yours).split("\n")[0].rstrip(". ")


def test_too_few_pivots() -> None:
    """PyTorch reads beyond them, and accepts or refuses what lies there."""
    with pytest.raises(RuntimeError, match=r"should have shape \[3\].*it has shape \[2\]"):
        dt.lu_unpack(dt.eye(3), whole(dt, 2))
