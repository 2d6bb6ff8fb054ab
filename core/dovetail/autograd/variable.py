"""``Variable``, which every tensor has been since PyTorch 0.4."""

from __future__ import annotations

from typing import Any

from dovetail.factories import empty
from dovetail.tensor import Tensor

__all__ = ["Variable"]


class _AnyTensor(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_AnyTensor):
    """``Variable(data, requires_grad=False)``: the same memory as a leaf of its own.

    Raises:
        TypeError: ``data`` is no tensor.
        RuntimeError: a gradient is asked for, and the dtype is neither float nor complex.

    >>> import dovetail as dt
    >>> x = dt.ones(2)
    >>> isinstance(x, dt.autograd.Variable), dt.autograd.Variable(x, requires_grad=True)
    (True, tensor([1., 1.], requires_grad=True))
    """

    def __new__(cls, data: Any = None, requires_grad: bool = False) -> Any:
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        made: Any = data.detach()
        return made.requires_grad_(requires_grad)
