"""The suite proves itself: every kind of fault, put into a good device, must be found out."""

from __future__ import annotations

from dovetail_conformance.mutants.command import main

__all__ = ["main"]
