"""LDL."""

from dovetail.backend import KernelTable

def enter(table: KernelTable) -> None: pass
