"""Style transfer on the cpu against PyTorch's, in one process: steps a second.

    python benchmarks/style_transfer.py [--size 96] [--steps 20] [--rounds 5] [--json FILE]

Both run the text of ``dovetail/style/losses.py`` and ``transfer.py``, PyTorch with its own import,
on the same pictures and the same drawn weights, on one thread, in turn. A step is one computation
of the losses and their gradient, 20 of which make one step of LBFGS. Medians of processor time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

CHANGES = (
    ("import dovetail as dt", "import torch as dt"),
    ("from dovetail import nn", "from torch import nn"),
    ("from dovetail.style.losses", "from torch_style_losses"),
)
PLANS = {
    "VGG19 up to conv_5": (64, 64, "M", 128, 128, "M", 256),
    "the small network": (16, 16, "M", 32, 32, "M", 64, 64, "M"),
}


def with_torch(name: str) -> ModuleType:
    """A module of ``dovetail.style`` as PyTorch's user would have written it."""
    import dovetail.style

    text = Path(dovetail.style.__file__).with_name(f"{name}.py").read_text()
    for ours, theirs in CHANGES:
        text = text.replace(ours, theirs)
    made = sys.modules[f"torch_style_{name}"] = ModuleType(f"torch_style_{name}")
    exec(compile(text, f"{name}.py with torch", "exec"), made.__dict__)
    return made


def network(lib: Any, plan: tuple[Any, ...], seed: int = 0) -> Any:
    """Convolutions with He's weights."""
    rng = np.random.default_rng(seed)
    layers: list[Any] = []
    channels = 3
    for step in plan:
        if step == "M":
            layers.append(lib.nn.MaxPool2d(2, 2))
            continue
        convolution = lib.nn.Conv2d(channels, step, 3, padding=1)
        scale = (2 / (9 * channels)) ** 0.5
        weight = scale * rng.standard_normal((step, channels, 3, 3)).astype(np.float32)
        with lib.no_grad():
            convolution.weight.copy_(lib.from_numpy(weight))
            convolution.bias.zero_()
        layers += [convolution, lib.nn.ReLU()]
        channels = step
    return lib.nn.Sequential(*layers)


def runner(lib: Any, losses: Any, transfer: Any, plan: Any, size: int, steps: int) -> Any:
    """Gives the losses that one transfer ends with."""
    rng = np.random.default_rng(1)
    content, style = (rng.random((1, 3, size, size), np.float32) for _ in range(2))
    cnn = network(lib, plan)

    def run() -> tuple[float, float]:
        ended: list[tuple[float, float]] = []
        c, s = (lib.from_numpy(a.copy()) for a in (content, style))
        transfer.run_style_transfer(
            cnn, losses.IMAGENET_MEAN, losses.IMAGENET_STD, c, s, c.clone(), steps, 1e3,
            tell=lambda done, a, b, picture: ended.append((a, b)) if done == steps else None,
        )  # fmt: skip
        return ended[0]

    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=96, help="of the square pictures")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()

    import torch

    import dovetail as dt
    from dovetail.style import losses, transfer

    torch.set_num_threads(1)
    dt.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad=True")
    theirs = with_torch("losses"), with_torch("transfer")
    rows = {}
    for name, plan in PLANS.items():
        pair = (
            runner(dt, losses, transfer, plan, options.size, options.steps),
            runner(torch, *theirs, plan, options.size, options.steps),
        )
        print(f"{name}: losses at the end {[tuple(f'{x:.6g}' for x in run()) for run in pair]}")
        times: tuple[list[float], ...] = ([], [])
        for _ in range(options.rounds):
            for run, kept in zip(pair, times, strict=True):
                begin = time.process_time()
                run()
                kept.append(options.steps / (time.process_time() - begin))
        mine, other = (statistics.median(kept) for kept in times)
        rows[name] = {"dovetail": mine, "PyTorch": other}
        size = f"{options.size} x {options.size}"
        print(f"{name}, {size}: {mine:.2f} and {other:.2f} steps/s, ratio {mine / other:.2f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
