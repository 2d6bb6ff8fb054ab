"""Which functions of the core's source run: each notes that it is called.

A profiler would say so too, and makes the interpreter slow all over. So the functions that are
asked about are compiled once more with a call at their beginning, and this is put in their place.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import sys
from collections.abc import Iterator, Sequence
from types import CodeType, FunctionType

__all__ = ["noted", "noting"]

_NAME = "__dovetail_note__"
"""What they call, among Python's own functions."""


class _Noting(ast.NodeTransformer):
    """A call of the note comes first in each function; a docstring stays before it."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        first = int(ast.get_docstring(node, clean=False) is not None)
        node.body.insert(first, ast.Expr(_call()))
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        self.generic_visit(node)
        both = ast.Tuple([_call(), node.body], ast.Load())
        node.body = ast.Subscript(both, ast.Constant(1), ast.Load())
        return node


def _call() -> ast.Call:
    return ast.Call(ast.Name(_NAME, ast.Load()), [], [])


def _nothing() -> None:
    """What they call at other times."""


def noted(text: ast.Module) -> ast.Module:
    """The text of a file, whose functions note that they are called. It is changed."""
    changed: ast.Module = _Noting().visit(text)
    return ast.fix_missing_locations(changed)


@contextlib.contextmanager
def noting(changes: Sequence[tuple[FunctionType, CodeType, CodeType]]) -> Iterator[set[int]]:
    """Gives the ``id`` of each code that runs inside, of the functions' new ones.

    Args:
        changes: (function, old code, new code), as long as those are of use.
    """
    seen: set[int] = set()

    def note() -> None:
        seen.add(id(sys._getframe(1).f_code))

    setattr(builtins, _NAME, note)
    try:
        for function, _, code in changes:
            function.__code__ = code
        yield seen
    finally:
        for function, old, _ in changes:
            function.__code__ = old
        setattr(builtins, _NAME, _nothing)  # for functions made inside that live on
