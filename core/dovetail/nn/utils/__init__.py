"""Helpers for modules and their parameters, under PyTorch's names (``torch.nn.utils``)."""

from __future__ import annotations

from dovetail.nn.utils import rnn, stateless

__all__ = ["rnn", "stateless"]
