"""Products of matrices, factorizations and what is made of them."""

from __future__ import annotations

__all__ = ["FAMILIES"]

FAMILIES = (
    "contract", "affine", "products", "einsum", "matrices", "triangular", "cholesky", "qr", "svd",
    "lu", "solve", "eigen", "determinants", "least_squares", "matrix_functions", "matrix_norms",
    "ldl", "vectors", "lobpcg",
)  # fmt: skip
"""The files that have records and functions; an earlier one is imported first."""
