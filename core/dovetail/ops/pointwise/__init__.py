"""Elementwise operators: each element of the result comes from the elements at its place."""

from __future__ import annotations

__all__ = ["FAMILIES"]

FAMILIES = (
    "arithmetic", "transcendental", "compare", "complex", "elementwise_more", "division",
    "closeness", "activation", "activation_smooth", "rounding", "hyperbolic", "logarithmic",
    "error_function", "gamma", "zeta", "incomplete_gamma", "bessel", "modified_bessel", "airy",
    "polynomials", "integer_math", "float_parts", "fmax", "powers", "by_function", "fake_quantize",
    "affine_quantize",
)  # fmt: skip
"""The files that have records and functions; an earlier one is imported first."""
