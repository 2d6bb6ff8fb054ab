"""Convolutions of halves on the host's cores: by way of float32, whose kernels take fewer products.

What is converted is read and written once more, in a cache or at the speed of memory; Winograd and
windows packed in a cache save more than that.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from dovetail.dtypes import bfloat16, float16, float32
from dovetail_kernels.arrays import Array, packed
from dovetail_kernels.copy import Copy
from dovetail_kernels.device import Device
from dovetail_kernels.elementwise import ghost

__all__ = ["by_float32", "in_float32", "is_worth_it"]

WORTH = 64
"""Sums and products for each element that is converted, at least."""


def is_worth_it(device: Device, call: Any, operations: int) -> bool:
    """Whether a convolution of so many sums and products goes this way."""
    tensors = [t for t in (*call.inputs, *call.outputs) if t is not None]
    return (
        device.is_cpu
        and all(t.dtype in (float16, bfloat16) for t in tensors)
        and operations >= WORTH * sum(t.numel for t in tensors)
    )


def _wide(spec: Any) -> Any:
    dense = packed(ghost(spec), float32)
    return SimpleNamespace(
        shape=spec.shape, strides=dense.element_strides, dtype=float32, device=spec.device,
        ndim=spec.ndim, numel=spec.numel,
    )  # fmt: skip


def in_float32(call: Any) -> Any:
    """The same call of dense float32 tensors."""
    inputs = [None if spec is None else _wide(spec) for spec in call.inputs]
    outputs = [_wide(call.outputs[0])]
    return SimpleNamespace(
        inputs=inputs, outputs=outputs, attributes=call.attributes, op=call.op
    )  # fmt: skip


def by_float32(device: Device, call: Any, run: Callable[..., None]) -> Callable[..., None]:
    """``run_wide(*inputs, out)`` for a call of halves, of ``run`` for the same call in float32."""
    inputs, (out,) = call.inputs, call.outputs
    there = [i for i, spec in enumerate(inputs) if spec is not None]
    views = [packed(ghost(inputs[i]), float32) for i in there]
    into = [Copy(device, ghost(inputs[i]), view) for i, view in zip(there, views, strict=True)]
    result = packed(ghost(out), float32)
    back = Copy(device, result, ghost(out))
    sizes = [view.numel * 4 for view in (*views, result)]

    def run_wide(*arrays: Any) -> None:
        with device.scratch(*sizes) as blocks:
            wide: list[Any] = [*arrays[:-1], _placed(blocks[-1], result)]
            for i, view, copy, block in zip(there, views, into, blocks, strict=False):
                wide[i] = _placed(block, view)
                copy(arrays[i], wide[i])
            run(*wide)
            back(wide[-1], arrays[-1])

    return run_wide


def _placed(block: Any, view: Array) -> Array:
    return Array(block, 0, view.shape, view.strides, view.dtype)
