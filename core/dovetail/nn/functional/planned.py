"""Calls as they were made before, whose plan is found without looking at the arguments again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail import observe
from dovetail.autograd.mode import mode
from dovetail.dispatch import call_cast
from dovetail.ops import REGISTRY

__all__ = ["finder"]


def finder(name: str, *, first: bool = False) -> Callable[..., Any]:
    """``find(*inputs, attributes)``: the plan of a record's call on these tensors, or None.

    Checks of a function that depend on specs and attributes alone were passed when the plan was
    made; so who finds it may leave them out. None while somebody watches calls.

    Args:
        first: the plan that returns the first output alone.
    """
    op = REGISTRY[name]
    get = op.plans.get

    def find_cast(*given: Any) -> Any:
        """Where ``observe.active`` is not empty."""
        if observe.is_watched():
            return None
        state = mode.autocast
        if state is None:
            return plain(*given)
        *inputs, attributes = given
        try:
            specs = [x if x is None else x._spec for x in inputs]
            wanted = get((id(state), *specs, attributes))
        except (AttributeError, TypeError):  # no tensors, lists among attributes
            return None
        if wanted is None:
            return None
        if first:
            return lambda *given: call_cast(op, given, attributes, wanted)[0]
        return lambda *given: call_cast(op, given, attributes, wanted)

    plain = _written(len(op.inputs), first, False)(get, None, None)
    find = _written(len(op.inputs), first, True)(get, observe.active, find_cast)
    return find


def _written(count: int, first: bool, looks: bool) -> Callable[..., Callable[..., Any]]:
    """Makes what finds a plan, written out for so many inputs, as every call of a layer asks.

    Args:
        looks: it looks whether ``active`` is empty, and asks ``find_cast`` if not.
    """
    names = ", ".join(f"x{i}" for i in range(count))
    specs = ", ".join(f"None if x{i} is None else x{i}._spec" for i in range(count))
    source = (
        "def make(get, active, find_cast):\n"
        f"    def find({names}, attributes):\n"
        + (f"        if active: return find_cast({names}, attributes)\n" if looks else "")
        + "        try:\n"
        f"            run = get(({specs}, attributes))\n"
        f"            return {'run and run.first' if first else 'run'}\n"
        "        except (AttributeError, TypeError): return None\n"  # as above; no such plan
        "    return find\n"
    )
    space: dict[str, Any] = {}
    exec(compile(source, "<dovetail finder>", "exec"), space)
    made: Callable[..., Callable[..., Any]] = space["make"]
    return made
