"""The first training step of a process: with nothing compiled, and of the next process.

    python benchmarks/first_step.py [--device opencl:0] [--models MLP,LeNet]

Each model has caches of its own in a new folder, and two processes that take one step each. Seconds
of the clock, from the import of dovetail to the loss.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from training_models import MODELS

PROGRAM = """
import sys, time
begin = time.perf_counter()
import dovetail as dt
from training_models import MODELS
MODELS[sys.argv[1]](dt, sys.argv[2])().item()
print(time.perf_counter() - begin)
"""

CACHES = ("POCL_CACHE_DIR", "CUDA_CACHE_PATH", "XDG_CACHE_HOME")
"""Variables that say where drivers, and dovetail, keep what is compiled."""


def _first(model: str, device: str, caches: Path) -> float:
    here = Path(__file__).parent
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, model, device],
        env={**os.environ, **{name: str(caches / name) for name in CACHES}},
        cwd=here, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return float(ended.stdout)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--device", default="opencl:0")
    chosen = parser.parse_args()
    print(f"{'model':12}{'nothing compiled, s':>21}{'next process, s':>17}")
    for model in chosen.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            cold, warm = (_first(model, chosen.device, Path(folder)) for _ in range(2))
        print(f"{model:12}{cold:21.2f}{warm:17.2f}", flush=True)


if __name__ == "__main__":
    main()
