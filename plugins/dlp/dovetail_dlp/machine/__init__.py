"""The host's side of the simulated machine: its sizes, compiling kernels, the link, faults,
profile."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
