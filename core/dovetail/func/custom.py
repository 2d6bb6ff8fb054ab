"""``autograd.Function`` inside of a vmap: by its ``vmap`` method, or by a rule made from it.

A made rule is a Function of the values: its ``forward`` and ``backward`` open a vmap level and run
the user's there. Source: PyTorch's page "Extending torch.func with autograd.Function".
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from dovetail.autograd.function import Function, FunctionCtx
from dovetail.autograd.grad_mode import mode
from dovetail.func.batched import depth_of, level_of, outside, recording_outside, spread, wrap
from dovetail.func.levels import Level, opened
from dovetail.late_binding import BATCHED
from dovetail.tensor import Tensor

__all__ = ["VmapInfo", "batched_forward"]


class VmapInfo(NamedTuple):
    """What a Function's ``vmap`` method is told.

    Attributes:
        batch_size: how many rows there are.
        randomness: ``error``, ``different`` or ``same``.
    """

    batch_size: int
    randomness: str


def batched_forward(cls: type[Function], args: tuple[Any, ...]) -> Callable[..., Any]:
    """What takes the place of ``cls.forward`` where an argument is batched.

    Raises:
        RuntimeError: the class has no ``setup_context``, or neither ``vmap`` nor
            ``generate_vmap_rule = True``, or both.
    """
    level = level_of(max(depth_of(x) for x in args))
    own = getattr(cls, "vmap", None)
    generate = getattr(cls, "generate_vmap_rule", False)
    if cls.setup_context is Function.setup_context:
        raise RuntimeError(
            "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, "
            "jacrev, ...), it must override the setup_context staticmethod. "
            f"({cls.__name__} has a forward that takes ctx)"
        )
    if own is not None and generate:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and "
            "an overriden vmap staticmethod. Please set generate_vmap_rule=False or delete the "
            "overriden vmap staticmethod to avoid ambiguity."
        )
    if own is None and not generate:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please "
            "override and implement the vmap staticmethod or set generate_vmap_rule=True."
        )

    def forward(*args: Any) -> Any:
        pairs = [outside(x, level) for x in args]
        values = [v for v, _ in pairs]
        flags = tuple(has_dim for _, has_dim in pairs)
        with recording_outside(level):
            if own is None:
                kind: Any = cls
                result: Any = _generated(kind, flags, level.size).apply(*values)
            else:
                result = _by_own_rule(own, level, values, flags)
        many = isinstance(result, (tuple, list))
        made = tuple(
            wrap(r, level) if isinstance(r, Tensor) else r for r in (result if many else (result,))
        )
        return made if many else made[0]

    return forward


def _by_own_rule(own: Any, level: Level, values: list[Any], flags: tuple[bool, ...]) -> Any:
    info = VmapInfo(level.size, level.randomness)
    result, dims = own(info, tuple(0 if flag else None for flag in flags), *values)
    if not isinstance(result, (tuple, list)):
        return _in_front(result, dims, level.size)
    each = dims if isinstance(dims, (tuple, list)) else (dims,) * len(result)
    return tuple(_in_front(r, n, level.size) for r, n in zip(result, each, strict=True))


def _in_front(value: Any, dim: int | None, size: int) -> Any:
    if not isinstance(value, Tensor):
        return value
    return spread(value, size) if dim is None else value.movedim(dim, 0)


@functools.lru_cache(maxsize=256)
def _generated(cls: Any, flags: tuple[bool, ...], size: int) -> type[Function]:
    """A Function of values that maps ``cls`` over those that have the hidden dim."""

    def lifted(values: Any, which: Any, level: Level) -> list[Any]:
        return [
            wrap(v, level) if flag and isinstance(v, Tensor) else v
            for v, flag in zip(values, which, strict=True)
        ]

    class Mapped(Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*values: Any) -> Any:
            with opened(size, mode.grad) as level:
                result = cls.forward(*lifted(values, flags, level))
                many = isinstance(result, (tuple, list))
                made = tuple(_value(r, level) for r in (result if many else (result,)))
            return made if many else made[0]

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            inner = FunctionCtx()
            inner._function = cls
            inner.saved = ()
            inner.needs_input_grad = ctx.needs_input_grad
            many = isinstance(output, (tuple, list))
            outs = tuple(output) if many else (output,)
            with opened(size, mode.grad) as level:
                inside = lifted(outs, (True,) * len(outs), level)
                given = tuple(lifted(inputs, flags, level))
                cls.setup_context(inner, given, tuple(inside) if many else inside[0])
                if inner._dirty:
                    raise RuntimeError(
                        f"{cls.__name__}: a Function that writes to its inputs (mark_dirty) cannot "
                        "be mapped by a rule made from it; give it a vmap method"
                    )
                constant = [any(o is c for c in inner._constant) for o in inside]
                pairs = [outside(x, level) for x in inner._to_save]
            ctx.save_for_backward(*[v for v, _ in pairs])
            ctx.mark_non_differentiable(*[o for o, c in zip(outs, constant, strict=True) if c])
            ctx.set_materialize_grads(inner._materialize)
            inner._to_save = inner._constant = ()
            ctx.inner, ctx.which = inner, [has_dim for _, has_dim in pairs]

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            inner = ctx.inner
            with opened(size, mode.grad) as level:
                inner._to_save = tuple(lifted(ctx.saved_tensors, ctx.which, level))
                made = cls.backward(inner, *lifted(grads, (True,) * len(grads), level))
                inner._to_save = ()
                parts = made if isinstance(made, (tuple, list)) else (made,)
                return tuple(_part(p, flag, level) for p, flag in zip(parts, flags, strict=False))

    Mapped.__name__ = Mapped.__qualname__ = f"Vmapped{cls.__name__}"
    return Mapped


def _value(x: Any, level: Level) -> Any:
    if not isinstance(x, Tensor):
        return x
    value, has_dim = outside(x, level)
    return value if has_dim else spread(value, level.size)


def _part(x: Any, flag: bool, level: Level) -> Any:
    """The gradient of an input: of all rows, or their sum where they share it."""
    if x is None:
        return None
    value = _value(x, level)
    return value if flag else value.sum(0)


BATCHED.bind(forward=batched_forward)
