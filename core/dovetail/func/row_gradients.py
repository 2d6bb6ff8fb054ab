"""The gradient of a mapped call, outside of its vmap: the operator's own gradient, mapped.

Where a call with batched tensors runs through its decomposition, what is outside must not see the
steps (their gradient may differ from the operator's, as with a padding index). So the mapped call
is an operator itself, made for the occasion: it decomposes into the mapped decomposition, and its
gradient opens a vmap level and runs the operator's gradient functions there. Being an operator, it
is mapped again where the values are inside of another vmap.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from dovetail.autograd.engine import _fit
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import BackwardInfo
from dovetail.autograd.record import Recorder
from dovetail.func.batched import outside, spread, wrap
from dovetail.func.levels import Level, opened
from dovetail.ops.schema import OpDef
from dovetail.spec import Spec
from dovetail.tensor import Tensor

__all__ = ["mapped_operator"]


class _Mapped(OpDef):
    """An operator that no table knows of."""

    def __post_init__(self) -> None:
        """It is not entered into the registry."""


def mapped_operator(
    op: OpDef,
    facts: tuple[Any, ...],
    flags: tuple[bool, ...],
    attributes: dict[str, Any],
    decompose: Callable[..., Any],
    outputs: tuple[Spec, ...],
    size: int,
) -> OpDef:
    """An operator on values that is ``op`` of every row.

    Args:
        op: has a gradient and a decomposition.
        facts: per input, the plain spec of a row, a number's type, or None.
        flags: per input, whether its value has the hidden dim.
        attributes: by name.
        decompose: the decomposition, in the dtypes that a row is computed in.
        outputs: the plain spec of a row of each output.
        size: of the hidden dim.
    """
    row = Recorder(op, facts, attributes, outputs).info(tuple(isinstance(f, Spec) for f in facts))
    # The inputs of a variadic operator have no names of their own.
    inputs = tuple(f"x{i}" for i in range(len(facts))) if op.variadic else op.inputs
    names = [inputs[i] if i < len(facts) else f"out{i - len(facts)}" for i in row.saves]
    has_dim = [flags[i] if i < len(facts) else True for i in row.saves]

    def mapped(*values: Any) -> Any:
        with opened(size, mode.grad) as level:
            inside = [wrap(v, level) if f else v for v, f in zip(values, flags, strict=True)]
            result = decompose(*inside, **attributes)
            if isinstance(result, tuple):
                return tuple(_value(r, level) for r in result)
            return _value(result, level)

    def gradient(needs: tuple[bool, ...], g: Any, *saved: Any) -> list[Any]:
        def lift(v: Any) -> Any:
            return wrap(v, level) if isinstance(v, Tensor) else v

        with opened(size, mode.grad) as level:
            inside: Any = [lift(v) for v in g] if isinstance(g, list) else lift(g)
            held = [lift(v) if flag else v for v, flag in zip(saved, has_dim, strict=True)]
            parts = _parts(row, needs, [inside, *held])
            return [
                _revealed(part, facts[i], flags[i], level) if need and part is not None else None
                for i, (part, need) in enumerate(zip(parts, needs, strict=False))
            ]

    kind = inspect.Parameter.POSITIONAL_ONLY
    gradient.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind) for name in ("needs", "g", *names)]
    )
    return _Mapped(
        f"mapped_{op.name}",
        inputs=inputs,
        outputs=op.outputs,
        differentiable=op.differentiable,
        decompose=mapped,
        gradient=gradient,
        node_name=lambda *_, **__: row.name,
    )


def _value(x: Tensor, level: Level) -> Tensor:
    value, has_dim = outside(x, level)
    made: Tensor = value if has_dim else spread(value, level.size)
    return made


def _revealed(part: Tensor, fact: Spec, has_dim: bool, level: Level) -> Tensor:
    """The gradient of an input: of all rows, or their sum where they share it."""
    value: Any = _value(_fit(part, fact), level)
    made: Tensor = value if has_dim else value.sum(0)
    return made


def _parts(row: BackwardInfo, needs: tuple[bool, ...], values: list[Any]) -> Any:
    if row.joint is not None:
        function, positions = row.joint
        return function(*[values[i] if i >= 0 else needs for i in positions])
    return [
        call[0](*[values[i] for i in call[1]]) if need and call is not None else None
        for call, need in zip(row.calls, needs, strict=False)
    ]
