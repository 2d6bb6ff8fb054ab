"""Linear algebra with PyTorch's names: ``torch.linalg``.

Factorizations are kernels that a device may have; where it has none, they run on the host as the
policy ``DOVETAIL_FALLBACK`` says. Everything else is made of them.

Example:
    >>> import dovetail as dt
    >>> dt.linalg.det(dt.tensor([[2.0, 0.0], [1.0, 3.0]]))
    tensor(6.)
"""

from __future__ import annotations

from dovetail import ops as _ops  # noqa: F401 (makes the functions)
from dovetail.errors import LinAlgError
from dovetail.ops.matrices import LINALG

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh",
    "eigvals", "eigvalsh", "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex",
    "ldl_solve", "lstsq", "lu", "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp",
    "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet",
    "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve", "vander",
    "vecdot", "vector_norm",
]  # fmt: skip

globals().update({name: LINALG[name] for name in __all__ if name != "LinAlgError"})
