"""Reading the arguments of ``nn.functional``: one number for many dims, names of reductions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from dovetail.warning import warn

__all__ = ["BatchReduction", "Reduction", "check_reduction", "legacy_reduction", "ntuple"]

Reduction = Literal["none", "mean", "sum"]
BatchReduction = Literal["none", "mean", "sum", "batchmean"]


def ntuple(value: Any, n: int) -> tuple[int, ...]:
    """``value`` as a tuple: itself if it is a sequence, else repeated ``n`` times."""
    return tuple(value) if isinstance(value, Iterable) else (value,) * n


def check_reduction(reduction: str) -> Reduction:
    """``reduction`` if it is one of none, mean and sum.

    Raises:
        ValueError: it is not.
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction  # type: ignore[return-value]  # mypy does not narrow a str by ``in``


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> Reduction:
    """The reduction that PyTorch's two deprecated flags mean, or ``reduction`` without them."""
    if size_average is None and reduce is None:
        return check_reduction(reduction)
    averages = size_average is None or size_average
    reduces = reduce is None or reduce
    meant: Reduction = "none" if not reduces else "mean" if averages else "sum"
    warn(
        f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead.",
    )
    return meant
