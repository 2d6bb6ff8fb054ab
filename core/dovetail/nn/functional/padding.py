"""Padding, and the moves between channels and places (PyTorch's ``torch.nn.functional`` page)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dovetail import ops
from dovetail.ops.layout.rearranged import rearranged

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["channel_shuffle", "pad", "pixel_shuffle", "pixel_unshuffle"]


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Pad the last dims; a negative number cuts off.

    Args:
        input: any shape for ``constant``; else one more or two more dims than are padded.
        pad: (left, right, top, bottom, …), last dim first.
        mode: ``constant``, ``reflect``, ``replicate`` or ``circular``.
        value: what ``constant`` fills in, 0 if None.

    Raises:
        RuntimeError: the pads do not fit the input.
        NotImplementedError: a mode, or a number of dims, that is not defined.

    >>> import dovetail as dt
    >>> dt.nn.functional.pad(dt.arange(3), (1, 2), value=9).tolist()
    [9, 0, 1, 2, 9, 9]
    """
    return ops.pad(input, pad, mode, value)  # type: ignore[no-any-return]


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels to places: (*, C·r², H, W) -> (*, C, H·r, W·r).

    Raises:
        RuntimeError: the channels are no multiple of r².
    """
    *batch, channels, height, width = _at_least_3d("pixel_shuffle", input)
    r = upscale_factor
    if channels % (r * r):
        raise RuntimeError(
            f"pixel_shuffle: channels must be divisible by upscale_factor² = {r * r}, "
            f"got input of shape {tuple(input.shape)}"
        )
    out = channels // (r * r)
    split = math.prod(batch), out, r, r, height, width
    shape = *batch, out, height * r, width * r
    return rearranged(input, split, (0, 1, 4, 2, 5, 3), shape, "pixel_shuffle")  # type: ignore[no-any-return]


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Places to channels: (*, C, H·r, W·r) -> (*, C·r², H, W).

    Raises:
        RuntimeError: the height or the width is no multiple of r.
    """
    *batch, channels, height, width = _at_least_3d("pixel_unshuffle", input)
    r = downscale_factor
    if height % r or width % r:
        raise RuntimeError(
            f"pixel_unshuffle: height and width must be divisible by downscale_factor = {r}, "
            f"got input of shape {tuple(input.shape)}"
        )
    split = math.prod(batch), channels, height // r, r, width // r, r
    shape = *batch, channels * r * r, height // r, width // r
    return rearranged(input, split, (0, 1, 3, 5, 2, 4), shape, "pixel_unshuffle")  # type: ignore[no-any-return]


def _at_least_3d(name: str, input: Tensor) -> tuple[int, ...]:
    if input.dim() < 3:
        raise RuntimeError(
            f"{name}: input must have at least 3 dims (…, channels, height, width), "
            f"got shape {tuple(input.shape)}"
        )
    return tuple(input.shape)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleave groups of channels: (N, C, *) -> the same.

    Raises:
        RuntimeError: fewer than 3 dims, or channels that are no multiple of ``groups``.
    """
    if input.dim() < 3:
        raise RuntimeError(
            f"channel_shuffle: input must have more than 2 dims, got shape {tuple(input.shape)}"
        )
    batch, channels, *places = input.shape
    if groups <= 0 or channels % groups:
        raise RuntimeError(
            f"channel_shuffle: channels must be divisible by groups={groups}, "
            f"got input of shape {tuple(input.shape)}"
        )
    split = batch, groups, channels // groups, math.prod(places)
    shape = tuple(input.shape)
    return rearranged(input, split, (0, 2, 1, 3), shape, "channel_shuffle")  # type: ignore[no-any-return]
