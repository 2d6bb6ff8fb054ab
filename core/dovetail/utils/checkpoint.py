"""``checkpoint``: save memory by running part of the forward again during backward.

Source: PyTorch's ``torch.utils.checkpoint``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import dovetail
from dovetail.autograd.engine import backward as run_backward
from dovetail.autograd.function import Function
from dovetail.autograd.grad_mode import enable_grad, mode
from dovetail.autograd.saved import saved_tensors_hooks
from dovetail.backend.loader import HOST
from dovetail.tensor import Tensor

__all__ = ["CheckpointError", "checkpoint", "checkpoint_sequential"]

_CHECKS = ("default", "none")


class CheckpointError(RuntimeError):
    """The second run did something else than the first."""


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool = False,
    preserve_rng_state: bool = True,
    context_fn: Callable[[], tuple[Any, Any]] | None = None,
    determinism_check: str = "default",
    debug: bool = False,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)`` without keeping what it saves for backward; it runs again then.

    Args:
        use_reentrant: the older form, through a Function, which takes no keyword arguments.
        preserve_rng_state: draw the same random numbers the second time.
        context_fn: gives two contexts, for the first run and the second.
        determinism_check: ``"default"``: what both runs save must agree in shape and dtype;
            ``"none"``: in number alone.
        debug: accepted.

    Raises:
        CheckpointError: the second run saves other tensors than the first.
        RuntimeError: an argument was written to between both.
        ValueError: another ``determinism_check``, or what ``use_reentrant`` does not take.
    """
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        states = _random_states(args) if preserve_rng_state else None
        return _Reentrant.apply(function, states, *args)
    if determinism_check not in _CHECKS:
        raise ValueError(
            f"determinism_check should be one of {list(_CHECKS)}, but got {determinism_check}"
        )
    states = _random_states((*args, *kwargs.values())) if preserve_rng_state else None
    first, second = context_fn() if context_fn else (contextlib.nullcontext(),) * 2
    frame = _Frame(function, args, kwargs, states, second)
    frame.compares = determinism_check != "none"
    frame.autocast = mode.autocast
    with saved_tensors_hooks(frame.pack, frame.unpack), first:
        return function(*args, **kwargs)


class _Frame:
    """One checkpointed call: a count while it runs, the recomputed values while backward does."""

    def __init__(
        self, function: Callable[..., Any], args: Any, kwargs: Any, states: Any, context: Any
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.states, self.context = states, context
        self.autocast: Any = None
        self.compares = True
        self.versions = [_version_of(x) for x in (*args, *kwargs.values())]
        self.count = 0
        self.values: dict[int, Any] = {}
        self.shapes: list[tuple[Any, Any]] = []

    def pack(self, x: Any) -> int:
        self.shapes.append((tuple(x.shape), x.dtype))
        self.count += 1
        return self.count - 1

    def unpack(self, place: int) -> Any:
        if place not in self.values:
            self._recompute()
        return self.values.pop(place)

    def _recompute(self) -> None:
        for x, version in zip((*self.args, *self.kwargs.values()), self.versions, strict=True):
            if _version_of(x) != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an "
                    f"inplace operation: an argument of checkpoint, {x.dtype} {list(x.shape)}, is "
                    f"at version {x._version}; expected version {version} instead"
                )
        seen: list[Any] = []

        def keep(x: Any) -> Any:
            seen.append(x.detach())
            return x

        again = [
            a.detach().requires_grad_(a.requires_grad) if isinstance(a, Tensor) else a
            for a in self.args
        ]
        with (
            _restored(self.states, self.autocast),
            enable_grad(),
            saved_tensors_hooks(keep, lambda x: x),
            self.context,
        ):
            self.function(*again, **self.kwargs)
        if len(seen) != self.count:
            raise CheckpointError(
                "checkpoint: A different number of tensors was saved during the original forward "
                f"and recomputation: {self.count} in the forward, {len(seen)} in the second run; "
                "the function must do the same both times"
            )
        for i, (x, facts) in enumerate(zip(seen, self.shapes, strict=True)):
            if self.compares and (tuple(x.shape), x.dtype) != facts:
                raise CheckpointError(
                    "checkpoint: Recomputed values for the following tensors have different "
                    f"metadata than during the forward pass: tensor {i} was {facts}, is "
                    f"{(tuple(x.shape), x.dtype)}"
                )
        self.values = dict(enumerate(seen))


class _Reentrant(Function):
    @staticmethod
    def forward(ctx: Any, function: Any, states: Any, *args: Any) -> Any:
        ctx.function, ctx.states = function, states
        ctx.autocast = mode.autocast
        ctx.others = [None if isinstance(a, Tensor) else a for a in args]
        ctx.is_tensor = [isinstance(a, Tensor) for a in args]
        ctx.save_for_backward(*[a for a in args if isinstance(a, Tensor)])
        return function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        saved = iter(ctx.saved_tensors)
        args = []
        for other, is_tensor in zip(ctx.others, ctx.is_tensor, strict=True):
            if is_tensor:
                x = next(saved)
                other = x.detach().requires_grad_(x.requires_grad)
            args.append(other)
        with _restored(ctx.states, ctx.autocast), enable_grad():
            made = ctx.function(*args)
        outs = made if isinstance(made, (tuple, list)) else (made,)
        pairs = [
            (o, g)
            for o, g in zip(outs, grads, strict=True)
            if isinstance(o, Tensor) and o.requires_grad
        ]
        if not pairs:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        run_backward([o for o, _ in pairs], [g for _, g in pairs])
        return None, None, *[a.grad if isinstance(a, Tensor) else None for a in args]


def _version_of(x: Any) -> int | None:
    return x._version if isinstance(x, Tensor) and not x.is_inference() else None


def _random_states(args: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    """The generators of the host and of the arguments' devices, and their states."""
    from dovetail.generator import default_generator

    devices = {HOST: dovetail.device(HOST)}
    devices |= {str(a.device): a.device for a in args if isinstance(a, Tensor)}
    generators = [default_generator(d) for d in devices.values()]
    return [(g, g.get_state()) for g in generators]


@contextlib.contextmanager
def _restored(states: list[tuple[Any, Any]] | None, autocast: Any) -> Any:
    """Run with generators and autocast as they were at the first run; put them back afterwards."""
    now = [(g, g.get_state()) for g, _ in states or ()]
    for g, state in states or ():
        g.set_state(state)
    try:
        with contextlib.nullcontext() if autocast is None else _cast_again(autocast):
            yield
    finally:
        for g, state in now:
            g.set_state(state)


def _cast_again(autocast: Any) -> Any:
    from dovetail.amp.autocast_mode import restored

    return restored(autocast)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool = False, **kwargs: Any
) -> Any:
    """Run a Sequential in ``segments`` parts, each but the last checkpointed."""
    layers = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = max(1, len(layers) // segments)

    def part(start: int, end: int) -> Callable[[Any], Any]:
        def run(x: Any) -> Any:
            for layer in layers[start:end]:
                x = layer(x)
            return x

        return run

    for start in range(0, size * (segments - 1), size):
        input = checkpoint(part(start, start + size), input, use_reentrant=use_reentrant, **kwargs)
    return part(size * (segments - 1), len(layers))(input)
