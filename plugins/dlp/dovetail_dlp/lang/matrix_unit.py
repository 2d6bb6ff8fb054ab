"""The matrix unit: products and convolutions, accumulated in float32; and products without it."""

from __future__ import annotations

from math import prod
from typing import Any

from dovetail.dtypes import bfloat16, float16, float32, int8
from dovetail_dlp.lang.operands import ON_CHIP, START, window
from dovetail_dlp.machine.tile import Tile
from dovetail_dlp.machine.trace import Event, now

__all__ = ["INT8_TERMS", "MATRIX", "conv", "conv_input", "conv_weight", "matmul", "vector_matmul"]

MATRIX = (int8, float16, bfloat16, float32)

INT8_TERMS = 1024
"""Products of int8 that one sum may have: each is at most 2^14 (-128 times -128), and float32 has
every whole number up to 2^24, so that the sum is exact in any order."""


def _check_matmul(
    name: str, target: Tile, a: Tile, b: Tile, second: tuple[str, ...], accumulate: bool
) -> None:
    trace = now()
    trace.check(name, a, ("nram",) if second == ("wram",) else ON_CHIP)
    trace.check(name, b, second)
    if accumulate:
        trace.check(name, target, ON_CHIP)
    trace.check(name, target, ON_CHIP, writes=True)
    if a.dtype is not b.dtype:
        trace.fail(f"{name}: inputs must have one dtype, got {a.dtype.name} and {b.dtype.name}")


def _matrix(
    name: str, target: Tile, a: Tile, b: Tile, parameters: tuple[Any, ...], macs: int, terms: int,
    accumulate: bool,
) -> None:  # fmt: skip
    """Args: macs: multiply-accumulates in all; terms: products in the longest sum."""
    trace = now()
    if a.dtype not in MATRIX:
        have = ", ".join(d.name for d in MATRIX)
        trace.fail(f"{name}: the matrix unit has {have}, got {a.dtype.name}")
    if target.dtype is not float32:
        trace.fail(f"{name}: the matrix unit accumulates in float32, got a {target!r}")
    if a.dtype is int8:
        _keep_exact(name, target, terms, accumulate)
    rate = trace.machine.macs / (1 if a.dtype is int8 else 2 if a.dtype.itemsize == 2 else 8)
    event = Event("matrix", name, START + macs / rate, operations=2 * macs)
    trace.emit(event, (*parameters, accumulate), (target, a, b), accumulate)


def _keep_exact(name: str, target: Tile, terms: int, accumulate: bool) -> None:
    """Refuse sums of int8 products that float32 may have to round."""
    home = target.home
    before = home.terms if accumulate else 0
    if before + terms > INT8_TERMS:
        now().fail(
            f"{name}: sums of int8 are exact in float32 up to {INT8_TERMS} products, got "
            f"{f'{before} + ' if before else ''}{terms}; take smaller tiles, convert() each sum "
            "to int32 and add these with vector_add"
        )
    home.terms = max(before + terms, 0 if target.nbytes == home.nbytes else home.terms)


def matmul(target: Tile, a: Tile, b: Tile, *, accumulate: bool = False) -> None:
    """``target = a @ b``, or ``+=``: a (m, k) in NRAM, b (k, n) in WRAM, target (m, n) in float32.

    Sums of int8 are exact: more than INT8_TERMS products in one are refused.
    """
    _check_matmul("matmul", target, a, b, ("wram",), accumulate)
    if (*a.shape[:-1], b.shape[-1]) != target.shape or a.shape[-1] != b.shape[-2]:
        now().fail(
            f"matmul: shapes must be (m, k), (k, n) and (m, n), got {a.shape}, {b.shape} and "
            f"{target.shape}"
        )
    macs = prod(a.shape) * b.shape[-1]
    _matrix("matmul", target, a, b, (), macs, a.shape[-1], accumulate)


def conv(
    target: Tile, x: Tile, weight: Tile, stride: Any, padding: Any, dilation: Any = None,
    *, accumulate: bool = False,
) -> None:  # fmt: skip
    """Convolution of x (C, spatial…) in NRAM with weight (O, C, kernel…) in WRAM to (O, outer…)."""
    _check_matmul("conv", target, x, weight, ("wram",), accumulate)
    where = window(weight.shape[2:], stride, padding, dilation)[1:]
    terms = prod(weight.shape[1:])
    _matrix("conv", target, x, weight, where, prod(target.shape) * terms, terms, accumulate)


def conv_weight(
    target: Tile, g: Tile, x: Tile, stride: Any, padding: Any, dilation: Any = None,
    *, accumulate: bool = False,
) -> None:  # fmt: skip
    """The gradient of the weight: g (N, O, outer…) in NRAM, x (N, C, spatial…) in WRAM.

    The target is (O, C, kernel…); images are added up.
    """
    _check_matmul("conv_weight", target, g, x, ("wram",), accumulate)
    where = window(target.shape[2:], stride, padding, dilation)[1:]
    macs, terms = prod(g.shape) * prod(target.shape[1:]), prod(g.shape) // max(1, g.shape[1])
    _matrix("conv_weight", target, g, x, where, macs, terms, accumulate)


def conv_input(
    target: Tile, g: Tile, weight: Tile, stride: Any, padding: Any, dilation: Any = None,
    *, accumulate: bool = False,
) -> None:  # fmt: skip
    """The gradient of the input: g (O, outer…) in NRAM, weight (O, C, kernel…) in WRAM."""
    _check_matmul("conv_input", target, g, weight, ("wram",), accumulate)
    where = window(weight.shape[2:], stride, padding, dilation)[1:]
    macs, terms = prod(g.shape) * prod(weight.shape[1:]), prod(weight.shape) // weight.shape[1]
    _matrix("conv_input", target, g, weight, where, macs, terms, accumulate)


def vector_matmul(target: Tile, a: Tile, b: Tile, *, accumulate: bool = False) -> None:
    """(m, k) by (k, n) on the vector unit, in any dtype: for what the matrix unit has not."""
    trace = now()
    _check_matmul("vector_matmul", target, a, b, ON_CHIP, accumulate)
    work = prod(a.shape) * b.shape[-1]
    cycles = START + work * a.dtype.itemsize / trace.machine.vector
    event = Event("vector", "vector_matmul", cycles, operations=2 * work)
    trace.emit(event, (accumulate,), (target, a, b), accumulate)
