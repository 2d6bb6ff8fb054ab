"""A device in a process that was forked from one that uses it: no driver works there.

Its threads are the parent's, so that what is asked of it would wait for ever. A backend whose
driver does not survive puts a :class:`Forked` where its handles were (``os.register_at_fork``).
"""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["Forked", "forked_text"]


def forked_text(device: str) -> str:
    """The sentence for the user of ``device``, such as ``"cuda"`` or ``"dlp:0"``."""
    return (
        f"{device}: this process was forked from one that uses the device, whose driver does not "
        "work in a forked process. Make tensors on the cpu here, or start processes anew: "
        "multiprocessing.set_start_method('spawn'), "
        "DataLoader(..., multiprocessing_context='spawn')"
    )


class Forked:
    """Stands where a driver's handle was: whatever is done with it raises.

    Args:
        device: the device's name, for the message.

    Raises:
        RuntimeError: at any use.

    Example:
        >>> with Forked("toy:0"):
        ...     pass
        Traceback (most recent call last):
        ...
        RuntimeError: toy:0: this process was forked from one that uses the device, whose driver ...
    """

    def __init__(self, device: str) -> None:
        self._device = device

    def _refuse(self, *_: Any) -> NoReturn:
        raise RuntimeError(forked_text(self._device))

    __getattr__ = __enter__ = __call__ = __len__ = __iter__ = _refuse

    def __exit__(self, *_: Any) -> None:
        """Nothing was entered."""
