"""How many threads the host's kernels compute with; PyTorch's functions of the same names."""

from __future__ import annotations

from dovetail.backend.loader import HOST, registry

__all__ = ["get_num_interop_threads", "get_num_threads", "set_num_threads"]


def get_num_threads() -> int:
    """How many threads one operator on the cpu may use."""
    return registry.get(HOST).runtime.threads()


def set_num_threads(count: int, /) -> None:
    """Choose how many threads one operator on the cpu may use, for the whole process.

    Raises:
        TypeError: not an integer.
        RuntimeError: not positive.
    """
    if not hasattr(count, "__index__") or isinstance(count, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(count).__name__}")
    if count < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    registry.get(HOST).runtime.set_threads(count.__index__())


def get_num_interop_threads() -> int:
    """How many operators run at the same time: one, each when it is called."""
    return 1
