"""Recurrent layers on the cpu against PyTorch's, in one process: training step and inference.

    python benchmarks/recurrent.py [--rounds N] [--json FILE]

Both libraries on one thread, with the same weights, in turn; medians of processor time. A training
step is zero_grad, forward, the sum of the outputs and backward.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIZES = ((16, 8, 16, 16, 1), (32, 16, 64, 64, 1), (35, 20, 200, 200, 2))
"""Steps, sequences, inputs, states, layers; the last is a word language model's."""

Call = Callable[[], Any]


def layer(lib: Any, kind: str, state: Any, *sizes: Any, **options: Any) -> Any:
    made = getattr(lib.nn, kind)(*sizes, **options)
    if state is not None:
        made.load_state_dict({key: lib.from_numpy(a.copy()) for key, a in state.items()})
    return made


def calls(lib: Any, made: Any, x: Any) -> tuple[Call, Call]:
    """(training step, inference)."""

    def train() -> None:
        made.zero_grad()
        output = made(x)[0]
        output = output[0] if isinstance(output, tuple) else output  # of packed sequences
        output.sum().backward()

    def infer() -> None:
        with lib.no_grad():
            made(x)

    return train, infer


def cases() -> dict[str, tuple[Call, Call]]:
    """Name -> (dovetail's call, PyTorch's)."""
    import torch

    import dovetail as dt

    torch.set_num_threads(1)
    dt.set_num_threads(1)
    rng = np.random.default_rng(0)
    found: dict[str, tuple[Call, Call]] = {}

    def compare(name: str, kind: str, sizes: tuple[int, ...], lengths: Any, **options: Any) -> None:
        inputs, states, layers = sizes[2:]
        theirs = layer(torch, kind, None, inputs, states, layers, **options)
        weights = {key: value.numpy() for key, value in theirs.state_dict().items()}
        mine = layer(dt, kind, weights, inputs, states, layers, **options)
        x = rng.standard_normal((sizes[0], sizes[1], inputs)).astype(np.float32)
        pairs = []
        for lib, made in ((dt, mine), (torch, theirs)):
            given = lib.from_numpy(x)
            if lengths is not None:
                given = lib.nn.utils.rnn.pack_padded_sequence(given, lengths)
            pairs.append(calls(lib, made, given))
        (train, infer), (their_train, their_infer) = pairs
        found[f"{name}, training step"] = train, their_train
        found[f"{name}, inference"] = infer, their_infer

    for kind in ("LSTM", "GRU", "RNN"):
        for sizes in SIZES:
            steps, batch, _, states, layers = sizes
            name = f"{kind}, {steps} steps of {batch}, {layers} x {states}"
            compare(name, kind, sizes, None)
        lengths = sorted(rng.integers(5, 41, 16).tolist(), reverse=True)
        lengths[0] = 40
        name = f"{kind}, packed, 5 to 40 steps of 16, both ways, 64"
        compare(name, kind, (40, 16, 64, 64, 1), lengths, bidirectional=True)
    return found


def timed(call: Call) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    rows = {}
    for name, (ours, theirs) in cases().items():
        timed(ours)
        timed(theirs)
        rounds = [(timed(ours), timed(theirs)) for _ in range(options.rounds)]
        mine, other = (statistics.median(column) for column in zip(*rounds, strict=True))
        rows[name] = {"dovetail": mine, "PyTorch": other}
        print(f"{name:<66} {1000 * mine:8.2f} ms {1000 * other:8.2f} ms {mine / other:6.2f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
