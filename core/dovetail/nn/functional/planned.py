"""Calls as they were made before, whose plan is found without looking at the arguments again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail import observe
from dovetail.autograd.mode import mode
from dovetail.dispatch import call_cast
from dovetail.ops import REGISTRY

__all__ = ["finder"]


def finder(name: str) -> Callable[[tuple[Any, ...], tuple[Any, ...]], Any]:
    """``find(inputs, attributes)``: the plan of a record's call on these tensors, or None.

    Checks of a function that depend on specs and attributes alone were passed when the plan was
    made; so who finds it may leave them out. None while somebody watches calls.
    """
    op = REGISTRY[name]
    get = op.plans.get
    active = observe.active

    def find(inputs: tuple[Any, ...], attributes: tuple[Any, ...]) -> Any:
        if active:
            return None if observe.is_watched() else cast(inputs, attributes)
        try:
            return get((*[x if x is None else x._spec for x in inputs], attributes))
        except (AttributeError, TypeError):  # no tensors, or lists among the attributes
            return None

    def cast(inputs: tuple[Any, ...], attributes: tuple[Any, ...]) -> Any:
        """Where some thread has autocast on."""
        state = mode.autocast
        try:
            specs = [x if x is None else x._spec for x in inputs]
            if state is None:
                return get((*specs, attributes))
            wanted = get((id(state), *specs, attributes))
        except (AttributeError, TypeError):
            return None
        if wanted is None:
            return None
        return lambda *inputs: call_cast(op, inputs, attributes, wanted)

    return find
