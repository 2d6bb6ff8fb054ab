"""PyTorch's ``torch.random``: the functions on default generators.

``default_generator`` is the cpu's, an attribute that is looked up when it is asked for.
"""

from __future__ import annotations

from typing import Any

from dovetail import generator
from dovetail.generator import (
    fork_rng,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
    thread_safe_generator,
)

__all__ = [
    "default_generator",  # noqa: F822 (made by __getattr__)
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
    "thread_safe_generator",
]


def __getattr__(name: str) -> Any:
    if name == "default_generator":
        return generator.default_generator()
    raise AttributeError(f"module 'dovetail.random' has no attribute {name!r}")
