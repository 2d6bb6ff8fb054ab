"""What the bits of halves say, without arithmetic: signs, what is not finite, and relu."""

from __future__ import annotations

from typing import Any

import numpy as np

from dovetail.backend import KernelTable
from dovetail.dtypes import bfloat16, float16, float32
from dovetail_cpu.kernels.blocks import in_blocks, scratch
from dovetail_cpu.kernels.piecewise import passing

__all__ = ["copysign", "enter"]

_ALL_BUT_SIGN = {2: np.int16(0x7FFF), 4: np.int32(0x7FFFFFFF)}
_BITS = {2: np.int16, 4: np.int32}


def _absolute(input: np.ndarray, out: np.ndarray) -> None:
    np.bitwise_and(input.view(np.int16), _ALL_BUT_SIGN[2], out.view(np.int16))


def _negative(input: np.ndarray, out: np.ndarray) -> None:
    np.bitwise_xor(input.view(np.int16), ~_ALL_BUT_SIGN[2], out.view(np.int16))


def _endless(kind: Any) -> int:
    """The bits of infinity."""
    return 0x7C00 if kind == np.float16 else 0x7F80


def _by_size(compare: Any) -> Any:
    """Infinity's bits beside those of an element without its sign."""

    def kernel(input: np.ndarray, out: np.ndarray) -> None:
        size = scratch(np.int16, input.size).reshape(input.shape)
        np.bitwise_and(input.view(np.int16), _ALL_BUT_SIGN[2], out=size)
        compare(size, np.int16(_endless(input.dtype)), out)

    return kernel


def copysign(input: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    """The size of ``input`` and the sign of ``other``; of float32 too."""
    kind, size = _BITS[out.itemsize], _ALL_BUT_SIGN[out.itemsize]
    sign = scratch(kind, out.size).reshape(out.shape)
    np.bitwise_and(other.view(kind), ~size, out=sign)
    np.bitwise_and(input.view(kind), size, out=out.view(kind))
    np.bitwise_or(out.view(kind), sign, out=out.view(kind))


def _passes(input: np.ndarray) -> np.ndarray:
    """A mask: above 0, or NaN."""
    above, is_nan = (scratch(bool, input.size, i).reshape(input.shape) for i in range(2))
    negative = np.uint16(0x8000 | _endless(input.dtype))
    np.greater(input.view(np.int16), 0, out=above)
    np.greater(input.view(np.uint16), negative, out=is_nan)
    return np.logical_or(above, is_nan, out=above)


def relu(input: np.ndarray, out: np.ndarray) -> None:
    """max(x, 0), or NaN."""
    passing(_passes(input), input, out)


def threshold_backward(
    grad: np.ndarray, input: np.ndarray, out: np.ndarray, *, threshold: float
) -> None:
    """grad where input is above 0, or NaN, else 0."""
    passing(_passes(input), grad, out)


def _is_of_zero(facts: Any) -> bool:
    return not facts.attributes["threshold"]


def enter(table: KernelTable) -> None:
    """Put these kernels into a table."""
    both = (float16, bfloat16)
    blocks: dict[str, Any] = {"dtypes": both, "specialize": True}
    table.update({"abs": _absolute, "neg": _negative}, dtypes=both)
    table.add("relu", in_blocks(relu), **blocks)
    table.add("threshold_backward", in_blocks(threshold_backward), when=_is_of_zero, **blocks)
    for name, compare in {"isnan": np.greater, "isinf": np.equal, "isfinite": np.less}.items():
        table.add(name, in_blocks(_by_size(compare)), **blocks)
    table.add("copysign", in_blocks(copysign), **blocks | {"dtypes": (*both, float32)})
