"""Plans of calls with batched tensors: a rule, the decomposition, or a loop over the rows.

``resolve`` comes here when a call meets a batched spec for the first time. The plan that is made
runs the operator outside of the innermost vmap among the inputs, where the hidden dim is a dim like
any other, and hides it again in the results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.autograd.grad_mode import mode
from dovetail.autograd.record import Recorder
from dovetail.decomposed_plans import decomposition
from dovetail.dispatch import call, facts_of
from dovetail.dtypes import type_name
from dovetail.errors import Unsupported
from dovetail.func import rules_dense, rules_layers, rules_places  # noqa: F401 (they fill RULES)
from dovetail.func.batched import (
    NotBatched,
    dynamic_shape,
    level_of,
    outside,
    recording_outside,
    wrap,
)
from dovetail.func.levels import Level, is_recorded_inside
from dovetail.func.row_gradients import mapped_operator
from dovetail.func.rules import Case, rule_for
from dovetail.late_binding import BATCHED
from dovetail.ops.layout.joining import stack
from dovetail.ops.schema import OpDef
from dovetail.spec import Spec, spec_of
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = ["batched_plan", "over_rows"]

Run = Callable[..., Any]


def batched_plan(op: OpDef, facts: tuple[Any, ...], attributes: dict[str, Any]) -> Run:
    """The plan for a call with a batched tensor among its inputs.

    Raises:
        RuntimeError: the operator's result depends on values for its shape.
    """
    if op.needs_data:
        raise dynamic_shape(op.name)
    specs = [f for f in facts if isinstance(f, Spec)]
    depth = max(f.batch.depth for f in specs if f.batch is not None)
    flags = tuple(
        isinstance(f, Spec) and f.batch is not None and f.batch.depth == depth for f in facts
    )
    size = next(f.batch.size for f, flag in zip(facts, flags, strict=True) if flag)
    promoted: tuple[Any, ...] = ()
    kinds: tuple[Any, ...] = ()
    if op.infer is not None:
        # What is wrong with the rows is said in terms of the rows.
        _check_dtypes(op, facts)
        inferred = op.infer(*facts, **attributes)
        promoted, kinds = inferred.compute, tuple([o[1] for o in inferred.outs])
    apply = rule_for(Case(op, facts, flags, attributes, size, promoted))
    through = None
    if op.decompose is not None:
        through = _Decomposed(op, facts, attributes, promoted, kinds, depth)
    if apply is None:
        return through or _Looped(op, attributes, depth)
    return _Ruled(op, facts, attributes, depth, apply, through)


def _check_dtypes(op: OpDef, facts: tuple[Any, ...]) -> None:
    first = next((f for f in facts if isinstance(f, Spec)), None)
    if first is not None and first.dtype not in op.accepts:
        raise Unsupported(f"\"{op.name}\" not implemented for '{type_name(first.dtype)}'")


def _asks(inputs: tuple[Any, ...], level: Level) -> bool:
    """Whether a gradient level inside of the vmap wants this call recorded."""
    return any(
        isinstance(x, Tensor) and x._node is not None and is_recorded_inside(x._node, level)
        for x in inputs
    )


class _Plan:
    """What the ways to run a batched call have in common: the nodes inside of the vmap."""

    served_by = "kernel"
    packs = 0

    def __init__(
        self, op: OpDef, facts: tuple[Any, ...], attributes: dict[str, Any], depth: int
    ) -> None:
        self.op = op
        self.facts = facts
        self.attributes = attributes
        self.depth = depth
        self.recorder: Recorder | None = None

    def record(self, inputs: tuple[Any, ...], made: tuple[Tensor, ...]) -> None:
        """Put a node behind results that the level's inside asks for."""
        if self.op.gradient is None:
            return
        if self.recorder is None:
            specs = tuple(o._spec for o in made)
            self.recorder = Recorder(self.op, self.facts, self.attributes, specs)
        self.recorder.record(inputs, made)


class _Ruled(_Plan):
    """Through a batching rule: one call of the same operator, on values."""

    def __init__(
        self,
        op: OpDef,
        facts: tuple[Any, ...],
        attributes: dict[str, Any],
        depth: int,
        apply: Run,
        through: Run | None,
    ) -> None:
        super().__init__(op, facts, attributes, depth)
        self.apply = apply
        # Without a gradient of its own, what is inside sees through the decomposition.
        self.through = through if op.gradient is None else None

    def __call__(self, *inputs: Any) -> Any:
        level = level_of(self.depth)
        asks = mode.grad and _asks(inputs, level)
        if asks and self.through is not None:
            return self.through(*inputs)
        values = [outside(x, level)[0] for x in inputs]
        with recording_outside(level):
            result = self.apply(*values)
        many = isinstance(result, tuple)
        made = tuple([wrap(r, level) for r in (result if many else (result,))])
        if asks:
            self.record(inputs, made)
        return made if many else made[0]


class _Decomposed(_Plan):
    """Through the operator's decomposition, with batched tensors; a loop where it cannot be."""

    served_by = "decomposed"

    def __init__(
        self,
        op: OpDef,
        facts: tuple[Any, ...],
        attributes: dict[str, Any],
        promoted: tuple[Any, ...],
        kinds: tuple[Any, ...],
        depth: int,
    ) -> None:
        super().__init__(op, facts, attributes, depth)
        self.decompose = decomposition(op, facts, promoted, kinds)
        self.loop: _Looped | None = None
        self.mapped: OpDef | None = None

    def __call__(self, *inputs: Any) -> Any:
        if self.loop is None:
            try:
                return self._run(inputs)
            except NotBatched:
                # It writes into memory of its own, of which there is not one per row.
                self.loop = _Looped(self.op, self.attributes, self.depth)
        return self.loop(*inputs)

    def _run(self, inputs: tuple[Any, ...]) -> Any:
        if self.op.gradient is None:
            return self.decompose(*inputs, **self.attributes)
        level = level_of(self.depth)
        asks = mode.grad and _asks(inputs, level)
        values = [outside(x, level) for x in inputs]
        if self.mapped is not None or any(_has_history(v) for v, _ in values):
            made = self._mapped(level, values)
        else:
            hidden = inputs
            if asks:  # the steps are not recorded: the operator's own gradient is what counts
                hidden = tuple(wrap(v, level) if has_dim else v for v, has_dim in values)
            result = self.decompose(*hidden, **self.attributes)
            made = result if isinstance(result, tuple) else (result,)
            if asks or any(o is x for o in made for x in hidden):
                made = tuple(_bare(o, always=True) for o in made)
        if asks:
            self.record(inputs, made)
        return made if len(made) > 1 or self.op.outputs > 1 else made[0]

    def _mapped(self, level: Level, values: list[Any]) -> tuple[Tensor, ...]:
        """The results of the mapped call as one operator on values."""
        if self.mapped is None:
            plain = tuple(_plain(f) for f in self.facts)
            flags = tuple(has_dim for _, has_dim in values)
            outs = self._row_specs(plain, level, values)
            self.mapped = mapped_operator(
                self.op, plain, flags, self.attributes, self.decompose, outs, level.size
            )
        with recording_outside(level):
            result = call(self.mapped, tuple(v for v, _ in values))
        many = isinstance(result, tuple)
        return tuple(wrap(r, level) for r in (result if many else (result,)))

    def _row_specs(
        self, plain: tuple[Any, ...], level: Level, values: list[Any]
    ) -> tuple[Spec, ...]:
        device = next(f.device for f in plain if isinstance(f, Spec))
        if self.op.infer is not None:
            outs = self.op.infer(*plain, **self.attributes).outs
            return tuple(spec_of(tuple(o[0]), o[1], device) for o in outs)
        bare = [wrap(_bare(v), level) if has_dim else _bare(v) for v, has_dim in values]
        result = self.decompose(*bare, **self.attributes)
        made = result if isinstance(result, tuple) else (result,)
        return tuple(_plain(o._spec) for o in made)


def _has_history(x: Any) -> bool:
    """Whether ``x`` or a tensor behind it is the result of what was recorded."""
    while isinstance(x, Tensor):
        if x._node is not None:
            return True
        if x._spec.batch is None:
            return False
        x = x._array.value
    return False


def _plain(fact: Any) -> Any:
    return fact.batch.logical if isinstance(fact, Spec) and fact.batch is not None else fact


def _bare(x: Any, *, always: bool = False) -> Any:
    """``x`` without history; with ``always`` a tensor of its own."""
    return x._alias() if isinstance(x, Tensor) and (always or x._node is not None) else x


class _Looped(_Plan):
    """The last resort: the operator row by row, and the results put together."""

    served_by = "host"

    def __init__(self, op: OpDef, attributes: dict[str, Any], depth: int) -> None:
        super().__init__(op, (), attributes, depth)
        self.values = tuple(attributes[name] for name in op.attributes)

    def __call__(self, *inputs: Any) -> Any:
        level = level_of(self.depth)
        _warn(self.op.name)
        asks = mode.grad and _asks(inputs, level)
        values = [outside(x, level) for x in inputs]
        with recording_outside(level):
            result = over_rows(self.op, values, self.values, level.size)
        many = isinstance(result, tuple)
        made = tuple([wrap(r, level) for r in (result if many else (result,))])
        if asks:
            self.facts = facts_of(inputs)
            self.record(inputs, made)
        return made if many else made[0]


def over_rows(op: OpDef, values: list[Any], attributes: tuple[Any, ...], size: int) -> Any:
    """``op`` on each row of the values that have a hidden dim, the results stacked."""
    rows = []
    for i in range(max(size, 1)):
        # With no row at all, one of zeros tells the shape.
        picked = [_row(x, i, size) if has_dim else x for x, has_dim in values]
        rows.append(call(op, tuple(picked), attributes))
    if not isinstance(rows[0], tuple):
        return stack(rows)[:size]
    return tuple(stack(list(column))[:size] for column in zip(*rows, strict=True))


def _row(x: Tensor, i: int, size: int) -> Tensor:
    row: Tensor = x[i] if size else x.new_zeros(tuple(x._spec.shape[1:]))
    return row


def _warn(name: str) -> None:
    warn(
        f"There is a performance drop because we have not yet implemented the batching rule for "
        f"{name}: vmap calls it row by row.",
        UserWarning,
    )


BATCHED.bind(plan=batched_plan)
