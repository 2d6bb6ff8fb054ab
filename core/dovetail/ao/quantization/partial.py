"""Factories of observers: ``with_args`` and ``with_callable_args``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = ["Factory", "with_args", "with_callable_args"]


class Factory:
    """Makes observers with some arguments given; others may be given with ``with_args`` again."""

    def __init__(self, p: functools.partial[Any]) -> None:
        self.p = p
        self.callable_args: dict[str, Callable[[], Any]] = {}

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        for name, function in self.callable_args.items():
            keywords.setdefault(name, function())
        return self.p(*args, **keywords)

    def __repr__(self) -> str:
        return f"{self.p!r}{self.callable_args!r}"

    def with_args(self, **kwargs: Any) -> Factory:
        """A factory with more arguments given."""
        made = Factory(functools.partial(self.p, **kwargs))
        made.callable_args = dict(self.callable_args)
        return made

    def with_callable_args(self, **kwargs: Callable[[], Any]) -> Factory:
        """A factory with more arguments that are computed when an observer is made."""
        made = self.with_args()
        made.callable_args = {**self.callable_args, **kwargs}
        return made


def with_args(cls: Any, /, **kwargs: Any) -> Factory:
    """A factory of ``cls`` with these arguments."""
    return Factory(functools.partial(cls, **kwargs))


def with_callable_args(cls: Any, /, **kwargs: Callable[[], Any]) -> Factory:
    """A factory of ``cls`` whose arguments are computed when an observer is made."""
    return with_args(cls).with_callable_args(**kwargs)
