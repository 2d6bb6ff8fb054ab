"""The cost of one call: dovetail against PyTorch, in one process, interleaved.

    python benchmarks/call_overhead.py [--json FILE] [--rounds N]

Each row is the median over rounds of (dovetail's time / PyTorch's time), both measured back to back
in every round, so that a slow or busy machine slows both. Lower is better; 1.0 is PyTorch's speed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import timeit
from collections.abc import Callable
from typing import Any

GOALS = {
    "add, 10 floats": 1.0,
    "add, 10 floats, recorded": 1.0,
    "x.sum(), 10 floats": 1.0,
    "x * 2, 10 floats": 1.0,
    "zeros(10)": 1.0,
    "x.view(2, 5)": 1.5,
    "x[0]": 1.5,
    "x.t()": 1.5,
    "200 operators forward and backward": 0.8,
}


def chain(torch: Any, x: Any, w: Any) -> None:
    """200 operators on 10 floats, then backward."""
    y = x
    for _ in range(50):
        y = y * w
        y = y + x
        y = y.tanh()
        y = y - w
    y.sum().backward()
    x.grad = None
    w.grad = None


def cases(torch: Any) -> dict[str, tuple[Callable[[], Any], int]]:
    """Name -> (what to time, how often)."""
    x, y = torch.ones(10), torch.ones(10)
    g = torch.ones(10, requires_grad=True)
    w = torch.ones(10, requires_grad=True)
    m = torch.ones(3, 4)
    return {
        "add, 10 floats": (lambda: x + y, 20000),
        "add, 10 floats, recorded": (lambda: g + y, 20000),
        "x.sum(), 10 floats": (lambda: x.sum(), 20000),
        "x * 2, 10 floats": (lambda: x * 2, 20000),
        "zeros(10)": (lambda: torch.zeros(10), 20000),
        "x.view(2, 5)": (lambda: x.view(2, 5), 20000),
        "x[0]": (lambda: x[0], 20000),
        "x.t()": (lambda: m.t(), 20000),
        "200 operators forward and backward": (lambda: chain(torch, g, w), 20),
    }


def import_seconds(statement: str) -> float:
    """The wall time of an import in a fresh interpreter, less that of an empty one."""
    times = []
    for code in ("pass", statement):
        runs = [
            timeit.timeit(
                lambda code=code: subprocess.run([sys.executable, "-c", code], check=True), number=1
            )
            for _ in range(5)
        ]
        times.append(min(runs))
    return times[1] - times[0]


def main() -> None:
    """Run every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="also write the rows to this file")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    import torch

    import dovetail

    torch.set_num_threads(2)
    ours, theirs = cases(dovetail), cases(torch)
    rows = []
    for name, (run, number) in ours.items():
        other = theirs[name][0]
        run()
        other()
        pairs = [
            (
                timeit.timeit(run, number=number) / number,
                timeit.timeit(other, number=number) / number,
            )
            for _ in range(options.rounds)
        ]
        ratio = statistics.median(a / b for a, b in pairs)
        a, b = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
        rows.append({"case": name, "dovetail_us": a, "torch_us": b, "ratio": ratio})
    print(f"| case | dovetail, us | PyTorch {torch.__version__}, us | ratio | goal |")
    print("|---|---|---|---|---|")
    for row in rows:
        goal = GOALS[row["case"]]
        print(
            f"| {row['case']} | {row['dovetail_us']:.2f} | {row['torch_us']:.2f} "
            f"| {row['ratio']:.2f} | {goal} |"
        )
    imports = {m: import_seconds(f"import {m}") for m in ("dovetail", "torch", "numpy")}
    print(", ".join(f"import {m}: {s:.2f} s" for m, s in imports.items()))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"rows": rows, "imports": imports}, file, indent=1)


if __name__ == "__main__":
    main()
