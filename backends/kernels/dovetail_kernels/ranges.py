"""Numbers evenly apart: arange, and linspace and logspace where the device has doubles."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.device import Device, Launch, device_of, known
from dovetail_kernels.elementwise import ghost

__all__ = ["enter"]


def enter(table: KernelTable) -> None:
    """Enter the ranges."""
    table.add("arange", _arange, layout="contiguous", specialize=True)
    table.add("linspace", _linspace, layout="contiguous", specialize=True, when=_has_doubles)
    table.add("logspace", _logspace, layout="contiguous", specialize=True, when=_has_doubles)


def _has_doubles(facts: Any) -> bool:
    device = known(facts.outputs[0].device)
    return device is None or device.has_double


_TEXT = """
#pragma OPENCL FP_CONTRACT OFF
kernel void range(global {memory} *out, ulong offset, ulong n, {numbers}) {{
    const ulong end = {bound};
    {loop}
    for (ulong i = {first}; i < end; i += {step_of}) {{
        const {number} value = {value};
        {store};
    }}
}}"""
"""Sums are rounded after their products, as on the host."""

_STEPS = "start + ({one})i * step"
_BOTH_ENDS = "2 * i < n ? start + ({one})i * step : stop - ({one})(n - 1 - i) * step"
"""PyTorch's: as far from one end as from the other."""

_ODD = """
static inline float odd_float(double value) {
    const float near = (float)value;
    const uint bits = as_uint(near) - (fabs((double)near) > fabs(value));
    return near - near != 0 || (double)near == value ? near : as_float(bits | 1);
}
"""
"""To odd, so that a half made of it is as if it were rounded once."""


def _arange(facts: Any) -> Any:
    (out,) = facts.outputs
    whole = out.dtype.category < 2
    kind = "long" if whole else "double" if device_of(out.device).has_double else "float"
    return _Range(facts, kind, ("start", "step"), _STEPS.format(one=kind))


def _linspace(facts: Any) -> Any:
    kind = "double2" if facts.outputs[0].dtype.is_complex else "double"
    return _Range(facts, kind, ("start", "step", "stop"), _BOTH_ENDS.format(one="double"))


def _logspace(facts: Any) -> Any:
    power = f"POWER(base, {_BOTH_ENDS.format(one='double')})"
    return _Range(facts, "double", ("start", "step", "stop", "base"), power)


_MAKE = {
    "long": np.int64, "float": np.float32, "double": np.float64, "double2": np.complex128
}  # fmt: skip


class _Range:
    """One call: ``run(out)``.

    Args:
        kind: the type that is computed in.
        names: the attributes that the value is made of.
        value: element ``i`` of ``n``, of this type.
    """

    def __init__(self, facts: Any, kind: str, names: tuple[str, ...], value: str) -> None:
        out = ghost(facts.outputs[0])
        device, make = device_of(facts.outputs[0].device), _MAKE[kind]
        self.launch: Launch = device.keep(
            ("range", names, out.dtype, out.numel),
            lambda: _launch(device, out, kind, names, value),
        )
        self.values = [(2 + i, make(facts.attributes[name])) for i, name in enumerate(names)]

    def __call__(self, array: Any) -> None:
        if array.numel:
            place = np.uint64(array.offset // array.dtype.itemsize)
            self.launch.with_numbers((array.buffer,), ((0, place), *self.values))


def _launch(device: Device, out: Any, kind: str, names: tuple[str, ...], value: str) -> Launch:
    spelled = device.dialect
    before = [spelled.prelude, spelled.helpers_of(out.dtype)]
    if out.dtype.name == "float16" and kind == "double":
        before.append(_ODD)
    if "base" in names:
        own = spelled.own("pow", "double", out.dtype.name)
        before += [*own.values(), f"#define POWER {[*own][-1] if own else 'pow'}"]
    words = {"index": "ulong", "n": "n"}
    text = _TEXT.format(
        memory=dialect.TYPES[out.dtype.name],
        number=kind,
        numbers=", ".join(f"{kind} {name}" for name in names),
        value=value,
        loop=spelled.loop.format(width=64 // max(out.dtype.itemsize, _size(kind))),
        store=spelled.store_of(out.dtype, "out", "offset + i", _stored(out.dtype, kind)),
        first=spelled.first.format(**words),
        bound=spelled.bound.format(**words),
        step_of=spelled.step.format(**words),
    )
    numbers = [np.uint64(0), np.uint64(out.numel), *[_MAKE[kind](0)] * len(names)]
    size = device.workers(out.numel)
    return device.launch("\n".join([*before, text]), "range", 1, numbers, size, names[-1])


def _size(kind: str) -> int:
    return np.dtype(_MAKE[kind]).itemsize


def _stored(dtype: DType, kind: str) -> str:
    """``value``, of the type ``kind``, as what is stored."""
    if dtype.is_complex:
        return f"convert_{dialect.VALUES[dtype.name]}(value)"
    if dtype.name == "float16" and kind == "double":
        return "odd_float(value)"
    if dtype.category == 1 and kind == "double":
        return f"({dialect.VALUES[dtype.name]})(long)value"
    return f"({dialect.VALUES[dtype.name]})value"
