"""The gradient of a mapped call, outside of its vmap: the operator's own gradient, mapped.

Where a call with batched tensors runs through its decomposition, what is outside must not see the
steps (their gradient may differ from the operator's, as with a padding index). One node stands for
the call; walking back through it opens a vmap level and runs the operator's gradient functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.autograd.engine import _fit
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import BackwardInfo, Node, OutputNode, next_sequence
from dovetail.autograd.record import Recorder
from dovetail.func.batched import outside, spread, wrap
from dovetail.func.levels import opened
from dovetail.tensor import Tensor

__all__ = ["RowsRecorder"]

_NEEDS = -1


class RowsRecorder:
    """Makes the nodes outside of a vmap of one resolved call.

    Args:
        recorder: of a row.
        facts: per input, the plain spec of a row, a number's type, or None.
        flags: per input, whether its value has the hidden dim.
        size: of the hidden dim.
    """

    def __init__(
        self, recorder: Recorder, facts: tuple[Any, ...], flags: tuple[bool, ...], size: int
    ) -> None:
        self.recorder = recorder
        self.facts = facts
        self.flags = flags
        self.size = size
        self.infos: dict[Any, BackwardInfo] = {}

    def record(self, values: list[Any], outs: list[Tensor]) -> None:
        """Put a node behind ``outs``."""
        positions = self.recorder.positions
        if not positions:
            return
        edges = tuple(getattr(v, "_node", None) for v in values)
        needs = tuple(e is not None for e in edges)
        info = self.infos.get(needs)
        if info is None:
            info = self.infos[needs] = self._info(needs, values, outs)
        node = Node()
        node.info = info
        node.sequence = next_sequence()
        node.next = edges
        node.saved = () if info.keep is None else info.keep(info, *values, *outs)
        if len(positions) == 1 and len(self.recorder.op.differentiable) == 1:
            outs[positions[0]]._node = node
            return
        node.outputs = len(outs)
        for i in positions:
            outs[i]._node = OutputNode(node, i)

    def _info(self, needs: tuple[bool, ...], values: list[Any], outs: list[Tensor]) -> BackwardInfo:
        row = self.recorder.info(needs)
        count = len(self.facts)
        has_dim = [self.flags[i] if i < count else True for i in row.saves]
        joint = self._joint(row, has_dim)
        specs = tuple(v._spec if isinstance(v, Tensor) else None for v in values)
        places = (_NEEDS, *range(len(row.saves) + 1))
        out_specs = tuple(o._spec for o in outs)
        return BackwardInfo(row.name, (), row.saves, specs, (joint, places), out_specs)

    def _joint(self, row: BackwardInfo, has_dim: list[bool]) -> Callable[..., Any]:
        """From the gradient and the saved values, hidden dim first, to the inputs' gradients."""

        def joint(needs: tuple[bool, ...], g: Any, *saved: Any) -> list[Any]:
            with opened(self.size, mode.grad) as level:

                def lift(v: Any) -> Any:
                    return wrap(v, level) if isinstance(v, Tensor) else v

                inside: Any = [lift(v) for v in g] if isinstance(g, list) else lift(g)
                held = [lift(v) if flag else v for v, flag in zip(saved, has_dim, strict=True)]
                parts = _parts(row, needs, [inside, *held])
                return [
                    self._revealed(part, i, level) if need else None
                    for i, (part, need) in enumerate(zip(parts, needs, strict=False))
                ]

        return joint

    def _revealed(self, part: Any, i: int, level: Any) -> Any:
        if part is None:
            return None
        value, has_dim = outside(_fit(part, self.facts[i]), level)
        if self.flags[i]:
            return value if has_dim else spread(value, self.size)
        return value.sum(0) if has_dim else value * self.size


def _parts(row: BackwardInfo, needs: tuple[bool, ...], values: list[Any]) -> Any:
    if row.joint is not None:
        function, positions = row.joint
        return function(*[values[i] if i >= 0 else needs for i in positions])
    found: list[Any] = []
    for call in row.calls:
        if call is None:
            found.append(None)
            continue
        function, positions = call
        found.append(function(*[values[i] for i in positions]))
    return found
