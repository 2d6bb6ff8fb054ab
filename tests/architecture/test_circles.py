"""No circles: whatever a file of the core imports, at its top or in a function, leads nowhere back.

Where a low room must ask a room above it, it does so through ``dovetail.late_binding``.
"""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest
from house import CORE, files, imports, name_of, tree_of

LARGEST = 1
"""How many files may know each other by a detour; every file knows itself."""

LOW = (
    "autograd.grad_mode", "autograd.graph", "backend.allocator", "backend.loader", "backend.state",
    "device", "dtypes", "fallback", "from_data", "generator", "kernels", "memory_formats",
    "observe", "ops.schema", "plans", "raw", "shapes", "spec", "storage", "streams", "tensor",
)  # fmt: skip
"""What everything stands on: these files reach none of the next, however long the way."""

HIGH = (
    "ao", "autograd.engine", "device_modules", "dispatch", "facts", "func", "indexing", "interop",
    "legacy", "nn", "ops.expose", "ops.families", "ops.layout", "optim", "printing", "quantized",
    "serialization",
)  # fmt: skip

Graph = dict[str, set[str]]


def module_of(path: Path) -> str:
    """The dotted name that a file of the core is imported by."""
    parts = path.relative_to(CORE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class _WithoutAnnotations(ast.NodeTransformer):
    """Takes out what only a type checker reads."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        is_checked = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if is_checked else node


def graph_of(trees: dict[str, ast.Module]) -> Graph:
    """Module -> modules that it imports, anywhere in its file."""
    graph: Graph = {}
    for module, tree in trees.items():
        found = set()
        for name, _ in imports(_WithoutAnnotations().visit(tree)):
            whole, _, _ = name.rpartition(".")
            found |= {name} if name in trees else {whole} & trees.keys()
        graph[module] = found - {module}
    return graph


def reached(graph: Graph, start: str) -> set[str]:
    """Every module that ``start`` leads to."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def circles(graph: Graph) -> list[set[str]]:
    """The sets of modules that lead to each other, the largest first."""
    reach = {module: reached(graph, module) for module in graph}
    found = []
    left = {module for module in graph if module in reach[module]}
    while left:
        module = left.pop()
        circle = {module} | {other for other in reach[module] if module in reach[other]}
        left -= circle
        found.append(circle)
    return sorted(found, key=len, reverse=True)


def _ways(graph: Graph, circle: set[str]) -> list[str]:
    return [f"{a} -> {b}" for a in sorted(circle) for b in sorted(graph[a] & circle)]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of({module_of(path): tree_of(path) for path in files("core/dovetail")})


def test_there_is_no_circle(graph: Graph) -> None:
    found = circles(graph)
    told = [f"{len(circle)} files: {', '.join(_ways(graph, circle))}" for circle in found]
    assert max(map(len, found), default=1) <= LARGEST, "\n".join(told)


@pytest.mark.parametrize("low", LOW)
def test_a_low_room_reaches_no_high_one(graph: Graph, low: str) -> None:
    reach = reached(graph, f"dovetail.{low}")
    high = [
        module
        for module, name in itertools.product(sorted(reach), HIGH)
        if module == f"dovetail.{name}" or module.startswith(f"dovetail.{name}.")
    ]
    assert high == []


def test_every_room_that_is_named_is_there(graph: Graph) -> None:
    assert {f"dovetail.{name}" for name in (*LOW, *HIGH)} <= graph.keys()


def test_a_circle_is_seen() -> None:
    texts = {
        "a": "from b import thing",
        "b": "def late():\n    import c.d",
        "c": "",
        "c.d": "from a import x\nif TYPE_CHECKING:\n    from c import y",
        "e": "import a, e",
        "f": "if TYPE_CHECKING:\n    import g",
        "g": "import f",
    }
    graph = graph_of({name: ast.parse(text) for name, text in texts.items()})
    assert circles(graph) == [{"a", "b", "c.d"}]


def test_what_is_read_is_the_core() -> None:
    assert name_of(CORE) == "core/dovetail"
    assert module_of(CORE / "nn" / "__init__.py") == "dovetail.nn"
