"""What autocast does to the arguments of one call.

The thread's ``mode.autocast`` says which kinds of devices it is on for, and with which dtype; None
where it is off, and inside of operators that have been cast. While it is on anywhere,
``observe.active`` has :data:`~dovetail.observe.AUTOCAST` in it, so that all calls take the
watched path: with autocast off nobody looks at it.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dovetail import dtypes as d
from dovetail import observe
from dovetail.autocast_lists import (
    ACCELERATOR,
    BY_FUNCTION,
    CASTS,
    HOST,
    LOWER,
    PROMOTE,
    WIDE,
    WIDE_UNLESS_GIVEN,
)
from dovetail.autograd.grad_mode import mode
from dovetail.ops.schema import REGISTRY

__all__ = [
    "cached_casts", "cast_inputs", "cast_to", "casts_of", "cover", "covered", "early", "without",
]  # fmt: skip

_HOST_TYPE = "cpu"


def without(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """``function(*args, **kwargs)`` with autocast off."""
    state = mode.autocast
    mode.autocast = None
    try:
        return function(*args, **kwargs)
    finally:
        mode.autocast = state


def cast_inputs(
    name: str, inputs: tuple[Any, ...], attributes: Mapping[str, Any], state: Mapping[str, Any]
) -> tuple[Any, ...]:
    """The inputs of an operator, cast as the list of their device says."""
    targets = _targets(name, inputs, attributes, state)
    if targets is None:
        return inputs
    return tuple(_cast(x, targets) for x in inputs)


def casts_of(
    name: str, inputs: tuple[Any, ...], attributes: Mapping[str, Any], state: Mapping[str, Any]
) -> tuple[Any, ...]:
    """The dtype that each input is cast to, None where it stays; () where all do.

    It depends on what the inputs' specs say, so that a plan of it can be kept.
    """
    targets = _targets(name, inputs, attributes, state)
    if targets is None:
        return ()
    return tuple(targets[x._spec.device.type] if _is_eligible(x, targets) else None for x in inputs)


def _is_eligible(x: Any, state: Mapping[str, Any]) -> bool:
    """Whether autocast may change a value's dtype: a real tensor of less than float64."""
    spec = getattr(x, "_spec", None)
    if spec is None or spec.device.type not in state:
        return False
    return spec.dtype.category == 2 and spec.dtype is not d.float64


def _tensors(inputs: Any) -> list[Any]:
    """The tensors among arguments, and those in lists among them."""
    found = []
    for x in inputs:
        if isinstance(x, (tuple, list)):
            found += _tensors(x)
        elif getattr(x, "_spec", None) is not None:
            found.append(x)
    return found


def _targets(
    name: str, inputs: Any, attributes: Mapping[str, Any], state: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The dtype that tensors get, by their kind of device; None: they stay as they are."""
    tensors = [x for x in _tensors(inputs) if _is_eligible(x, state)]
    made = {}
    for kind in {x._spec.device.type for x in tensors}:
        rule = (HOST if kind == _HOST_TYPE else ACCELERATOR).get(name)
        if callable(rule):
            rule = rule(attributes)
        if rule == LOWER:
            made[kind] = state[kind]
        elif rule == WIDE or (rule == WIDE_UNLESS_GIVEN and attributes.get("dtype") is None):
            made[kind] = d.float32
        elif rule == PROMOTE:
            here = {x._spec.dtype for x in tensors if x._spec.device.type == kind}
            if len(here) > 1:
                made[kind] = d.float32  # the widest: lower ones differ, or float32 is among them
    return made or None


def _cast(x: Any, targets: Mapping[str, Any]) -> Any:
    if isinstance(x, (tuple, list)):
        return type(x)(_cast(item, targets) for item in x)
    return cast_to(x, targets[x._spec.device.type]) if _is_eligible(x, targets) else x


def cast_to(x: Any, dtype: Any) -> Any:
    """A tensor in another dtype; a parameter's is kept for the running block."""
    if x._spec.dtype is dtype:
        return x
    node = x._node
    if node is None or not node.accumulates or not mode.grad or dtype is d.float32:
        return without(x.to, dtype)
    # A parameter: it is cast once for the whole block, unless it is written to in between.
    kept = cached_casts()
    if kept is None:
        return without(x.to, dtype)
    key, version = (id(x), dtype), x._version
    found = kept.get(key)
    if found is None or found[0] is not x or found[1] != version:
        found = kept[key] = (x, version, without(x.to, dtype))
    return found[2]


def cached_casts() -> dict[Any, Any] | None:
    """The casts of parameters of this thread's outermost block; None where none are kept."""
    kept: dict[Any, Any] | None = mode.autocast_casts
    return kept


def early(name: str, input: Any) -> Any:
    """The input of a function that settles its ``dtype`` before it calls the record ``name``."""
    return cast_inputs(name, (input,), {}, mode.autocast)[0]


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def _arguments(function: Callable[..., Any], args: Any, kwargs: Any) -> Mapping[str, Any]:
    """Arguments by name; those of a wrong call are not looked at, as it will fail."""
    named: Mapping[str, Any] = kwargs
    with contextlib.suppress(TypeError):
        named = _signature(function).bind(*args, **kwargs).arguments
    return named


def _category(name: str, kinds: Any) -> bool:
    """Whether the list of one of these kinds of devices has the name."""
    return any(name in (HOST if kind == _HOST_TYPE else ACCELERATOR) for kind in kinds)


def covered(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that puts records together, cast as a whole where autocast is on."""
    active = observe.active

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not active or mode.autocast is None:
            return function(*args, **kwargs)
        state = mode.autocast
        kinds = {x._spec.device.type for x in _tensors((*args, *kwargs.values()))}
        if not _category(name, kinds):
            return function(*args, **kwargs)
        given = _arguments(function, args, kwargs)
        values = cast_inputs(name, (*args, *kwargs.values()), given, state)
        named = dict(zip(kwargs, values[len(args) :], strict=True))
        return without(function, *values[: len(args)], **named)

    return call


def cover(names: dict[str, Any], prefix: str = "", but: Mapping[str, Any] | None = None) -> None:
    """Replace the functions in a module's names that the lists have, but no record is called so.

    Args:
        names: the module's ``globals()``.
        prefix: of the names in the lists (``linalg.``).
        but: names that are left alone: those of records, which are cast where they are called.
    """
    left = REGISTRY if but is None else but
    for name, value in list(names.items()):
        is_record = name in left and name not in BY_FUNCTION
        if prefix + name in CASTS and not is_record and callable(value):
            names[name] = covered(prefix + name, value)
            names[name].__module__ = names["__name__"]  # where it can be pickled from
