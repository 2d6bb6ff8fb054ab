"""Batching rules: how an operator is called on values that have one more dim in front.

A rule takes a :class:`Case` and returns a function from values to the result (hidden dim first
again), or None where it does not apply; then the operator's decomposition is run with batched
tensors. A value is an input as it is outside of the vmap: with the hidden dim where
``case.flags`` says so. Rules are found by the operator's name, then by the kind of its record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.dispatch import call
from dovetail.func.batched import spread
from dovetail.ops.schema import OpDef
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["KINDS", "RULES", "Apply", "Case", "Rule", "rule", "rule_for"]

Apply = Callable[..., Any]


class Case:
    """One resolved call with batched inputs.

    Attributes:
        op: the operator.
        facts: per input, the spec of a row, a number's type, or None.
        flags: per input, whether the vmap hides a dim of it.
        attributes: by name.
        size: of the hidden dim.
        promoted: per input, the dtype that it is computed in (None: its own); may be empty.
    """

    def __init__(
        self,
        op: OpDef,
        facts: tuple[Any, ...],
        flags: tuple[bool, ...],
        attributes: dict[str, Any],
        size: int,
        promoted: tuple[Any, ...],
    ) -> None:
        self.op = op
        self.facts = facts
        self.flags = flags
        self.attributes = attributes
        self.size = size
        self.promoted = promoted

    @property
    def specs(self) -> list[Spec]:
        """The specs of the tensors among the inputs."""
        return [f for f in self.facts if isinstance(f, Spec)]

    @property
    def rank(self) -> int:
        """The largest number of dims of a row among the inputs."""
        return max(s.ndim for s in self.specs)

    def outs(self) -> tuple[tuple[Any, ...], ...]:
        """``(shape, dtype, …)`` of a row of each result; the operator must have a rule for it."""
        assert self.op.infer is not None
        found: tuple[tuple[Any, ...], ...] = self.op.infer(*self.facts, **self.attributes).outs
        return found

    def call(self, *values: Any, **changed: Any) -> Any:
        """The operator on values, with some attributes changed."""
        attributes = {**self.attributes, **changed}
        return call(self.op, values, tuple(attributes[name] for name in self.op.attributes))

    def all_batched(self, values: tuple[Any, ...]) -> list[Any]:
        """The values, each tensor with the hidden dim."""
        return [
            spread(v, self.size) if isinstance(v, Tensor) and not flag else v
            for v, flag in zip(values, self.flags, strict=True)
        ]

    def rows_shaped(self, result: Any) -> Any:
        """A result (or several) given the shapes that the operator's rule tells for rows."""
        many = isinstance(result, tuple)
        made = tuple(
            r.reshape(self.size, *out[0])
            for r, out in zip(result if many else (result,), self.outs(), strict=True)
        )
        return made if many else made[0]


Rule = Callable[[Case], Apply | None]

RULES: dict[str, Rule] = {}
"""Rules by the operator's name."""

KINDS: dict[str, Rule] = {}
"""Rules by the kind of record, for operators without one of their own."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """The function below is the batching rule of these operators."""

    def define(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return define


def rule_for(case: Case) -> Apply | None:
    """The way to call this operator on values, or None."""
    found = RULES.get(case.op.name) or KINDS.get(case.op.kind)
    return None if found is None else found(case)
