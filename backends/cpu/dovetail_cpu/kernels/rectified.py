"""Layers with a ReLU behind them: it is taken in place, without new memory.

oneDNN could take it where sums are written, but its ReLU makes a number of NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dovetail.backend import KernelTable
from dovetail_cpu.kernels.activation import relu
from dovetail_cpu.kernels.contract import linear
from dovetail_cpu.kernels.conv_pool import convolution

__all__ = ["enter"]


def _rectified(layer: Callable[[Any], Any], facts: Any) -> Any:
    compute, rectify = layer(facts), relu(facts)

    def run(input: Any, weight: Any, bias: Any, out: Any) -> None:
        compute(input, weight, bias, out)
        rectify(out, out)

    return run


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.add("linear_relu", partial(_rectified, linear), specialize=True)
    table.add("conv_relu", partial(_rectified, convolution), specialize=True)
