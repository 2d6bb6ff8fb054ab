"""A checkpoint of 100 MB to disk and back: dovetail, PyTorch and a plain file, in one process.

    python benchmarks/checkpoint.py [--folder DIR] [--megabytes N] [--rounds N] [--json FILE]

Each row is the median over rounds, in which everything is timed in turn. A save counts until the
bytes are on the disk: dovetail's does that by itself, PyTorch's is followed by ``fsync``, and the
plain file is written as dovetail's is: beside the old one, flushed, and put in its place. A load
counts until every byte was added up once; the file is in the system's cache, so that it measures
the library and not the disk. The plain one too gives each tensor memory of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TENSORS = 50


def timed(action: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def cases(folder: Path, megabytes: int) -> dict[str, Callable[[], Any]]:
    """Name -> what to time."""
    import torch

    import dovetail as dt
    from dovetail.serialization import safetensors
    from dovetail.serialization.atomic import replacing

    n = megabytes * 250_000 // TENSORS
    arrays = {
        f"layer.{i}.weight": np.random.default_rng(i).random(n, np.float32) for i in range(TENSORS)
    }
    whole = b"".join(a.tobytes() for a in arrays.values())
    ours = {name: dt.from_numpy(a) for name, a in arrays.items()}
    theirs = {name: torch.from_numpy(a) for name, a in arrays.items()}
    plain, a, b, c = (folder / name for name in ("plain", "a.pth", "b.pth", "c.safetensors"))

    def save_torch() -> None:
        torch.save(theirs, b)
        flush(b)

    def save_plain() -> None:
        with replacing(plain) as partial, open(partial, "xb") as file:
            file.write(whole)

    def sums(state: dict[str, Any]) -> float:
        return sum(float(x.sum()) for x in state.values())

    def load_plain() -> None:
        read = [np.empty(n, np.float32) for _ in arrays]
        with open(plain, "rb", buffering=0) as file:
            for array in read:
                file.readinto(array.data)
        sum(float(array.sum()) for array in read)

    return {
        "save: a plain file": save_plain,
        "save: dovetail": lambda: dt.save(ours, a),
        "save: dovetail, safetensors": lambda: safetensors.save_file(ours, c),
        "save: PyTorch": save_torch,
        "load: a plain file": load_plain,
        "load: dovetail": lambda: sums(dt.load(a)),
        "load: dovetail, mmap": lambda: sums(dt.load(a, mmap=True)),
        "load: dovetail, safetensors": lambda: sums(safetensors.load_file(c)),
        "load: PyTorch": lambda: sums(torch.load(b)),
        "load: PyTorch, mmap": lambda: sums(torch.load(b, mmap=True)),
        "mmap, not touched: dovetail": lambda: dt.load(a, mmap=True),
        "mmap, not touched: PyTorch": lambda: torch.load(b, mmap=True),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        todo = cases(Path(folder), options.megabytes)
        times: dict[str, list[float]] = {name: [] for name in todo}
        for action in todo.values():
            action()
        for _ in range(options.rounds):
            for name, action in todo.items():
                times[name].append(timed(action))
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{options.megabytes} MB in {TENSORS} tensors, median of {options.rounds} rounds")
    for name, seconds in medians.items():
        rate = options.megabytes / seconds
        speed = "" if name.startswith("mmap") else f"{rate:8.0f} MB/s"
        print(f"{name:<32} {1000 * seconds:9.1f} ms {speed}")
    if options.json:
        options.json.write_text(json.dumps(medians, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
