"""Which of the core's functions are given mistakes: gradients, decompositions, promotion.

A record's gradients and decomposition are functions; what they call by name in their own modules
belongs to them. Public functions of records are doors to the dispatcher and do not.
"""

from __future__ import annotations

import functools
import gc
import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import dovetail
from dovetail import ops, promotion
from dovetail.ops.schema import REGISTRY

__all__ = ["Key", "key_of", "live_functions", "targets"]

OPS = Path(ops.__file__).parent
"""The folder of the operators."""

Key = tuple[str, CodeType]
"""A function in the source: its file's name and its code, which holds its first line too."""

_DOORS = ("calling.py", "expose.py", "families.py", "schema.py")
"""Files that make functions and records, or find words for wrong calls: no operator's faults."""

_NOT_RULES = frozenset(
    (
        "_joint_strides",
        "_strides_in_order",
        "_suggests",
        "format_strides",
        "viewed_strides",
        "target_spec",
        "apply_view",
        "fill_in",
        "view_record",
        "_make_plan",
        "_view_plan",
        "view_operator.define.function",
        "writable_copy",
        "_ints",
        "_parse_to",
        "_squeeze_prepare",
        "check_classes",
        "check_probabilities",
    )
)
"""Helpers that say where a result lies in memory, read arguments, refuse a call, keep plans, or
make room for a batch of ``vmap``.

Rules of shape, ``…_infer``, are left out too: they are no gradients and no decompositions.
"""


def key_of(code: CodeType) -> Key:
    """What tells a function's code from all others, also after it is compiled again."""
    return Path(code.co_filename).name, code


@functools.cache
def targets() -> dict[Key, str]:
    """Every piece of source that is given mistakes, with a name for people: ``file:function``.

    A lambda is called by the record and the rule that it is: ``arithmetic.py:mul.gradient.other``.
    """
    _import_operators()
    doors = {id(op.function) for op in REGISTRY.values()}
    doors |= {id(f) for f in (*vars(dovetail).values(), *vars(dovetail.Tensor).values())}
    todo = [
        (".".join(filter(None, (op.name, rule, where))), function)
        for op in REGISTRY.values()
        for rule in ("gradient", "complex_gradient", "decompose")
        for where, value in _parts(getattr(op, rule))
        for function in _functions_in(value)
    ]
    rules = _functions_in(list(vars(promotion).values()))
    todo += [("", f) for f in rules if f.__module__ == promotion.__name__]
    found: dict[Key, str] = {}
    for name, function in todo:
        key = key_of(function.__code__)
        path = function.__qualname__.replace(".<locals>", "")
        if key in found or path in _NOT_RULES or not _is_asked(function):
            continue
        found[key] = name if "<lambda>" in path else path
        for called in _names(function.__code__):
            helpers = _functions_in(function.__globals__.get(called))
            todo += [("", f) for f in helpers if id(f) not in doors]
    return _unlike(found)


def _parts(rule: Any) -> list[tuple[str, Any]]:
    return list(rule.items()) if isinstance(rule, dict) else [("", rule)]


def _unlike(names: dict[Key, str]) -> dict[Key, str]:
    """``file:name`` of each, in the order of files and lines, no two the same."""
    made: dict[Key, str] = {}
    times: Counter[str] = Counter()
    for key, name in sorted(
        names.items(), key=lambda item: (item[0][0], item[0][1].co_firstlineno)
    ):
        whole = f"{key[0]}:{name}"
        times[whole] += 1
        made[key] = whole if times[whole] == 1 else f"{whole} ({times[whole]})"
    return made


def _import_operators() -> None:
    for module in pkgutil.walk_packages(ops.__path__, "dovetail.ops."):
        importlib.import_module(module.name)


def _is_asked(function: FunctionType) -> bool:
    file = Path(function.__code__.co_filename)
    is_core = OPS in file.parents or file == Path(promotion.__file__)
    is_rule = function.__name__ not in _NOT_RULES and not function.__name__.endswith("_infer")
    return is_core and is_rule and file.name not in _DOORS


def _functions_in(value: Any, seen: frozenset[int] = frozenset()) -> Iterator[FunctionType]:
    """The plain functions in a rule: in dicts, partials, caches and closures too."""
    if id(value) in seen:
        return
    inside: tuple[Any, ...] = ()
    if isinstance(value, dict):
        inside = tuple(value.values())
    elif isinstance(value, (list, tuple)):
        inside = tuple(value)
    elif isinstance(value, functools.partial):
        inside = (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, FunctionType):
        yield value
        inside = tuple(inspect.getclosurevars(value).nonlocals.values())
    elif hasattr(value, "__wrapped__"):
        inside = (value.__wrapped__,)
    for v in inside:
        yield from _functions_in(v, seen | {id(value)})


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def live_functions() -> dict[Key, list[FunctionType]]:
    """Every function object of this process that runs one of the core's pieces of source."""
    found: dict[Key, list[FunctionType]] = {}
    for thing in gc.get_objects():
        if type(thing) is FunctionType and (thing.__module__ or "").startswith("dovetail."):
            found.setdefault(key_of(thing.__code__), []).append(thing)
    return found
