"""Recurrent layers against PyTorch's on the cpu, in one process: training step and inference.

    python benchmarks/recurrent.py [--device opencl:0] [--rounds N] [--json FILE]

With the same weights, in turn, medians. On the cpu both libraries have one thread, and processor
time counts. On another device the clock counts, and PyTorch has its own number of threads; several
calls are timed in a row, after a rest in which the other library's threads stop spinning. A
training step is zero_grad, forward, the sum of the outputs and backward.
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

REST = 0.03
"""Seconds until the other library's threads sleep."""

IN_A_ROW = 7
"""Calls that are timed together on a device."""

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


def cases(device: str) -> dict[str, tuple[Call, Call]]:
    """Name -> (dovetail's call, PyTorch's)."""
    import torch

    import dovetail as dt

    if device == "cpu":
        torch.set_num_threads(1)
        dt.set_num_threads(1)
    rng = np.random.default_rng(0)
    found: dict[str, tuple[Call, Call]] = {}

    def compare(name: str, kind: str, sizes: tuple[int, ...], lengths: Any, **options: Any) -> None:
        inputs, states, layers = sizes[2:]
        theirs = layer(torch, kind, None, inputs, states, layers, **options)
        weights = {key: value.numpy() for key, value in theirs.state_dict().items()}
        mine = layer(dt, kind, weights, inputs, states, layers, **options).to(device)
        x = rng.standard_normal((sizes[0], sizes[1], inputs)).astype(np.float32)
        pairs = []
        for lib, made in ((dt, mine), (torch, theirs)):
            given = lib.from_numpy(x).to(device if lib is dt else "cpu")
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


def timed_on(device: str) -> Callable[[Call], float]:
    """How calls are timed there."""
    if device == "cpu":
        return timed
    import dovetail as dt

    def by_the_clock(call: Call) -> float:
        time.sleep(REST)
        call()
        dt.accelerator.synchronize(device)
        begin = time.perf_counter()
        for _ in range(IN_A_ROW):
            call()
            dt.accelerator.synchronize(device)
        return (time.perf_counter() - begin) / IN_A_ROW

    return by_the_clock


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    rows = {}
    time_of = timed_on(options.device)
    for name, (ours, theirs) in cases(options.device).items():
        time_of(ours)
        time_of(theirs)
        rounds = [(time_of(ours), time_of(theirs)) for _ in range(options.rounds)]
        mine, other = (statistics.median(column) for column in zip(*rounds, strict=True))
        rows[name] = {"dovetail": mine, "PyTorch": other}
        print(f"{name:<66} {1000 * mine:8.2f} ms {1000 * other:8.2f} ms {mine / other:6.2f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
