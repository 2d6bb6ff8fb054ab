"""Tensors' memory: it comes, it goes back, it is counted, and nobody else's is touched."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail.dispatch import clear_plans
from dovetail_conformance.calls import host
from dovetail_conformance.compare import check_equal
from dovetail_conformance.device_bytes import (
    check_bytes,
    devices_of,
    module_of,
    settle,
    state,
)
from dovetail_conformance.layouts import filler
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]

MEBIBYTE = 1 << 20
EMPTY = ((0,), (0, 3), (3, 0), (2, 0, 4), (0, 0))


def cases(target: Target) -> Iterator[Case]:
    """Counts, which other processes would disturb, and then the memory itself."""
    for name, work in _WORK.items():
        run = functools.partial(_balance, work)
        yield Case(0, "memory", "balance", "", name, run, alone=True)
    for op, alone_run in (("statistics", _statistics), ("cache", _cache)):
        run = functools.partial(alone_run, target)
        yield Case(0, "memory", op, "", "", run, alone=True)
    yield Case(0, "memory", "many", "", "", functools.partial(_many, target))
    yield Case(0, "memory", "large", "", "", _large)
    yield Case(0, "memory", "parts", "uint8", "", _parts)
    for dtype in target.dtypes:
        yield Case(0, "memory", "empty", dtype.name, "", functools.partial(_empty, dtype))
        yield Case(0, "memory", "sizes", dtype.name, "", functools.partial(_sizes, dtype))
        run = functools.partial(_uninitialised, dtype)
        yield Case(0, "memory", "uninitialised", dtype.name, "", run)


# Counts


def _create(device: str) -> None:
    kept = [dt.full((n,), 1.0, device=device) for n in (1, 100, 5000, 100_000)]
    kept += [dt.tensor(np.ones(n, np.float32), device=device) for n in (3, 70_000)]
    del kept


def _compute(device: str) -> None:
    x = dt.ones(200, 300, device=device)
    y = (x * 2 + 1).sum(0).sort()[0]
    z = x.t() @ x
    z[1:, ::2].mul_(3)
    (y.cpu(), z[2].cpu(), x.to(dt.int32).amax().item())


def _move(device: str) -> None:
    x = dt.ones(100_000)
    for _ in range(3):
        x = x.to(device).cpu()


def _train(device: str) -> None:
    w = dt.ones(300, 200, device=device, requires_grad=True)
    loss = ((dt.ones(50, 300, device=device) @ w).relu() ** 2).mean()
    loss.backward()
    w.grad = None


def _fail(device: str) -> None:
    x = dt.ones(70_000, device=device)
    with contextlib.suppress(RuntimeError):
        x + dt.ones(3, device=device)


_WORK: dict[str, Callable[[str], None]] = {
    "creation": _create,
    "operators": _compute,
    "moves": _move,
    "gradients": _train,
    "errors": _fail,
}


def _balance(work: Callable[[str], None], trial: Trial) -> None:
    """What ``work`` takes it gives back, but for the numbers that plans keep."""
    module = module_of(trial.device)
    work(trial.device)
    settle(trial.device)
    for stage in ("once", "again"):
        with trial.attempt(stage=stage):
            settle(trial.device, again=True)
            clear_plans()
            before = module.memory_stats(trial.device)
            work(trial.device)
            clear_plans()
            settle(trial.device, again=True)
            after = module.memory_stats(trial.device)
            grown = after[_ALLOCATED] - before[_ALLOCATED]
            live = _live(after) - _live(before)
            if grown or live:
                raise Mismatch(
                    f"memory_allocated() must come back to {before[_ALLOCATED]} bytes when the "
                    f"tensors are gone, is {grown} more, in {live} blocks. Does a kernel or the "
                    "runtime keep arrays?",
                    "leak",
                )


_ALLOCATED = "allocated_bytes.all.current"


def _live(stats: Any) -> int:
    return int(stats["allocation.all.allocated"] - stats["allocation.all.freed"])


def _statistics(target: Target, trial: Trial) -> None:
    """Peaks and counts agree with the tensors that were made."""
    for index, name in enumerate(devices_of(trial.device, target.count)):
        with trial.attempt(index=index):
            _check_statistics(name)


def _check_statistics(name: str) -> None:
    module = module_of(name)
    settle(name)
    module.reset_peak_memory_stats(name)
    base = module.memory_allocated(name)
    one = dt.empty(MEBIBYTE, dtype=dt.uint8, device=name)
    two = dt.empty(2 * MEBIBYTE, dtype=dt.uint8, device=name)
    most = module.memory_allocated(name) - base
    del two
    settle(name, again=True)
    now, peak = module.memory_allocated(name) - base, module.max_memory_allocated(name) - base
    for what, came, least in (
        ("memory_allocated() of 3 MiB", most, 3 * MEBIBYTE),
        ("memory_allocated() of 1 MiB", now, MEBIBYTE),
        ("max_memory_allocated() of 3 MiB", peak, 3 * MEBIBYTE),
    ):
        if not least <= came <= 1.25 * least:
            raise Mismatch(f"{what}: must grow by {least} bytes, grew by {came}", "statistics")
    module.reset_peak_memory_stats(name)
    if module.max_memory_allocated(name) - base != now:
        raise Mismatch("max_memory_allocated(): must be what is in use after a reset", "statistics")
    if module.memory_reserved(name) < module.memory_allocated(name):
        raise Mismatch("memory_reserved(): must be at least memory_allocated()", "statistics")
    if name not in module.memory_summary(name):
        raise Mismatch(f"memory_summary(): must name {name}", "statistics")
    del one


def _cache(target: Target, trial: Trial) -> None:
    """``empty_cache`` hands idle blocks back; tensors keep theirs and their values."""
    module, runtime = module_of(trial.device), state(trial.device).runtime
    x = dt.arange(100_000, dtype=dt.int32, device=trial.device)
    with trial.attempt(stage="idle"):
        gone = [dt.empty(MEBIBYTE + n, dtype=dt.uint8, device=trial.device) for n in range(4)]
        del gone
        settle(trial.device, again=True)
        module.empty_cache()
        reserved, allocated = (
            module.memory_reserved(trial.device),
            module.memory_allocated(trial.device),
        )
        if runtime.caching and reserved != allocated:
            raise Mismatch(
                f"memory_reserved() must be memory_allocated() ({allocated}) after empty_cache(), "
                f"is {reserved}",
                "statistics",
            )
    with trial.attempt(stage="values"):
        what = "a tensor that is in use, after empty_cache() and new allocations"
        again = [dt.full((100_000,), 9, dtype=dt.int32, device=trial.device) for _ in range(4)]
        check_equal(host(x), np.arange(100_000), what)
        del again


# Values


def _many(target: Target, trial: Trial) -> None:
    """2000 small tensors at once, half of them dropped and others made in their place."""
    for index, name in enumerate(devices_of(trial.device, target.count)):
        with trial.attempt(index=index):
            made: list[Any] = [
                dt.full((1 + n % 40,), n, dtype=dt.int32, device=name) for n in range(2000)
            ]
            made[::2] = [None] * 1000
            made[::2] = [
                dt.full((1 + n % 30,), -n, dtype=dt.int32, device=name) for n in range(1000)
            ]
            for n, x in enumerate(made):
                wanted, size = (n, 1 + n % 40) if n % 2 else (-(n // 2), 1 + n // 2 % 30)
                check_equal(host(x), np.full(size, wanted), f"small tensor {n} of 2000")


def _large(trial: Trial) -> None:
    """One tensor of 64 MiB, or what an eighth of the device holds."""
    place = state(trial.device)
    total = place.runtime.info(place.index).memory_total
    n = (64 * MEBIBYTE if total is None else min(64 * MEBIBYTE, total // 8)) // 4
    with trial.attempt(layout="contiguous", numel=n):
        values = np.arange(n, dtype=np.int32)
        x = dt.tensor(values, device=trial.device)
        x.add_(1)
        values += 1
        made = host(x)
        if not np.array_equal(made, values):
            check_equal(made, values, f"int32 tensor of {n} elements, plus 1")
        check_equal(host(x[n - 5 :]), values[-5:], "its last 5 elements")


def _parts(trial: Trial) -> None:
    """Bytes to and from parts of a tensor at any offset; the neighbours stay as they are."""
    base = dt.full((300,), 0xEE, dtype=dt.uint8, device=trial.device)
    for offset in (0, 1, 2, 3, 5, 8, 13, 127):
        for n in (1, 2, 3, 4, 5, 7, 31, 129):
            facts = {"layout": "offset" if offset else "contiguous", "offset": offset, "numel": n}
            with trial.attempt(**facts):
                values = np.arange(n, dtype=np.uint8) + 1
                part = base[offset : offset + n]
                part.copy_(dt.tensor(values))
                expected = np.full(300, 0xEE, np.uint8)
                expected[offset : offset + n] = values
                what = f"{n} bytes copied to element {offset} of a uint8 tensor"
                look = "Do copies and kernels use the storage offset, and write no more than asked?"
                check_bytes(host(base), expected, what, look)
                check_bytes(host(part), values, f"{what}, read back from there", look)
            base.fill_(0xEE)


def _empty(dtype: d.dtype, trial: Trial) -> None:
    """Tensors without elements are made, moved, viewed and computed with like any other."""
    for shape in EMPTY:
        facts = {"shape": [list(shape)], "numel": 0, "layout": "contiguous"}
        ways: dict[str, Callable[[], Any]] = {
            "empty": lambda s=shape: dt.empty(s, dtype=dtype, device=trial.device),  # type: ignore[misc]
            "zeros": lambda s=shape: dt.zeros(s, dtype=dtype, device=trial.device),  # type: ignore[misc]
            "to": lambda s=shape: dt.ones(s, dtype=dtype).to(trial.device),  # type: ignore[misc]
            "slice": lambda s=shape: dt.ones(  # type: ignore[misc]
                tuple(n + 2 for n in s), dtype=dtype, device=trial.device
            )[tuple(slice(0, n) for n in s)],
        }
        for stage, make in ways.items():
            with trial.attempt(**facts, stage=stage):
                x = make()
                results = (x, x.clone(), x.contiguous(), x + x, x.t() if x.ndim < 3 else x, x.cpu())
                for y in results:
                    if y.numel() or host(y).size or sorted(y.shape) != sorted(shape):
                        raise Mismatch(
                            f"{stage} of shape {shape}: must stay empty, got {tuple(y.shape)}",
                            "shape",
                        )
                x.fill_(1).copy_(x)
                dt.cat([x, x], 0)


def _sizes(dtype: d.dtype, trial: Trial) -> None:
    """There and back, for sizes around what memory is measured in."""
    for n in (1, 2, 3, 4, 5, 7, 8, 9, 127, 128, 129, 511, 512, 513, 1023, 4095, 4096, 4097, 70_001):
        with trial.attempt(layout="contiguous", numel=n):
            values = (np.arange(n) % 101).astype(dtype.numpy)
            there = dt.tensor(values, device=trial.device)
            _leave_traces(values.nbytes)
            made = host(there)
            check_bytes(
                made.reshape(-1).view(np.uint8),
                values.view(np.uint8),
                f"{n} elements of {dtype} to the device and back",
                "Is the last part copied, whatever the size?",
            )


def _leave_traces(nbytes: int) -> None:
    """Give back memory of this size with other bytes in it: what a copy leaves out must not be
    right because the memory was last a copy of the same."""
    for array in [np.empty(nbytes, np.uint8) for _ in range(8)]:
        array.fill(0xA5)


def _uninitialised(dtype: d.dtype, trial: Trial) -> None:
    """Results over memory that held something else depend on nothing of it."""
    zero, one = (np.zeros((), dtype.numpy), np.ones((), dtype.numpy))
    spots = np.array([[1, 0, 1], [0, 1, 0]])
    options: dict[str, Any] = {"dtype": dtype, "device": trial.device}
    stair = np.tri(5, 4).astype(dtype.numpy)
    table: tuple[tuple[str, Callable[[], Any], np.ndarray], ...] = (
        ("zeros", lambda: dt.zeros(7, 9, **options), np.broadcast_to(zero, (7, 9))),
        ("ones", lambda: dt.ones(65, **options), np.broadcast_to(one, (65,))),
        ("new_zeros", lambda: dt.ones(1, **options).new_zeros(33), np.broadcast_to(zero, (33,))),
        ("eye", lambda: dt.eye(5, **options), np.eye(5)),
        ("tril", lambda: dt.ones(5, 4, **options).tril(), stair),
        (
            "scatter",
            lambda: dt.zeros(2, 3, **options).scatter_(
                1,
                dt.tensor([[0, 2], [1, 1]], device=trial.device),
                dt.ones(2, 2, **options),
            ),
            spots,
        ),
        (
            "pad",
            lambda: dt.nn.functional.pad(dt.ones(2, 3, **options), (1, 2, 0, 1)),
            np.pad(np.ones((2, 3)), ((0, 1), (1, 2))),
        ),
        ("cat", lambda: dt.cat([dt.ones(3, **options), dt.zeros(4, **options)]), np.arange(7) < 3),
    )
    for stage, make, expected in table:
        with trial.attempt(stage=stage, numel=expected.size, shape=[list(expected.shape)]):
            for _ in range(2):
                _soil(expected.shape, dtype, trial.device)
                made = host(make())
                if made.tobytes() != expected.astype(dtype.numpy).tobytes():
                    raise Mismatch(
                        f"{stage} of {dtype}: must be {expected.astype(dtype.numpy).tolist()}, got "
                        f"{made.tolist()}: it still holds what memory held before",
                        "uninitialised",
                    )


def _soil(shape: tuple[int, ...], dtype: d.dtype, device: str) -> None:
    """Leave memory of a result's size behind that holds what no result should."""
    kept = [
        dt.full((math.prod(shape),), filler(dtype), dtype=dtype, device=device) for _ in range(3)
    ]
    del kept
