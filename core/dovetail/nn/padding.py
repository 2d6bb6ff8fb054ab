"""Padding layers, distances and the shuffles between channels and places.

Meanings follow PyTorch's pages ``ZeroPad1d`` … ``CircularPad3d``, ``CosineSimilarity``,
``PairwiseDistance``, ``PixelShuffle``, ``PixelUnshuffle`` and ``ChannelShuffle``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.nn import functional as F
from dovetail.nn.functional.arguments import ntuple
from dovetail.nn.module import Module

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovetail.tensor import Tensor

__all__ = [
    "ChannelShuffle",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "CosineSimilarity",
    "PairwiseDistance",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    """Pads the last dims.

    Args:
        padding: one number for every side, or (left, right, top, bottom, …), last dim first.
    """

    _dims: int
    _mode: str

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding = ntuple(padding, 2 * self._dims)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) or (C, *) -> the same with larger *."""
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPad1d(_Pad):
    """Pads one dim with its own values mirrored at the edge."""

    _dims, _mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Pads two dims with their own values mirrored at the edges."""

    _dims, _mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Pads three dims with their own values mirrored at the edges."""

    _dims, _mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Pads one dim with the value at the edge."""

    _dims, _mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Pads two dims with the values at the edges."""

    _dims, _mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Pads three dims with the values at the edges."""

    _dims, _mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Pads one dim with the values of its other end."""

    _dims, _mode = 1, "circular"


class CircularPad2d(_Pad):
    """Pads two dims with the values of their other ends."""

    _dims, _mode = 2, "circular"


class CircularPad3d(_Pad):
    """Pads three dims with the values of their other ends."""

    _dims, _mode = 3, "circular"


class _ConstantPad(_Pad):
    """Pads the last dims with one value.

    Args:
        padding: one number for every side, or (left, right, top, bottom, …), last dim first.
        value: what to fill in.
    """

    _mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) or (C, *) -> the same with larger *."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    __doc__ = _ConstantPad.__doc__
    _dims = 1


class ConstantPad2d(_ConstantPad):
    __doc__ = _ConstantPad.__doc__
    _dims = 2


class ConstantPad3d(_ConstantPad):
    __doc__ = _ConstantPad.__doc__
    _dims = 3


class _ZeroPad(_ConstantPad):
    """Pads the last dims with zeros.

    Args:
        padding: one number for every side, or (left, right, top, bottom, …), last dim first.
    """

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    __doc__ = _ZeroPad.__doc__
    _dims = 1


class ZeroPad2d(_ZeroPad):
    __doc__ = _ZeroPad.__doc__
    _dims = 2


class ZeroPad3d(_ZeroPad):
    __doc__ = _ZeroPad.__doc__
    _dims = 3


class CosineSimilarity(Module):
    """The cosine of the angle between two tensors along ``dim``."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Two tensors that broadcast -> their shape without ``dim``."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps along the last dim."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """(N, D) or (D) twice -> (N) or ()."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class PixelShuffle(Module):
    """Channels to places (Shi et al., 2016): (*, C·r², H, W) -> (*, C, H·r, W·r)."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """(*, C·r², H, W) -> (*, C, H·r, W·r)."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Places to channels: (*, C, H·r, W·r) -> (*, C·r², H, W)."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """(*, C, H·r, W·r) -> (*, C·r², H, W)."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Interleaves groups of channels (Zhang et al., 2018): (N, C, *) -> the same."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) -> the same."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
