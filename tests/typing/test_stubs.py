"""The type stubs: they are what the generator writes, agree with what runs, and mypy uses them."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dovetail as dt
from dovetail import dtypes as d
from dovetail.ops import FUNCTIONS
from dovetail.ops.schema import REGISTRY, OpDef, Sample

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CORE = ROOT / "core" / "dovetail"


def test_the_stubs_are_what_the_generator_writes() -> None:
    command = [sys.executable, str(ROOT / "tools" / "make_stubs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrun: python tools/make_stubs.py"


# What the stubs say, read from their text.


def definitions(path: Path, owner: str = "") -> dict[str, list[ast.FunctionDef]]:
    """Every ``def`` of a stub, or of one of its classes; several for an overloaded name."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    if owner:
        (body,) = [n.body for n in body if isinstance(n, ast.ClassDef) and n.name == owner]
    found: dict[str, list[ast.FunctionDef]] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, []).append(node)
    return found


FUNCTION_STUBS = definitions(CORE / "_functions.pyi")
METHOD_STUBS = definitions(CORE / "_tensor_methods.pyi", "TensorMethods")


def signature_of(node: ast.FunctionDef) -> inspect.Signature:
    """The parameters of a ``def``, so that a call can be bound to them."""
    kinds = inspect.Parameter
    made = []
    positional = [*node.args.posonlyargs, *node.args.args]
    required = len(positional) - len(node.args.defaults)
    for i, a in enumerate(positional):
        kind = kinds.POSITIONAL_ONLY if a in node.args.posonlyargs else kinds.POSITIONAL_OR_KEYWORD
        made.append(kinds(a.arg, kind, default=kinds.empty if i < required else None))
    if node.args.vararg:
        made.append(kinds(node.args.vararg.arg, kinds.VAR_POSITIONAL))
    for a, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        made.append(kinds(a.arg, kinds.KEYWORD_ONLY, default=default or kinds.empty))
    if node.args.kwarg:
        made.append(kinds(node.args.kwarg.arg, kinds.VAR_KEYWORD))
    return inspect.Signature(made)


def names_in_the_package_stub() -> set[str]:
    tree = ast.parse((CORE / "__init__.pyi").read_text(encoding="utf-8"))
    names = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            names |= {a.asname for a in node.names if a.asname}
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


# Stubs and what runs.


def test_every_public_name_is_in_the_stub() -> None:
    listed = names_in_the_package_stub()
    public = {name for name in FUNCTIONS if not name.startswith("_")}
    assert sorted({*dt.__all__, *public} - listed) == []
    modules = {n for n in dt._MODULES if hasattr(dt, n)}  # type: ignore[attr-defined]
    later = {*dt._ELSEWHERE, *dt._FUNCTIONAL}  # type: ignore[attr-defined]
    later = {name for name in later if not name.startswith("_")}
    assert sorted({*modules, *later} - listed) == []


def test_every_name_in_the_stub_is_there() -> None:
    assert [n for n in sorted(names_in_the_package_stub()) if not hasattr(dt, n)] == []
    assert [n for n in METHOD_STUBS if not hasattr(dt.Tensor, n)] == []


def test_every_method_is_in_the_stub() -> None:
    own = definitions(CORE / "tensor.py", "Tensor")
    public = {
        name
        for name, thing in vars(dt.Tensor).items()
        if not name.startswith("_")
        and getattr(thing, "__module__", "") != "dovetail.device_methods"
    }
    assert sorted(public - set(METHOD_STUBS) - set(own) - {"ndimension", "nelement"}) == []


def plain_signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """The function's own parameters; None where it takes anything and reads it itself."""
    signature = inspect.signature(function)
    kinds = {p.kind for p in signature.parameters.values()}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        return None
    return signature


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) & set(FUNCTION_STUBS)))
def test_parameters_are_the_functions(name: str) -> None:
    signature = plain_signature(FUNCTIONS[name])
    stubs = FUNCTION_STUBS[name]
    if signature is None or len(stubs) > 1:
        return
    said = [n for n in signature_of(stubs[0]).parameters if n != "out"]
    assert said == [n for n in signature.parameters if n != "out" and not n.startswith("_")]
    for p in signature.parameters.values():
        if p.name in said:
            has_default = signature_of(stubs[0]).parameters[p.name].default is not p.empty
            assert has_default == (p.default is not p.empty), p.name


def test_out_is_said_where_it_is_taken() -> None:
    tried = 0
    for name, (first, *others) in FUNCTION_STUBS.items():
        parameters = set(signature_of(first).parameters)
        if others or parameters != {"input", "out"}:
            continue
        accepts = REGISTRY[name].accepts if name in REGISTRY else d.ALL
        x = dt.eye(2, dtype=d.float32 if d.float32 in accepts else d.int64)
        if not isinstance(FUNCTIONS[name](x), dt.Tensor):
            continue
        out = dt.empty(0, dtype=FUNCTIONS[name](x).dtype)
        assert FUNCTIONS[name](x, out=out) is out, name
        tried += 1
    assert tried > 20


SAMPLED = [
    op
    for name, op in sorted(REGISTRY.items())
    if op.public and op.samples and FUNCTIONS.get(name) is not None and name in FUNCTION_STUBS
]


@pytest.mark.parametrize("op", SAMPLED, ids=lambda op: op.name)
def test_the_records_samples_are_calls_that_the_stub_allows(op: OpDef) -> None:
    assert op.samples is not None
    dtype = d.float32 if d.float32 in op.accepts else op.accepts[0]
    for sample in op.samples(np.random.default_rng(0), dtype):
        assert_allowed(FUNCTION_STUBS[op.name], sample)
        if op.method and op.name in METHOD_STUBS and not op.variadic:
            assert_allowed(METHOD_STUBS[op.name], sample)


def assert_allowed(stubs: list[ast.FunctionDef], sample: Sample) -> None:
    problems = []
    for node in stubs:
        try:
            signature_of(node).bind(*sample.args, **sample.kwargs)
        except TypeError as error:
            problems.append(str(error))
        else:
            return
    raise AssertionError(f"{stubs[0].name}{sample.args, dict(sample.kwargs)}: {problems}")


# mypy.


def run_mypy(*paths: Path) -> list[str]:
    pytest.importorskip("mypy", reason="mypy comes with the dev extra")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-pretty"]
    command += ["--hide-error-context", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if ": error: " in line]


def test_mypy_accepts_a_strict_program_and_the_stubs() -> None:
    stubs = sorted(CORE.rglob("*.pyi"))
    assert len(stubs) > 3
    assert run_mypy(HERE / "training.py", *stubs) == []


def test_the_strict_program_runs() -> None:
    done = subprocess.run([sys.executable, str(HERE / "training.py")], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def expected_errors(path: Path) -> Iterator[tuple[int, set[str]]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = re.search(r"# error: ([\w, -]+)$", line)
        if found:
            yield number, {code.strip() for code in found[1].split(",")}


def test_mypy_refuses_wrong_programs() -> None:
    expected = dict(expected_errors(HERE / "wrong.py"))
    assert len(expected) > 25
    found: dict[int, set[str]] = {}
    for line in run_mypy(HERE / "wrong.py"):
        parts = re.match(r".*?:(\d+): error: .*\[([\w-]+)\]$", line)
        assert parts is not None, line
        found.setdefault(int(parts[1]), set()).add(parts[2])
    assert sorted(found) == sorted(expected)
    for number, codes in expected.items():
        assert found[number] <= codes, f"line {number}: {found[number]}"
