"""Memory formats, and the strides that they give to a shape."""

from __future__ import annotations

from typing import Any

from dovetail.named import Named
from dovetail.spec import Spec, spec_of

__all__ = [
    "RANKS", "channels_last", "channels_last_3d", "contiguous_format", "format_strides",
    "memory_format", "preserve_format", "target_spec",
]  # fmt: skip


class memory_format(Named):
    """How the dims of a dense tensor are ordered in memory."""

    __module__ = "dovetail.ops.layout.convert"  # where pickles look for the four of them


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")


RANKS = {channels_last: 4, channels_last_3d: 5}


def format_strides(shape: tuple[int, ...], form: memory_format) -> tuple[int, ...] | None:
    """Strides of ``shape`` in a memory format; None for row-major.

    Raises:
        RuntimeError: a channels-last format of the wrong number of dims.
    """
    wanted = RANKS.get(form)
    if wanted is None:
        return None
    if len(shape) != wanted:
        raise RuntimeError(f"required rank {wanted} tensor to use {form.name} format")
    order = (0, *range(2, wanted), 1)
    strides = [0] * wanted
    step = 1
    for i in reversed(order):
        strides[i] = step
        step *= shape[i]
    return tuple(strides)


def target_spec(spec: Spec, form: Any, dtype: Any = None, device: Any = None) -> Spec:
    """The spec of a copy of ``spec`` in a memory format, dtype, device."""
    if form is None or form is preserve_format:
        return spec.dense(dtype, device)
    strides = format_strides(tuple(spec.shape), form)
    return spec_of(tuple(spec.shape), dtype or spec.dtype, device or spec.device, strides)
