"""``torch.compiler``, and ``torch.compile``: programs that ask for it run; nothing is compiled.

What is asked to be compiled is run as the Python that it is, as PyTorch does with
``TORCH_COMPILE_DISABLE=1``; what a call costs here is in docs/decisions/lean-call.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable",
    "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends", "reset", "set_stance",
]  # fmt: skip


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str | Callable[..., Any] = "inductor",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """The function or module itself: there is no compiler, and it runs as it is.

    Args:
        model: the function or module; None: a decorator is returned.
        fullgraph, dynamic, backend, mode, options, disable: what PyTorch's compiler is told; mode
            and options exclude each other, the rest is not looked at.

    Raises:
        RuntimeError: both mode and options.

    Example:
        >>> import dovetail as dt
        >>> model = dt.nn.Linear(2, 1)
        >>> dt.compile(model, mode="max-autotune") is model
        True
    """
    if mode is not None and options is not None:
        raise RuntimeError(
            "Either mode or options can be specified, but both can't be specified at the same time."
        )
    return _same if model is None else model


def _same(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn


def disable(fn: Callable[..., Any] | None = None, recursive: bool = True, **kwargs: Any) -> Any:
    """The function itself, also as ``@disable()``."""
    return _same if fn is None else fn


def allow_in_graph(fn: Any) -> Any:
    """The function itself."""
    return fn


def assume_constant_result(fn: Any) -> Any:
    """The function itself."""
    return fn


def is_compiling() -> bool:
    """Whether this runs in compiled code: never."""
    return False


def is_dynamo_compiling() -> bool:
    """Whether a graph is being made: never."""
    return False


def is_exporting() -> bool:
    """Whether a program is being exported: never."""
    return False


def reset() -> None:
    """Forget what was compiled: nothing."""


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """Compilers that there are: none."""
    return []


def cudagraph_mark_step_begin() -> None:
    """A step begins, which only a compiler's graphs need to know."""


@contextlib.contextmanager
def set_stance(stance: str = "default", **kwargs: Any) -> Iterator[None]:
    """How a compiler behaves inside of ``with``; there is none."""
    yield
