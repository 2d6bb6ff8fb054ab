"""The direction of dependency: core knows no backend, a backend knows only the contract."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from house import CORE, ROOT, files, imports, name_of, tree_of

STDLIB = sys.stdlib_module_names
CORE_MAY = {"numpy", "ml_dtypes", "pluggy", "dovetail"}
DEMOS = ("demo", "style")
"""Programs that come with the core, and what they may import inside of functions."""
DEMO_COMMANDS = (*DEMOS, "progress")
DEMO_MAY = {"PIL", "matplotlib", "sklearn", "tqdm"}
TEMPLATE = CORE / "cli" / "template"
"""A backend of its own, seen through the link in ``plugins``; no part of the core."""

CONTRACT = ("dovetail.backend", "dovetail.backends", "dovetail.dtypes", "dovetail.errors")
"""``backends``: the switches of libraries, which whoever computes with such a library obeys."""

# Each backend's own array library or driver binding.
BACKEND_MAY = {
    "dovetail_cpu": {"numpy", "ml_dtypes"},
    "dovetail_kernels": {"numpy", "ml_dtypes"},  # what the next two share
    "dovetail_cuda": {
        "numpy",
        "ml_dtypes",
        "cupy",
        "cupy_backends",
        "cuda",
        "cudnn",
        "dovetail_kernels",
    },
    "dovetail_opencl": {"numpy", "ml_dtypes", "pyopencl", "dovetail_kernels"},
    "dovetail_loopback": {"numpy", "ml_dtypes"},
    "dovetail_dlp": {"numpy", "ml_dtypes", "matplotlib"},  # the profile's picture, if installed
}

SHARED = {"dovetail_kernels"}
"""What is no backend: kernels that several of them take."""


def backend_folders() -> list[Path]:
    """The packages that are backends, in the repository and in its plugins."""
    return sorted(
        path
        for parent in ("backends", "plugins")
        for path in (ROOT / parent).glob("*/dovetail_*")
        if path.is_dir() and any(path.glob("*.py"))
    )


def top(module: str) -> str:
    return module.split(".")[0]


def within(module: str, allowed: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


@pytest.mark.parametrize(
    "path", [p for p in files("core") if not p.is_relative_to(TEMPLATE)], ids=name_of
)
def test_core_imports_only_what_it_may(path: Path) -> None:
    commands = [CORE / "cli" / f"{name}.py" for name in DEMO_COMMANDS]
    is_demo = path.parent.name in DEMOS or path in commands
    wrong = []
    for module, inside_function in imports(tree_of(path)):
        allowed = STDLIB | CORE_MAY
        if is_demo and inside_function:
            allowed = allowed | DEMO_MAY
        if top(module) not in allowed:
            wrong.append(module)
    assert wrong == []


@pytest.mark.parametrize("folder", backend_folders(), ids=name_of)
def test_backend_imports_only_the_contract(folder: Path) -> None:
    allowed = STDLIB | {folder.name} | BACKEND_MAY.get(folder.name, {"numpy", "ml_dtypes"})
    wrong = [
        f"{name_of(path)}: {module}"
        for path in files(name_of(folder))
        for module, _ in imports(tree_of(path))
        if top(module) not in allowed and not within(module, CONTRACT)
    ]
    assert wrong == []


def test_nothing_imports_a_backend_by_name() -> None:
    backends = ({folder.name for folder in backend_folders()} | set(BACKEND_MAY)) - SHARED
    wrong = []
    # Not benchmarks: one that measures a kernel must reach it.
    for path in files("core", "backends", "plugins", "conformance", "examples"):
        own = {part for part in path.parts if part in backends} | _beside(path)
        wrong += [
            f"{name_of(path)}: {module}"
            for module, _ in imports(tree_of(path))
            if top(module) in backends - own
        ]
    assert wrong == []


def _beside(path: Path) -> set[str]:
    """The packages of the plugin whose folder a file is in: its examples import it."""
    parts = path.relative_to(ROOT).parts
    if parts[0] != "plugins":
        return set()
    return {folder.name for folder in (ROOT / parts[0] / parts[1]).glob("dovetail_*")}


@pytest.mark.parametrize("name", ["dovetail_cpu", "dovetail_template"])
def test_backends_are_seen(name: str) -> None:
    assert name in {folder.name for folder in backend_folders()}
