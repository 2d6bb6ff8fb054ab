"""``torch.jit``: the marks that programs put on what PyTorch is to compile; nothing is compiled.

Everything is run as the Python that it is, as PyTorch does with ``PYTORCH_JIT=0``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from dovetail.nn.module import Module as ScriptModule

__all__ = [
    "Final", "ScriptModule", "annotate", "export", "ignore", "interface", "is_scripting",
    "is_tracing", "isinstance", "script", "script_if_tracing", "script_method", "trace", "unused",
]  # fmt: skip

_T = TypeVar("_T")


def script(obj: _T, *args: Any, **kwargs: Any) -> _T:
    """The function, class or module itself.

    >>> import dovetail as dt
    >>> dt.jit.script(dt.relu) is dt.relu
    True
    """
    return obj


def trace(func: _T, *args: Any, **kwargs: Any) -> _T:
    """The function or module itself; example inputs are not looked at."""
    return func


def script_method(fn: _T) -> _T:
    """The method itself."""
    return fn


def script_if_tracing(fn: _T) -> _T:
    """The function itself."""
    return fn


def export(fn: _T) -> _T:
    """The method itself."""
    return fn


def unused(fn: _T) -> _T:
    """The method itself."""
    return fn


def interface(obj: _T) -> _T:
    """The class itself."""
    return obj


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """The function itself, also as ``@ignore(drop=True)``."""
    return drop if callable(drop) else _same


def _same(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn


def annotate(the_type: Any, the_value: _T) -> _T:
    """The value."""
    return the_value


def is_scripting() -> bool:
    """Whether this runs in compiled code: never."""
    return False


def is_tracing() -> bool:
    """Whether a trace is being made: never."""
    return False


_is_instance = isinstance


def isinstance(obj: Any, target_type: Any) -> bool:
    """Python's own, for the types that a program gives."""
    return _is_instance(obj, target_type)
