"""Padding, and the moves between channels and places (PyTorch's ``torch.nn.functional`` page)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dovetail

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
    sides = [int(side) for side in pad]
    if len(sides) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(sides) > 2 * input.dim():
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(sides)} and input of dimension {input.dim()}"
        )
    if mode == "constant":
        return _constant(input, sides, 0 if value is None else value)
    if value not in (None, 0):
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in _INDICES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    padded = len(sides) // 2
    if padded > 3 or input.dim() not in (padded + 1, padded + 2):
        raise NotImplementedError(
            f"Padding size {len(sides)} is not supported for {input.dim()}D input tensor.\n"
            "Supported combinations for non-constant padding:\n"
            "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
            "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
            "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
        )
    result = input
    for i in range(padded):
        left, right = sides[2 * i : 2 * i + 2]
        if left or right:
            result = _gathered(result, input.dim() - 1 - i, left, right, mode)
    return result


def _constant(input: Tensor, sides: list[int], value: float) -> Tensor:
    first = input.dim() - len(sides) // 2
    inside = input
    shape = list(input.shape)
    for i, size in enumerate(shape):
        if i < first:
            continue
        left, right = sides[2 * (input.dim() - 1 - i) :][:2]
        shape[i] = size + left + right
        if shape[i] < 0:
            raise RuntimeError(
                f"pad: dim {i} must not get a negative size, got size {size} padded by "
                f"{left} and {right}"
            )
        cut_left, cut_right = max(-left, 0), max(-right, 0)
        if cut_left or cut_right:
            inside = inside.narrow(i, cut_left, size - cut_left - cut_right)
    if inside.shape == dovetail.Size(shape):
        return inside.clone()
    result = dovetail.full(
        shape, value, dtype=input.dtype, device=input.device, requires_grad=False
    )
    place = result
    for i in range(first, input.dim()):
        left = sides[2 * (input.dim() - 1 - i)]
        place = place.narrow(i, max(left, 0), inside.shape[i])
    place.copy_(inside)
    return result


def _reflected(size: int, left: int, right: int) -> list[int]:
    if max(left, right) >= size:
        raise RuntimeError(
            "Padding size should be less than the corresponding input dimension, "
            f"but got: padding ({left}, {right}) of a dimension of size {size}"
        )
    last = size - 1
    return [abs(i) if i <= last else 2 * last - i for i in range(-left, size + right)]


def _replicated(size: int, left: int, right: int) -> list[int]:
    return [min(max(i, 0), size - 1) for i in range(-left, size + right)]


def _wrapped(size: int, left: int, right: int) -> list[int]:
    if max(left, right) > size:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    return [i % size for i in range(-left, size + right)]


#: mode -> which element stands at each place of the padded dim.
_INDICES = {"reflect": _reflected, "replicate": _replicated, "circular": _wrapped}


def _gathered(input: Tensor, dim: int, left: int, right: int, mode: str) -> Tensor:
    indices = _INDICES[mode](input.shape[dim], left, right)
    return input.index_select(dim, dovetail.tensor(indices, device=input.device))


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
    blocks = input.reshape(-1, out, r, r, height, width).permute(0, 1, 4, 2, 5, 3)
    return blocks.reshape(*batch, out, height * r, width * r)


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
    blocks = input.reshape(-1, channels, height // r, r, width // r, r).permute(0, 1, 3, 5, 2, 4)
    return blocks.reshape(*batch, channels * r * r, height // r, width // r)


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
    grouped = input.reshape(batch, groups, channels // groups, *places)
    return grouped.transpose(1, 2).reshape(batch, channels, *places)
