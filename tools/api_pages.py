"""Which operator stands on which page: by the file of its record, or by its namespace."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import dovetail
from dovetail.ops import FAMILIES, FUNCTIONS

__all__ = ["CLASSES", "Page", "family_of", "pages"]

OPS = Path(dovetail.__file__).parent / "ops"


class Page(NamedTuple):
    """One page of operators.

    Attributes:
        file: its name without ``.md``.
        title: the heading.
        where: the namespace below ``dovetail``; empty for ``dovetail`` itself.
        functions: by name.
    """

    file: str
    title: str
    where: str
    functions: dict[str, Callable[..., Any]]


TITLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "arithmetic": ("Arithmetic", ("arithmetic", "division", "elementwise_more", "rounding",
                                  "powers", "fmax", "float_parts", "integer_math")),
    "functions": ("Exponentials, roots, trigonometry", ("transcendental", "hyperbolic",
                                                        "logarithmic")),
    "special-functions": ("Special functions", (
        "error_function", "gamma", "zeta", "incomplete_gamma", "bessel", "modified_bessel", "airy",
        "polynomials")),
    "comparison": ("Comparison, logic, bits", ("compare", "closeness")),
    "complex": ("Complex numbers", ("complex",)),
    "reductions": ("Reductions", ("reduce", "extremes", "statistics", "vector_norm", "median",
                                  "quantile", "covariance", "segment_reduce", "renorm")),
    "order": ("Scans, order, search", ("scan", "order", "search", "unique", "differences",
                                       "gradient", "histogram")),
    "products": ("Matrix products", ("contract", "affine", "products", "einsum", "vectors")),
    "linear-algebra": ("Linear algebra", (
        "matrices", "triangular", "cholesky", "qr", "svd", "lu", "solve", "eigen", "determinants",
        "least_squares", "matrix_functions", "matrix_norms", "ldl", "lobpcg", "removed",
        "distance")),
    "spectra": ("Short-time spectra", ("fourier", "stft")),
    "views": ("Views and shapes", ("views", "view_shapes", "view_parts", "strided", "view_samples",
                                   "shape", "broadcasting", "splitting", "inplace_views",
                                   "view_copies")),
    "joining": ("Joining, repeating, turning", ("joining", "repeating", "turning", "padding",
                                                "triangle", "combinations",
                                                "block_diagonal")),
    "indexing": ("Indexing", ("index", "scatter_reduce", "rows", "masks", "embedding",
                              "indexing", "index_reduce", "flat", "places",
                              "view_scatter", "by_function")),
    "activations": ("Activations", ("activation", "activation_smooth", "softmax")),
    "layers": ("Losses, norms, convolution, attention", (
        "loss", "classification", "norm", "layer_norm", "conv", "pool", "adaptive_pool",
        "attention", "dropout")),
    "random-numbers": ("Random numbers", ("draws", "random", "random_inplace", "counts")),
    "conversion": ("Copies and conversions", ("convert", "storage")),
}  # fmt: skip
"""Pages of ``dovetail`` itself: file, title, families. A family that is not here has its own."""

NAMESPACES = ("linalg", "fft", "special", "signal", "signal.windows", "nn.functional")

CLASSES = {
    "nn": "Modules", "optim": "Optimizers", "optim.lr_scheduler": "Learning-rate schedules",
    "nn.init": "Initialisers", "utils.data": "Datasets and loaders", "autograd": "Differentiation",
    "func": "Function transforms", "testing": "Testing", "distributions": "Distributions",
    "amp": "Mixed precision", "random": "State of the random numbers", "debug": "Debugging",
    "serialization": "Checkpoints", "serialization.safetensors": "safetensors files",
    "backend": "For backend authors",
}  # fmt: skip
"""Namespaces of ordinary classes and functions: a page of their docstrings each."""


def pages() -> list[Page]:
    """Every page of operators, with what stands on it."""
    owner = {family: file for file, (_, families) in TITLES.items() for family in families}
    titles = {file: title for file, (title, _) in TITLES.items()}
    found: dict[str, Page] = {}
    for name, function in _own_functions().items():
        family = family_of(name, function)
        file = owner.get(family, family)
        title = titles.get(file) or file.replace("_", " ").capitalize()
        page = found.setdefault(file, Page(file, title, "", {}))
        page.functions[name] = function
    order = [*TITLES, *sorted(set(found) - set(TITLES))]
    made = [_creation(), *(found[file] for file in order if file in found)]
    for where in NAMESPACES:
        if importlib.util.find_spec(f"dovetail.{where.split('.')[0]}") is None:
            continue
        try:
            module: Any = importlib.import_module(f"dovetail.{where}")
        except ModuleNotFoundError:
            continue
        functions = {n: getattr(module, n) for n in module.__all__ if _is_function(module, n)}
        if functions:
            made.append(Page(where, f"dovetail.{where}", where, functions))
    return made


def _is_function(module: Any, name: str) -> bool:
    thing = getattr(module, name)
    return callable(thing) and not isinstance(thing, type)


def _own_functions() -> dict[str, Callable[..., Any]]:
    """Functions of ``dovetail``, without in-place forms whose plain form is there too."""
    return {
        name: function
        for name, function in sorted(FUNCTIONS.items())
        if not (name.endswith("_") and name[:-1] in FUNCTIONS)
    }


def _creation() -> Page:
    from dovetail import factories

    names = [n for n in factories.__all__ if n in dovetail.__all__]
    functions = {n: getattr(dovetail, n) for n in names}
    return Page("creation", "Creation", "", functions)


def family_of(name: str, function: Callable[..., Any]) -> str:
    """The file below ``dovetail/ops`` that has the record or the function."""
    module = (function.__module__ or "").removeprefix("dovetail.ops.")
    if module in FAMILIES:
        return _subject(module)
    for wanted in (function.__name__, name, name.removesuffix("_")):
        for family in FAMILIES:
            if wanted in _first_strings(family):
                return _subject(family)
    for family in FAMILIES:
        if f'"{function.__name__}"' in _text(family):
            return _subject(family)
    return "convert"


def _subject(family: str) -> str:
    """A family's name without its room."""
    return family.rpartition(".")[2]


@functools.cache
def _text(family: str) -> str:
    return (OPS / f"{family.replace('.', '/')}.py").read_text(encoding="utf-8")


@functools.cache
def _first_strings(family: str) -> frozenset[str]:
    """Names that a family's calls begin with: ``elementwise("exp", …)``."""
    return frozenset(
        node.args[0].value
        for node in ast.walk(ast.parse(_text(family)))
        if isinstance(node, ast.Call)
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    )
