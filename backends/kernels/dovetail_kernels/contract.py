"""Contract: matmul, and the composites that add something to a product: linear, addmm, baddbmm."""

from __future__ import annotations

import math
from typing import Any

from dovetail.backend import KernelTable, StridedView
from dovetail.dtypes import FLOATING
from dovetail_kernels.arrays import Array, packed, part
from dovetail_kernels.complex_product import ComplexProduct, is_worth_it
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import device_of, known
from dovetail_kernels.elementwise import ghost
from dovetail_kernels.gemm import Added, Product

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter the products."""
    for name in ("matmul", "mm", "bmm"):
        table.add(name, _matmul, specialize=True)
    for name in ("dot", "mv"):
        table.add(name, _vector, when=_is_plain, specialize=True)
    for name in ("linear", "linear_relu"):
        table.add(name, _linear, dtypes=FLOATING, when=_has_rows, specialize=True)
    for name in ("addmm", "baddbmm"):
        table.add(name, _affine, dtypes=FLOATING, when=_is_added, specialize=True)


def _vector(facts: Any) -> Any:
    """Rows by a vector, or a vector by another."""
    a, b = map(ghost, facts.inputs)
    device, out = device_of(facts.outputs[0].device), ghost(facts.outputs[0])
    rows = _rows(a) if a.ndim > 1 else Array(None, 0, (1, *a.shape), (0, *a.strides), a.dtype)
    assert rows is not None
    column = Array(None, 0, (*b.shape, 1), (*b.strides, 0), b.dtype)
    made = Array(None, 0, (rows.shape[0], 1), (out.itemsize, 0), out.dtype)
    return Product(device, rows, column, made)


def _is_plain(call: Any) -> bool:
    """Rows that lie as a matrix does, on the host's cores: a GPU may have a library for that."""
    device = known(call.outputs[0].device)
    if device is None or not device.is_cpu:
        return False
    return _rows(ghost(call.inputs[0])) is not None and ghost(call.outputs[0]).is_contiguous


def _matmul(facts: Any) -> Any:
    a, b = map(ghost, facts.inputs)
    device, out = device_of(facts.outputs[0].device), ghost(facts.outputs[0])
    make = ComplexProduct if is_worth_it(a, out) else Product
    return make(device, a, b, out)


def _is_added(call: Any) -> bool:
    """With beta 0 the input must not be looked at, which is left to the composite."""
    return bool(call.beta != 0)


def _affine(facts: Any) -> Any:
    """``beta * input + alpha * (a @ b)``."""
    input, a, b = map(ghost, facts.inputs)
    out = ghost(facts.outputs[0])
    options = facts.attributes
    added = Added(input.expand(out.shape), options["alpha"], options["beta"])
    product = Product(device_of(facts.outputs[0].device), a, b, out, added)
    return lambda input, a, b, out: product(a, b, out, input)


FEW = 1 << 18
"""Products of two numbers up to which an input is not packed: its first dim is one of batches."""


def _has_rows(call: Any) -> bool:
    """Leading dims of output and what is added that lie in memory as one, or few products."""
    made = call.outputs[0]
    flat: list[StridedView] = [ghost(made)]
    if call.bias is not None:
        flat.append(ghost(call.bias).expand(made.shape))
    return all(_rows(array) is not None for array in flat) or _has_batches(call.input, made)


def _has_batches(input: Any, made: Any) -> bool:
    return bool(input.ndim == 3 and made.numel * input.shape[-1] <= FEW)


def _rows(array: StridedView) -> Array | None:
    """(*, K) as (rows, K) without moving it; None where its strides do not allow that."""
    count, step = math.prod(array.shape[:-1]), 0
    reached: int | None = None
    for n, stride in reversed(list(zip(array.shape[:-1], array.strides[:-1], strict=True))):
        if n == 1:
            continue
        if reached is None:
            step, reached = stride, stride * n
        elif stride == reached:
            reached *= n
        elif count:
            return None
    shape = (count, array.shape[-1])
    return Array(None, 0, shape, (step, array.strides[-1]), array.dtype)


def _linear(facts: Any) -> Any:
    """(*, K) by (N, K), plus what expands to the output, and a ReLU of it."""
    input, weight, bias = facts.inputs
    made = facts.outputs[0]
    device, is_rectified = device_of(made.device), facts.op.name == "linear_relu"
    x, w, out = map(ghost, (input, weight, made))
    b = Array(None, 0, w.shape[::-1], w.strides[::-1], w.dtype)
    arrays: list[Any] = [x, out] if bias is None else [x, out, ghost(bias).expand(made.shape)]
    dense = None
    if any(_rows(array) is None for array in arrays) and _has_batches(input, made):
        if made.shape[0] > made.shape[1]:
            arrays = [part(array, (1, 0, 2)) for array in arrays]
    else:
        if _rows(x) is None:
            arrays[0] = dense = packed(x)
        arrays = list(map(_rows, arrays))
    a, out, *more = arrays
    added = Added(*more) if more else None
    product = Product(device, a, b, out, added, is_rectified=is_rectified)
    if dense is not None:
        return _packing(device, x, dense, product)
    if bias is None:
        return lambda input, weight, bias, out: product(input, weight, out)
    return lambda input, weight, bias, out: product(input, weight, out, bias)


def _packing(device: Any, x: Array, dense: Array, product: Product) -> Any:
    """The product of a packed copy of its input."""
    copy, size = Copy(device, x, dense), dense.numel * dense.itemsize

    def run(input: Any, weight: Any, bias: Any, out: Any) -> None:
        with device.scratch(size) as (block,):
            rows = Array(block, 0, dense.shape, dense.strides, dense.dtype)
            copy(input, rows)
            product(rows, weight, out, *(() if bias is None else (bias,)))

    return run
