"""PyTorch's ``torch.utils.dlpack``."""

from __future__ import annotations

from dovetail.dlpack import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
