"""The operators, by family; importing this makes every record, function and method."""

from __future__ import annotations

import importlib
from typing import Any

from dovetail.ops.expose import FUNCTIONS
from dovetail.ops.schema import REGISTRY

__all__ = ["FAMILIES", "FUNCTIONS", "REGISTRY"]

FAMILIES = (
    "storage", "arithmetic", "transcendental", "compare", "views", "view_samples", "convert",
    "inplace_views",
    "reduce", "extremes", "statistics", "vector_norm", "scan", "order", "median", "contract",
    "affine", "products", "einsum", "broadcasting", "joining", "splitting", "shape", "repeating",
    "turning", "complex", "triangle", "padding", "index", "scatter_reduce", "rows", "masks",
    "embedding", "indexing", "elementwise_more", "division", "closeness", "search", "activation",
    "activation_smooth", "softmax", "loss", "classification", "norm", "layer_norm", "conv",
    "pool", "adaptive_pool", "attention", "recurrent", "lstm_layer", "gru_layer",
    "rnn_layer", "columns", "ctc", "channels", "unique", "draws", "random",
    "random_inplace", "counts", "dropout",
    "fourier", "stft", "rounding", "hyperbolic", "logarithmic", "error_function", "gamma", "zeta",
    "incomplete_gamma", "bessel", "modified_bessel", "airy", "polynomials", "integer_math",
    "float_parts", "fmax", "powers",
    "differences", "gradient", "quantile", "covariance", "distance",
    "renorm", "histogram", "index_reduce", "places",
    "segment_reduce", "view_scatter", "view_copies", "combinations", "by_function",
    "matrices", "triangular", "cholesky", "qr", "svd", "lu", "solve", "eigen",
    "determinants", "least_squares", "matrix_functions", "matrix_norms", "ldl", "vectors",
    "lobpcg", "fake_quantize", "affine_quantize", "removed", "deprecated_forms",
)  # fmt: skip

for _family in FAMILIES:
    importlib.import_module(f"dovetail.ops.{_family}")

# Operators are plain attributes: found in 40 ns, and ``ops.softmax`` is the operator, not its file.
globals().update({name: op.function for name, op in REGISTRY.items() if op.function is not None})
globals().update(FUNCTIONS)


def __getattr__(name: str) -> Any:
    function = FUNCTIONS.get(name)
    if function is None:
        op = REGISTRY.get(name)
        function = None if op is None else op.function
    if function is None:
        raise AttributeError(f"module 'dovetail.ops' has no operator {name!r}")
    return function
