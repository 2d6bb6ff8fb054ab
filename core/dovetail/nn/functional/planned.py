"""Calls as they were made before, whose plan is found without looking at the arguments again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail import observe
from dovetail.autograd.mode import mode
from dovetail.dispatch import call_cast
from dovetail.ops import REGISTRY

__all__ = ["finder"]


def finder(name: str, *, first: bool = False) -> Callable[[tuple[Any, ...], tuple[Any, ...]], Any]:
    """``find(inputs, attributes)``: the plan of a record's call on these tensors, or None.

    Checks of a function that depend on specs and attributes alone were passed when the plan was
    made; so who finds it may leave them out. None while somebody watches calls.

    Args:
        first: the plan that returns the first output alone.
    """
    op = REGISTRY[name]
    get = op.plans.get
    active = observe.active

    def find(inputs: tuple[Any, ...], attributes: tuple[Any, ...]) -> Any:
        state = None
        if active:
            if observe.is_watched():
                return None
            state = mode.autocast
        try:
            specs = [x if x is None else x._spec for x in inputs]
            if state is None:
                run = get((*specs, attributes))
                return run.first if first and run is not None else run
            wanted = get((id(state), *specs, attributes))
        except (AttributeError, TypeError):  # no tensors, lists among attributes, no such plan
            return None
        if wanted is None:
            return None
        if first:
            return lambda *given: call_cast(op, given, attributes, wanted)[0]
        return lambda *given: call_cast(op, given, attributes, wanted)

    return find
