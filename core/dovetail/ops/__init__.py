"""The operators, by family; importing this makes every record, function and method."""

from __future__ import annotations

import importlib
from typing import Any

from dovetail.ops.expose import FUNCTIONS
from dovetail.ops.schema import REGISTRY

__all__ = ["FAMILIES", "FUNCTIONS", "REGISTRY"]

ROOMS = (
    "pointwise", "layout", "reduction", "indexed", "linear_algebra", "layers", "randomness",
    "spectral",
)  # fmt: skip

FAMILIES: tuple[str, ...] = (
    "storage",
    *(
        f"{room}.{name}"
        for room in ROOMS
        for name in importlib.import_module(f"dovetail.ops.{room}").FAMILIES
    ),
    "removed",
    "deprecated_forms",
)
"""The files that have records and functions, below this folder."""

for _family in FAMILIES:
    importlib.import_module(f"dovetail.ops.{_family}")

# Operators are plain attributes: found in 40 ns, and ``ops.softmax`` is the operator, not its file.
globals().update({name: op.function for name, op in REGISTRY.items() if op.function is not None})
globals().update(FUNCTIONS)


def __getattr__(name: str) -> Any:
    function = FUNCTIONS.get(name)
    if function is None:
        op = REGISTRY.get(name)
        function = None if op is None else op.function
    if function is None:
        raise AttributeError(f"module 'dovetail.ops' has no operator {name!r}")
    return function
