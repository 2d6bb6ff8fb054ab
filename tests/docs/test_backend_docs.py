"""What the two documents for backend authors say is what the code has."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dovetail.backend
from dovetail.backend import CONTRACT_VERSION, KernelTable, Runtime, hookspecs
from dovetail.cli import _OWN as COMMANDS
from dovetail.cli.new_backend import SOURCE
from dovetail.ops.schema import REGISTRY
from dovetail_conformance import report as reports
from dovetail_conformance.expectations import KINDS
from dovetail_conformance.model import LEVELS, STATUSES

DOCS = Path(__file__).resolve().parents[2] / "docs"
CONTRACT = (DOCS / "contract.md").read_text(encoding="utf-8")
GUIDE = (DOCS / "write-a-backend.md").read_text(encoding="utf-8")


def section(text: str, title: str, marks: str = "##") -> str:
    """What stands under a heading, up to the next of its kind."""
    found = re.search(rf"^{marks} {title}\n(.*?)(?=^{marks} |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found is not None, title
    return found[1]


def first_cells(text: str) -> Iterator[str]:
    """The first cell of each row of a section's tables."""
    for line in text.splitlines():
        if line.startswith("| `"):
            yield line.split("|")[1]


def codes(cells: Iterator[str]) -> list[str]:
    """The names in backquotes there, without their arguments."""
    return [name for cell in cells for name in re.findall(r"`(\w+)[^`]*`", cell)]


# The contract.


def test_every_primitive_has_a_row_and_nothing_else_has() -> None:
    named = codes(first_cells(section(CONTRACT, "Primitives")))
    required = sorted(op.name for op in REGISTRY.values() if op.required)
    assert sorted(named) == required
    assert f"All {len(required)} are required" in CONTRACT


def test_the_groups_have_as_many_as_they_say() -> None:
    text = section(CONTRACT, "Primitives")
    titles = re.findall(r"^### (.*)$", text, re.MULTILINE)
    claimed = sum(int(n) for title in titles for n in re.findall(r": (\d+)", title))
    assert claimed == sum(op.required for op in REGISTRY.values())
    for title in titles:
        numbers = [int(n) for n in re.findall(r": (\d+)", title)]
        assert len(codes(first_cells(section(text, title, "###")))) == sum(numbers), title


@pytest.mark.parametrize("op", [op.name for op in REGISTRY.values() if op.required])
def test_signatures_are_the_records(op: str) -> None:
    record = REGISTRY[op]
    [cell] = [c for c in first_cells(section(CONTRACT, "Primitives")) if re.search(rf"`{op}\b", c)]
    given = re.findall(rf"`{op}(\([^`]*\))`", cell) or re.findall(r": `(\([^`]*\))`", cell)
    assert given or not record.attributes, f"{op} has attributes and no signature"
    for text in given:
        names = [n.strip() for n in text.strip("()").split(",")]
        positional, _, keywords = ",".join(names).partition(",*,")
        words = positional.split(",")
        assert tuple(words[: len(record.inputs)]) == record.inputs
        assert len(words) - len(record.inputs) == record.outputs
        assert tuple(filter(None, keywords.split(","))) == record.attributes


def test_tolerances_are_the_records() -> None:
    text = section(CONTRACT, "Primitives")
    rows = [row for row in text.splitlines() if row.startswith("| `") and row.count("|") == 5]
    assert len(rows) > 12
    for row in rows:
        cells = row.split("|")
        for op in codes(iter([cells[1]])):
            assert REGISTRY[op].tolerance.ulp == float(cells[4]), op


def test_the_runtime_is_all_there() -> None:
    own = {name for name in vars(Runtime) if not name.startswith("_")}
    named = codes(first_cells(section(CONTRACT, "Runtime")))
    assert own - set(named) == set()
    assert set(named) - own == set()
    required = re.search(r"\| required \|.*?\n\n", CONTRACT, re.DOTALL)
    assert required is not None
    assert set(codes(first_cells(required[0]))) == Runtime.__abstractmethods__


def test_the_hooks_are_all_there() -> None:
    hooks = {name for name in hookspecs.__all__ if name.startswith("dovetail_")}
    assert set(codes(first_cells(section(CONTRACT, "Hooks")))) == hooks
    assert set(re.findall(r"`(dovetail_\w+)\(", CONTRACT)) == hooks


def test_the_options_of_an_entry_are_all_there() -> None:
    import inspect

    named = set(codes(first_cells(section(CONTRACT, "Entries of the table"))))
    assert named == set(inspect.signature(KernelTable.add).parameters) - {
        "self", "name", "function",
    }  # fmt: skip


def test_the_version_is_ours() -> None:
    text = ".".join(map(str, CONTRACT_VERSION))
    assert f"Version **{text}**" in CONTRACT
    assert f"CONTRACT_VERSION == {CONTRACT_VERSION}" in CONTRACT
    versions = re.findall(r"^\| (\d+\.\d+) \|", section(CONTRACT, "Versions"), re.MULTILINE)
    assert versions[-1] == text


def test_the_report_has_these_keys() -> None:
    found = reports.Report("x:0", 0, {}, []).as_dict()
    text = section(CONTRACT, "The report")
    assert sorted(codes(first_cells(text))) == sorted(found)
    assert f"`schema` is {reports.SCHEMA}" in text
    assert [s for s in STATUSES if f"`{s}`" not in text] == []
    from dovetail_conformance.model import Failure, Outcome

    outcome = Outcome(
        "1/values/add", 1, "values", "add", "", "", "failed", (Failure("values", ""),)
    )
    row = outcome.as_dict()
    [names] = re.findall(r"per case: `([^`]+)`", text)
    assert sorted(names.split()) == sorted(row)
    [words] = re.findall(r"a failure has (.*?) \|", text)
    assert sorted(re.findall("`(.+?)`", words)) == sorted(row["failures"][0])


def test_levels_and_kinds_are_the_suites() -> None:
    for number, about in enumerate(LEVELS):
        assert f"| {number} | {about} |" in CONTRACT
    text = section(CONTRACT, "Expected failures")
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []


def test_errors_come_from_the_backend_module() -> None:
    names = codes(first_cells(section(CONTRACT, "Errors")))
    assert [n for n in names if n != "RuntimeError" and not hasattr(dovetail.backend, n)] == []


def test_the_names_of_the_guide_exist() -> None:
    for name in ("StridedView", "Pool", "EXPRESSIONS", "elementwise_source", "Dialect", "C99",
                 "broadcast", "collapse", "needs_64_bit"):  # fmt: skip
        assert name in GUIDE
        assert hasattr(dovetail.backend, name)


# Both.


@pytest.mark.parametrize("name", ["contract.md", "write-a-backend.md"])
def test_links_lead_somewhere(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", text) if "://" not in t]
    assert targets
    for target in targets:
        path, _, anchor = target.partition("#")
        file = DOCS / path if path else DOCS / name
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {t.lower().replace(" ", "-") for t in titles}, target


# The guide.


def test_the_template_is_as_short_as_they_say() -> None:
    lines = sum(len(p.read_text().splitlines()) for p in _python_of_the_source())
    assert lines < 300
    assert "in under 300 lines" in GUIDE
    assert f"8 files written to dovetail-npu, {lines} lines of Python" in GUIDE


def _python_of_the_source() -> list[Path]:
    return [*SOURCE.glob("dovetail_template/*.py"), *SOURCE.glob("tests/*.py")]


def commands() -> list[list[str]]:
    """The commands of the documents, as words."""
    found = []
    for text in (GUIDE, CONTRACT):
        for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            found += [line for line in block.splitlines() if re.match(r" *\$ ", line)]
    return [shlex.split(line.strip(" $")) for line in found]


class _Parsed(Exception):
    """The parser took the words."""


def _parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the command's own parser read the words, and go no further."""
    parse = argparse.ArgumentParser.parse_args

    def stop(self: Any, args: Any = None, namespace: Any = None) -> Any:
        parse(self, args, namespace)
        raise _Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    name, *rest = words
    if name == "conformance":
        from dovetail_conformance.command import main
    else:
        module, _, function = COMMANDS[name][0].partition(":")
        main = getattr(importlib.import_module(module), function)
    with pytest.raises(_Parsed):
        main(rest)


OURS = [
    w for w in commands() if w[0] == "dovetail" or w[:3] == ["python", "-m", "dovetail_conformance"]
]


def test_there_are_commands() -> None:
    assert len(OURS) > 12
    assert {w[1] for w in OURS if w[0] == "dovetail"} == {
        "new-backend", "devices", "capabilities", "conformance",
    }  # fmt: skip


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_commands_are_real(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rest = words[1:] if words[0] == "dovetail" else ["conformance", *words[3:]]
    _parse(rest, monkeypatch)


def test_an_option_that_is_not_there_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from dovetail.cli import UsageError

    with pytest.raises((UsageError, pytest.fail.Exception)):
        _parse(["capabilities", "npu", "--no-such-option"], monkeypatch)


def test_options_of_pytest_are_the_plugins() -> None:
    from dovetail_conformance import pytest_plugin

    [line] = [w for w in commands() if w[0] == "pytest" and len(w) > 1]
    source = Path(pytest_plugin.__file__).read_text(encoding="utf-8")
    assert line[1:3] == ["-p", "dovetail_conformance"]
    for option in line[3:]:
        if option.startswith("--"):
            assert f'addoption("{option}"' in source


def test_python_in_the_guide_is_python() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    assert len(blocks) > 4
    for block in blocks:
        text = "\n".join(line for line in block.splitlines() if line.strip() != "…")
        if text.startswith("    "):  # the inside of a function or of a class
            text = "class _:\n" + text if text.lstrip().startswith("def") else "if 1:\n" + text
            text = re.sub(r"^( +)return ", r"\1_ = ", text, flags=re.MULTILINE)
        else:
            text = re.sub(r"^    made\.add", "made.add", text, flags=re.MULTILINE)
        compile(text, "write-a-backend.md", "exec")


def test_the_output_of_new_backend_is_its_output() -> None:
    from dovetail.cli.new_backend import _next_steps

    paths = _python_of_the_source() + [SOURCE / "README.md"] * (8 - len(_python_of_the_source()))
    said = _next_steps("npu", Path("dovetail-npu"), paths)
    assert said in GUIDE
