"""Backward: gradients flow from the outputs to the leaves, highest sequence number first.

Every consumer of a value was recorded after the value, so popping the highest sequence number from
a heap visits each node once, after all its gradients have arrived. There is no recursion.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from sys import getrefcount
from typing import Any

from dovetail.autograd import hooks
from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import Node, OutputNode, freed_error

__all__ = ["backward", "grad"]


def _fit(g: Any, spec: Any, info: Any) -> Any:
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
    arrived: dict[int, Any] = {}
    nodes: dict[int, Node] = {}
    heap: list[int] = []
    leaves: dict[Node, Any] = {}
    for node, g in roots:
        _send(node, g, arrived, nodes, heap, leaves)
    outer = mode.grad
    mode.grad = create_graph
    try:
        while heap:
            key = -heappop(heap)
            node = nodes.pop(key)
            g = arrived.pop(key)
            if node._tensor_hooks is not None or node._retain is not None:
                g = hooks.on_arrival(node, g)
            if capture is not None and node in capture:
                capture[node] = g
            if needed is not None and not any(n in needed for n in node.next):
                continue
            if type(node) is OutputNode:
                parent = node.parent
                parts = arrived.get(parent.sequence)
                if parts is None:
                    parts = arrived[parent.sequence] = [None] * parent.outputs
                    nodes[parent.sequence] = parent
                    heappush(heap, -parent.sequence)
                parts[node.index] = g
                continue
            if node._prehooks is not None:
                g = hooks.before_node(node, g)
            try:
                parts = node.backward(g, create_graph)
            except Exception as error:
                hooks.explain(node, error)
                raise
            if hooks.anomaly:
                hooks.check_nan(node, parts)
            if node._hooks is not None:
                parts = hooks.after_node(node, parts, g)
            specs = node.info.input_specs
            if not keep_graph:
                node.release()
            for i, edge in enumerate(node.next):
                if edge is None or (needed is not None and edge not in needed):
                    continue
                part = parts[i]
                if part is None:
                    continue
                spec = specs[i]
                if part._spec is not spec and spec is not None:
                    part = _fit(part, spec, node.info)
                # _send, written out: this loop is the whole cost of a chain of small operators
                if edge.accumulates:
                    old = leaves.get(edge)
                    leaves[edge] = part if old is None else old + part
                    continue
                sequence = edge.sequence
                old = arrived.get(sequence)
                if old is None:
                    arrived[sequence] = part
                    nodes[sequence] = edge
                    heappush(heap, -sequence)
                else:
                    arrived[sequence] = old + part
        part = parts = old = g = None  # so that a gradient nobody else holds counts as unshared
        while leaves:
            leaf, g = leaves.popitem()
            if leaf._tensor_hooks is not None:
                g = hooks.on_arrival(leaf, g)
            if leaf._prehooks is not None:
                g = hooks.before_node(leaf, g)
            if capture is not None and leaf in capture:
                capture[leaf] = g
            if accumulate and (needed is None or leaf in needed):
                owned = getrefcount(g) <= 2 and _owns_memory(g)
                _accumulate(leaf, g, create_graph, owned)
    finally:
        mode.grad = outer


def _send(
    node: Node,
    g: Any,
    arrived: dict[int, Any],
    nodes: dict[int, Node],
    heap: list[int],
    leaves: dict[Node, Any],
) -> None:
    store, key = (leaves, node) if node.accumulates else (arrived, node.sequence)
    old = store.get(key)  # type: ignore[attr-defined]
    store[key] = g if old is None else old + g  # type: ignore[index]
    if old is None and not node.accumulates:
        nodes[node.sequence] = node
        heappush(heap, -node.sequence)


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
            from dovetail import ones_like

            with_grad = mode.grad
            mode.grad = False
            gradient = ones_like(tensor)
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


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``, as a tuple; ``grad`` is untouched.

    Raises:
        RuntimeError: an input does not require grad, or is unused and ``allow_unused`` is False.
    """
    outputs, inputs = _as_tuple(outputs), _as_tuple(inputs)
    if is_grads_batched:
        stacked = _as_tuple(grad_outputs)
        rows = [
            grad(outputs, inputs, tuple(s[i] for s in stacked), True, create_graph, allow_unused)
            for i in range(len(stacked[0]))
        ]
        from dovetail import stack

        return tuple(None if c[0] is None else stack(list(c)) for c in zip(*rows, strict=True))
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
            from dovetail import zeros_like

            g = zeros_like(x)
        elif g is None and not allow_unused:
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph. "
                "Set allow_unused=True if this is the desired behavior."
            )
        found.append(g)
    return tuple(found)
