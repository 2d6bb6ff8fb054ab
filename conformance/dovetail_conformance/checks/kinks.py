"""Gradients where there is no derivative: what PyTorch gives at ties, edges and zeros."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail_conformance.calls import host
from dovetail_conformance.compare import EPS
from dovetail_conformance.kinks import ALSO_OF, KINKS, golden, run
from dovetail_conformance.kinks_of_matrices import MATRICES
from dovetail_conformance.layouts import place
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]

CONSTANTS = 5e-8
"""Relative error of PyTorch's own: some of its constants are of single precision (1/6, 1e-12)."""


def cases(target: Target) -> Iterator[Case]:
    """Every call of the table, contiguous and not."""
    held = {dtype.name for dtype in target.dtypes}
    for name in KINKS:
        for dtype in (d.float64, d.float32):
            if dtype in target.dtypes and held.issuperset(ALSO_OF.get(name, ())):
                run_ = functools.partial(_kink, name, dtype)
                yield Case(3, "kinks", name, dtype.name, "", run_)


def _kink(name: str, dtype: d.dtype, trial: Trial) -> None:
    expected = [None if g is None else _array(g) for g in golden(name)]
    for layout in ("contiguous", "mixed"):

        def make(numbers: Any, layout: str = layout) -> Any:
            x, _ = place(np.array(numbers, dtype.numpy), layout, trial.device)
            return x.requires_grad_()

        with trial.attempt(layout=layout):
            found = run(dt, name, make)
            for i, (g, wanted) in enumerate(zip(found, expected, strict=True)):
                what = f"{name}, {dtype}, {layout}, argument {i}"
                _compare(g, wanted, dtype, what, trial, name in MATRICES)


def _compare(
    g: Any,
    wanted: np.ndarray | None,
    dtype: d.dtype,
    what: str,
    trial: Trial,
    of_matrices: bool,
) -> None:
    """Of single elements each has its own error; a factorization's is one of the largest."""
    if g is None or wanted is None:
        rest = wanted if g is None else host(g)
        if rest is not None and np.any(rest != 0):
            raise Mismatch(
                f"{what}: the gradient must be {wanted if wanted is None else wanted.tolist()}, "
                f"is {g if g is None else host(g).tolist()}",
                "kinks",
            )
        return
    made = host(g)
    if made.shape != wanted.shape:
        raise Mismatch(f"{what}: the gradient must have shape {wanted.shape}, has {made.shape}")
    with np.errstate(all="ignore"):
        same = (made == wanted) | (np.isnan(made) & np.isnan(wanted))
        size = np.abs(wanted)
        if of_matrices and size.size:
            size = np.maximum(size, np.max(size, initial=0, where=np.isfinite(size)))
        allowed = (32 * EPS[dtype.name] + CONSTANTS) * size
        off = np.where(same, 0, np.abs(made - wanted) / np.maximum(allowed, 1e-300))
    off = np.where(np.isnan(off), math.inf, off)
    worst = float(off.max(initial=0))
    if worst > 1:
        raise Mismatch(
            f"{what}: the gradient of the elements weighted 1, 2, 3, … must be {wanted.tolist()} "
            f"(PyTorch's, at a point without a derivative), is {made.tolist()}",
            "kinks",
            min(worst, 1e30),
        )
    trial.saw_ratio(worst)


def _array(value: Any) -> np.ndarray:
    """Nested lists in which ``nan`` and ``inf`` are strings."""
    return np.array(value).astype(np.float64)
