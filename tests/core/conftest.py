"""Fixture: a backend of this process that forwards to the cpu kernels, minus what a test takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dovetail.backend import Backend, registry

Partial = Callable[..., str]
_names = (f"partial{n}" for n in itertools.count())


@pytest.fixture
def partial(need_device: Any) -> Iterator[Partial]:
    """``partial("erf", layout=…)`` registers a device without those kernels; returns its name."""
    need_device("loop")
    from dovetail_loopback import LoopbackRuntime

    class Runtime(LoopbackRuntime):
        """Loopback with a smaller table, or fewer dtypes."""

        def __init__(self, missing: tuple[str, ...], dtypes: Any, **settings: Any) -> None:
            super().__init__(**settings)
            self.missing, self.dtypes = missing, dtypes

        def kernels(self) -> Any:
            table = super().kernels().copy()
            for name in self.missing:
                assert name in table
                table.remove(name)
            return table

        def info(self, index: int) -> Any:
            facts = super().info(index)
            if self.dtypes is None:
                return facts
            kept = tuple(d for d in facts.dtypes if d.name in self.dtypes)
            return type(facts)(facts.name, dtypes=kept)

    used = []

    def register(*missing: str, dtypes: Any = None, **settings: Any) -> str:
        name = next(_names)
        registry.register(name, Backend(Runtime(missing, dtypes, **settings)))
        used.append(name)
        return name

    yield register
    for name in used:
        registry.unregister(name)
