"""Whole numbers divided by the Python number 0: refused before a device is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.backend.expressions import EXPRESSIONS
from dovetail.backend.state import DeviceState
from dovetail.dtypes import dtype
from dovetail.ops.schema import CallFacts

__all__ = ["checked", "divisor_bits"]

Run = Callable[..., Any]

DIVISIONS = frozenset(("floor_divide", "remainder", "fmod", "div_floor", "div_trunc"))
(_BY_ZERO,) = EXPRESSIONS["floor_divide"].refuses


def divisor_bits(
    facts: CallFacts, compute: tuple[dtype | None, ...], state: DeviceState
) -> int | None:
    """All bits of a divisor that is a Python number and must not be 0; None: there is none, or the
    kernel looks at it, which it does on the host."""
    if facts.op.name not in DIVISIONS or state.host_arrays or not facts.outputs[0].numel:
        return None
    kind = compute[1]
    if not isinstance(facts.inputs[1], type) or kind is None or kind.category != 1:
        return None
    return (1 << 8 * kind.itemsize) - 1


def checked(run: Run, bits: int | None) -> Run:
    """``run(input, other, …)`` that refuses an ``other`` of which these bits are all 0: an integer
    wraps around in a dtype that it does not fit.

    Raises:
        RuntimeError: at the call, in PyTorch's words.
    """
    if bits is None:
        return run

    def look(input: Any, other: Any, *rest: Any) -> Any:
        if not other & bits:
            raise RuntimeError(_BY_ZERO.text)
        return run(input, other, *rest)

    look.__dict__.update(run.__dict__)
    return look
