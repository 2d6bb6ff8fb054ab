"""Elementwise operators, reductions and scans on an OpenCL device, beside a copy of as many bytes.

    python benchmarks/opencl_memory.py [--elements N] [--rounds N] [--only sum,amax] [--device 0]

A ratio is the time of the operator over that of ``clone`` of a dense float32 tensor that reads and
writes as many bytes in all, five calls of each in turn, the median over rounds: by the clock with
all threads, and by the processors' time of the whole process. A driver such as PoCL copies on one
thread, which gets from memory what two get, and computes on all of them: the processors' time
compares the work if both have one thread (``POCL_MAX_PTHREAD_COUNT=1``).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import dovetail as dt
from dovetail import ops
from dovetail.nn import functional as F

Case = tuple[str, Callable[[], Any], int]
"""A name, what is called, and the bytes that it reads and writes."""

UNARY = (
    "relu", "abs", "neg", "sqrt", "rsqrt", "square", "reciprocal", "floor", "round",
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "tanh", "sinh",
    "cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh", "erf", "erfc", "sigmoid",
)  # fmt: skip
ACTIVATIONS = ("silu", "gelu", "softplus", "mish", "elu", "leaky_relu", "logsigmoid", "hardswish")
POSITIVE = ("sqrt", "rsqrt", "log", "log2", "log10", "log1p", "acosh")
IN_A_ROW = 5
"""Calls that are timed together: a core that slept takes its time to wake."""

WITHIN_ONE = ("asin", "acos", "atanh")
FOLDS = (
    "sum", "mean", "prod", "amax", "amin", "argmax", "argmin", "var", "std", "norm", "logsumexp",
)  # fmt: skip


def elementwise(x: Any, y: Any, flat: Any) -> Iterator[Case]:
    """One element for each of the operands'."""
    n = x.numel()
    row = dt.randn(flat.shape[1], device=x.device)
    column = dt.randn(flat.shape[0], 1, device=x.device)
    positive = x.abs() + 1.0
    small = x.clamp(-0.99, 0.99)
    mask = x > 0
    whole = dt.randint(0, 100, (n,), device=x.device, dtype=dt.int32)
    half, brain = x.half(), x.bfloat16()
    yield "a + b", lambda: x + y, 12 * n
    yield "a * 2.5", lambda: x * 2.5, 8 * n
    yield "a / b", lambda: x / positive, 12 * n
    yield "a + row", lambda: flat + row, 8 * n
    yield "a + column", lambda: flat + column, 8 * n
    yield "add_", lambda: y.add_(x, alpha=0.0), 12 * n
    for name in UNARY:
        operand = positive if name in POSITIVE else small if name in WITHIN_ONE else x
        yield name, getattr(operand, name), 8 * n
    for name in ACTIVATIONS:
        yield name, lambda name=name: getattr(F, name)(x), 8 * n
    yield "a ** 2", lambda: x**2, 8 * n
    yield "a ** 3", lambda: x**3, 8 * n
    yield "a ** 0.5", lambda: positive**0.5, 8 * n
    yield "a ** 1.7", lambda: positive**1.7, 8 * n
    yield "a ** b", lambda: positive**y, 12 * n
    yield "atan2", lambda: dt.atan2(x, y), 12 * n
    yield "hypot", lambda: dt.hypot(x, y), 12 * n
    yield "fmod", lambda: dt.fmod(x, positive), 12 * n
    yield "remainder", lambda: dt.remainder(x, positive), 12 * n
    yield "maximum", lambda: dt.maximum(x, y), 12 * n
    yield "clamp", lambda: x.clamp(-1.0, 1.0), 8 * n
    yield "addcmul", lambda: dt.addcmul(x, y, positive), 16 * n
    yield "addcdiv", lambda: dt.addcdiv(x, y, positive), 16 * n
    yield "lerp", lambda: dt.lerp(x, y, 0.3), 12 * n
    yield "where", lambda: dt.where(mask, x, y), 13 * n
    yield "masked_fill", lambda: x.masked_fill(mask, 0.0), 9 * n
    yield "a > b", lambda: x > y, 9 * n
    yield "a > 0", lambda: x > 0, 5 * n
    yield "isnan", lambda: dt.isnan(x), 5 * n
    yield "~mask", lambda: ~mask, 2 * n
    yield "to bfloat16", x.bfloat16, 6 * n
    yield "to float16", x.half, 6 * n
    yield "to int32", x.int, 8 * n
    yield "to int64", x.long, 12 * n
    yield "bool to float", mask.float, 5 * n
    yield "int + int", lambda: whole + whole, 12 * n
    yield "int * 3", lambda: whole * 3, 8 * n
    yield "float16 exp", half.exp, 4 * n
    yield "float16 a + b", lambda: half + half, 6 * n
    yield "bfloat16 exp", brain.exp, 4 * n
    yield "bfloat16 a + b", lambda: brain + brain, 6 * n
    yield "clone", x.clone, 8 * n
    yield "transposed clone", flat.t().contiguous, 8 * n
    yield "a + b.T", lambda: x.view(flat.shape[1], flat.shape[0]) + flat.t(), 12 * n


def folds(x: Any, flat: Any) -> Iterator[Case]:
    """Reductions to one element, and over either dim of two; scans."""
    n = x.numel()
    mask = x > -10
    for name in FOLDS:
        whole = (0,) if name == "logsumexp" else ()
        yield name, lambda name=name, whole=whole: getattr(x, name)(*whole), 4 * n
        for dim in (0, 1):
            call = lambda name=name, dim=dim: getattr(flat, name)(dim=dim)
            yield f"{name} dim {dim}", call, 4 * n
    for name in ("any", "all"):
        yield name, getattr(mask, name), n
        for dim in (0, 1):
            call = lambda name=name, dim=dim: getattr(mask.view(flat.shape), name)(dim)
            yield f"{name} dim {dim}", call, n
    for dtype in (dt.int32, dt.int64):
        whole = (flat * 100).to(dtype)
        kind = str(dtype).rpartition(".")[2]
        moved = whole.element_size() * n
        yield f"{kind} sum", whole.sum, moved
        for name in ("amax", "argmax"):
            yield f"{kind} {name}", getattr(whole, name), moved
            for dim in (0, 1):
                call = lambda name=name, dim=dim, whole=whole: getattr(whole, name)(dim=dim)
                yield f"{kind} {name} dim {dim}", call, moved
    yield "bool sum", mask.sum, n
    half = flat.half()
    yield "float16 sum", half.sum, 2 * n
    yield "float16 sum dim 0", lambda: half.sum(0), 2 * n
    yield "float16 sum dim 1", lambda: half.sum(1), 2 * n
    yield "cumsum", lambda: x.cumsum(0), 8 * n
    for dim in (0, 1):
        yield f"cumsum dim {dim}", lambda dim=dim: flat.cumsum(dim), 8 * n
    for name in ("softmax", "log_softmax"):
        for dim in (0, 1):
            call = lambda name=name, dim=dim: getattr(flat, name)(dim)
            yield f"{name} dim {dim}", call, 8 * n
            call = lambda name=name, dim=dim: getattr(ops, f"{name}_backward")(flat, flat, dim=dim)
            yield f"{name}_backward dim {dim}", call, 8 * n


def cases(n: int, device: str) -> Iterator[Case]:
    """All of them."""
    rows, columns = 2500, n // 2500
    x = dt.randn(rows * columns, device=device)
    y, flat = dt.randn(rows * columns, device=device), x.view(rows, columns)
    yield from elementwise(x, y, flat)
    yield from folds(x, flat)


def main() -> None:
    """Run it."""
    from dovetail_opencl.runtime import device_of

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--elements", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="how names begin, with commas between them")
    parser.add_argument(
        "--above", type=float, default=0, help="show ratios by the clock above this"
    )
    parser.add_argument("--device", type=int, default=0)
    chosen = parser.parse_args()
    device = device_of(chosen.device)

    def timed(call: Callable[[], Any]) -> tuple[float, float]:
        device.synchronize()
        begin = time.perf_counter(), time.process_time()
        for _ in range(IN_A_ROW):
            call()
        device.synchronize()
        ends = time.perf_counter(), time.process_time()
        return (ends[0] - begin[0]) / IN_A_ROW, (ends[1] - begin[1]) / IN_A_ROW

    print(f"{device.handle.name.strip()}, {chosen.elements} elements of float32")
    print(f"{'':28}{'the clock':>18}{'processors':>18}")
    print(f"{'operator':28}{'ms':>8}{'of a copy':>10}{'ms':>8}{'of a copy':>10}")
    name_of = f"opencl:{chosen.device}"
    copied = dt.randn(3 * chosen.elements, device=name_of)
    for name, call, moved in cases(chosen.elements, name_of):
        if chosen.only and not any(name.startswith(part) for part in chosen.only.split(",")):
            continue
        copy = copied[: moved // 8].clone
        timed(call)
        timed(copy)
        pairs = [(timed(call), timed(copy)) for _ in range(chosen.rounds)]
        spent = [statistics.median(of_call[k] for of_call, _ in pairs) for k in (0, 1)]
        ratios = [statistics.median(a[k] / b[k] for a, b in pairs) for k in (0, 1)]
        if ratios[0] > chosen.above:
            columns = (f"{s * 1e3:8.2f}{r:10.2f}" for s, r in zip(spent, ratios, strict=True))
            print(f"{name:28}{''.join(columns)}", flush=True)


if __name__ == "__main__":
    main()
