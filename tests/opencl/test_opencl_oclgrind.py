"""Kernels in Oclgrind: no two work items race, and none reads or writes outside of a buffer."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

_PATH = Path(__file__).parents[2] / "tools" / "oclgrind.py"
_spec = importlib.util.spec_from_file_location("oclgrind_tool", _PATH)
assert _spec is not None
assert _spec.loader is not None
oclgrind = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(oclgrind)

LOG = """
Write-write data race at global memory address 0x100000000000c
\tKernel: scatter

\tFirst entity:  Global(2,0,0) Local(2,0,0) Group(0,0,0)
\t  store float %7, float addrspace(1)* %9

Invalid read of size 4 at global memory address 0x2000000000400
\tKernel: rows
\tEntity: Global(7,0,0) Local(7,0,0) Group(0,0,0)

Invalid read of size 4 at global memory address 0x2000000000404
\tKernel: rows
"""


def test_a_log_is_read_by_kind_and_kernel() -> None:
    assert oclgrind.findings(LOG) == {
        ("Write-write data race", "scatter"): 1,
        ("Invalid read of size 4", "rows"): 2,
    }


@pytest.mark.skipif(shutil.which("oclgrind") is None, reason="Oclgrind is not installed")
@pytest.mark.parametrize(
    ("kind", "operators", "level"),
    [("gpu", "scatter_add,softmax,layer_norm", "2"), ("cpu", "copy", "1")],
    ids=["local memory and atomics do not race", "halves are read as the simulator can"],
)
def test_kernels_in_the_simulator(
    opencl: Any, capfd: pytest.CaptureFixture[str], kind: str, operators: str, level: str
) -> None:
    arguments = ["--device-class", kind, "--op", operators, "--check", "values", "--level", level]
    assert oclgrind.main(arguments) == 0, capfd.readouterr().out
    said = capfd.readouterr().out
    assert "executed" in said
    assert "0 unexplained" in said
