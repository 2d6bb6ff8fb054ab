"""Places in the core's source where a small mistake can be made, and the mistakes, as data.

A mistake is made in the syntax tree of one top-level statement. Nothing is made in what only
refuses a call (``raise``, and an ``if`` that does nothing else), in texts, in annotations, in
defaults, or in ``strict=`` of ``zip``.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["KINDS", "Change", "changes_in"]


@dataclass(frozen=True)
class Change:
    """One mistake at one place.

    Attributes:
        kind: a key of :data:`KINDS`.
        text: ``before -> after``, in source text.
    """

    kind: str
    text: str


Step = tuple[str, "int | None"]
"""A field of a node, and the place in it where it is a list."""

Edit = Callable[[ast.AST, "ast.AST | None"], Iterator[ast.AST]]
"""``edit(node, parent)``: the nodes that may stand in its place, each with one mistake."""

_TURNED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


def _arithmetic(node: ast.AST, parent: ast.AST | None) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp) and type(node.op) in _TURNED:
        yield ast.BinOp(node.left, _TURNED[type(node.op)](), node.right)


def _operand(node: ast.AST, parent: ast.AST | None) -> Iterator[ast.AST]:
    if isinstance(node, ast.BinOp):
        yield node.left
        if not isinstance(node.op, (ast.Add, ast.Mod)):
            yield node.right


def _unary(node: ast.AST, parent: ast.AST | None) -> Iterator[ast.AST]:
    if isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield node.operand


def _compare(node: ast.AST, parent: ast.AST | None) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            ops = [*node.ops[:i], _COMPARED[type(op)](), *node.ops[i + 1 :]]
            yield ast.Compare(node.left, ops, node.comparators)


def _constant(node: ast.AST, parent: ast.AST | None) -> Iterator[ast.AST]:
    if isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.USub):
        return
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if isinstance(node.operand, ast.Constant) and type(node.operand.value) is int:
            yield ast.Constant(1 - node.operand.value if node.operand.value > 1 else 0)
        elif isinstance(node.operand, ast.Constant):
            yield node.operand
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Constant) and type(node.value) is float:
        yield ast.Constant(node.value * 2 if node.value else 1.0)


def _flag(node: ast.AST, parent: ast.AST | None) -> Iterator[ast.AST]:
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield ast.Constant(not node.value)


def _connective(node: ast.AST, parent: ast.AST | None) -> Iterator[ast.AST]:
    if isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)


def _condition(node: ast.AST, parent: ast.AST | None) -> Iterator[ast.AST]:
    if isinstance(node, (ast.If, ast.IfExp)):
        is_not = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
        if not is_not and not isinstance(node.test, ast.Compare):  # those are other kinds'
            made = copy.copy(node)
            made.test = ast.UnaryOp(ast.Not(), node.test)
            yield made


def _swap(node: ast.AST, parent: ast.AST | None) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Call) or any(isinstance(a, ast.Starred) for a in node.args):
        return
    called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
    if (called.id if isinstance(called, ast.Name) else called) in _ORDERLESS:
        return
    if len(node.args) in (2, 3):
        *first, a, b = node.args
        if ast.dump(a) != ast.dump(b):
            yield ast.Call(node.func, [*first, b, a], node.keywords)


_ORDERLESS = ("isinstance", "max", "min", "getattr", "maximum", "minimum", "transpose")
"""Calls whose arguments may come in any order, or cannot come in another."""


def _call(node: ast.AST, parent: ast.AST | None) -> Iterator[ast.AST]:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return
    root = node.func.value
    is_module = isinstance(root, ast.Name) and root.id in _MODULES
    if not is_module and node.func.attr not in _LAYOUT_ONLY:
        yield root


_LAYOUT_ONLY = ("contiguous", "detach")
"""Methods that change neither values nor, where gradients are not recorded, anything else."""

_MODULES = ("ops", "np", "math", "d", "itertools", "functools", "raw", "observe", "contract")

KINDS: dict[str, Edit] = {
    "arithmetic": _arithmetic,
    "operand": _operand,
    "unary": _unary,
    "compare": _compare,
    "constant": _constant,
    "flag": _flag,
    "connective": _connective,
    "condition": _condition,
    "swap": _swap,
    "call": _call,
}
"""``+`` for ``-`` · one operand alone · a sign or ``not`` dropped · ``<`` for ``<=``, ``==`` for
``!=`` · n + 1 for n, 2x for x, 0 for -1 · True for False · ``or`` for ``and`` · a condition turned
round · the last two arguments swapped · a method not called."""


def changes_in(statement: ast.AST) -> Iterator[tuple[Change, ast.AST]]:
    """Every mistake that can be made in a statement, and the statement with it."""
    for node, parent, path in _walk(statement):
        for kind, edit in KINDS.items():
            for made in edit(node, parent):
                placed = ast.fix_missing_locations(ast.copy_location(copy.copy(made), node))
                yield Change(kind, _text(node, made, parent)), _rebuilt(statement, path, placed)


def _walk(
    node: ast.AST, parent: ast.AST | None = None, path: tuple[Step, ...] = ()
) -> Iterator[tuple[ast.AST, ast.AST | None, tuple[Step, ...]]]:
    """(node, parent, path of fields from the top) of everything that mistakes are made in."""
    yield node, parent, path
    for step in _steps(node):
        child = _at(node, step)
        if not _is_left_out(node, step[0]) and not _refuses(child):
            yield from _walk(child, node, (*path, step))


def _steps(node: ast.AST) -> Iterator[Step]:
    """Where the children of a node are."""
    for field, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            yield field, None
        elif isinstance(value, list):
            yield from ((field, i) for i, item in enumerate(value) if isinstance(item, ast.AST))


def _at(node: ast.AST, step: Step) -> Any:
    field, i = step
    return getattr(node, field) if i is None else getattr(node, field)[i]


def _is_left_out(node: ast.AST, field: str) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    return field in ("annotation", "returns", "decorator_list", "args") and isinstance(
        node, (ast.FunctionDef, ast.Lambda, ast.AnnAssign)
    )


def _refuses(node: ast.AST) -> bool:
    """Whether a node only refuses a call, or is a text."""
    if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr)):
        return True
    if isinstance(node, ast.If) and not node.orelse:
        return all(isinstance(s, ast.Raise) for s in node.body)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _rebuilt(node: ast.AST, path: tuple[Step, ...], made: ast.AST) -> ast.AST:
    """A copy of a node in which ``made`` stands at the end of ``path``; the rest is shared."""
    if not path:
        return made
    (field, i), *rest = path
    old = getattr(node, field)
    twin = copy.copy(node)
    if i is None:
        setattr(twin, field, _rebuilt(old, tuple(rest), made))
    else:
        setattr(twin, field, [*old[:i], _rebuilt(old[i], tuple(rest), made), *old[i + 1 :]])
    return twin


def _text(node: ast.AST, made: ast.AST, parent: ast.AST | None) -> str:
    """``before -> after`` of the smallest text that says where it is."""
    if isinstance(node, (ast.If, ast.IfExp)) and isinstance(made, (ast.If, ast.IfExp)):
        return f"if {ast.unparse(node.test)} -> if {ast.unparse(made.test)}"
    if isinstance(node, (ast.Constant, ast.UnaryOp)) and isinstance(parent, ast.expr):
        for step in _steps(parent):
            if _at(parent, step) is node:
                node, made = parent, _rebuilt(parent, (step,), made)
                break
    return f"{ast.unparse(node)} -> {ast.unparse(made)}"
