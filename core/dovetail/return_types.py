"""Named results of operators that return more than one tensor, as ``torch.return_types`` has them.

They are tuples whose items also have names, and they print one item per line.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

__all__ = [
    "aminmax",
    "cummax",
    "cummin",
    "frexp",
    "geqrf",
    "histogram",
    "histogramdd",
    "kthvalue",
    "linalg_cholesky_ex",
    "linalg_eig",
    "linalg_eigh",
    "linalg_inv_ex",
    "linalg_ldl_factor",
    "linalg_ldl_factor_ex",
    "linalg_lstsq",
    "linalg_lu",
    "linalg_lu_factor",
    "linalg_lu_factor_ex",
    "linalg_qr",
    "linalg_slogdet",
    "linalg_solve_ex",
    "linalg_svd",
    "lu_unpack",
    "max",
    "median",
    "min",
    "mode",
    "nanmedian",
    "qr",
    "slogdet",
    "sort",
    "svd",
    "topk",
    "triangular_solve",
]


class _Result(tuple[Any, ...]):
    """A tuple with named items; made from its items one by one, or from one sequence of them."""

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    def __new__(cls, *items: Any) -> Any:
        if len(items) == 1 and len(cls._fields) != 1:
            items = tuple(items[0])
        if len(items) != len(cls._fields):
            raise TypeError(f"{cls.__name__}: must have {len(cls._fields)} items, got {len(items)}")
        return tuple.__new__(cls, items)

    def __repr__(self) -> str:
        items = ",\n".join(f"{n}={v!r}" for n, v in zip(self._fields, self, strict=True))
        return f"torch.return_types.{type(self).__name__}(\n{items})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(self)


def _make(name: str, *fields: str) -> Any:
    space: dict[str, Any] = {"__slots__": (), "_fields": fields, "__module__": __name__}
    space["__doc__"] = f"Result of ``{name}``: ({', '.join(fields)})."
    space["__match_args__"] = fields
    for i, field in enumerate(fields):
        space[field] = property(itemgetter(i))
    return type(name, (_Result,), space)


_PAIR = ("values", "indices")
max = _make("max", *_PAIR)
min = _make("min", *_PAIR)
median = _make("median", *_PAIR)
nanmedian = _make("nanmedian", *_PAIR)
mode = _make("mode", *_PAIR)
kthvalue = _make("kthvalue", *_PAIR)
cummax = _make("cummax", *_PAIR)
cummin = _make("cummin", *_PAIR)
sort = _make("sort", *_PAIR)
topk = _make("topk", *_PAIR)
aminmax = _make("aminmax", "min", "max")
frexp = _make("frexp", "mantissa", "exponent")
histogram = _make("histogram", "hist", "bin_edges")
histogramdd = _make("histogramdd", "hist", "bin_edges")
geqrf = _make("geqrf", "a", "tau")
qr = _make("qr", "Q", "R")
svd = _make("svd", "U", "S", "V")
slogdet = _make("slogdet", "sign", "logabsdet")
lu_unpack = _make("lu_unpack", "P", "L", "U")
triangular_solve = _make("triangular_solve", "solution", "cloned_coefficient")
linalg_cholesky_ex = _make("linalg_cholesky_ex", "L", "info")
linalg_eig = _make("linalg_eig", "eigenvalues", "eigenvectors")
linalg_eigh = _make("linalg_eigh", "eigenvalues", "eigenvectors")
linalg_inv_ex = _make("linalg_inv_ex", "inverse", "info")
linalg_ldl_factor = _make("linalg_ldl_factor", "LD", "pivots")
linalg_ldl_factor_ex = _make("linalg_ldl_factor_ex", "LD", "pivots", "info")
linalg_lstsq = _make("linalg_lstsq", "solution", "residuals", "rank", "singular_values")
linalg_lu = _make("linalg_lu", "P", "L", "U")
linalg_lu_factor = _make("linalg_lu_factor", "LU", "pivots")
linalg_lu_factor_ex = _make("linalg_lu_factor_ex", "LU", "pivots", "info")
linalg_qr = _make("linalg_qr", "Q", "R")
linalg_slogdet = _make("linalg_slogdet", "sign", "logabsdet")
linalg_solve_ex = _make("linalg_solve_ex", "result", "info")
linalg_svd = _make("linalg_svd", "U", "S", "Vh")
