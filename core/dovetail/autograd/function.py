"""Operators defined by users: ``Function`` with ``forward`` and ``backward``.

Source: PyTorch's ``torch.autograd.Function``; both forms, ``forward(ctx, …)``, and ``forward(…)``
with ``setup_context(ctx, inputs, output)``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dovetail.autograd.grad_mode import mode
from dovetail.autograd.graph import (
    BackwardInfo,
    Node,
    OutputNode,
    _Packed,
    freed_error,
    next_sequence,
    pack_value,
)
from dovetail.autograd.inplace import check_writable, rebase
from dovetail.autograd.saved import unpack_hooks
from dovetail.autograd.writes import modified_error, note_write
from dovetail.factories import zeros
from dovetail.late_binding import BATCHED
from dovetail.tensor import Tensor, storage_of

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx(Node):
    """What ``forward`` and ``backward`` share; the node of the graph at the same time.

    Attributes:
        needs_input_grad: per argument of ``apply``, whether its gradient is wanted.
    """

    needs_input_grad: tuple[bool, ...] = ()
    _function: Any = None
    _materialize = True
    _dirty: tuple[Any, ...] = ()
    _constant: tuple[Any, ...] = ()
    _to_save: tuple[Any, ...] = ()
    _argument_count = 0

    def name(self) -> str:
        return f"{self._function.__name__}Backward"

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for ``backward``; writes to them in the meantime are detected."""
        for x in tensors:
            if x is not None and not isinstance(x, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument is of type "
                    f"{type(x).__name__}"
                )
        self._to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Accepted for compatibility; forward-mode differentiation is done by double backward."""

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs ``forward`` wrote to in place."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """False: ``backward`` gets None instead of zeros for outputs without gradient."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What ``save_for_backward`` kept.

        Raises:
            RuntimeError: freed already, or written to in place since.
        """
        if self.saved is None:
            raise freed_error()
        if self.saved == ():
            return self._to_save
        return tuple(self._restore(*entry) for entry in self.saved)

    def _restore(self, value: Any, version: int | None, output: int | None) -> Any:
        if isinstance(value, _Packed):
            return value()
        if value is None or version is None:
            return value
        storage = value._storage
        if storage is not None and storage.version != version:
            raise modified_error(self, value, version)
        if output is not None:
            value = value._alias()
            value._node = self if self.outputs == 1 else OutputNode(self, output)
        return value

    def adopt(self, tensor: Any, storage: Any) -> None:
        """Nothing: what is saved here has its Storage already."""

    def _keep(self, outs: tuple[Any, ...]) -> None:
        entries: list[tuple[Any, Any, int | None]] = []
        for x in self._to_save:
            output = next((i for i, o in enumerate(outs) if o is x), None)
            if x is not None and output is not None and not any(x is t for t in self._dirty):
                x = x._alias()  # the output itself would make a cycle
            packed = pack_value(x) if x is not None and unpack_hooks else None
            if packed is not None:
                entries.append((packed, None, None))
                continue
            entries.append((x, None if x is None else x._version, output))
        self.saved = tuple(entries)
        self._to_save = ()

    def backward(self, g: Any, create_graph: bool) -> Any:
        """Run the user's ``backward`` and check what it returns."""
        grads = list(g) if self.outputs > 1 else [g]
        if self._materialize:
            for i, (part, spec) in enumerate(zip(grads, self.info.output_specs, strict=True)):
                if part is None and spec is not None:
                    grads[i] = zeros(spec.shape, dtype=spec.dtype, device=spec.device)
        made = self._function.backward(self, *grads)
        parts = list(made) if isinstance(made, (tuple, list)) else [made]
        wanted = self._argument_count
        if len(parts) > wanted and all(p is None for p in parts[wanted:]):
            parts = parts[:wanted]
        if len(parts) != wanted:
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected "
                f"{wanted}, got {len(parts)})"
            )
        for i, (part, wants) in enumerate(zip(parts, self.info.input_specs, strict=True)):
            self._check(i, part, wants)
        return parts

    def backward_to(self, g: Any, create_graph: bool, needed: set[Any]) -> Any:
        """As :meth:`backward`: the user's function gives all or nothing."""
        return self.backward(g, create_graph)

    def _check(self, i: int, part: Any, spec: Any) -> None:
        if part is None:
            return
        if not isinstance(part, Tensor):
            raise RuntimeError(
                f"function {self.name()} must return Tensors or None as gradients, got "
                f"{type(part).__name__} at index {i}"
            )
        if spec is None or self.next[i] is None:
            return
        have, want = tuple(part._spec.shape), tuple(spec.shape)
        lead = len(have) - len(want)
        fits = lead >= 0 and all(m in (1, n) for n, m in zip(have[lead:], want, strict=True))
        if have != want and not fits:
            raise RuntimeError(
                f"Function {self.name()} returned an invalid gradient at index {i} - got "
                f"{list(have)} but expected shape compatible with {list(want)}"
            )


class Function:
    """Subclass it, write ``forward`` and ``backward`` as static methods, call ``apply``.

    Example:
        >>> import dovetail as dt
        >>> class Sine(dt.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_backward(x)
        ...         return x.sin()
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         (x,) = ctx.saved_tensors
        ...         return g * x.cos()
        >>> x = dt.zeros(1, requires_grad=True)
        >>> Sine.apply(x).backward()
        >>> x.grad
        tensor([1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all "
            "static, so you should invoke them on the class itself: use "
            f"{type(self).__name__}.apply(…)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs; with or without ``ctx`` first (see ``setup_context``)."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what ``backward`` needs, when ``forward`` takes no ``ctx``."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any, **_: Any) -> Any:
        """The gradients of the inputs given those of the outputs, one per argument of ``apply``."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` and record the call."""
        ctx = FunctionCtx()
        ctx._function = cls
        backward = getattr(cls, "vjp", None)
        if backward is not None and cls.backward is Function.backward:
            cls.backward = staticmethod(backward)  # type: ignore[method-assign]
        forward: Any = cls.forward
        if any(isinstance(x, Tensor) and x._spec.batch is not None for x in args):
            forward = BATCHED.forward(cls, args)
        edges = tuple(x._node if isinstance(x, Tensor) else None for x in args)
        recording = mode.grad and any(e is not None for e in edges)
        ctx.needs_input_grad = tuple(recording and e is not None for e in edges)
        ctx.saved = ()
        outer = mode.grad
        mode.grad = False
        try:
            if cls.setup_context is not Function.setup_context:
                result = forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)
            else:
                result = forward(ctx, *args, **kwargs)
        finally:
            mode.grad = outer
        many = isinstance(result, (tuple, list))
        outs = tuple(result) if many else (result,)
        for x in ctx._dirty:
            note_write(storage_of(x), f"{cls.__name__}.forward")
        if recording:
            outs = _connect(ctx, args, edges, outs)
        return outs if many else outs[0]


def _connect(
    ctx: FunctionCtx, args: tuple[Any, ...], edges: tuple[Any, ...], outs: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Put the node behind the outputs."""
    ctx.sequence = next_sequence()
    ctx.next = edges
    ctx._argument_count = len(args)
    for x in ctx._dirty:
        check_writable(x, f"{ctx._function.__name__} (mark_dirty)")
        if not any(x is o for o in outs):
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as "
                "output. The inputs that are modified inplace must all be outputs of the Function."
            )
    originals = outs
    fresh = []
    for o in outs:
        is_input = any(o is a for a in args) and not any(o is x for x in ctx._dirty)
        if isinstance(o, Tensor) and (is_input or o._base is not None):
            o = o._alias()
        fresh.append(o)
    outs = tuple(fresh)
    specs = tuple(o._spec if isinstance(o, Tensor) else None for o in outs)
    arguments = tuple(a._spec if isinstance(a, Tensor) else None for a in args)
    ctx.info = BackwardInfo(ctx._function.__name__, (), (), arguments, None, specs)  # type: ignore[arg-type]
    ctx.outputs = len(outs)
    constants = [i for i, o in enumerate(originals) if any(o is c for c in ctx._constant)]
    ctx._keep(originals)
    ctx._constant = ()
    for i, o in enumerate(outs):
        if not isinstance(o, Tensor) or i in constants or o._spec.dtype.category < 2:
            continue
        node: Node = ctx if len(outs) == 1 else OutputNode(ctx, i)
        if any(o is x for x in ctx._dirty):
            rebase(o, node)
        else:
            o._node = node
    ctx._dirty = ()
    return outs


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a ``backward`` that cannot itself be differentiated; trying to raises."""

    @functools.wraps(function)
    def wrapped(ctx: Any, *grads: Any) -> Any:
        outer = mode.grad
        mode.grad = False
        try:
            made = function(ctx, *grads)
        finally:
            mode.grad = outer
        if not outer or not any(ctx.needs_input_grad):
            return made
        many = isinstance(made, (tuple, list))
        parts = tuple(
            _Refuse.apply(p.detach().requires_grad_()) if isinstance(p, Tensor) else p
            for p in (made if many else (made,))
        )
        return parts if many else parts[0]

    return wrapped


class _Refuse(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *g: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )
