"""Kernels for devices that compile C at run time, written once in OpenCL C for all of them.

A backend gives a :class:`~dovetail_kernels.device.Device` (compile, launch, copy) and gets the
whole table: elementwise kernels from the core's expressions, reductions, scans, sorting, indexing,
random bits, matrix products, convolutions, and fused composites.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from dovetail.backend import KernelTable
from dovetail_kernels.device import Device, Launch, device_of, known, register

__all__ = ["Device", "Launch", "device_of", "register", "table"]

FAMILIES = (
    "elementwise", "float_parts", "polynomials", "storage", "ranges", "random", "chances", "counts",
    "reduce", "reduce_group", "paired", "scan", "running", "log_scan", "order", "topk", "pick",
    "quantile", "histogram", "bincount", "search", "index", "under_mask", "scatter", "scatter_mean",
    "several", "contract", "conv", "exchange", "orthogonal", "factors", "fused",
)  # fmt: skip


class _Table(KernelTable):
    """A table whose kernels are made anew, with smaller work groups, where they must have them."""

    def add(self, name: str, function: Callable[..., Any], **options: Any) -> None:
        if options.get("specialize"):
            function = functools.partial(_fitting, function)
        super().add(name, function, **options)


def _fitting(function: Callable[..., Any], facts: Any) -> Any:
    device = known(facts.outputs[0].device) if facts.outputs else None
    return function(facts) if device is None else device.fitting(lambda: function(facts))


def table() -> KernelTable:
    """A new table with every kernel of this package."""
    made = _Table(contract=(1, 6), layout="strided")
    for family in FAMILIES:
        importlib.import_module(f"dovetail_kernels.{family}").enter(made)
    return made
