"""A decomposition as calls of a table's own kernels, for a backend that makes them part by part.

What is computed element by element, in many steps, goes through memory once for every step. Where a
part of the elements goes through all of them before the next, what is between stays in a cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from dovetail.composed import Step, composition
from dovetail.dtypes import bfloat16, bool_, dtype, float16, float32
from dovetail.kernels import bind_kernel, fitting_entry
from dovetail.ops.schema import CallFacts
from dovetail.spec import spec_of

if TYPE_CHECKING:
    from dovetail.backend.api import KernelTable
    from dovetail.device import device as Device

__all__ = ["KernelCall", "Stepwise", "stepwise"]


class KernelCall(NamedTuple):
    """One step.

    Attributes:
        kernel: to be called with the operands' arrays and the result's.
        operands: names of values, and numbers.
        kinds: per operand, its dtype.
        result: its name; no other step has it.
        dtype: of the result.
    """

    kernel: Callable[..., None]
    operands: tuple[Any, ...]
    kinds: tuple[dtype, ...]
    result: str
    dtype: dtype


class Stepwise(NamedTuple):
    """All steps of an operator.

    Attributes:
        calls: in order.
        given: per operand, its dtype.
        kinds: per operand, whose names are a0, a1, ..., the dtype that it must have.
        result: the name of the result.
        dtype: of the result; halves are computed in float32.
    """

    calls: tuple[KernelCall, ...]
    given: tuple[dtype, ...]
    kinds: tuple[dtype, ...]
    result: str
    dtype: dtype


def stepwise(facts: Any, table: KernelTable, count: int) -> Stepwise | None:
    """The calls of a table's kernels that an operator is made of, for up to ``count`` elements.

    Args:
        facts: the call as a kernel's ``when`` is given it.
        table: where kernels are looked for; what has none is made of its own steps.
        count: elements of the vectors that kernels are called with, 1 or more; a number that
            repeats is a 0-d array.

    Returns:
        A call of halves is one of float32 where there is a kernel of that. None where the operator
        is none of single elements (see :func:`dovetail.backend.composed`), or one of its steps has
        neither kernel nor steps.

    Example:
        >>> import dovetail as dt
        >>> from dovetail.backend.state import state_of
        >>> from dovetail.ops.schema import REGISTRY
        >>> spec = dt.zeros(3)._spec
        >>> facts = CallFacts(REGISTRY["frac"], (spec,), (spec,), {})
        >>> made = stepwise(facts, state_of(dt.device("cpu")).table, 1024)
        >>> [(call.operands, call.result) for call in made.calls]
        [(('a0',), 't0'), (('a0', 't0'), 't1')]
    """
    alone = _widened(facts, table, count)
    if alone is not None:
        return alone
    found = composition(facts)
    if found is None:
        return None
    names = {f"a{i}": f"a{i}" for i in range(len(found.kinds))}
    fresh = map("t{}".format, iter(range(1 << 30)))
    calls = []
    try:
        for call in _calls(found.steps, names, fresh, table, facts.outputs[0].device, count):
            calls.append(call)
    except LookupError:
        return None
    return Stepwise(tuple(calls), found.given, found.kinds, names[found.result], calls[-1].dtype)


def _widened(facts: Any, table: KernelTable, count: int) -> Stepwise | None:
    """A call of halves as one of float32."""
    op, out = facts.op, facts.outputs[0]
    if op.kind not in ("elementwise", "compare") or op.infer is None or len(facts.outputs) != 1:
        return None
    compute = op.infer(*facts.inputs, **facts.attributes).compute
    kinds: list[Any] = [
        k or getattr(f, "dtype", None) for f, k in zip(facts.inputs, compute, strict=True)
    ]
    wide = tuple(float32 if k in (float16, bfloat16) else k for k in kinds)
    halves = (float16, bfloat16)
    if out.dtype not in (*halves, bool_) or not {*kinds} & {*halves} or {*wide} != {float32}:
        return None
    made_kind = bool_ if out.dtype is bool_ else float32
    inputs = tuple(
        f if isinstance(f, type) else spec_of((count,), float32, out.device) for f in facts.inputs
    )
    made = CallFacts(op, inputs, (spec_of((count,), made_kind, out.device),), facts.attributes)
    kernel = _kernel(made, float32, table)
    if kernel is None:
        return None
    operands = tuple(f"a{i}" for i in range(len(wide)))
    call = KernelCall(kernel, operands, wide, "t0", made_kind)
    return Stepwise((call,), tuple(kinds), wide, "t0", made_kind)


def _calls(
    steps: tuple[Step, ...],
    names: dict[str, str],
    fresh: Iterator[str],
    table: KernelTable,
    device: Device,
    count: int,
) -> Iterator[KernelCall]:
    """The calls of some steps, whose names become those of ``names``.

    Raises:
        LookupError: for a step that nothing computes.
    """
    for step in steps:
        operands = [names[x] if isinstance(x, str) else x for x in step.operands]
        inputs = tuple(
            spec_of((count,), k, device) if isinstance(x, str) else type(x)
            for x, k in zip(operands, step.kinds, strict=True)
        )
        facts = CallFacts(step.op, inputs, (spec_of((count,), step.kind, device),), step.attributes)
        kernel = _kernel(facts, step.kinds[0], table)
        if kernel is not None:
            name = names[step.result] = next(fresh)
            yield KernelCall(kernel, tuple(operands), step.kinds, name, step.kind)
            continue
        inner = None if step.op.decompose is None else composition(facts)
        if inner is None or not all(isinstance(x, str) for x in operands):
            raise LookupError(step.op.name)
        given = {f"a{i}": x for i, x in enumerate(operands)}
        yield from _calls(inner.steps, given, fresh, table, device, count)
        names[step.result] = given[inner.result]


def _kernel(facts: CallFacts, kind: dtype, table: KernelTable) -> Callable[..., None] | None:
    entry = fitting_entry(table, facts.op.name, facts, kind)
    return None if entry is None else bind_kernel(entry, facts)
