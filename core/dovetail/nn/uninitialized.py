"""Parameters and buffers whose shape is not known yet, for lazy modules.

Meanings follow PyTorch's pages ``UninitializedParameter`` and ``UninitializedBuffer``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dovetail.factories import empty
from dovetail.nn.parameter import Parameter
from dovetail.tensor import Tensor

__all__ = ["UninitializedBuffer", "UninitializedParameter", "is_lazy"]


class _Access(threading.local):
    """How many calls are under way that may look at what is not there yet."""

    depth = 0


_access = _Access()


@contextmanager
def _allowed() -> Iterator[None]:
    _access.depth += 1
    try:
        yield
    finally:
        _access.depth -= 1


class _Uninitialized:
    """What a tensor without a shape refuses: everything but to be moved, cast and looked at."""

    __slots__ = ()

    cls_to_become: type = Tensor

    @property
    def _spec(self) -> Any:
        if not _access.depth:
            raise ValueError(
                f"Attempted to use an uninitialized parameter. This error happens when you are "
                "using a `LazyModule` or explicitly manipulating "
                f"`torch.nn.parameter.{type(self).__name__}` objects. When using LazyModules Call "
                "`forward` with a dummy batch to initialize the parameters before calling torch "
                "functions"
            )
        return _spec_slot.__get__(self)

    @_spec.setter
    def _spec(self, value: Any) -> None:
        _spec_slot.__set__(self, value)

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Become an ordinary tensor of this shape, in place; its values are whatever they are."""
        with _allowed():
            place = self.device if device is None else device  # type: ignore[attr-defined]
            kind = self.dtype if dtype is None else dtype  # type: ignore[attr-defined]
            self.data = empty(shape, device=place, dtype=kind)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]

    @property
    def shape(self) -> Any:
        """There is none yet.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually "
            "happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. Call `forward` to initialize the parameters before accessing their "
            "attributes."
        )

    def share_memory_(self) -> Any:
        """Nothing is there to be shared.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to "
            "initialize the parameters before calling `module.share_memory()`."
        )

    def __repr__(self, **options: Any) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            with _allowed():
                args = (self.requires_grad, self.device, self.dtype)  # type: ignore[attr-defined]
                memo[id(self)] = type(self)(*args)  # type: ignore[call-arg]
        return memo[id(self)]

    def __reduce_ex__(self, proto: Any) -> Any:
        with _allowed():
            return type(self), (self.requires_grad,)  # type: ignore[attr-defined]


_spec_slot: Any = Tensor.__dict__["_spec"]

_METHODS = (
    "bfloat16", "char", "copy_", "cpu", "detach", "double", "float", "get_device", "half",
    "int", "is_complex", "is_floating_point", "long", "requires_grad_", "short", "size", "to",
)  # fmt: skip
_PROPERTIES = (
    "data", "device", "dtype", "grad", "grad_fn", "is_leaf", "is_meta", "requires_grad",
)  # fmt: skip


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _allowed():
            made = function(self, *args, **kwargs)
        if isinstance(made, Tensor) and not is_lazy(made):
            made.__class__ = type(self)  # moved or cast, it still has no shape
        return made

    called.__name__, called.__doc__ = function.__name__, function.__doc__
    return called


def _property(found: Any) -> property:
    def get(self: Any) -> Any:
        with _allowed():
            return found.__get__(self)

    def put(self: Any, value: Any) -> None:
        with _allowed():
            found.__set__(self, value)

    return property(get, put, doc=getattr(found, "__doc__", None))


for _name in _METHODS:
    if hasattr(Tensor, _name):
        setattr(_Uninitialized, _name, _method(getattr(Tensor, _name)))
for _name in _PROPERTIES:
    setattr(_Uninitialized, _name, _property(getattr(Tensor, _name)))


def _empty(cls: type, requires_grad: bool, device: Any, dtype: Any) -> Any:
    made = empty(0, device=device, dtype=dtype).requires_grad_(requires_grad)
    made.__class__ = cls
    return made


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape is not known yet; :meth:`materialize` makes it an ordinary one.

    Args:
        requires_grad: whether gradients are wanted for it.
        device: where it will be.
        dtype: its dtype.

    Raises:
        ValueError: when it is used in a computation.
        RuntimeError: when its shape is asked for.
    """

    cls_to_become = Parameter

    def __new__(  # type: ignore[misc]
        cls, requires_grad: bool = True, device: Any = None, dtype: Any = None
    ) -> Any:
        return _empty(cls, requires_grad, device, dtype)

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        """Everything is done in ``__new__``."""


class UninitializedBuffer(_Uninitialized, Tensor):
    """A buffer whose shape is not known yet; :meth:`materialize` makes it an ordinary one.

    Args:
        requires_grad: whether gradients are wanted for it.
        device: where it will be.
        dtype: its dtype.
        persistent: whether the buffer is part of the module's ``state_dict``.

    Raises:
        ValueError: when it is used in a computation.
        RuntimeError: when its shape is asked for.
    """

    cls_to_become = Tensor

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> Any:
        made = _empty(cls, requires_grad, device, dtype)
        made.persistent = persistent
        made._is_buffer = True
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Everything is done in ``__new__``."""


def is_lazy(param: Any) -> bool:
    """Whether a tensor has no shape yet."""
    return isinstance(param, _Uninitialized)
