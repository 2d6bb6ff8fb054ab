"""``torch.version``: this package's version, and that no vendor's compiler built it."""

from __future__ import annotations

from dovetail import __version__

__all__ = ["__version__", "cuda", "debug", "git_version", "hip", "xpu"]

cuda: str | None = None
"""The release that PyTorch's kernels were built with; a backend here has its own."""
hip: str | None = None
xpu: str | None = None
git_version: str | None = None
debug = False
