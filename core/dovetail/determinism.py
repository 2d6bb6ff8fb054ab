"""``use_deterministic_algorithms``: whether the same call must give the same bits each time.

Here a kernel that adds in whatever order its threads arrive has a variant that adds in order, so
nothing has to be refused: the modes ``warn`` and ``error`` do the same. Meanings follow PyTorch's
page ``torch.use_deterministic_algorithms``.
"""

from __future__ import annotations

from dovetail.late_binding import PLANS

__all__ = [
    "are_deterministic_algorithms_enabled",
    "get_deterministic_debug_mode",
    "is_deterministic_algorithms_warn_only_enabled",
    "set_deterministic_debug_mode",
    "use_deterministic_algorithms",
]

_MODES = {"default": 0, "warn": 1, "error": 2}
_mode = 0


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Choose kernels that give the same bits for the same call, in the whole process.

    Some are slower: scatters and gradients of max pooling on a GPU add in order then.

    Args:
        mode: whether to.
        warn_only: kept for :func:`get_deterministic_debug_mode`; every operator has such a kernel.

    Raises:
        TypeError: ``mode`` is not a bool.

    Example:
        >>> dt.use_deterministic_algorithms(True)
        >>> dt.are_deterministic_algorithms_enabled()
        True
        >>> dt.use_deterministic_algorithms(False)
    """
    if not isinstance(mode, bool):
        kind = type(mode).__name__
        raise TypeError(f"use_deterministic_algorithms: mode must be bool, not {kind}")
    set_deterministic_debug_mode((1 if warn_only else 2) if mode else 0)


def are_deterministic_algorithms_enabled() -> bool:
    """Whether the same call gives the same bits; what a kernel's maker asks.

    Example:
        >>> dt.are_deterministic_algorithms_enabled()
        False
    """
    return _mode > 0


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether the mode is ``warn``.

    Example:
        >>> dt.is_deterministic_algorithms_warn_only_enabled()
        False
    """
    return _mode == 1


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Choose by a word or number: ``"default"`` 0, ``"warn"`` 1, ``"error"`` 2.

    Raises:
        TypeError: neither an integer nor a string.
        RuntimeError: none of these.

    Example:
        >>> dt.set_deterministic_debug_mode("warn")
        >>> dt.get_deterministic_debug_mode()
        1
        >>> dt.set_deterministic_debug_mode(0)
    """
    global _mode
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    numbers = {**_MODES, **{number: number for number in _MODES.values()}}
    if debug_mode not in numbers:
        allowed = "`default`, `warn`, `error`" if isinstance(debug_mode, str) else "0, 1, or 2"
        one_of = "one of " if isinstance(debug_mode, str) else ""
        raise RuntimeError(
            f"invalid value of debug_mode, expected {one_of}{allowed}, but got {debug_mode}"
        )
    if numbers[debug_mode] != _mode:
        _mode = numbers[debug_mode]
        PLANS.clear()  # they hold the kernels that were chosen


def get_deterministic_debug_mode() -> int:
    """0 for ``default``, 1 for ``warn``, 2 for ``error``.

    Example:
        >>> dt.get_deterministic_debug_mode()
        0
    """
    return _mode
