"""Which operations are recorded: ``no_grad``, ``enable_grad``, ``inference_mode`` and the like.

The mode belongs to the thread. Each works as a context and as a decorator, as in PyTorch.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from dovetail import observe
from dovetail.autograd.mode import mode
from dovetail.autograd.saved import special

__all__ = [
    "enable_grad",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "mode",
    "no_grad",
    "set_grad_enabled",
]


F = TypeVar("F", bound=Callable[..., Any])


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded for backward."""
    return mode.grad


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside ``inference_mode``."""
    return mode.inference


class _ModeContext:
    """Set the mode on entry and put the old one back on exit; re-entrant, and a decorator."""

    def __init__(self, grad: bool) -> None:
        self._grad = grad
        self._stack: list[tuple[bool, bool, bool]] = []

    def _inference(self) -> bool:
        return mode.inference

    def __enter__(self) -> None:
        self._stack.append(_current())
        mode.inference = self._inference()
        mode.grad = mode.asked = self._grad

    def __exit__(self, *exc: object) -> None:
        mode.grad, mode.inference, mode.asked = self._stack.pop()

    def _clone(self) -> _ModeContext:
        return type(self)(self._grad)

    def __call__(self, function: F) -> F:
        if inspect.isclass(function):
            function.__init__ = self(function.__init__)  # type: ignore[misc, method-assign]
            return function
        if inspect.isgeneratorfunction(function):
            return self._wrap_generator(function)  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._clone():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            running = function(*args, **kwargs)
            resume: Callable[[], Any] = functools.partial(next, running)
            while True:
                with self._clone():
                    try:
                        item = resume()
                    except StopIteration as stop:
                        return stop.value
                try:
                    sent = yield item
                    resume = functools.partial(running.send, sent)
                except GeneratorExit:
                    running.close()
                    raise
                except BaseException as error:
                    resume = functools.partial(running.throw, error)

        return wrapped


class no_grad(_ModeContext):
    """Nothing inside is recorded. ``with no_grad():`` or ``@no_grad()`` or ``@no_grad``."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        made = object.__new__(cls)
        if function is None:
            return made
        made.__init__()  # type: ignore[misc]
        return made(function)

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        super().__init__(False)

    def _clone(self) -> _ModeContext:
        return type(self)()


class enable_grad(no_grad):
    """Everything inside is recorded, even within ``no_grad``."""

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        _ModeContext.__init__(self, True)


class set_grad_enabled(_ModeContext):
    """Set the mode at once, and for the block when used as a context."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._previous = _current()
        _set(bool(mode))

    def __enter__(self) -> None:
        self._stack.append(self._previous)
        _set(self._grad)

    def __call__(self, function: F) -> F:
        _set(self._previous[0])
        return super().__call__(function)


def _current() -> tuple[bool, bool, bool]:
    return mode.grad, mode.inference, mode.asked


def _set(grad: bool) -> None:
    mode.grad = mode.asked = grad


class inference_mode(_ModeContext):
    """As ``no_grad``; results are inference tensors, which autograd then refuses to save."""

    def __new__(cls, mode: bool | Callable[..., Any] = True) -> Any:
        made = object.__new__(cls)
        if not callable(mode):
            return made
        made.__init__(True)  # type: ignore[misc]
        return made(mode)

    def __init__(self, mode: bool | Callable[..., Any] = True) -> None:
        self._on = bool(mode)
        super().__init__(not self._on)

    def _inference(self) -> bool:
        return self._on

    def __enter__(self) -> None:
        if inference_mode not in special:
            special.append(inference_mode)  # from now on, saving must look for inference tensors
        keep = mode.grad
        super().__enter__()
        if not self._on:
            mode.grad = mode.asked = keep
        observe.active.append(self)  # results must be marked, so calls take the watched path

    def __exit__(self, *exc: object) -> None:
        observe.active.remove(self)
        super().__exit__(*exc)

    def _clone(self) -> _ModeContext:
        return type(self)(self._on)
