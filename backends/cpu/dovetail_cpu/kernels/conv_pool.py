"""Convolution and pooling of the operator records, on the functions in conv.py and pool.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dovetail.backend import KernelTable
from dovetail_cpu.kernels.conv import conv, conv_bias, conv_grad_input, conv_grad_weight
from dovetail_cpu.kernels.pool import avg_pool, avg_pool_grad, max_pool, max_pool_grad

__all__ = ["convolution", "enter"]

Bound = Callable[..., None]

# The output's shape is an attribute where nothing else says it; arrays have theirs anyway.
_SHAPES = ("input_shape", "weight_shape")


def _bound(function: Bound, facts: Any) -> Bound:
    options = {k: v for k, v in facts.attributes.items() if k not in _SHAPES}
    return partial(function, **options) if options else function


def convolution(facts: Any) -> Bound:
    """A convolution, with a bias or without."""
    if facts.inputs[2] is not None:
        return _bound(conv_bias, facts)
    plain = _bound(conv, facts)
    return lambda input, weight, bias, out: plain(input, weight, out)


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    table.add("conv", convolution, specialize=True)
    for name, function in {
        "conv_grad_input": conv_grad_input,
        "conv_grad_weight": conv_grad_weight,
        "max_pool": max_pool,
        "max_pool_grad": max_pool_grad,
        "avg_pool": avg_pool,
        "avg_pool_grad": avg_pool_grad,
    }.items():
        table.add(name, partial(_bound, function), specialize=True)
