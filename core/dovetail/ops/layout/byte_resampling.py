"""Images of bytes at other sizes: weights are whole numbers of 16 bits, as in Pillow and PyTorch.

A weight w is round(w * 2 ** bits), with as many bits as the largest allows, and a sum of such
products is rounded back by half of 2 ** bits and a shift. Along each dim the result is bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import dovetail
from dovetail.backend.taps import Taps, taps_of
from dovetail.ops.layout.resampling import apply_taps

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["resampled_bytes"]


def _whole(taps: Taps) -> tuple[Taps, int]:
    """Taps with weights of 16 bits, and the bits that are after the point."""
    index, given = taps
    assert given is not None
    weight, largest = given.copy(), float(given[0].max())
    for k in range(1, len(weight)):
        # At the ends one input comes several times: its weights count together.
        again = index[k] == index[k - 1]
        weight[k] += np.where(again, weight[k - 1], 0)
        weight[k - 1] = np.where(again, 0, weight[k - 1])
        largest = max(largest, float(weight[k].max()))
    bits = next((n for n in range(22) if int(0.5 + largest * 2 ** (n + 1)) >= 1 << 15), 22)
    scaled = weight * 2.0**bits
    return (index, np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int32)), bits


def resampled_bytes(
    x: Tensor,
    size: list[int],
    mode: str,
    factors: tuple[float | None, ...],
    align: bool,
    antialias: bool,
) -> Tensor:
    """(N, C, *S) of uint8 at another size, the last dim first; a mode that weighs inputs."""
    for i, (n, factor) in reversed(list(enumerate(zip(size, factors, strict=True)))):
        if n == x.shape[2 + i]:
            continue
        taps = taps_of(mode, np.float64, x.shape[2 + i], n, factor, align, antialias)
        taps, bits = _whole(taps)
        total = apply_taps(x.int(), 2 + i, taps) + (1 << (bits - 1))
        x = (total >> bits).clamp(0, 255).to(dovetail.uint8)
    return x
