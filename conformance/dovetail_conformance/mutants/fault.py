"""What a fault is, and how one gets into a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dovetail.backend import Kernel, KernelTable
from dovetail.dtypes import dtype
from dovetail.kernels import bind_kernel
from dovetail.ops.schema import CallFacts, OpDef
from dovetail.spec import Spec

__all__ = [
    "ELEMENTWISE", "Fault", "Resolved", "Unmeant", "faulty_table", "is_float", "outs_of",
    "with_specs",
]  # fmt: skip

Run = Callable[..., None]

ELEMENTWISE = ("elementwise", "compare", "select")


class Unmeant(Exception):
    """The fault has no meaning for this call; the message says why."""


@dataclass(frozen=True)
class Fault:
    """One kind of mistake that a kernel's author can make.

    Attributes:
        name: for the matrix.
        about: the mistake in a sentence.
        applies: whether it has a meaning for an operator.
        change: ``change(good, facts) -> kernel``: the kernel with the mistake in it.
        dtypes: of the first input, the only ones in which it is a mistake; None: all.
        shown_by: ``shown_by(facts)``: a like call that shows the mistake; None: any call may. A
            kernel of single elements that the table gives no such call has no mistake.
    """

    name: str
    about: str
    applies: Callable[[OpDef], bool]
    change: Callable[[Run, CallFacts], Run]
    dtypes: frozenset[dtype] | None = None
    shown_by: Callable[[CallFacts], CallFacts] | None = None


@dataclass
class Resolved:
    """How often a fault got into a call, and how often it had no meaning there, with the reason."""

    meant: int = 0
    unmeant: int = 0
    reason: str = ""


def faulty_table(
    table: KernelTable, name: str, fault: Fault, resolved: Resolved | None = None
) -> KernelTable:
    """A copy of ``table`` in which every kernel of operator ``name`` has the fault."""
    made = table.copy()
    made.remove(name)
    for entry in reversed(table.entries(name)):
        made.add(
            name,
            _faulty(entry, fault, resolved or Resolved()),
            dtypes=entry.dtypes,
            layout=entry.layout,
            when=entry.when,
            broadcasts=entry.broadcasts,
            scalars=entry.scalars,
            specialize=True,
        )
    return made


def _faulty(entry: Kernel, fault: Fault, resolved: Resolved) -> Callable[[CallFacts], Run]:
    def specialised(facts: CallFacts) -> Run:
        good = bind_kernel(entry, facts)
        try:
            if fault.dtypes and entry.dtypes is not None and not entry.dtypes & fault.dtypes:
                raise Unmeant("the table has this kernel for other dtypes only")
            if fault.shown_by and not _is_given(entry, facts, fault.shown_by):
                raise Unmeant("the table's `when` admits no call that shows it")
            bad = fault.change(good, facts)
        except Unmeant as error:
            resolved.unmeant += 1
            resolved.reason = str(error)
            return good
        resolved.meant += 1
        return bad

    return specialised


def _is_given(entry: Kernel, facts: CallFacts, other: Callable[[CallFacts], CallFacts]) -> bool:
    """Whether the table gives a kernel of single elements such calls."""
    if entry.when is None or facts.op.kind not in ELEMENTWISE:
        return True
    return bool(entry.when(other(facts)))


def with_specs(change: Callable[[Spec], Spec], facts: CallFacts) -> CallFacts:
    """The same call with tensors of which something is otherwise."""
    inputs = tuple(change(s) if isinstance(s, Spec) else s for s in facts.inputs)
    return CallFacts(facts.op, inputs, tuple(map(change, facts.outputs)), facts.attributes)


def outs_of(facts: CallFacts) -> int:
    """How many of a kernel's arrays are outputs; they come last."""
    return max(1, len(facts.outputs))


def is_float(array: Any) -> bool:
    """Whether an array's elements are floats (bfloat16 too) or complex numbers."""
    return isinstance(array, np.ndarray) and array.dtype.kind in "fcV"
