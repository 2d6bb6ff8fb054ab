"""Sliding blocks of images as columns, and back (PyTorch's pages ``Unfold`` and ``Fold``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.nn import functional as F
from dovetail.nn.module import Module

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["Fold", "Unfold"]


class Unfold(Module):
    """Sliding blocks as columns: (N, C, H, W) -> (N, C x kH x kW, blocks); N may be missing.

    Args:
        kernel_size: size of the blocks, one number or two.
        dilation: distance between the elements of a block.
        padding: zeros on all sides.
        stride: step of the block.
    """

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C x kH x kW, blocks)."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Module):
    """Columns added up to images: (N, C x kH x kW, blocks) -> (N, C, H, W); N may be missing.

    Args:
        output_size: (H, W) of the images.
        kernel_size: size of the blocks, one number or two.
        dilation: distance between the elements of a block.
        padding: zeros on all sides.
        stride: step of the block.
    """

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """(N, C x kH x kW, blocks) -> (N, C, H, W)."""
        return F.fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )
