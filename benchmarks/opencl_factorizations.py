"""Factorizations and systems of matrices on an OpenCL device, beside PyTorch with two threads.

    python benchmarks/opencl_factorizations.py [--dtype float32] [--shapes 10000x4x4,64x64x64]

A row for each operator and shape: microseconds by the clock of a call among several in a row, the
median of 5 rounds of one library and then of the other's, the smaller of two such; and the ratio,
below 1 where dovetail is ahead. (Threads of PyTorch's that spin after their work take a core.)
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import dovetail as dt
from dovetail_opencl.runtime import device_of

ROUNDS = 5
SHAPES = "10000x4x4,1000x16x16,64x64x64,128x128,512x512"
SECONDS = 0.02
"""How long a round takes at least, in calls of up to 50."""


def cases(linalg: Any, a: Any, positive: Any, symmetric: Any, b: Any) -> dict[str, Any]:
    """Calls by name, of matrices (*, N, N) and one column b."""
    return {
        "lu_factor_ex": lambda: linalg.lu_factor_ex(a),
        "cholesky_ex": lambda: linalg.cholesky_ex(positive),
        "ldl_factor_ex": lambda: linalg.ldl_factor_ex(symmetric),
        "solve_triangular, one column": lambda: linalg.solve_triangular(a, b, upper=True),
        "solve_triangular, N columns": lambda: linalg.solve_triangular(a, positive, upper=True),
        "solve_ex, one column": lambda: linalg.solve_ex(a, b),
        "solve_ex, N columns": lambda: linalg.solve_ex(a, positive),
        "inv_ex": lambda: linalg.inv_ex(a),
        "det": lambda: linalg.det(a),
        "slogdet": lambda: linalg.slogdet(a),
    }


def numbers(shape: tuple[int, ...], dtype: str) -> tuple[np.ndarray, ...]:
    """What :func:`cases` takes, far from singular."""
    random, n = np.random.default_rng(0), shape[-1]
    a = random.standard_normal(shape)
    if "complex" in dtype:
        a = a + 1j * random.standard_normal(shape)
    a = a + 3 * n**0.5 * np.eye(n)
    turned = np.swapaxes(a, -2, -1)
    made = (a, a @ turned.conj(), a + turned, a[..., :1])
    return tuple(np.ascontiguousarray(x.astype(dtype)) for x in made)


def timed(run: Callable[[], Any], wait: Callable[[], Any]) -> float:
    """Microseconds of a call, the median of rounds."""
    seen: list[float] = []
    count = 1
    for _ in range(2 + ROUNDS):
        begin = time.perf_counter()
        for _ in range(count):
            run()
        wait()
        seen.append((time.perf_counter() - begin) / count)
        count = max(1, min(50, int(SECONDS / seen[-1])))
    return statistics.median(seen[2:]) * 1e6


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--shapes", default=SHAPES)
    chosen = parser.parse_args()
    torch.set_num_threads(2)
    wait = device_of(0).synchronize
    for text in chosen.shapes.split(","):
        given = numbers(tuple(map(int, text.split("x"))), chosen.dtype)
        ours = cases(dt.linalg, *(dt.tensor(x, device="opencl:0") for x in given))
        theirs = cases(torch.linalg, *map(torch.tensor, given))
        for name in ours:
            pair = ((ours[name], wait), (theirs[name], lambda: None))
            own, other = map(min, zip(*([timed(*p) for p in pair] for _ in range(2)), strict=True))
            print(f"{text:12} {name:30} {own:9.0f} {other:9.0f} {own / other:7.2f}", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
