"""PyTorch's ``torch.signal``: window functions."""

from __future__ import annotations

from dovetail.signal import windows

__all__ = ["windows"]
