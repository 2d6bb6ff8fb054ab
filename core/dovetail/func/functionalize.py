"""``functionalize``: a function whose inside writes nothing in place, as far as can be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["functionalize"]


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """``func`` itself: results and writes to the arguments are what PyTorch's transform keeps.

    PyTorch's removes writes and views from what a tracer sees of ``func``, and leaves what
    ``func`` computes as it is; here no tracer takes the result, so nothing is to be done.

    Args:
        remove: ``"mutations"`` or ``"mutations_and_views"``.

    Raises:
        RuntimeError: another word.

    Example:
        >>> import dovetail as dt
        >>> dt.func.functionalize(lambda x: x.clone().add_(1))(dt.zeros(2))
        tensor([1., 1.])
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. "
            "Valid options are:\n     remove='mutations': all inplace and out= operators will be "
            "removed\n     remove='mutations_and_views': all view operators will also be removed"
        )
    return func
