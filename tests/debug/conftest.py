"""Fixture: a device of this process whose kernels are the cpu's but for those a test spoils."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dovetail.backend import Backend, registry

Spoiled = Callable[..., str]
_names = (f"spoiled{n}" for n in itertools.count())


@pytest.fixture
def spoiled(need_device: Any) -> Iterator[Spoiled]:
    """``spoiled(exp=wrong)`` registers a device; ``wrong(kernel, *arrays, **attributes)``."""
    need_device("loop")
    from dovetail_loopback import LoopbackRuntime

    class Runtime(LoopbackRuntime):
        """Loopback with kernels around some of its own."""

        def __init__(self, around: dict[str, Any]) -> None:
            super().__init__()
            self.around = around

        def kernels(self) -> Any:
            table = super().kernels().copy()
            for name, spoil in self.around.items():
                entries = table.entries(name)
                assert entries, f"{name} has no kernel to spoil"
                table.remove(name)
                for entry in reversed(entries):
                    table.add(
                        name,
                        _around(spoil, entry),
                        dtypes=entry.dtypes,
                        layout=entry.layout,
                        when=entry.when,
                        specialize=entry.specialize,
                    )
            return table

    used = []

    def register(**around: Any) -> str:
        name = next(_names)
        registry.register(name, Backend(Runtime(around)))
        used.append(name)
        return name

    yield register
    for name in used:
        registry.unregister(name)


def _around(spoil: Any, entry: Any) -> Any:
    def bind(function: Any) -> Any:
        return lambda *arrays, **attributes: spoil(function, *arrays, **attributes)

    return (lambda facts: bind(entry.function(facts))) if entry.specialize else bind(entry.function)
