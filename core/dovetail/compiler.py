"""``torch.compile`` and ``torch.compiler``: what is to be compiled is run as the Python it is.

As PyTorch does with ``TORCH_COMPILE_DISABLE=1``; :mod:`dovetail.jit` does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable",
    "is_compiling", "is_dynamo_compiling", "is_exporting", "list_backends", "reset", "set_stance",
]  # fmt: skip


def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str | Callable[..., Any] | None = None,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    name: str | None = None,
    disable: bool = False,
    recompile_limit: int | None = None,
    isolate_recompiles: bool = False,
    shapes_spec: Any = None,
) -> Any:
    """The function or module itself; without one, a decorator that gives it back.

    Raises:
        RuntimeError: both ``mode`` and ``options`` are given.

    >>> import dovetail as dt
    >>> dt.compile(dt.relu, mode="max-autotune") is dt.relu
    True
    """
    if mode is not None and options is not None:
        raise RuntimeError(
            "Either mode or options can be specified, but both can't be specified at the same time."
        )
    return _same if model is None else model


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function itself; without one, a decorator that gives it back."""
    return _same if fn is None else fn


def allow_in_graph(fn: Any) -> Any:
    """The function itself, or a list of them."""
    return fn


def assume_constant_result(fn: Any) -> Any:
    """The function itself."""
    return fn


def _same(fn: Any) -> Any:
    return fn


class set_stance:
    """How code is to be compiled: nothing changes; also a context and a decorator."""

    def __init__(
        self,
        stance: str = "default",
        *,
        skip_guard_eval_unsafe: bool = False,
        force_backend: str | Callable[..., Any] | None = None,
    ) -> None:
        self.stance = stance

    def __call__(self, fn: Any) -> Any:
        return fn

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


def reset() -> None:
    """Forget what was compiled: nothing was."""


def cudagraph_mark_step_begin() -> None:
    """Mark a step of a compiled program: there is none."""


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """The names of the compilers: none."""
    return []


def is_compiling() -> bool:
    """Whether this runs in compiled code: never."""
    return False


def is_dynamo_compiling() -> bool:
    """Whether this is being traced: never."""
    return False


def is_exporting() -> bool:
    """Whether this is being exported: never."""
    return False
