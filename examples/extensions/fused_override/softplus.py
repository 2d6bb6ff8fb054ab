"""A fused override: what a backend's kernel file holds to serve a composite with one kernel.

``softplus`` is made of seven primitives, which is what runs where no entry fits. The condition here
is on an attribute; it may be on shapes too: ``when=lambda call: call.input.shape[-1] <= 8192``.
"""

from __future__ import annotations

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import float32, float64

__all__ = ["enter", "softplus"]


def softplus(x: np.ndarray, out: np.ndarray, *, beta: float, threshold: float) -> None:
    """``log(1 + exp(x))``, or ``x`` above the threshold; x and out have one shape."""
    np.logaddexp(x, x.dtype.type(0), out)
    np.copyto(out, x, where=x > threshold)


def enter(table: KernelTable) -> None:
    """Put it into a table; called by the backend's ``Runtime.kernels``."""
    table.add(
        "softplus",
        softplus,
        dtypes=(float32, float64),
        when=lambda call: call.beta == 1,
    )
