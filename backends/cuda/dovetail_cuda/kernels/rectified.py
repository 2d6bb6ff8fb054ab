"""Layers with a ReLU behind them: by the libraries, and then in place.

Where a library serves the layer, it is faster than a kernel of our own that takes the ReLU as well.
The libraries have a ReLU behind a product or a convolution, too; what it makes of NaN is not said,
and it has not been tried on a GPU.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from dovetail.backend import EXPRESSIONS, Kernel, KernelTable
from dovetail_kernels.device import device_of
from dovetail_kernels.elementwise import Elementwise, ghost

__all__ = ["enter"]


def _rectified(layer: Kernel, facts: Any) -> Any:
    """A library's kernel, and the ReLU of what it has written."""
    out = ghost(facts.outputs[0])
    device = device_of(facts.outputs[0].device)
    compute = layer.function(facts)
    rectify = Elementwise(device, "relu", EXPRESSIONS["relu"], [out, out], (), out.dtype)

    def run(input: Any, weight: Any, bias: Any, made: Any) -> None:
        compute(input, weight, bias, made)
        rectify(made, made)

    return run


def enter(table: KernelTable) -> None:
    """Enter them, before those of our own."""
    for name in ("linear", "conv"):
        library = table.entries(name)[0]
        table.add(
            f"{name}_relu", partial(_rectified, library), dtypes=library.dtypes,
            when=library.when, specialize=True,
        )  # fmt: skip
