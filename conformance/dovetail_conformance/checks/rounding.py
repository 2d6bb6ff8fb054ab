"""``div`` with ``rounding_mode``, whose records are called by no name of their own."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail_conformance.calls import host
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]

_VALUES = (-7, -6, -1, 0, 1, 5, 6, 7)
_DIVISORS = (-3, -2, 2, 3)
Mode = Literal["floor", "trunc"]
_ROUNDED: dict[Mode, Any] = {"floor": np.floor, "trunc": np.trunc}


def cases(target: Target) -> Iterator[Case]:
    """One case per dtype and mode, and the gradient, which is zero."""
    for mode in _ROUNDED:
        for dtype in target.dtypes:
            if dtype.category in (1, 2):
                run = functools.partial(_values, dtype, mode)
                yield Case(2, "rounding-mode", "div", dtype.name, mode, run)
        run = functools.partial(_gradient, mode)
        yield Case(3, "rounding-mode", "div", d.float32.name, mode, run)


def _grid(dtype: d.dtype) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.array(_VALUES), np.array(_DIVISORS), indexing="ij")
    if not dtype.is_signed:
        x, y = abs(x), abs(y)
    return x, y


def _values(dtype: d.dtype, mode: Mode, trial: Trial) -> None:
    x, y = _grid(dtype)
    here = functools.partial(dt.tensor, dtype=dtype, device=trial.device)
    with trial.attempt(stage="two tensors"):
        _judge(dt.div(here(x), here(y), rounding_mode=mode), x / y, dtype, mode)
    for n in sorted({int(v) for v in y.flat}):
        with trial.attempt(stage="by a number", number=n):
            _judge(dt.div(here(x), n, rounding_mode=mode), x / n, dtype, mode)
    if dtype.category == 1:
        with trial.attempt(stage="by a fraction"):
            made = dt.div(here(x), 1.5, rounding_mode=mode)
            _judge(made, x / 1.5, dt.get_default_dtype(), mode)


def _judge(made: Any, exact: np.ndarray, dtype: d.dtype, mode: Mode) -> None:
    wanted = _ROUNDED[mode](exact)
    if made.dtype is not dtype:
        raise Mismatch(f"div {mode}: must have dtype {dtype}, got {made.dtype}", "dtype")
    values = host(made).astype(np.float64)
    if not np.array_equal(values, wanted):
        at = tuple(np.argwhere(values != wanted)[0])
        raise Mismatch(f"div {mode}: element {list(at)} must be {wanted[at]}, got {values[at]}")


def _gradient(mode: Mode, trial: Trial) -> None:
    x, y = _grid(d.float32)
    leaves = [
        dt.tensor(v, dtype=dt.float32, device=trial.device, requires_grad=True) for v in (x, y)
    ]
    with trial.attempt(stage="gradient"):
        dt.div(*leaves, rounding_mode=mode).sum().backward()
        for leaf in leaves:
            if leaf.grad is None or leaf.grad.shape != leaf.shape or np.any(host(leaf.grad)):
                raise Mismatch(f"div {mode}: the gradient must be zero", "gradient")
