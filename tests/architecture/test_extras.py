"""``pip install -e ".[test]" && pytest`` is enough to run: a file of the tests that begins with the
import of anything else asks first whether it is there, by ``pytest.importorskip``."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import ROOT, files, imports, name_of, tree_of

CALLED = {"pillow": "PIL", "scikit-learn": "sklearn"}
"""What is imported by another name than it is installed by."""

PROGRAMS = ("stand_ins", "vendored", "train.py")
"""Below ``tests/programs``: what runs with dovetail in PyTorch's place; pytest never imports it."""

FOLDERS = (ROOT, ROOT / "conformance", *sorted((ROOT / "backends").iterdir()))
"""Where the packages lie that are there in a clone, the core apart: it imports nothing else."""


def brought() -> set[str]:
    """What the extra ``test`` brings, by the names that are imported."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^test = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    return {CALLED.get(name, name.replace("-", "_")) for name in re.findall(r'"([\w-]+)', listed)}


BESIDE = {path.stem for path in files("tests")}
"""Modules of the tests, which are imported by their own name, and are asked themselves."""

THERE = {*sys.stdlib_module_names, "numpy", "ml_dtypes", "pluggy", "dovetail"} | brought() | BESIDE


IMPORT = r"^\s*(?:import|from) (\w+)[\w.]*(?:$| import | as |,)"
"""Where to look closer; in a file that has none with a package that may be missing, nowhere."""


def of_tests() -> Iterator[Path]:
    """Every file that pytest imports."""
    programs = ROOT / "tests" / "programs"
    for path in files("tests"):
        if not any(path.is_relative_to(programs / name) for name in PROGRAMS):
            yield path


def begins_with(tree: ast.Module) -> Iterator[tuple[str, frozenset[str]]]:
    """What importing a file imports, each with what was asked for before."""
    asked: frozenset[str] = frozenset()
    for statement in tree.body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            continue
        if isinstance(statement, (ast.Assign, ast.Expr)) and isinstance(statement.value, ast.Call):
            asked |= {*re.findall(r"^pytest\.importorskip\('(.+?)'", ast.unparse(statement.value))}
        for name, is_inside in imports(ast.Module([statement], [])):
            if not is_inside:
                yield name, asked


@functools.cache
def imported_by(path: Path) -> tuple[str, ...]:
    """What importing a file of ours imports."""
    return tuple(name for name, _ in begins_with(tree_of(path)))


@functools.cache
def file_of(name: str) -> Path | None:
    """Ours by its dotted name, which may end with what a module defines."""
    for folder in FOLDERS:
        path = folder.joinpath(*name.split("."))
        for found in (path.with_suffix(".py"), path / "__init__.py"):
            if found.is_file():
                return found
    whole = name.rpartition(".")[0]
    return file_of(whole) if whole else None


def needed(name: str) -> set[str]:
    """What an import imports that no file is here for, however long the way."""
    found = set()
    seen: set[Path] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name.partition(".")[0] in THERE:
            continue
        path = file_of(name)
        if path is None:
            found.add(name)
        elif path not in seen:
            seen.add(path)
            waiting += imported_by(path)
    return found


def missing(tree: ast.Module) -> set[str]:
    """Packages that may be missing where a file is imported, and that it does not ask for."""
    found = set()
    for name, asked in begins_with(tree):
        if not _is_asked(name, asked):
            found |= {n.partition(".")[0] for n in needed(name) if not _is_asked(n, asked)}
    return found


def _is_asked(name: str, asked: frozenset[str]) -> bool:
    return any(f"{name}.".startswith(f"{a}.") for a in asked)


def test_no_file_begins_with_what_may_be_missing() -> None:
    found = {}
    for path in of_tests():
        text = path.read_text(encoding="utf-8")
        if not THERE.issuperset(re.findall(IMPORT, text, re.MULTILINE)):
            found[name_of(path)] = missing(ast.parse(text))
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert "tests/conformance/faulty_runtimes.py" in found, "which asks for the loopback plugin"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("import torch.nn", {"torch"}),
        ("if True:\n    from torch import nn", {"torch"}),
        ("import torch\npytest.importorskip('torch')", {"torch"}),
        ("pytest.importorskip('torch')\nimport torch.nn, torchvision", {"torchvision"}),
        ("torch = pytest.importorskip('torch', reason='')\nfrom torch import nn", set()),
        ("from dovetail_opencl.cache import ProgramCache", {"pyopencl"}),
        ("from dovetail_opencl import cache", {"pyopencl"}),
        ("pytest.importorskip('pyopencl')\nfrom dovetail_opencl import cache", set()),
        ("pytest.importorskip('dovetail_opencl.cache')\nimport dovetail_opencl.cache", set()),
        ("from dovetail_opencl.declarations import Declarations", set()),
        ("from dovetail_loopback import backend", {"dovetail_loopback"}),
        ("if TYPE_CHECKING:\n    import torch", set()),
        ("def test():\n    import torch", set()),
        ("import numpy, scipy.special, sklearn, PIL.Image, house", set()),
    ],
)  # fmt: skip
def test_what_may_be_missing_is_seen(text: str, wanted: set[str]) -> None:
    assert missing(ast.parse(text)) == wanted
