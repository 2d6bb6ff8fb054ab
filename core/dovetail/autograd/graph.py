"""The recorded graph: one Node per recorded call, edges towards the leaves.

A node holds what its gradient needs and nothing else: the edges are nodes (never the tensors
themselves), and values are saved only where a gradient function names them. Sequence numbers grow,
so a node always has a higher one than every node it leads to.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovetail.spec import Spec
    from dovetail.tensor import Tensor

__all__ = [
    "AccumulateGrad",
    "BackwardInfo",
    "Node",
    "OutputNode",
    "freed_error",
    "next_sequence",
    "pack_value",
    "save",
    "unpack_hooks",
]

next_sequence = itertools.count(1).__next__
new = object.__new__


class BackwardInfo:
    """What is the same for every node of one resolved call: gradient functions and what they need.

    Attributes:
        name: the operator's name, as in ``<AddBackward0>``.
        calls: per input, ``(function, positions)`` or None; positions index ``(g, *saved)``.
        saves: which of ``(*inputs, *outs)`` are kept, by position; outputs count on from inputs.
        input_specs: Spec per input (None for a Python number or an absent input).
        joint: the single function that returns all gradients, instead of ``calls``.
    """

    __slots__ = ("calls", "input_count", "input_specs", "joint", "name", "output_specs", "saves")

    def __init__(
        self,
        name: str,
        calls: tuple[Any, ...],
        saves: tuple[int, ...],
        input_specs: tuple[Spec | None, ...],
        joint: tuple[Callable[..., Any], tuple[int, ...]] | None = None,
        output_specs: tuple[Spec, ...] = (),
    ) -> None:
        self.name = name
        self.calls = calls
        self.saves = saves
        self.input_specs = input_specs
        self.input_count = len(input_specs)
        self.joint = joint
        self.output_specs = output_specs


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
    _hooks: dict[int, Any] | None = None
    _prehooks: dict[int, Any] | None = None
    _tensor_hooks: dict[int, Any] | None = None  # on the gradient that arrives
    _retain: Any = None  # weak reference to the tensor whose grad is to be kept
    line: str | None = None  # where the forward call was, under detect_anomaly
    outputs = 1

    def name(self) -> str:
        """The node's name, as in ``AddBackward0``."""
        parts = self.info.name.strip("_").split("_")
        return "".join(p[:1].upper() + p[1:] for p in parts) + "Backward0"

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
        from dovetail.autograd.hooks import add_hook

        return add_hook(self, "_hooks", hook)

    def register_prehook(self, hook: Callable[..., Any]) -> Any:
        """Call ``hook(grad_outputs)`` before this node runs; a result replaces them."""
        from dovetail.autograd.hooks import add_hook

        return add_hook(self, "_prehooks", hook)

    def values(self, create_graph: bool) -> list[Any]:
        """The saved values, each checked to be what it was when it was saved.

        Raises:
            RuntimeError: freed already, or written to in place since.
        """
        saved = self.saved
        if not saved:
            if saved is None:
                raise freed_error()
            return []
        out = []
        for value, version in zip(saved[::2], saved[1::2], strict=True):
            if version is None:  # a Python number, None, or something packed by a hook
                out.append(value() if type(value) is _Packed else value)
                continue
            storage = value._storage
            if storage is not None and storage.version != version:
                from dovetail.autograd.inplace import modified_error

                raise modified_error(self, value, version)
            out.append(value)
        if create_graph:
            self._attach_outputs(out)
        return out

    def _attach_outputs(self, values: list[Any]) -> None:
        # A saved output was kept without its node, to avoid a cycle; give it back for second order.
        for i, position in enumerate(self.info.saves):
            if position >= self.info.input_count:
                values[i] = values[i]._alias()
                values[i]._node = self

    def backward(self, g: Any, create_graph: bool) -> Any:
        """The gradients of the inputs, given that of the output; None where none is needed."""
        info = self.info
        values = (g, *self.values(create_graph)) if self.saved != () else (g,)
        if info.joint is not None:
            function, positions = info.joint
            needs = tuple(n is not None for n in self.next)
            return function(*[values[i] if i >= 0 else needs for i in positions])
        return [
            call[0](*[values[i] for i in call[1]]) if call is not None and edge is not None else None
            for call, edge in zip(info.calls, self.next, strict=True)
        ]

    def release(self) -> None:
        """Let go of the saved values."""
        if self.saved != ():
            self.saved = None


def freed_error() -> RuntimeError:
    """The error of a second backward through a graph that was freed."""
    return RuntimeError(
        "Trying to backward through the graph a second time (or directly access saved tensors "
        "after they have already been freed). Saved intermediate values of the graph are freed "
        "when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to "
        "backward through the graph a second time or if you need to access saved tensors after "
        "calling backward."
    )


class OutputNode(Node):
    """One output of a node with several: it hands its gradient on as the parent's n-th."""

    __slots__ = ("index", "parent")

    def __init__(self, parent: Node, index: int) -> None:
        self.parent = parent
        self.index = index
        self.sequence = next_sequence()
        self.info = parent.info
        self.next = (parent,)
        self.saved = ()


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
                "saved_tensors_hooks: unpack_hook must return a Tensor, got "
                f"{type(value).__name__}"
            )
        if value._node is not self.node:
            value = value._alias()
            value._node = self.node
        return value


unpack_hooks: list[tuple[int, Callable[[Any], Any], Callable[[Any], Any]]] = []
"""(thread, pack, unpack) of every active ``saved_tensors_hooks``, the innermost last."""


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
        if position >= info.input_count:
            value = value._alias()
        if unpack_hooks:
            packed = pack_value(value)
            if packed is not None:
                flat += (packed, None)
                continue
        storage = value._storage
        flat += (value, 0 if storage is None else storage.version)
    return tuple(flat)


def __getattr__(name: str) -> Any:
    # PyTorch has these in torch.autograd.graph
    if name in ("saved_tensors_hooks", "save_on_cpu"):
        from dovetail.autograd import saved

        return getattr(saved, name)
    raise AttributeError(f"module 'dovetail.autograd.graph' has no attribute {name!r}")
