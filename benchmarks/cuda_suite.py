"""The conformance suite and NVIDIA's sanitizer around it, in groups that fit into a call each."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

__all__ = ["CONFORMANCE", "NOT_DONE", "conformance", "plan", "sanitizer", "share"]

NOT_DONE = "NOT DONE"
"""What a figure begins with that there is not."""

REST = "settled,claims,memory,views,copies,errors,runtime,graph,training,stress"

CONFORMANCE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("training, stress, memory, the runtime, claims", ("--check", REST)),
    ("values of a to d", ("--check", "values", "--op", "[a-d]*")),
    ("values of e to m", ("--check", "values", "--op", "[e-m]*")),
    ("values of n to z", ("--check", "values", "--op", "[!a-m]*")),
    ("gradients", ("--check", "gradient,kinks,double,derived")),
    ("all else", ("--check", "out,repeat,fused,in-place,sizes,special,aliasing,number,random,"
                  "optional,rounding-mode,promotion")),
)  # fmt: skip
"""The whole suite, by what is asked of it."""

ATTENTION = "scaled_dot_product_attention*"
ROWS = "softmax*,log_softmax*,layer_norm*,rms_norm*,batch_norm*,cross_entropy*,nll_loss*"

LEVEL_1: tuple[str, ...] = (
    "matmul", "scatter_add", "nonzero", "fill,copy,arange,random_bits", "sort", "scatter", "gather",
    "prod", "sum", "argmax,argmin", "amax,amin", "cumprod", "cumsum",
    "neg,abs,floor,round,exp,expm1,log,log1p,sqrt,sin,cos,tanh,erf,bitwise_*,shift_*",
    "add,sub,mul,div,floor_divide,remainder,pow,maximum,minimum,atan2", "eq,lt,le,where",
)  # fmt: skip
"""Level 1 in pieces, those first that take longest."""

SHARING = {"matmul", "scatter_add", "nonzero", "sort", "prod", "sum", "argmax,argmin", "amax,amin",
           "cumprod", "cumsum"}  # fmt: skip
"""Those whose kernels share memory, which racecheck watches."""


def plan() -> list[tuple[str, str, str]]:
    """(tool, level, operators) of all runs of the sanitizer: level 1 by what takes longest, and
    then the kernels of fused composites that share memory."""
    made = [("memcheck", "1", ops) for ops in LEVEL_1]
    made += [("racecheck", "1", ops) for ops in LEVEL_1 if ops in SHARING]
    made.sort(key=lambda item: LEVEL_1.index(item[2]))
    return [*made, *((tool, "2", ops) for ops in (ATTENTION, ROWS)
                     for tool in ("racecheck", "memcheck"))]  # fmt: skip


def share(work: list[Any], group: str) -> list[Any]:
    """Part K of N of a list that begins with what takes longest, by ``K/N``; empty: all of it."""
    if not group:
        return work
    number, count = map(int, group.split("/"))
    if not 1 <= number <= count:
        raise SystemExit(f"--group {group}: it must be K/N with K from 1 to N")
    return work[number - 1 :: count]


def conformance(table: Any, options: argparse.Namespace) -> None:
    """The grade, or a group of what it is made of."""
    table.begin("conformance")
    whole = [("all", ())]
    end = time.monotonic() + 60 * options.minutes
    for name, asked in share(list(CONFORMANCE), options.group) if options.group else whole:
        title, left = f"conformance: {name}", end - time.monotonic()
        if left < 20:
            table.fact(title, f"{NOT_DONE}: no time left")
            continue
        stem = "".join(c if c.isalnum() else "-" for c in name)
        out = Path(options.out).with_suffix(f".{stem}.json")
        command = [
            sys.executable, "-m", "dovetail_conformance", "--device", options.device, "--level",
            str(options.level), "--jobs", str(options.jobs), "--json", str(out), *asked,
            *options.suite.split(),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, timeout=left, text=True, stdout=subprocess.PIPE)
        except subprocess.TimeoutExpired as late:
            text = late.stdout or b""
            print(text.decode() if isinstance(text, bytes) else text)
            table.fact(title, f"{NOT_DONE} after {left:.0f} s")
            continue
        print(done.stdout[-20000:], flush=True)
        table.fact(title, f"exit code {done.returncode}; {_counts(out)}")


def _counts(path: Path) -> str:
    if not path.exists():
        return "there is no report"
    report = json.loads(path.read_text())
    names = ("executed", "passed", "expected_failures", "failed")
    counts = ", ".join(f"{report[name]} {name.replace('_', ' ')}" for name in names)
    return f"{counts}, {report['seconds']:.0f} s, report in {path}"


def _tool(given: str) -> str:
    """Where compute-sanitizer is: as it was given, of the toolkit, or of its package for pip."""
    from importlib import metadata

    places = [
        given,
        shutil.which("compute-sanitizer") or "",
        "/usr/local/cuda/bin/compute-sanitizer",
    ]
    with contextlib.suppress(metadata.PackageNotFoundError):
        files = metadata.files("nvidia-cuda-sanitizer-api") or ()
        places += [
            str(f.locate()) for f in files if f.match("*/compute-sanitizer/compute-sanitizer")
        ]
    return next((place for place in places if place and Path(place).is_file()), "")


def sanitizer(table: Any, options: argparse.Namespace) -> None:
    """Memcheck around level 1 in float32, racecheck around what shares memory."""
    table.begin("sanitizer")
    tool = _tool(options.sanitizer)
    end = time.monotonic() + 60 * options.minutes
    kinds = options.tools.split(",")
    work = [item for item in share(plan(), options.group) if item[0] in kinds]

    def run(item: tuple[str, str, str]) -> str:
        kind, level, operators = item
        left = end - time.monotonic()
        if not tool:
            return f"{NOT_DONE}: compute-sanitizer is not on this machine"
        if left < 20:
            return f"{NOT_DONE}: no time left"
        command = [
            tool, "--tool", kind, "--error-exitcode", "9", "--target-processes", "all",
            sys.executable, "-m", "dovetail_conformance", "--device", options.device, "--level",
            level, "--dtype", "float32", "--jobs", "0", "--op", operators,
        ]  # fmt: skip
        begin = time.monotonic()
        try:
            done = subprocess.run(command, timeout=left, text=True, capture_output=True)
        except subprocess.TimeoutExpired:
            return f"{NOT_DONE} after {left:.0f} s"
        lines = done.stdout.strip().splitlines()
        told = [line for line in lines if line.startswith("=========")]
        cases = next((line for line in reversed(lines) if "executed" in line), "?").strip()
        text = f"exit code {done.returncode}, {time.monotonic() - begin:.0f} s, {cases}; "
        text += told[-1].strip("= ") if told else "the sanitizer said nothing"
        if done.returncode:
            print("\n".join((told or lines)[:60]), done.stderr[-2000:], flush=True)
        return text

    with ThreadPoolExecutor(max(1, min(options.jobs, 12))) as pool:
        for item, text in zip(work, pool.map(run, work), strict=True):
            table.fact(" ".join(item), text)
