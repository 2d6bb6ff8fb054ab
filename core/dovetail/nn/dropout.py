"""Dropout layers (Srivastava et al., 2014): active in training, the identity in evaluation.

Meanings follow PyTorch's pages ``Dropout``, ``Dropout1d`` … ``Dropout3d``, ``AlphaDropout`` and
``FeatureAlphaDropout``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.nn import functional as F
from dovetail.nn.module import Module

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
]


class _Dropout(Module):
    _function: str

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input's shape; the input itself in evaluation."""
        return getattr(F, self._function)(input, self.p, self.training, self.inplace)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Sets elements to zero with chance ``p`` and scales the rest by 1 / (1 - p)."""

    _function = "dropout"


class Dropout1d(_Dropout):
    """Sets whole channels of (N, C, L) or (C, L) to zero with chance ``p``."""

    _function = "dropout1d"


class Dropout2d(_Dropout):
    """Sets whole channels of (N, C, H, W) or (C, H, W) to zero with chance ``p``."""

    _function = "dropout2d"


class Dropout3d(_Dropout):
    """Sets whole channels of (N, C, D, H, W) or (C, D, H, W) to zero with chance ``p``."""

    _function = "dropout3d"


class AlphaDropout(_Dropout):
    """Dropout that keeps mean and variance, for SELU (Klambauer et al., 2017)."""

    _function = "alpha_dropout"


class FeatureAlphaDropout(_Dropout):
    """``AlphaDropout`` of whole channels."""

    _function = "feature_alpha_dropout"
