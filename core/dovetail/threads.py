"""How many threads the host's kernels compute with; PyTorch's functions of the same names."""

from __future__ import annotations

from dovetail.backend.loader import HOST, registry

__all__ = [
    "get_num_interop_threads",
    "get_num_threads",
    "set_num_interop_threads",
    "set_num_threads",
]


def get_num_threads() -> int:
    """How many threads one operator on the cpu may use."""
    return registry.get(HOST).runtime.threads()


def set_num_threads(count: int, /) -> None:
    """Choose how many threads one operator on the cpu may use, for the whole process.

    Raises:
        TypeError: not an integer.
        RuntimeError: not positive.
    """
    registry.get(HOST).runtime.set_threads(_positive(count, "set_num_threads"))


def get_num_interop_threads() -> int:
    """How many operators run at the same time: one, each when it is called."""
    return 1


def set_num_interop_threads(count: int, /) -> None:
    """Accepted as in PyTorch; operators run one after another here.

    Raises:
        TypeError: not an integer.
        RuntimeError: not positive.

    Example:
        >>> dt.set_num_interop_threads(2)
        >>> dt.get_num_interop_threads()
        1
    """
    _positive(count, "set_num_interop_threads")


def _positive(count: int, caller: str) -> int:
    if not hasattr(count, "__index__") or isinstance(count, bool):
        raise TypeError(f"{caller} expects an int, but got {type(count).__name__}")
    if count < 1:
        raise RuntimeError(f"{caller} expects a positive integer")
    return count.__index__()
