"""Run a part of the conformance suite in Oclgrind, which sees races and accesses out of bounds.

``python tools/oclgrind.py --device-class gpu --op 'scatter*' --check values`` simulates the opencl
backend's kernels, work item by work item, and prints what Oclgrind has against each. Exit code 0:
nothing, or what :data:`EXPLAINED` explains; 1: more than that, or a case failed; 2: no Oclgrind.

Needs the command ``oclgrind`` (Debian's package of that name; https://github.com/jrprice/Oclgrind).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

__all__ = ["EXPLAINED", "findings", "main"]

EXPLAINED: dict[tuple[str, str], str] = {}
"""By what was found and the kernel: why it is right all the same."""

SUITE = """
import sys
from dovetail_conformance.command import main
from dovetail_opencl import transfers
transfers.WRITING = transfers.PIECE  # the simulator makes a record of every byte that there is
sys.exit(main())
"""
"""``python -m dovetail_conformance`` with less memory for copies."""

_FINDING = re.compile(r"^(\S[^\n]*?)(?: at \w+ memory address [^\n]*)?\n\tKernel: (\w+)", re.M)


def findings(log: str) -> Counter[tuple[str, str]]:
    """How often what was found in which kernel, from Oclgrind's log."""
    return Counter((what.strip(), kernel) for what, kernel in _FINDING.findall(log))


def main(arguments: list[str] | None = None) -> int:
    """Run it, print what was found, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device-class", choices=("cpu", "gpu"), default="gpu")
    parser.add_argument("--level", default="1")
    parser.add_argument("--op", default="*")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--check", default="values,special,out,in-place,aliasing,number,repeat")
    options = parser.parse_args(arguments)
    if shutil.which("oclgrind") is None:
        print("oclgrind is not installed: apt-get install oclgrind", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [
            *("oclgrind", "--data-races", "--max-errors", "100000", "--log", str(log)),
            *(sys.executable, "-c", SUITE, "--device", "opencl:0", "--jobs", "0"),
            *("--level", options.level, "--op", options.op),
            *("--dtype", options.dtype, "--check", options.check),
        ]
        environment = {
            **os.environ,
            "DOVETAIL_OPENCL": "oclgrind",
            "DOVETAIL_OPENCL_CLASS": options.device_class,
            "DOVETAIL_OPENCL_CACHE": "0",
        }
        code = subprocess.run(command, env=environment, check=False).returncode
        found = findings(log.read_text(encoding="utf-8", errors="replace"))
    wrong = 0
    for (what, kernel), count in sorted(found.items()):
        reason = EXPLAINED.get((what, kernel), "")
        wrong += not reason
        print(f"{kernel}: {what}, {count} times: {reason or 'NOT EXPLAINED'}")
    print(f"{sum(found.values())} findings in {options.device_class} kernels, {wrong} unexplained")
    return 1 if wrong or code else 0


if __name__ == "__main__":
    sys.exit(main())
