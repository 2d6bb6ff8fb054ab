"""Orthogonal factorizations of small matrices, and what is made of them, in one launch each.

Large ones are the host's, by policy: LAPACK works in blocks, and what is written here for one
matrix takes as long as for a vector full of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import complex64, complex128, float32, float64
from dovetail_kernels.faults import failure_of
from dovetail_kernels.lanes import Beside, planned

__all__ = ["enter"]

FACTORED = (float32, float64, complex64, complex128)
"""Those of LAPACK."""

NOT_FINITE = (
    "linalg.svd: The algorithm failed to converge because the input matrix contained non-finite "
    "values."
)
"""PyTorch's."""

WHOLE, UPPER, LOWER = 0, 1, 2
"""The triangle that a kernel reads; the numbers of ``src/lanes.cl``."""

NONE = ((0, 0), (0, 0))
"""Areas that a kernel does not need."""

BASE = 150e3
"""Nanoseconds that a call takes on the host, measured with PoCL: two transfers and what waits."""


def _qr(facts: Any) -> Beside:
    is_packed = facts.op.name == "linalg_geqrf"
    m, n = facts.inputs[0].shape[-2:]
    least, mode = min(m, n), facts.attributes.get("mode", "r")
    kept = {"r": 0, "reduced": least, "complete": m}[mode]
    high = m if mode == "complete" else least
    return Beside(
        "qr", m, n, ((m, n), (m, kept)), least, m * least * (3 * n + kept),
        (1, 2, 0) if is_packed or kept else (2, 2, 0),
        tuple(np.int32(v) for v in (is_packed, kept, high)), ("reflections",),
    )  # fmt: skip


def _eigh(facts: Any) -> Beside:
    n, has_vectors = facts.inputs[0].shape[-1], len(facts.outputs) > 1
    part = LOWER if facts.attributes["UPLO"] == "L" else UPPER
    return Beside(
        "eigh", n, n, ((n, n),) * (1 + has_vectors), 4 * n + 2, (36 + 12 * has_vectors) * n**3,
        (1, 1 + has_vectors, 0), (np.int32(has_vectors), np.int32(part)), ("rotations",),
    )  # fmt: skip


def _rotated(shape: Any) -> tuple[int, int, bool]:
    """(rows, columns, is it turned) of a matrix whose columns are rotated: it is never wide."""
    m, n = shape[-2:]
    return max(m, n), min(m, n), m < n


def _svd(facts: Any) -> Beside:
    (high, n, turned), has_vectors = _rotated(facts.inputs[0].shape), len(facts.outputs) > 1
    kept = high if facts.attributes.get("full_matrices") else n * has_vectors
    areas = ((high, n), (n, n), (high, kept), (high, n)) if has_vectors else ((high, n), *NONE)
    work = 20 * high + 14 * n if has_vectors else 24 * high
    return Beside(
        "svd", high, n, areas, 3 * n, n * n * work, (2, 1, 3, 0) if has_vectors else (1, 1, 1, 0),
        (*(np.int32(v) for v in (has_vectors, turned, kept)), failure_of(NOT_FINITE)),
        ("reflections", "rotations"), reports=True,
    )  # fmt: skip


def _pinv(facts: Any) -> Beside:
    high, n, turned = _rotated(facts.inputs[0].shape)
    is_inverse = facts.op.name == "linalg_pinv"
    right = 0 if is_inverse else facts.outputs[0].shape[-1]
    columns = (n if turned else high) if is_inverse else right
    part = LOWER if facts.attributes.get("hermitian") else WHOLE
    areas = ((high, n), (high, columns), (n, columns), (high, columns), (n, n))
    has_limit = not is_inverse or facts.inputs[1] is not None
    kind = facts.inputs[0].dtype.to_real().numpy.type
    bounds = (kind(facts.attributes.get(name, 0.0)) for name in ("atol", "rtol"))
    flags = (turned, part, columns, is_inverse, has_limit)
    return Beside(
        "pseudo_inverse", high, n, areas, 1 + n, 34 * n * n * high + 2 * high * n * columns,
        (2, 0, 0, int(has_limit)) if is_inverse else (3, 0, 1, 2),
        (*map(np.int32, flags), *bounds, failure_of(NOT_FINITE)),
        ("rotations",), reports=True,
    )  # fmt: skip


def _lstsq(facts: Any) -> Beside:
    if not facts.attributes["by_qr"]:
        return _pinv(facts)
    high, n, turned = _rotated(facts.inputs[0].shape)
    right = facts.outputs[0].shape[-1]
    return Beside(
        "least_squares", high, n, ((high, n), (high, right)), n, 2 * high * n * (n + 2 * right),
        (3, 0, 1), (np.int32(turned), np.int32(right)), ("reflections",),
    )  # fmt: skip


KERNELS: dict[str, tuple[Callable[[Any], Beside], float]] = {
    "linalg_qr": (_qr, 24), "linalg_geqrf": (_qr, 9), "linalg_eigh": (_eigh, 60),
    "linalg_eigvalsh": (_eigh, 60), "linalg_svd": (_svd, 100), "linalg_svdvals": (_svd, 96),
    "linalg_pinv": (_pinv, 100), "linalg_lstsq": (_lstsq, 30),
}  # fmt: skip
"""By operator what serves it, and how many nanoseconds LAPACK takes for an element of a small
matrix (measured with matrices of 16 x 16 and 64 x 64)."""


def enter(table: KernelTable) -> None:
    """Enter them."""
    for name, (kernel, each) in KERNELS.items():
        table.add(
            name, partial(_specialised, kernel), dtypes=FACTORED, layout="contiguous",
            specialize=True, when=partial(_fits, kernel, each),
        )  # fmt: skip


def _specialised(kernel: Callable[[Any], Beside], facts: Any) -> Callable[..., None]:
    return planned(facts, kernel(facts))


def _fits(kernel: Callable[[Any], Beside], each: float, facts: Any) -> bool:
    return kernel(facts).is_worth_it(facts, BASE, each)
