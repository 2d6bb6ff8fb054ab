"""From an operator's gradient functions to the BackwardInfo of one resolved call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dovetail.autograd.graph import BackwardInfo, JointNode, Node, OutputNode, next_sequence

if TYPE_CHECKING:
    from dovetail.ops.schema import OpDef
    from dovetail.spec import Spec

__all__ = ["Recorder"]

new = object.__new__

_NEEDS = -1
_SPECS = -2


class Recorder:
    """Makes the nodes of one resolved call; one BackwardInfo per set of inputs that need gradients.

    Args:
        op: the operator.
        facts: Spec, number type or None per input.
        attributes: by name.
        outputs: Spec per output.
    """

    __slots__ = ("attributes", "facts", "infos", "is_single", "op", "outputs", "positions")

    def __init__(
        self,
        op: OpDef,
        facts: tuple[Any, ...],
        attributes: dict[str, Any],
        outputs: tuple[Spec, ...],
    ) -> None:
        self.op = op
        self.facts = facts
        self.attributes = attributes
        self.outputs = outputs
        self.infos: dict[Any, BackwardInfo] = {}
        self.positions = tuple(i for i in op.differentiable if outputs[i].dtype.category >= 2)
        self.is_single = len(self.positions) == 1 and len(op.differentiable) == 1

    def info(self, needs: Any) -> BackwardInfo:
        """The BackwardInfo for ``needs`` (a bit mask, or a tuple of bool per input)."""
        found = self.infos.get(needs)
        if found is None:
            flags = (
                needs
                if isinstance(needs, tuple)
                else tuple(bool(needs >> i & 1) for i in range(len(self.facts)))
            )
            found = self.infos[needs] = self._make(flags)
        return found

    def _make(self, needs: tuple[bool, ...]) -> BackwardInfo:
        op = self.op
        specs = tuple(None if f is None or isinstance(f, type) else f for f in self.facts)
        saves: list[int] = []
        gradient = op.gradient
        if op.complex_gradient is not None and any(s and s.dtype.is_complex for s in specs):
            gradient = op.complex_gradient
        name = op.name
        if op.node_name is not None:
            name = op.node_name(*self.facts, **self.attributes)
        joint = None
        calls: tuple[Any, ...] = ()
        if callable(gradient):
            joint = self._bind(gradient, saves)
        else:
            calls = tuple(
                self._bind(gradient[i], saves) if need and gradient.get(i) is not None else None
                for i, need in zip(op.inputs, needs, strict=False)
            )
        kept = (position - len(specs) for position in saves)
        nodeless = tuple(i for i in kept if i >= 0 and i not in self.positions)
        return BackwardInfo(name, calls, tuple(saves), specs, joint, self.outputs, nodeless)

    def _bind(
        self, function: Callable[..., Any], saves: list[int]
    ) -> tuple[Callable[..., Any], tuple[int, ...]]:
        """``(function, positions)``: where each parameter comes from in ``(g, *saved)``."""
        op, count = self.op, len(self.facts)
        names = op.parameter_names(function)
        positions: list[int] = []
        asked: list[str] = []
        constants: dict[str, Any] = {}

        def saved(position: int) -> int:
            if position not in saves:
                saves.append(position)
            return 1 + saves.index(position)

        for name in names:
            if name == "g":
                positions.append(0)
            elif name == "needs":
                positions.append(_NEEDS)
            elif name == "specs":
                constants[name] = self.facts
                continue
            elif name in op.inputs and not op.variadic:
                positions.append(saved(op.inputs.index(name)))
            elif name == "out":
                positions.append(saved(count))
            elif name.startswith("out") and name[3:].isdigit():
                positions.append(saved(count + int(name[3:])))
            elif name in self.attributes:
                constants[name] = self.attributes[name]
                continue
            else:
                raise TypeError(f"{op.name}: its gradient asks for unknown {name!r}")
            asked.append(name)
        if not constants:
            return function, tuple(positions)
        if names[: len(asked)] == tuple(asked):
            from functools import partial

            return partial(function, **constants), tuple(positions)

        def call(*values: Any) -> Any:
            return function(**dict(zip(asked, values, strict=True)), **constants)

        return call, tuple(positions)

    def record(self, inputs: tuple[Any, ...], outs: tuple[Any, ...]) -> None:
        """Put a node behind ``outs``; called only when an input needs a gradient.

        ``straight_plans.py`` writes the same out for its inputs and outputs.
        """
        if not self.positions:
            return
        edges = tuple([getattr(x, "_node", None) for x in inputs])
        needs = tuple([e is not None for e in edges])
        info = self.infos.get(needs) or self.info(needs)
        if not info.has_gradients:
            return
        node = new(Node if self.is_single else JointNode)
        node.info = info
        node.sequence = next_sequence()
        node.next = edges
        node.saved = () if info.keep is None else info.keep(info, *inputs, *outs)
        if self.is_single:
            outs[self.positions[0]]._node = node
            return
        node.outputs = len(outs)
        for i in self.positions:
            outs[i]._node = OutputNode(node, i)
