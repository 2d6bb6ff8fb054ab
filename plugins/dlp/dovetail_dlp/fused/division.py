"""Whole quotients and remainders that are a step of another operator, by whose name a divisor of 0
is told."""

from __future__ import annotations

import functools
from typing import Any

import dovetail_dlp.lang as dlp
from dovetail.backend import KernelTable
from dovetail_dlp.kernels.elementwise import elementwise

__all__ = ["enter"]


@functools.cache
def _kernel(name: str, title: str) -> Any:
    return elementwise(title, dlp.vector(name))


def enter(table: KernelTable) -> None:
    """Into a table."""
    for name in ("floor_divide", "remainder"):
        table.add(
            name,
            lambda facts: _kernel(facts.op.name, facts.op.title),
            when=lambda call: bool(call.op.named),
            scalars=True,
            specialize=True,
        )
