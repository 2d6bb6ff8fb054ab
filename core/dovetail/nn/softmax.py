"""The softmax family as layers (PyTorch's pages ``Softmax``, ``LogSoftmax``, ``Softmin``, …)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.nn import functional as F
from dovetail.nn.module import Module

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["LogSoftmax", "Softmax", "Softmax2d", "Softmin"]


class _Softmax(Module):
    _function: str

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The input's shape."""
        return getattr(F, self._function)(input, self.dim)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_Softmax):
    """exp(x) divided by its sum over ``dim``."""

    _function = "softmax"


class LogSoftmax(_Softmax):
    """The logarithm of softmax over ``dim``."""

    _function = "log_softmax"


class Softmin(_Softmax):
    """Softmax of -x over ``dim``."""

    _function = "softmin"


class Softmax2d(Module):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """The input's shape."""
        if input.dim() not in (3, 4):
            raise ValueError(
                f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D instead"
            )
        return F.softmax(input, -3)
