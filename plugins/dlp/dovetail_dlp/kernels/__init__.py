"""The 51 required kernels, in the kernel language."""

from __future__ import annotations

from dovetail.backend import KernelTable
from dovetail_dlp import fused
from dovetail_dlp.kernels import contract, elementwise, index, order, reduce, storage

__all__ = ["table"]


def table() -> KernelTable:
    """A table of them all; every kernel but ``copy`` takes dense rows only, so the core packs."""
    made = KernelTable(contract=(1, 1), layout="contiguous")
    made.update(elementwise.KERNELS, scalars=True)
    for family in (storage, reduce, index, order, contract):
        made.update(family.KERNELS)
    made.update(index.TOLD, specialize=True)
    made.remove("copy")
    made.add("copy", storage.copy, layout="strided")
    fused.enter(made)
    return made
