"""Images at other sizes (PyTorch's pages ``Upsample`` …)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.nn import functional as F
from dovetail.nn.module import Module

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"]


class Upsample(Module):
    """``interpolate`` as a layer: (N, C, *) -> (N, C, *).

    Args:
        size: of the spatial dims.
        scale_factor: instead of ``size``, how many times as large.
        mode: ``nearest``, ``linear``, ``bilinear``, ``bicubic`` or ``trilinear``.
        align_corners: the corner elements' centres stay where they are.
        recompute_scale_factor: places follow from the sizes, not from ``scale_factor``.
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        if isinstance(scale_factor, tuple):
            self.scale_factor: Any = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) -> (N, C, *) of another size."""
        return F.interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        is_scaled = self.scale_factor is not None
        info = f"scale_factor={self.scale_factor!r}" if is_scaled else f"size={self.size!r}"
        return f"{info}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """``Upsample`` of (N, C, H, W) with mode ``nearest``."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """``Upsample`` of (N, C, H, W) with mode ``bilinear`` and aligned corners."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
