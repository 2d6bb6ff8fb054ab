"""The package's size, and that its document says what it does."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "plugins" / "dlp" / "dovetail_dlp"
DOCUMENT = (ROOT / "docs" / "dlp.md").read_text(encoding="utf-8")
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    tokenize.ENDMARKER,
}


def code_lines(path: Path) -> int:
    """Lines with code: no blank ones, comments or docstrings."""
    text = path.read_text(encoding="utf-8")
    documented = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    used = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(used - documented)


def test_runtime_and_required_kernels_are_small() -> None:
    files = [PACKAGE / "runtime.py", *(PACKAGE / "kernels").glob("*.py")]
    assert 300 < sum(map(code_lines, files)) < 600


def test_every_required_kernel_is_there(module: Any) -> None:
    from dovetail.ops.schema import REGISTRY
    from dovetail_dlp import kernels

    required = {op.name for op in REGISTRY.values() if op.required}
    assert len(required) == 51
    assert required <= set(kernels.table())


@pytest.fixture
def first_step() -> str:
    found = re.search(r"### 1\. relu\n+```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    return found[1]


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    script = folder / "relu.py"
    script.write_text(code)
    command = [sys.executable, script.name]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60)


def test_the_labs_first_step(module: Any, first_step: str, tmp_path: Path) -> None:
    wrong = run(first_step, tmp_path)
    said = wrong.stderr.splitlines()[-1].replace(f"{tmp_path}/", "")
    assert said in DOCUMENT
    right = run(first_step.replace("load_async", "load"), tmp_path)
    assert right.stdout == "tensor([0., 2.], device='dlp:0')\n", right.stderr
    assert right.stdout in DOCUMENT


def test_the_documents_files_are_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", DOCUMENT)
    assert links
    missing = [link for link in links if not (ROOT / "docs" / link).exists()]
    assert missing == []
