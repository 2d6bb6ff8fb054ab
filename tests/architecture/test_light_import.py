"""``import dovetail`` loads numpy, ml_dtypes and itself; the rest waits until it is used."""

from __future__ import annotations

import subprocess
import sys

# Slow to import, or a sign that something is done at import that should wait.
HEAVY_STDLIB = {
    "argparse",
    "asyncio",
    "concurrent.futures",
    "email",
    "http",
    "importlib.metadata",
    "multiprocessing",
    "sqlite3",
    "unittest",
    "urllib.request",
}


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_dovetail_is_light() -> None:
    added = modules_after("import dovetail") - modules_after("import numpy, ml_dtypes")
    assert "dovetail" in added
    third_party = {name.split(".")[0] for name in added} - sys.stdlib_module_names
    assert third_party - {"dovetail", "numpy"} == set(), "a backend or an extra is loaded at import"
    assert added & HEAVY_STDLIB == set()
