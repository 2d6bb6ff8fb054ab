"""Helpers for modules and their parameters, under PyTorch's names (``torch.nn.utils``)."""

from __future__ import annotations

from dovetail.nn.utils import stateless

__all__ = ["stateless"]
