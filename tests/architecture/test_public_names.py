"""Every public name is listed in ``__all__`` and says what it is."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest
from house import tree_of

import dovetail


def module_names() -> list[str]:
    found = pkgutil.walk_packages(dovetail.__path__, prefix="dovetail.")
    names = ["dovetail", *(info.name for info in found)]
    return [name for name in names if not any(p.startswith("_") for p in name.split("."))]


@pytest.mark.parametrize("name", module_names())
def test_public_names_are_listed_and_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, "the module says nothing about itself"
    listed = getattr(module, "__all__", None)
    assert listed is not None, "no __all__"
    assert len(listed) == len(set(listed)), "__all__ repeats a name"
    missing = [public for public in listed if not hasattr(module, public)]
    assert missing == [], "__all__ lists what is not there"
    assert sorted(defined_in(module) - set(listed)) == [], "not in __all__"
    assert undocumented(module) == [], "no docstring"


def defined_in(module: ModuleType) -> set[str]:
    """Public classes and functions that the module's own text defines.

    Not those under a decorator that enters them in a table (an operator's record, a kernel): they
    are reached through the table.
    """
    path = inspect.getsourcefile(module)
    assert path is not None
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    body = tree_of(Path(path)).body
    return {
        node.name
        for node in body
        if isinstance(node, kinds)
        and not node.name.startswith("_")
        and all(_is_transparent(decorator) for decorator in node.decorator_list)
    }


def _is_transparent(decorator: ast.expr) -> bool:
    """A decorator of the standard library, which leaves the name what it was."""
    word = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(word).split(".")[-1] in {
        "cache",
        "contextmanager",
        "dataclass",
        "final",
        "lru_cache",
        "overload",
        "runtime_checkable",
        "total_ordering",
        "wraps",
    }


def undocumented(module: ModuleType) -> list[str]:
    """Public names without a docstring, methods included; an override has its base's."""
    missing = []
    for name in module.__all__:
        thing = getattr(module, name)
        if not (inspect.isclass(thing) or inspect.isroutine(thing)):
            continue
        if not inspect.getdoc(thing):
            missing.append(name)
        if inspect.isclass(thing) and thing.__module__.startswith("dovetail"):
            missing += [
                f"{name}.{attribute}"
                for attribute, value in vars(thing).items()
                if not attribute.startswith("_")
                and (inspect.isroutine(value) or isinstance(value, property))
                and not inspect.getdoc(getattr(thing, attribute))
            ]
    return missing
