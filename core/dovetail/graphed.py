"""``make_graphed_callables``: a function or module whose passes are replays of two graphs.

Meanings follow PyTorch's page ``torch.cuda.make_graphed_callables``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dovetail.amp import is_autocast_cache_enabled, is_autocast_enabled
from dovetail.autograd.engine import grad
from dovetail.autograd.function import Function, once_differentiable
from dovetail.backend.state import state_of
from dovetail.device import device as Device
from dovetail.device import resolve
from dovetail.factories import empty_like
from dovetail.func.tree import TreeSpec, flatten, leaves, unflatten
from dovetail.graphs import Graph, GraphContext, aside, pool_handle
from dovetail.nn.module import Module
from dovetail.tensor import Tensor

__all__ = ["make_graphed_callables"]


@dataclass
class _Passes:
    """The two graphs of one callable, and the tensors that they read and write.

    Attributes:
        surface: the arguments, then the module's parameters.
        given: how many of them are arguments.
    """

    forward: Graph
    backward: Graph
    surface: tuple[Any, ...]
    given: int
    outputs: tuple[Any, ...] = ()
    structure: TreeSpec | None = None
    grad_outputs: tuple[Any, ...] = ()
    grad_inputs: tuple[Any, ...] = ()


def make_graphed_callables(
    where: Device,
    callables: Any,
    sample_args: tuple[Any, ...],
    num_warmup_iters: int = 3,
    allow_unused_input: bool = False,
    pool: tuple[int, int] | None = None,
) -> Any:
    """The same callables, whose forward and backward passes replay graphs on device ``where``.

    Args:
        callables: a module or function of tensors, or a tuple of them, in the order they run in.
        sample_args: a tuple of tensors, or one per callable: what later arguments are like.
        num_warmup_iters: passes before the capture.
        allow_unused_input: an input that no output depends on is no error.
        pool: memory that the graphs use.

    Raises:
        RuntimeError: the device cannot capture, or autocast keeps casts.
        AssertionError: a module has hooks, or an argument is no tensor.
    """
    if is_autocast_enabled(where.type) and is_autocast_cache_enabled():
        raise RuntimeError(
            "make_graphed_callables does not support the autocast caching. Please set "
            "`cache_enabled=False`."
        )
    many = callables if isinstance(callables, tuple) else (callables,)
    samples = sample_args if isinstance(callables, tuple) else (sample_args,)
    handle = pool_handle() if pool is None else pool
    every = [_surface(where, f, args) for f, args in zip(many, samples, strict=True)]
    _wait_for(where)
    with aside(where):
        for function, args, passes in zip(many, samples, every, strict=True):
            for _ in range(num_warmup_iters):
                outputs = leaves(function(*args))
                _gradients(outputs, _alike(outputs), passes.surface, allow_unused_input)
    _wait_for(where)
    # In the order in which they will run, for they share memory.
    for function, args, passes in zip(many, samples, every, strict=True):
        with GraphContext(passes.forward, handle):
            result = function(*args)
        outputs, passes.structure = flatten(result)
        passes.outputs = tuple(outputs)
    for passes in reversed(every):
        passes.grad_outputs = _alike(passes.outputs)
        passes.grad_inputs = (None,) * len(passes.surface)
        if any(g is not None for g in passes.grad_outputs):
            with GraphContext(passes.backward, handle):
                found = _gradients(
                    passes.outputs, passes.grad_outputs, passes.surface, allow_unused_input
                )
            passes.grad_inputs = found
    made = [_replaced(f, passes) for f, passes in zip(many, every, strict=True)]
    return tuple(made) if isinstance(callables, tuple) else made[0]


def _wait_for(where: Device) -> None:
    state_of(resolve(where)).runtime.synchronize(where.index or 0)


def _surface(where: Device, function: Any, args: tuple[Any, ...]) -> _Passes:
    params: tuple[Any, ...] = ()
    if isinstance(function, Module):
        if function._backward_hooks or function._forward_hooks or function._forward_pre_hooks:
            raise AssertionError(
                "Modules must not have hooks registered at the time they are passed. However, "
                "registering hooks on modules after passing them through make_graphed_callables "
                "is allowed."
            )
        if any(b.requires_grad for b in function.buffers()):
            raise AssertionError(
                "In any :class:`~torch.nn.Module` passed to :func:`~make_graphed_callables`, only "
                "parameters may be trainable. All buffers must have ``requires_grad=False``."
            )
        params = tuple(function.parameters())
    given = tuple(leaves(args))
    if not all(isinstance(arg, Tensor) for arg in given):
        raise AssertionError(
            "In the beta API, sample_args for each callable must contain only Tensors. Other types "
            "are not allowed."
        )
    return _Passes(Graph(where), Graph(where), given + params, len(given))


def _alike(outputs: Any) -> tuple[Any, ...]:
    """Memory for the gradient of each output; None where none is asked."""
    return tuple(empty_like(o) if o.requires_grad else None for o in outputs)


def _gradients(outputs: Any, grads: Any, surface: Any, allow_unused: bool) -> tuple[Any, ...]:
    """The gradient of each part of the surface; None where none is asked."""
    wanted = [t for t in surface if t.requires_grad]
    recorded = [o for o in outputs if o.requires_grad]
    if not recorded:
        return (None,) * len(surface)
    given = [g for g in grads if g is not None]
    found = iter(grad(recorded, wanted, given, allow_unused=allow_unused))
    return tuple(next(found) if t.requires_grad else None for t in surface)


def _graphed(passes: _Passes) -> Callable[..., Any]:
    class Graphed(Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> tuple[Any, ...]:
            for mine, other in zip(passes.surface[: passes.given], inputs, strict=False):
                if mine.data_ptr() != other.data_ptr():
                    mine.detach().copy_(other.detach())
            passes.forward.replay()
            return tuple(o.detach() for o in passes.outputs)

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
            for mine, other in zip(passes.grad_outputs, grads, strict=True):
                if mine is not None and mine.data_ptr() != other.data_ptr():
                    mine.copy_(other)
            passes.backward.replay()
            return tuple(None if g is None else g.detach() for g in passes.grad_inputs)

    def run(*args: Any) -> Any:
        found = Graphed.apply(*leaves(args), *passes.surface[passes.given :])
        assert passes.structure is not None
        return unflatten(list(found), passes.structure)

    return run


def _replaced(function: Any, passes: _Passes) -> Any:
    graphed = _graphed(passes)
    if not isinstance(function, Module):
        return graphed
    eager, training = function.forward, function.training

    def forward(*args: Any, **options: Any) -> Any:
        """The graph where the module is in the mode that was captured, else the module's own."""
        return (graphed if function.training == training else eager)(*args, **options)

    function.forward = forward
    return function
