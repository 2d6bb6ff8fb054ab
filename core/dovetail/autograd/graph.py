"""The recorded graph: one Node per recorded call, edges towards the leaves.

A node holds what its gradient needs and nothing else: the edges are nodes (never the tensors
themselves), and values are saved only where a gradient function names them. Sequence numbers grow,
so a node always has a higher one than every node it leads to.
"""

from __future__ import annotations

import functools
import itertools
import threading
import weakref
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from dovetail.autograd.hooks import add_hook
from dovetail.autograd.saved import save_on_cpu as save_on_cpu  # PyTorch has them here too
from dovetail.autograd.saved import saved_tensors_hooks as saved_tensors_hooks
from dovetail.autograd.saved import special, unpack_hooks
from dovetail.autograd.writes import modified_error

if TYPE_CHECKING:
    from dovetail.spec import Spec
    from dovetail.tensor import Tensor

__all__ = [
    "AccumulateGrad",
    "BackwardInfo",
    "JointNode",
    "Node",
    "OutputNode",
    "freed_error",
    "keeper",
    "next_sequence",
    "output_alias",
    "pack_value",
    "runner",
    "save",
    "unchanged",
]

next_sequence = itertools.count(1).__next__
new = object.__new__


class BackwardInfo:
    """What is the same for every node of one resolved call: gradient functions and what they need.

    Attributes:
        name: the operator's name, as in ``<AddBackward0>``.
        calls: per input, ``(function, positions)`` or None; positions index ``(g, *saved)``.
        has_gradients: whether there is any function.
        saves: which of ``(*inputs, *outs)`` are kept, by position; outputs count on from inputs.
        input_specs: Spec per input (None for a Python number or an absent input).
        joint: the single function that returns all gradients, instead of ``calls``.
        nodeless: outputs that no gradient comes through (indices): they are kept as they are.
        keep, keep_first: ``keep(info, *inputs, *outs)`` is what a node saves; the latter where
            nobody gets to see any output but the first.
    """

    __slots__ = (
        "calls",
        "has_gradients",
        "input_count",
        "input_specs",
        "joint",
        "keep",
        "keep_first",
        "name",
        "nodeless",
        "output_specs",
        "run",
        "saves",
    )

    def __init__(
        self,
        name: str,
        calls: tuple[Any, ...],
        saves: tuple[int, ...],
        input_specs: tuple[Spec | None, ...],
        joint: tuple[Callable[..., Any], tuple[int, ...]] | None = None,
        output_specs: tuple[Spec, ...] = (),
        nodeless: tuple[int, ...] = (),
    ) -> None:
        self.name = name
        self.calls = calls
        self.saves = saves
        self.input_specs = input_specs
        self.input_count = len(input_specs)
        self.joint = joint
        self.has_gradients = joint is not None or any(calls)
        self.output_specs = output_specs
        self.nodeless = nodeless
        self.run: Callable[[Any, Any], Any] | None = None  # made by :func:`runner` at first use
        self.keep = self.keep_first = None
        if saves:
            self.keep = self._keeper(nodeless)
            self.keep_first = self._keeper({*nodeless, *range(1, len(output_specs))})

    def _keeper(self, plain: Collection[int]) -> Callable[..., tuple[Any, ...]]:
        """What keeps: inputs and the ``plain`` outputs as they are, others by an alias."""

        def kind_of(position: int) -> str:
            if position >= self.input_count:
                return "tensor" if position - self.input_count in plain else "output"
            return "tensor" if self.input_specs[position] is not None else "other"

        count = self.input_count + len(self.output_specs)
        return keeper(tuple([(i, kind_of(i)) for i in self.saves]), count)


@functools.cache
def keeper(saves: tuple[tuple[int, str], ...], count: int) -> Callable[..., tuple[Any, ...]]:
    """A function ``keep(info, *inputs_and_outputs)`` that returns what a node saves.

    It does what :func:`save` does for these positions, without a loop; the pattern of positions
    (and the count of inputs and outputs) is all that differs between operators.
    """
    parts, lines = [], []
    for position, kind in saves:
        name = f"x{position}"
        if kind == "other":
            parts += [name, "None"]
            continue
        if kind == "output":
            lines.append(f"    o{position} = alias({name})")
            name = f"o{position}"
        lines.append(f"    s{position} = {name}._storage")
        parts += [name, f"0 if s{position} is None else s{position}.version"]
    names = ", ".join(f"x{i}" for i in range(count))
    source = (
        f"def keep(info, {names}):\n"
        "    if special:\n"
        f"        return save(info, ({names},))\n"
        + "".join(line + "\n" for line in lines)
        + f"    return ({', '.join(parts)})\n"
    )
    space: dict[str, Any] = {"special": special, "save": save, "alias": output_alias}
    exec(compile(source, "<dovetail keeper>", "exec"), space)
    made: Callable[..., tuple[Any, ...]] = space["keep"]
    return made


def runner(info: BackwardInfo) -> Callable[[Any, Any], Any]:
    """A function ``run(node, g)``: what :meth:`Node.backward` does, without loops."""
    pattern: list[Any] = []
    functions = []
    if info.joint is not None:
        functions.append(info.joint[0])
        pattern.append(info.joint[1])
    for call in info.calls if info.joint is None else ():
        is_kept = call is None or call[0] is unchanged
        if not is_kept:
            functions.append(call[0])
        pattern.append((None if call is None else ()) if is_kept else call[1])
    return _runner(tuple(pattern), len(info.saves), info.joint is not None)(*functions)


@functools.cache
def _runner(pattern: tuple[Any, ...], saves: int, is_joint: bool) -> Callable[..., Any]:
    """Makes ``run`` from the gradient functions; their parameters' positions are all that differs.

    Args:
        pattern: by input, the positions of what a function takes in ``(g, *saved)``; () where the
            gradient stays as it is, None where there is none.
    """
    lines = []
    if saves:
        lines.append("saved = node.saved")
        lines.append("if saved is None: node.values(v0, False)  # raises")
        lines.append(", ".join(f"v{i}, n{i}" for i in range(1, saves + 1)) + " = saved")
    for i in range(1, saves + 1):
        lines += [
            f"if n{i} is None:",
            f"    if type(v{i}) is packed: v{i} = v{i}()",
            "else:",
            f"    s = v{i}._storage",
            f"    if s is not None and s.version != n{i}: node.values(v0, False)  # raises",
        ]
    parts, count = [], 0
    for positions in pattern:
        if not positions:
            parts.append("None" if positions is None else "v0")
            continue
        taken = [f"v{i}" if i >= 0 else "needs" for i in positions]
        if "needs" in taken:
            lines.append("needs = tuple([n is not None for n in node.next])")
        parts.append(f"f{count}({', '.join(taken)})")
        count += 1
    names = ", ".join(f"f{i}" for i in range(count))
    result = parts[0] if is_joint else f"[{', '.join(parts)}]"
    body = "".join(f"        {line}\n" for line in [*lines, f"return {result}"])
    source = f"def make({names}):\n    def run(node, v0):\n{body}    return run\n"
    space: dict[str, Any] = {"packed": _Packed}
    exec(compile(source, "<dovetail gradient>", "exec"), space)
    made: Callable[..., Any] = space["make"]
    return made


def output_alias(tensor: Tensor) -> Tensor:
    """A saved output: the same memory without history, or node and output would hold each other.

    Where the output has no Storage yet neither has the alias; :meth:`Node.adopt` gives it one.
    """
    made: Tensor = new(tensor.__class__)
    made._spec = tensor._spec
    made._array = tensor._array
    storage = made._storage = tensor._storage
    made._offset = 0 if storage is None else tensor._offset
    made._node = made._base = None
    return made


class Node:
    """One recorded call.

    Attributes:
        info: what every such call shares.
        sequence: the order of recording.
        next: per input, the node that its gradient flows to, or None.
        saved: flat ``(value, version, value, version, …)``, () when none, None once freed.
    """

    __slots__ = ("__dict__", "__weakref__", "info", "next", "saved", "sequence")

    info: BackwardInfo
    sequence: int
    next: tuple[Any, ...]
    saved: Any

    accumulates = False
    is_entry = False  # where a function transform begins; see func/levels.py
    _hooks: dict[int, Any] | None = None
    _prehooks: dict[int, Any] | None = None
    _tensor_hooks: dict[int, Any] | None = None  # on the gradient that arrives
    _retain: Any = None  # weak reference to the tensor whose grad is to be kept
    line: str | None = None  # where the forward call was, under detect_anomaly
    outputs = 1
    is_special = False  # has hooks, or keeps its gradient: the engine must look closer

    def name(self) -> str:
        """The node's name, as in ``AddBackward0``."""
        parts = self.info.name.strip("_").split("_")
        name = "".join(p[:1].upper() + p[1:] for p in parts)
        return name if name == "CopySlices" else name + "Backward0"

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """Pairs (node, output index) of where the gradients flow to, as PyTorch shows them."""
        return tuple(_edge(n) for n in self.next)

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for the user's own notes on this node."""
        return self.__dict__.setdefault("_metadata", {})

    def register_hook(self, hook: Callable[..., Any]) -> Any:
        """Call ``hook(grad_inputs, grad_outputs)`` after this node ran; a result replaces them."""
        return add_hook(self, "_hooks", hook)

    def register_prehook(self, hook: Callable[..., Any]) -> Any:
        """Call ``hook(grad_outputs)`` before this node runs; a result replaces them."""
        return add_hook(self, "_prehooks", hook)

    def values(self, g: Any, create_graph: bool) -> list[Any]:
        """``[g, *saved values]``, each value checked to be what it was when it was saved.

        Raises:
            RuntimeError: freed already, or written to in place since.
        """
        saved = self.saved
        if saved is None:
            raise freed_error()
        out = [g]
        for i in range(0, len(saved), 2):
            value, version = saved[i], saved[i + 1]
            if version is None:  # a Python number, None, or something packed by a hook
                out.append(value() if type(value) is _Packed else value)
                continue
            storage = value._storage
            if storage is not None and storage.version != version:
                raise modified_error(self, value, version)
            out.append(value)
        if create_graph:
            self._attach_outputs(out)
        return out

    def adopt(self, tensor: Tensor, storage: Any) -> None:
        """Let saved aliases of an output share the Storage that was just made for it."""
        array = tensor._array
        for value in (self.saved or ())[::2]:
            if getattr(value, "_array", None) is array and value is not tensor:
                value._storage, value._offset = storage, 0

    def _attach_outputs(self, values: list[Any]) -> None:
        # A saved output was kept without its node, to avoid a cycle; give it back for second order.
        # Of several outputs each has a node of its own; an output of whole numbers has none.
        count = self.info.input_count
        for i, position in enumerate(self.info.saves, 1):
            if position >= count and values[i]._spec.dtype.category >= 2:
                values[i] = values[i]._alias()
                values[i]._node = self if self.outputs == 1 else OutputNode(self, position - count)

    def backward(self, g: Any, create_graph: bool) -> Any:
        """The gradients of the inputs, given that of the output; None where none is needed."""
        info = self.info
        if not create_graph:
            run = info.run
            if run is None:
                run = info.run = runner(info)
            return run(self, g)
        values = (g,) if self.saved == () else self.values(g, create_graph)
        if info.joint is not None:
            function, positions = info.joint
            needs = tuple(n is not None for n in self.next)
            return function(*[values[i] if i >= 0 else needs for i in positions])
        return [
            None if call is None else call[0](*[values[i] for i in call[1]]) for call in info.calls
        ]

    def backward_to(self, g: Any, create_graph: bool, needed: set[Any]) -> Any:
        """As :meth:`backward`, for those inputs alone whose nodes are in ``needed``."""
        info = self.info
        values = (g,) if self.saved == () else self.values(g, create_graph)
        wanted = tuple([n in needed for n in self.next])
        if info.joint is not None:
            function, positions = info.joint
            return function(*[values[i] if i >= 0 else wanted for i in positions])
        return [
            call[0](*[values[i] for i in call[1]]) if want and call is not None else None
            for call, want in zip(info.calls, wanted, strict=False)
        ]


def unchanged(g: Any) -> Any:
    """The gradient function of an input that the gradient reaches as it is."""
    return g


def freed_error() -> RuntimeError:
    """The error of a second backward through a graph that was freed."""
    return RuntimeError(
        "Trying to backward through the graph a second time (or directly access saved tensors "
        "after they have already been freed). Saved intermediate values of the graph are freed "
        "when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to "
        "backward through the graph a second time or if you need to access saved tensors after "
        "calling backward."
    )


class JointNode(Node):
    """A recorded call with several outputs, each of which has an :class:`OutputNode`."""

    __slots__ = ("outputs",)
    outputs: int


class OutputNode(Node):
    """One output of a node with several: it hands its gradient on as the parent's n-th."""

    __slots__ = ("index", "parent")
    saved: Any = ()

    def __init__(self, parent: Node, index: int) -> None:
        self.parent = parent
        self.index = index
        self.sequence = next_sequence()

    @property
    def info(self) -> BackwardInfo:  # type: ignore[override]
        """The parent's."""
        return self.parent.info

    @property
    def next(self) -> tuple[Node]:  # type: ignore[override]
        """The parent, which the gradient goes to."""
        return (self.parent,)


def _edge(node: Any) -> tuple[Any, int]:
    return (node.parent, node.index) if isinstance(node, OutputNode) else (node, 0)


class AccumulateGrad(Node):
    """The end of the graph at a leaf: adds what arrives to the leaf's ``grad``."""

    __slots__ = ("reference",)
    accumulates = True
    _post_hooks: dict[int, Any] | None = None

    def __init__(self, leaf: Tensor) -> None:
        self.reference = weakref.ref(leaf)
        self.sequence = 0
        self.next = ()
        self.saved = ()

    @property
    def variable(self) -> Any:
        """The leaf, or None once it is gone."""
        return self.reference()

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"


class _Packed:
    """A saved tensor that a pack hook turned into something else."""

    __slots__ = ("item", "node", "unpack")

    def __init__(self, item: Any, unpack: Callable[[Any], Any], node: Any) -> None:
        self.item = item
        self.unpack = unpack
        self.node = node  # the value's own history, for second order

    def __call__(self) -> Any:
        value = self.unpack(self.item)
        if not hasattr(value, "_spec"):
            raise TypeError(
                f"saved_tensors_hooks: unpack_hook must return a Tensor, got {type(value).__name__}"
            )
        if value._node is not self.node:
            value = value._alias()
            value._node = self.node
        return value


def pack_value(value: Any) -> _Packed | None:
    """``value`` through this thread's innermost pack hook, or None where there is none."""
    here = threading.get_ident()
    for thread, pack, unpack in reversed(unpack_hooks):
        if thread == here:
            node = value._node
            plain = value._alias() if node is not None else value
            return _Packed(pack(plain), unpack, node)
    return None


def save(info: BackwardInfo, things: tuple[Any, ...]) -> tuple[Any, ...]:
    """``(value, version, …)`` for the positions that ``info`` asks for."""
    flat: list[Any] = []
    for position in info.saves:
        value = things[position]
        if value is None or not hasattr(value, "_spec"):
            flat += (value, None)
            continue
        if value._inference:
            raise RuntimeError(
                "Inference tensors cannot be saved for backward. To work around you can make a "
                f"clone to get a normal tensor and use it in autograd. ({info.name})"
            )
        index = position - info.input_count
        if index >= 0 and index not in info.nodeless:
            value = output_alias(value)
        if unpack_hooks:
            packed = pack_value(value)
            if packed is not None:
                flat += (packed, None)
                continue
        storage = value._storage
        flat += (value, 0 if storage is None else storage.version)
    return tuple(flat)
