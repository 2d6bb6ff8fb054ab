"""Backward: gradients flow from the outputs to the leaves, highest sequence number first.

Every consumer of a value was recorded after the value, so popping the highest sequence number from
a heap visits each node once, after all its gradients have arrived. There is no recursion.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from sys import getrefcount
from typing import TYPE_CHECKING, Any

from dovetail.autograd import hooks
from dovetail.autograd.grad_mode import mode, set_grad_enabled
from dovetail.autograd.graph import Node, OutputNode, freed_error
from dovetail.factories import ones_like, zeros_like
from dovetail.late_binding import TENSORS
from dovetail.ops.expose import writer
from dovetail.ops.schema import REGISTRY
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "backward",
    "grad",
    "run",
]


def _fit(g: Any, spec: Any) -> Any:
    """Bring a gradient to its input's shape and dtype (the reverse of broadcasting and casting)."""
    if g._spec.shape != spec.shape:
        g = g.sum_to_size(spec.shape)
    if g._spec.dtype is not spec.dtype:
        if g._spec.dtype.is_complex and not spec.dtype.is_complex:
            g = g.real
        if g._spec.dtype is not spec.dtype:
            g = g.to(spec.dtype)
    return g


def _needed(roots: list[Node], targets: set[Node]) -> set[Node]:
    """The nodes from which a target can be reached."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        order.append(node)
        stack.extend(n for n in node.next if n is not None)
    order.sort(key=lambda n: n.sequence)
    needed = set(targets)
    for node in order:
        if any(n in needed for n in node.next):
            needed.add(node)
    return needed


def run(
    roots: list[tuple[Node, Any]],
    *,
    keep_graph: bool,
    create_graph: bool,
    capture: dict[Node, Any] | None = None,
    accumulate: bool = True,
) -> None:
    """Push gradients from ``roots`` (pairs of node and gradient).

    Args:
        keep_graph: saved values stay for another backward.
        create_graph: record the gradient computation itself.
        capture: nodes whose arriving gradient is wanted; filled in. Nodes that lead to none of
            them are not visited.
        accumulate: add to the leaves' ``grad``.
    """
    needed = None
    if capture is not None:
        needed = _needed([n for n, _ in roots], set(capture))
    work = _Work(create_graph)
    for node, g in roots:
        work.send(node, g)
    heap, nodes, arrived, leaves = work.heap, work.nodes, work.arrived, work.leaves
    anomaly = hooks.anomaly
    outer, cast = mode.grad, mode.autocast
    # A gradient is computed in the dtypes that forward has used.
    mode.grad, mode.autocast = create_graph, None
    try:
        while heap:
            key = -heappop(heap)
            node = nodes.pop(key)
            g = arrived.pop(key)
            while True:  # while only one node waits, it needs no heap
                if node.is_special:
                    g = hooks.on_arrival(node, g)
                if capture is not None:
                    if node in capture:
                        capture[node] = g
                    if not any(n in needed for n in node.next):  # type: ignore[operator]
                        break
                if type(node) is OutputNode:
                    work.send_part(node, g)
                    break
                try:
                    if needed is None or node.is_special:
                        parts = node.backward(g, create_graph)
                    else:
                        parts = node.backward_to(g, create_graph, needed)
                except Exception as error:
                    hooks.explain(node, error)
                    raise
                if anomaly:
                    hooks.check_nan(node, parts)
                if node.is_special:
                    parts = hooks.after_node(node, parts, g)
                specs = node.info.input_specs
                if not keep_graph and node.saved:
                    node.saved = None
                following = None
                i = -1
                for edge in node.next:
                    i += 1
                    if edge is None or (needed is not None and edge not in needed):
                        continue
                    part = parts[i]
                    if part is None:
                        continue
                    spec = specs[i]
                    if part._spec is not spec and spec is not None:
                        part = _fit(part, spec)
                    if edge.accumulates:
                        if edge in leaves:
                            work.add(leaves, edge, part)
                        else:
                            leaves[edge] = part
                    elif following is None and not heap:
                        following, g = edge, part
                    else:
                        if following is not None:
                            work.send(following, g)
                            following = None
                        work.send(edge, part)
                if following is None:
                    break
                node = following
        part = parts = g = work = None  # so that a gradient nobody else holds counts as unshared
        while leaves:
            leaf, g = leaves.popitem()
            if leaf.is_special:
                g = hooks.on_arrival(leaf, g)
            if capture is not None and leaf in capture:
                capture[leaf] = g
            if accumulate and (needed is None or leaf in needed):
                owned = getrefcount(g) <= 2 and _owns_memory(g)
                _accumulate(leaf, g, create_graph, owned)
    finally:
        mode.grad, mode.autocast = outer, cast


class _Work:
    """Gradients on their way: what has arrived where, and which node comes next."""

    def __init__(self, create_graph: bool) -> None:
        self.arrived: dict[int, Any] = {}
        self.nodes: dict[int, Node] = {}
        self.heap: list[int] = []
        self.leaves: dict[Any, Any] = {}
        self._create_graph = create_graph
        self._sums: set[Any] = set()  # where the gradient is a sum made here, so nobody else's
        self._writes = REGISTRY["add"].writes

    def send(self, node: Node, g: Any) -> None:
        """A gradient arrives at ``node``."""
        if node.accumulates:
            if node in self.leaves:
                self.add(self.leaves, node, g)
            else:
                self.leaves[node] = g
            return
        sequence = node.sequence
        if sequence in self.arrived:
            self.add(self.arrived, sequence, g)
            return
        self.arrived[sequence] = g
        self.nodes[sequence] = node
        heappush(self.heap, -sequence)

    def send_part(self, node: OutputNode, g: Any) -> None:
        """The gradient of one of several outputs arrives."""
        parent = node.parent
        parts = self.arrived.get(parent.sequence)
        if parts is None:
            parts = self.arrived[parent.sequence] = [None] * parent.outputs
            self.nodes[parent.sequence] = parent
            heappush(self.heap, -parent.sequence)
        # An output that was saved for backward arrives apart from the output itself.
        old = parts[node.index]
        parts[node.index] = g if old is None else old + g

    def add(self, table: dict[Any, Any], key: Any, g: Any) -> None:
        """Add to a gradient that has arrived; into it where it is a sum already."""
        old = table[key]
        spec = old._spec
        if key in self._sums and spec is g._spec:
            write = self._writes.get((spec, spec))
            if write:
                write(old, g)
                return
            if write is None:
                self._writes[spec, spec] = writer(REGISTRY["add"], old, (g,)) or False
        table[key] = old + g
        if not self._create_graph:
            self._sums.add(key)


def _owns_memory(g: Any) -> bool:
    """Whether no other tensor shares the memory of ``g``."""
    storage = g._storage
    if storage is None:
        return g._array is not None
    return g._base is None and not storage.state.host_arrays and getrefcount(storage) <= 3


def _accumulate(node: Any, g: Any, create_graph: bool, owned: bool) -> None:
    leaf = node.reference()
    if leaf is None:
        return
    with hooks.leaf_lock:
        old = leaf.grad
        if old is None:
            leaf.grad = g if create_graph or owned else g.detach().clone()
        elif create_graph:
            leaf.grad = old + g
        else:
            old.add_(g)
    if node._post_hooks is not None:
        hooks.after_accumulate(node, leaf)


def _as_tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _roots(
    tensors: Sequence[Any], gradients: Sequence[Any], function: str
) -> list[tuple[Node, Any]]:
    if len(tensors) != len(gradients):
        raise RuntimeError(
            f"got {len(tensors)} tensors and {len(gradients)} gradients: one gradient per tensor"
        )
    pairs = []
    for i, (tensor, gradient) in enumerate(zip(tensors, gradients, strict=True)):
        if tensor._node is None:
            raise RuntimeError(
                f"element {i} of tensors does not require grad and does not have a grad_fn"
            )
        if gradient is None:
            if tensor._spec.numel != 1:
                raise RuntimeError(
                    "grad can be implicitly created only for scalar outputs "
                    f"(got an output of shape {tuple(tensor.shape)}: "
                    "call .sum() or .mean() on it, or pass gradient=)"
                )
            if not tensor.dtype.is_floating_point:
                raise RuntimeError(
                    "grad can be implicitly created only for real scalar outputs but got "
                    f"{tensor.dtype}"
                )
            with_grad, mode.grad = mode.grad, False
            try:
                gradient = ones_like(tensor)
            finally:
                mode.grad = with_grad
        elif gradient._spec.shape != tensor._spec.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{i}] has a shape of {gradient.shape} and "
                f"output[{i}] has a shape of {tensor.shape}."
            )
        elif gradient._spec.device is not tensor._spec.device:
            raise RuntimeError(
                f"{function}: gradient {i} must be on {tensor.device}, got {gradient.device}"
            )
        elif gradient._spec.dtype is not tensor._spec.dtype:
            gradient = gradient.to(tensor._spec.dtype)
        pairs.append((tensor._node, gradient))
    for node, _ in pairs:
        if node.saved is None:
            raise freed_error()
    return pairs


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of ``tensors`` to the ``grad`` of the leaves they depend on.

    Args:
        grad_tensors: the vector of the vector-Jacobian product per tensor; may be left out for
            tensors of one element.
        retain_graph: keep saved values for another backward (default: ``create_graph``).
        create_graph: record this computation, for gradients of gradients.
        inputs: accumulate only into these.

    Raises:
        RuntimeError: no graph, freed graph, non-scalar without gradient, shape mismatch.
    """
    tensors = _as_tuple(tensors)
    gradients = _as_tuple(grad_tensors) if grad_tensors is not None else (None,) * len(tensors)
    keep = create_graph if retain_graph is None else retain_graph
    roots = _roots(tensors, gradients, "backward")
    if inputs is None:
        run(roots, keep_graph=keep, create_graph=create_graph)
        return
    inputs = _as_tuple(inputs)
    if not inputs:
        raise RuntimeError("backward: inputs must name at least one tensor, got an empty list")
    for x in inputs:
        if x._node is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    capture: dict[Node, Any] = {x._node: None for x in inputs}
    run(roots, keep_graph=keep, create_graph=create_graph, capture=capture)
    for x in inputs:
        g = capture[x._node]
        if g is not None and not x._node.accumulates:
            x.grad = g if x.grad is None else x.grad + g


def _mapped(vmap: Any, rows: Any, vectors: tuple[Any, ...]) -> tuple[Any, ...]:
    """``rows`` of each of the vectors; None for inputs that nothing leads to."""
    unused: list[int] = []
    count = 0

    def found(*vectors: Any) -> tuple[Any, ...]:
        nonlocal count
        made = rows(*vectors)
        count = len(made)
        unused[:] = [i for i, g in enumerate(made) if g is None]
        return tuple(g for g in made if g is not None)

    made = iter(vmap(found)(*vectors))
    return tuple(None if i in unused else next(made) for i in range(count))


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``, as a tuple; ``grad`` is untouched.

    ``only_inputs`` is always on, as in PyTorch, whose old programs write it.

    Raises:
        RuntimeError: an input does not require grad, or is unused and ``allow_unused`` is False.
    """
    outputs, inputs = _as_tuple(outputs), _as_tuple(inputs)
    if not only_inputs:
        warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To "
            "accumulate gradient for other parts of the graph, please use "
            "torch.autograd.backward.",
            FutureWarning,
        )
    if is_grads_batched:
        from dovetail.func.vmap import vmap

        def rows(*vectors: Any) -> tuple[Any, ...]:
            options = (True, create_graph, True, allow_unused, False, materialize_grads)
            return grad(outputs, inputs, vectors, *options)

        with set_grad_enabled(create_graph):  # or else the vmap's outside would record
            return _mapped(vmap, rows, _as_tuple(grad_outputs))
    gradients = _as_tuple(grad_outputs) if grad_outputs is not None else (None,) * len(outputs)
    keep = create_graph if retain_graph is None else retain_graph
    for x in inputs:
        if x._node is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    capture: dict[Node, Any] = {x._node: None for x in inputs}
    roots = _roots(outputs, gradients, "grad")
    run(roots, keep_graph=keep, create_graph=create_graph, capture=capture, accumulate=False)
    found = []
    for x in inputs:
        g = capture[x._node]
        if g is None and materialize_grads:
            g = zeros_like(x)
        elif g is None and not allow_unused:
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph. "
                "Set allow_unused=True if this is the desired behavior."
            )
        found.append(g)
    return tuple(found)


TENSORS.bind(backward=backward)
