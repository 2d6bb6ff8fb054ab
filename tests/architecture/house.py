"""What the architecture tests read: the repository's own Python files, as text and as trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "core" / "dovetail"
FOLDERS = ("core", "backends", "plugins", "conformance", "tests", "benchmarks", "examples", "tools")
NOT_OURS = frozenset({"__pycache__", "build", "dist", "vendored"})


def files(*folders: str, suffixes: tuple[str, ...] = (".py",)) -> list[Path]:
    """Source files under folders of the repository, sorted."""
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes
        and path.is_file()
        and not NOT_OURS.intersection(path.relative_to(ROOT).parts)
    )


def name_of(path: Path) -> str:
    """The path inside the repository, for messages and allow-lists."""
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Every absolute import as ``(dotted module, inside a function)``.

    ``from a.b import c`` counts as ``a.b.c``, because ``c`` may be a module.
    """
    yield from _imports(tree, inside=False)


def _imports(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level == 0:
            yield from ((f"{child.module}.{alias.name}", inside) for alias in child.names)
        in_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield from _imports(child, inside or in_function)


def code_words(tree: ast.AST) -> Iterator[str]:
    """Every identifier and every string that is not documentation."""
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and id(node) not in documentation:
                yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.arg, ast.keyword)):
            yield node.arg or ""
        elif isinstance(node, ast.alias):
            yield node.name
            yield node.asname or ""
