"""An operator from a plugin: ``log_cosh``, a loss that is quadratic near 0 and linear far away."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, hookimpl
from dovetail.dtypes import float32, float64

__all__ = ["dovetail_ops", "dovetail_overlay", "log_cosh"]


@hookimpl
def dovetail_ops(registry: Any) -> None:
    """The record: it makes ``dt.log_cosh``, ``x.log_cosh()``, ``x.log_cosh_()`` and its tests."""
    registry.families.elementwise(
        "log_cosh",
        rule=registry.families.to_float,
        # Every device can run this, for it is made of primitives. cosh itself would overflow.
        decompose=lambda input: input.abs() + (input.abs() * -2).exp().log1p() - math.log(2),
        compute=float32,  # half and bfloat16 are decomposed in it
        gradient=lambda g, input: g * input.tanh(),
        # What the conformance suite needs: an independent formula, values to try, a tolerance. Near
        # 0 the result is a difference of numbers near log 2, so samples keep away from there.
        reference=lambda x: np.logaddexp(x, -x) - math.log(2),
        samples=registry.families.uniform(1, 5),
        special=(3.0, -3.0, math.inf, -math.inf, math.nan),
        ulp=8,
        doc="``log(cosh(input))``, without overflow.",
    )


def log_cosh(x: np.ndarray, out: np.ndarray) -> None:
    """One kernel instead of seven: x and out have one shape, any strides."""
    np.abs(x, out)
    rest = np.log1p(np.exp(-2 * out))
    np.add(out, rest, out)
    np.subtract(out, out.dtype.type(math.log(2)), out)


@hookimpl
def dovetail_overlay(device: str, table: KernelTable) -> None:
    """The kernel for the device that the entry point names; the others decompose."""
    table.add("log_cosh", log_cosh, dtypes=(float32, float64))
