"""Functions of a million elements on the cpu, beside PyTorch with as many threads as it takes.

    python benchmarks/cpu_elementwise.py [--dtype float16] [--op 'add,grad *'] [--rounds 15]

Forward without gradients; ``grad NAME`` is the backward pass alone. By the clock, in turn, in ms;
the lower fifth of the rounds, as PyTorch's calls of 0.05 ms take 8 where another process has one of
the cores. The geometric mean of the ratios at the end.
"""

from __future__ import annotations

import argparse
import fnmatch
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import dovetail as dt

COUNT = 1 << 20
ROWS = (4096, 256)

POSITIVE = ("sqrt", "rsqrt", "log", "log1p", "log2", "pow")
ONE = (
    *POSITIVE[:5], "abs", "neg", "exp", "expm1", "exp2", "sin", "cos", "tan", "tanh", "sigmoid",
    "sinh", "cosh", "atan", "asinh", "floor", "ceil", "round", "trunc", "sign", "reciprocal",
    "square", "erf", "erfc", "frac", "isnan", "lgamma", "i0",
)  # fmt: skip
TWO = (
    "add", "sub", "mul", "div", "maximum", "minimum", "pow", "atan2", "eq", "lt", "fmod",
    "remainder", "hypot", "logaddexp", "copysign",
)  # fmt: skip
ACTIVATIONS: dict[str, dict[str, Any]] = {
    "relu": {}, "relu6": {}, "leaky_relu": {}, "elu": {}, "selu": {}, "celu": {"alpha": 1.3},
    "gelu": {}, "silu": {}, "mish": {}, "softplus": {}, "hardsigmoid": {}, "hardswish": {},
    "hardtanh": {}, "threshold": {"threshold": 0.1, "value": 2.0}, "logsigmoid": {}, "softsign": {},
    "tanhshrink": {}, "hardshrink": {}, "softshrink": {},
}  # fmt: skip
OF_ROWS: dict[str, Callable[[Any, Any], Any]] = {
    "softmax": lambda m, x: m.nn.functional.softmax(x, -1),
    "log_softmax": lambda m, x: m.nn.functional.log_softmax(x, -1),
    "layer_norm": lambda m, x: m.nn.functional.layer_norm(x, ROWS[1:]),
    "batch_norm": lambda m, x: m.nn.functional.batch_norm(
        x.reshape(32, 32, 32, 32), None, None, training=True
    ),
    "mse_loss": lambda m, x: m.nn.functional.mse_loss(x, x.detach() * 0.5),
    "huber_loss": lambda m, x: m.nn.functional.huber_loss(x, x.detach() * 0.5),
}
REDUCTIONS = ("sum", "mean", "amax", "argmax", "var", "prod", "cumsum")

Case = tuple[Callable[..., Any], int]
"""``f(module, *tensors)`` and of how many; 0: the backward pass of one."""


def _cases() -> dict[str, Case]:
    made: dict[str, Case] = {}
    for name in ONE:
        made[name] = (lambda m, x, name=name: getattr(m, name)(x), 1)
    for name in TWO:
        made[name] = (lambda m, x, y, name=name: getattr(m, name)(x, y), 2)
    made["x + 1.5"] = (lambda m, x: x + 1.5, 1)
    made["clamp"] = (lambda m, x: m.clamp(x, -0.5, 0.5), 1)
    made["where"] = (lambda m, x, y: m.where(x > 0, x, y), 2)
    made["to float32"] = (lambda m, x: x.to(m.float32), 1)
    made["to float16"] = (lambda m, x: x.to(m.float16), 1)
    for name, numbers in ACTIVATIONS.items():
        call = lambda m, x, n=name, k=numbers: getattr(m.nn.functional, n)(x, **k)
        made[name], made[f"grad {name}"] = (call, 1), (call, 0)
    for name, function in OF_ROWS.items():
        whole = lambda m, x, f=function: f(m, x.reshape(ROWS))
        made[name], made[f"grad {name}"] = (whole, 1), (whole, 0)
    for name in REDUCTIONS:
        made[name] = (lambda m, x, name=name: getattr(m, name)(x.reshape(ROWS), -1), 1)
    return made


def _prepared(module: Any, name: str, case: Case, kind: str) -> Callable[[], Any]:
    """The call on new tensors."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(COUNT).astype(np.float32) for _ in range(2)]
    if name in POSITIVE:
        arrays[0] = np.abs(arrays[0]) + np.float32(0.01)
    x, y = (module.tensor(a).to(getattr(module, kind)) for a in arrays)
    function, count = case
    if count:
        given = (x, y)[:count]
        return lambda: function(module, *given)
    x.requires_grad_()
    out = function(module, x)
    grad = module.full_like(out, 0.5)
    return lambda: module.autograd.grad(out, x, grad, retain_graph=True)


def _measured(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Milliseconds of a call, that a fifth of the rounds did not take."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(-2, rounds):  # the first two are not counted
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            if turn >= 0:
                found[name].append((time.perf_counter() - begun) * 1e3)
    return {name: statistics.quantiles(times, n=5)[0] for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--op", default="*", help="names with wildcards, between commas")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    ratios = []
    print("| function | dovetail, ms | PyTorch, ms | ratio |\n|---|---|---|---|")
    for name, case in _cases().items():
        if not any(fnmatch.fnmatch(name, pattern) for pattern in options.op.split(",")):
            continue
        runs = {
            key: _prepared(module, name, case, options.dtype)
            for key, module in (("dovetail", dt), ("torch", torch))
        }
        ms = _measured(runs, options.rounds)
        ratios.append(ms["dovetail"] / ms["torch"])
        print(f"| {name} | {ms['dovetail']:.3f} | {ms['torch']:.3f} | {ratios[-1]:.2f} |")
    print(f"\ngeometric mean of {len(ratios)}: {math.prod(ratios) ** (1 / len(ratios)):.2f}")


if __name__ == "__main__":
    main()
