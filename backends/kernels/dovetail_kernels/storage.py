"""Storage: fill, copy between any two dtypes and layouts, arange.

Values differ from call to call, so what serves all of them is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import EXPRESSIONS, KernelTable
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.arrays import Array
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import Launch, device_of
from dovetail_kernels.elementwise import Elementwise, ghost, given

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter the storage primitives."""
    table.add("fill", _fill, specialize=True)
    table.add("copy", _copy, specialize=True)
    table.add("flip", _flip, specialize=True)
    table.add("arange", _arange, layout="contiguous", specialize=True)


def _copy(facts: Any) -> Any:
    (source,), (target,) = facts.inputs, facts.outputs
    return Copy(device_of(target.device), ghost(source), ghost(target))


def _flip(facts: Any) -> Any:
    """A copy of a view that goes backwards."""
    source, out = ghost(facts.inputs[0]), ghost(facts.outputs[0])
    dims = {dim % source.ndim for dim in facts.attributes["dims"]} if source.ndim else set()
    steps = tuple(-s if d in dims else s for d, s in enumerate(source.strides))
    last = sum((source.shape[d] - 1) * source.strides[d] for d in dims)
    copy = Copy(device_of(facts.outputs[0].device), _backwards(source, source, last, steps), out)

    def run(x: Any, y: Any) -> None:
        copy(_backwards(x, source, last, steps), y)

    return run


def _backwards(array: Any, like: Any, last: int, steps: tuple[int, ...]) -> Array:
    return Array(array.buffer, array.offset + last, like.shape, steps, like.dtype)


def _fill(facts: Any) -> Any:
    (out,) = facts.outputs
    device, kind = device_of(out.device), out.dtype

    def make() -> Elementwise:
        return Elementwise(device, "fill", EXPRESSIONS["fill"], [ghost(out)], (), kind)

    call = device.keep(("fill", out), make)
    values = ((0, given(facts.attributes["value"], kind)),)
    return lambda array: call.run((array,), values)


_ARANGE = """
kernel void arange(global {memory} *out, ulong offset, ulong n, {number} start, {number} step) {{
    for (ulong i = get_global_id(0); i < n; i += get_global_size(0)) {{
        const {number} value = start + ({number})i * step;
        {store};
    }}
}}"""


def _arange(facts: Any) -> Any:
    (out,) = facts.outputs
    device = device_of(out.device)
    whole = out.dtype.category < 2
    kind = "long" if whole else "double" if device.has_double else "float"
    make = {"long": np.int64, "double": np.float64, "float": np.float32}[kind]
    zero = make(0)
    launch = device.keep(("arange", out.dtype, out.numel), lambda: _arange_launch(out, kind, zero))
    values = [(i, make(facts.attributes[name])) for i, name in ((2, "start"), (3, "step"))]

    def run(array: Any) -> None:
        if array.numel:
            place = np.uint64(array.offset // array.dtype.itemsize)
            launch.with_numbers((array.buffer,), ((0, place), *values))

    return run


def _arange_launch(out: Any, kind: str, zero: Any) -> Launch:
    device = device_of(out.device)
    spelled = device.dialect
    value = _stored(out.dtype, kind)
    text = "\n".join(
        [
            spelled.prelude,
            spelled.helpers_of(out.dtype),
            _ARANGE.format(
                memory=dialect.TYPES[out.dtype.name],
                number=kind,
                store=spelled.store_of(out.dtype, "out", "offset + i", value),
            ),
        ]
    )
    numbers = [np.uint64(0), np.uint64(out.numel), zero, zero]
    return device.launch(text, "arange", 1, numbers, device.workers(out.numel), "arange")


def _stored(dtype: DType, kind: str) -> str:
    """``value``, of the type ``kind``, as what is stored."""
    if dtype.category == 0:
        return "value != 0"
    if dtype.is_complex:
        part = "float" if dtype.itemsize == 8 else "double"
        return f"({part}2)(({part})value, 0)"
    return f"({dialect.VALUES[dtype.name]})value"
