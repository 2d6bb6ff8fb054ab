"""``dovetail new-backend NAME``: write a package with a device that is complete and right."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from dovetail.backend.discovery import name_fault
from dovetail.backend.loader import registry
from dovetail.cli import UsageError, parser

__all__ = ["distribution_of", "main", "write_backend"]

SOURCE = Path(__file__).parent / "template"
"""A package that works as it stands; ``template`` is the name of its device."""

FILES = (
    "pyproject.toml",
    "README.md",
    "dovetail_template/*.py",
    "expect/*.toml",
    "tests/*.py",
    ".github/workflows/*.yml",
)
"""What of it is copied; building and testing it there leaves other files."""

LONGEST = 24
"""Of a longer name, lines of the written files would be too long."""


def main(argv: Sequence[str] = ()) -> int:
    """Write the package and print what to do next."""
    options = parser(
        "new-backend",
        "Write a pip-installable package with a new device: memory, the required kernels in NumPy, "
        "a test, a list of expected failures and a CI file.",
    )
    options.add_argument("name", help="the device's name, as in dt.device(NAME)")
    options.add_argument("--dir", metavar="D", help="where to (default: ./dovetail-NAME)")
    chosen = options.parse_args(list(argv))
    fault = _fault(chosen.name)
    if fault:
        raise UsageError(f"dovetail new-backend: {fault}")
    target = Path(chosen.dir or distribution_of(chosen.name))
    try:
        paths = write_backend(chosen.name, target)
    except OSError as error:
        what = error.strerror or error
        raise UsageError(f"dovetail new-backend: {target} cannot be written: {what}") from error
    print(_next_steps(chosen.name, target, paths))
    return 0


def distribution_of(name: str) -> str:
    """The package's name for an installer."""
    return "dovetail-" + name.replace("_", "-")


def write_backend(name: str, target: Path) -> list[Path]:
    """Write the package of a device ``name`` into a new folder; returns the files' paths.

    Raises:
        UsageError: ``target`` exists, and is not an empty folder.
        OSError: it cannot be written.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(
            f"dovetail new-backend: the folder to write must not exist yet, got {target}, which "
            "does; choose another with --dir"
        )
    words = _words(name)
    written = []
    for source in [path for pattern in FILES for path in sorted(SOURCE.glob(pattern))]:
        path = target / _renamed(source.relative_to(SOURCE).as_posix(), words)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_renamed(source.read_text(encoding="utf-8"), words), encoding="utf-8")
        written.append(path)
    return written


def _words(name: str) -> Mapping[str, str]:
    """What stands in the source, and what takes its place; the longest first."""
    return {
        "dovetail-template": distribution_of(name),
        "Template": "".join(part.capitalize() for part in name.split("_")),
        "TEMPLATE": name.upper(),
        "template": name,
    }


def _renamed(text: str, words: Mapping[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text


def _fault(name: str) -> str | None:
    """Why there can be no new device of this name; None where there can."""
    records = {record.name: record for record in registry.report(load=False)}
    if name in records:
        owner = records[name].distribution
        return f"NAME must be new, got {name!r}, a device of {owner}; choose another"
    fault = name_fault(name, distribution_of(name))
    if fault:
        return f"{fault}; choose another"
    if len(name) > LONGEST:
        return f"NAME must have at most {LONGEST} characters, got {len(name)}; choose a shorter one"
    if find_spec(f"dovetail_{name}") is not None:
        return f"NAME must be new, got {name!r}, but dovetail_{name} is installed; choose another"
    return None


def _next_steps(name: str, target: Path, paths: Sequence[Path]) -> str:
    lines = sum(len(p.read_text(encoding="utf-8").splitlines()) for p in paths if p.suffix == ".py")
    folder = shlex.quote(os.fspath(target))
    return "\n".join(
        [
            f"{len(paths)} files written to {target}, {lines} lines of Python. Next:",
            "",
            f"  cd {folder}",
            '  pip install -e ".[test]"',
            "  dovetail devices",
            f"  python -m dovetail_conformance --device {name} --level 4",
            "  pytest",
            "",
            f"Then replace kernels one by one: dovetail_{name}/kernels.py, and README.md.",
        ]
    )
