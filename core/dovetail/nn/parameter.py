"""``Parameter`` and ``Buffer``: the tensors that a module counts as its own.

Meanings follow PyTorch's ``torch.nn.parameter.Parameter`` and ``Buffer`` pages.
"""

from __future__ import annotations

from typing import Any

from dovetail.factories import empty
from dovetail.tensor import Tensor

__all__ = ["Buffer", "Parameter", "clear_gradient"]


class Parameter(Tensor):
    """A tensor that becomes one of a module's parameters when it is assigned as an attribute.

    It shares its storage with ``data``, is a leaf, and requires a gradient unless told otherwise
    (``no_grad`` makes no difference to that).

    Args:
        data: the values, any shape; an empty tensor when left out.
        requires_grad: whether gradients are wanted for it.

    >>> import dovetail as dt
    >>> dt.nn.Parameter(dt.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = empty(0)
        elif not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter: data must be a Tensor, got {type(data).__name__}; "
                "make one with dovetail.tensor(...)"
            )
        parameter = data.detach()
        parameter.__class__ = cls
        return parameter.requires_grad_(requires_grad)  # type: ignore[return-value]

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """Everything is done in ``__new__``, which shares the storage of ``data``."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        copy = memo.get(id(self))
        if copy is None:
            copy = type(self)(self.data.clone(), self.requires_grad)
            memo[id(self)] = copy
        return copy  # type: ignore[no-any-return]

    def __repr__(self, **options: Any) -> str:
        return "Parameter containing:\n" + super().__repr__(**options)


class _BufferType(type):
    """Makes ``isinstance(t, Buffer)`` true of plain tensors that carry the mark."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(metaclass=_BufferType):
    """Marks a tensor so that assigning it to a module registers it as a buffer.

    The result is a plain ``Tensor`` that shares its storage with ``data``.

    Args:
        data: the values, any shape; an empty tensor when left out.
        persistent: whether the buffer is part of the module's ``state_dict``.
    """

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Tensor:  # type: ignore[misc]
        source = empty(0) if data is None else data
        buffer = source.detach().requires_grad_(source.requires_grad)
        buffer.persistent = persistent  # type: ignore[attr-defined]
        buffer._is_buffer = True  # type: ignore[attr-defined]
        return buffer


def clear_gradient(tensor: Tensor, set_to_none: bool) -> None:
    """Drop a tensor's gradient, or fill it with zeros, cut off from any graph."""
    if tensor.grad is None:
        return
    if set_to_none:
        tensor.grad = None
    elif tensor.grad.grad_fn is not None:
        tensor.grad.detach_().zero_()
    else:
        tensor.grad.requires_grad_(False).zero_()
