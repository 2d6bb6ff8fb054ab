"""Whether two results of one call agree, as the operator's record allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.ops.schema import OpDef
from dovetail.spec import Spec

__all__ = ["Difference", "difference", "terms_of"]


@dataclass(frozen=True)
class Difference:
    """Where two arrays part the most.

    Attributes:
        index: the element, counted in tolerances the worst.
        values: what each has there.
        error: how far they are apart there; NaN where one is not finite.
        allowed: how far they may be apart there.
        wrong, total: elements that part by more than is allowed, and all of them.
    """

    index: tuple[int, ...]
    values: tuple[Any, Any]
    error: float
    allowed: float
    wrong: int
    total: int

    def __str__(self) -> str:
        one, other = self.values
        return (
            f"at {list(self.index)}: {one!s} and {other!s}, {self.error:.3g} apart where "
            f"{self.allowed:.3g} is allowed; {self.wrong} of {self.total} elements part"
        )


def terms_of(op: OpDef, facts: Sequence[Any], attributes: Sequence[Any]) -> int:
    """The terms in the longest sum of a call, from its inputs' Specs."""
    shapes = [
        np.broadcast_to(np.int8(0), tuple(f.shape)) if isinstance(f, Spec) else f for f in facts
    ]
    try:
        return op.tolerance.terms(op.kind, (*shapes, *attributes))
    except (TypeError, IndexError, AttributeError, ValueError):
        # The record counts from the arguments of a sample; this call has others.
        return max((a.size for a in shapes if isinstance(a, np.ndarray)), default=1)


def difference(
    op: OpDef,
    dtype: d.dtype,
    one: np.ndarray,
    other: np.ndarray,
    *,
    terms: int = 1,
    largest: float = 0.0,
    rtol: float | None = None,
    atol: float | None = None,
) -> Difference | None:
    """Where ``one`` and ``other`` part by more than two devices may; None: they agree.

    Each device may be off by the record's tolerance, so together twice that. Integers and bools
    must be equal. NaN and infinities must be in the same places.

    Args:
        terms: the terms in the longest sum of the call; the tolerance grows with its root.
        largest: the size of the largest input, for records whose tolerance goes by it.
        rtol, atol: ``atol + rtol * abs(one)`` in place of the record's tolerance.

    Example:
        >>> import numpy as np, dovetail as dt
        >>> from dovetail.ops import REGISTRY
        >>> a, b = np.float32([1, 2]), np.float32([1, 3])
        >>> difference(REGISTRY["add"], dt.float32, a, b).index
        (1,)
    """
    if not one.size:
        return None
    exact = dtype.category < 2
    wide: Any = one.dtype if exact else np.complex128 if dtype.is_complex else np.float64
    with np.errstate(all="ignore"):
        a, b = one.astype(wide), other.astype(wide)
        same = (a == b) | ((a != a) & (b != b))
        error = np.where(same, 0, a != b).astype(float) if exact else np.abs(a - b)
        if exact:
            limit = np.zeros(a.shape)
        elif rtol is None and atol is None:
            limit = _limit(op, dtype, a, terms, largest)
        else:
            limit = (atol or 0.0) + (rtol or 0.0) * np.abs(a)
        wrong = ~same & ~(error <= limit)
        if not wrong.any():
            return None
        ratio = np.where(wrong, error / np.maximum(limit, np.finfo(np.float64).tiny), 0.0)
        ratio = np.where(np.isnan(ratio), math.inf, ratio)
    at = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
    apart = abs(float(one[at]) - float(other[at])) if exact else float(error[at])
    return Difference(
        at, (one[at], other[at]), apart, float(limit[at]), int(wrong.sum()), int(wrong.size)
    )


def _limit(op: OpDef, dtype: d.dtype, a: np.ndarray, terms: int, largest: float) -> np.ndarray:
    info = d.finfo(dtype)
    unit = 2 * max(op.tolerance.ulp, 1.0) * info.eps * (3 if dtype.is_complex else 1)
    size = np.abs(a)
    if op.tolerance.elementwise(op.kind):
        return np.asarray(unit * np.maximum(size, info.tiny))
    scale = max(float(size[np.isfinite(size)].max(initial=info.tiny)), largest)
    return np.full(a.shape, unit * scale * math.sqrt(terms))
