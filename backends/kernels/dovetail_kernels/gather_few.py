"""The gradient of a small convolution for its weight, in one launch: see ``src/conv_few.cl``."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail_kernels.arrays import NO_OFFSETS, joined, placing
from dovetail_kernels.device import Device
from dovetail_kernels.folds import wrapping
from dovetail_kernels.source import converted, element, program
from dovetail_kernels.spread import three

__all__ = ["FEW_PRODUCTS", "FewSum"]

FEW_PRODUCTS = 1 << 15
"""Products of two numbers up to which packing costs more than they do."""

EACH = 1 << 12
"""Products that are worth a work item of their own."""


class FewSum:
    """The gradient of a convolution (see ``conv.py``) for its weight: ``run(grad, x, out)``."""

    def __init__(self, device: Device, c: Any, label: str) -> None:
        kind, arrays = wrapping(c.work), (c.weight, c.y, c.x)
        macros: dict[str, Any] = {"T": kind, "RESULT(v)": converted(c.work, c.weight.dtype, "v")}
        for prefix, array in zip(("OUT", "G", "X"), arrays, strict=True):
            macros |= element(device, prefix, array.dtype)
        groups_of = (c.images, c.made, c.given, c.made * c.groups)
        pairs = ((c.sizes, c.places), (c.kernel, c.stride), (c.padding, c.dilation))
        counts = [groups_of, *((*first, *second) for first, second in pairs)]
        steps = [(*a.element_strides[:2], *three(a.element_strides[2:], 0)) for a in arrays]
        numbers = [
            NO_OFFSETS,
            *(joined(values, 8, np.int32) for values in counts),
            *(joined(values, 8, np.int64) for values in steps),
        ]
        text = program(device, "conv_few", macros, tuple(a.dtype for a in arrays))
        each = max(1, EACH * c.weight.numel // max(1, c.operations))
        size = device.workers(c.weight.numel, each)
        launch = device.launch(text, "few", 3, numbers, size, label)
        self._queue, self._place = launch.with_numbers, placing(3)

    def __call__(self, grad: Any, x: Any, out: Any) -> None:
        """Queue it."""
        self._queue(*self._place(out, grad, x))
