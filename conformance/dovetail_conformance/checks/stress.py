"""What only shows under load: many threads, thousands of steps, large indices, late errors."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail_conformance.calls import host
from dovetail_conformance.checks.out_of_memory import check_works
from dovetail_conformance.compare import check_close, check_equal
from dovetail_conformance.device_bytes import (
    GIBIBYTE,
    devices_of,
    host_memory,
    memory_of,
    memory_without_plans,
    module_of,
    options,
    settle,
)
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]

MEBIBYTE = 1 << 20


def cases(target: Target) -> Iterator[Case]:
    """Everything alone: the cases count memory, or take much of it."""
    for op, run in _CASES.items():
        yield Case(5, "stress", op, "", "", functools.partial(run, target), alone=True)


# Threads


def _threads(target: Target, trial: Trial) -> None:
    """Eight threads compute and allocate at once; each gets its own results."""
    _in_threads(trial, 8, functools.partial(_chains, trial.device), "chains of operators")
    _in_threads(trial, 8, functools.partial(_gradients, trial.device), "gradients")
    _in_threads(trial, 6, functools.partial(_copies, trial.device), "copies")
    if target.count > 1:
        pair = devices_of(trial.device, target.count)
        work = lambda i: _chains(pair[i % 2], i)
        _in_threads(trial, 6, work, "chains of operators on two devices")


def _chains(device: str, i: int) -> None:
    rng = np.random.default_rng(i)
    for n in range(60):
        size = int(rng.integers(1, 5000))
        x = dt.full((size,), i, dtype=dt.int32, device=device)
        y = x * 3 + n
        z = dt.cat([y, x])[size - 1 : size + 1]
        wanted = [3 * i + n, i]
        if z.tolist() != wanted or y.sum().item() != size * (3 * i + n):
            raise Mismatch(f"thread {i}, step {n}: must be {wanted}, is {z.tolist()}", "threads")


def _gradients(device: str, i: int) -> None:
    for n in range(15):
        w = dt.full((20, 30), float(i), device=device, requires_grad=True)
        ((w * w).sum(1) * n).sum().backward()
        check_equal(host(w.grad), np.full((20, 30), 2.0 * i * n), f"thread {i}: gradient {n}")


def _copies(device: str, i: int) -> None:
    for n in range(20):
        values = np.full(30_000 + i, i * 100 + n, np.int32)
        x = dt.tensor(values, device=device)
        check_equal(host(x), values, f"thread {i}: copy {n}")
        check_equal(host(x.clone()[1::2]), values[1::2], f"thread {i}: clone {n}")


def _in_threads(trial: Trial, count: int, work: Callable[[int], None], stage: str) -> None:
    errors: list[tuple[int, BaseException]] = []
    start = threading.Barrier(count)

    def run(i: int) -> None:
        start.wait()
        try:
            work(i)
        except Exception as error:  # shown below, in the thread that asked
            errors.append((i, error))

    before = memory_without_plans(trial.device)
    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    with trial.attempt(stage=stage, threads=count):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        if any(thread.is_alive() for thread in threads):
            raise Mismatch(
                f"{stage} in {count} threads: not done after 120 s: a deadlock?", "threads"
            )
        if errors:
            i, error = errors[0]
            raise Mismatch(
                f"{stage} in {count} threads: {len(errors)} threads failed, thread {i} with "
                f"{type(error).__name__}: {error}. Are shared buffers, queues and caches guarded?",
                "threads",
            ) from error
        grown = memory_without_plans(trial.device) - before
        if grown:
            raise Mismatch(f"{stage} in {count} threads: {grown} bytes are left over", "leak")


# Long runs


def _long_run(target: Target, trial: Trial) -> None:
    """Thousands of steps take no more memory than hundreds."""
    for name, step in _STEPS.items():
        with trial.attempt(stage=name):
            for _ in range(200):
                step(trial.device)
            device_before, host_before, open_before = _in_use(trial.device)
            for _ in range(_MANY):
                step(trial.device)
            device_after, host_after, open_after = _in_use(trial.device)
            if device_after != device_before:
                raise Mismatch(
                    f"{name}, {_MANY} times: {device_after - device_before} more bytes are in use "
                    "on the device",
                    "leak",
                )
            if host_after - host_before > 48 * MEBIBYTE:
                raise Mismatch(
                    f"{name}, {_MANY} times: the process has grown by "
                    f"{(host_after - host_before) / MEBIBYTE:.0f} MiB. Does the runtime keep "
                    "buffers, arrays, events or programs of calls that are over?",
                    "leak",
                )
            if open_after > open_before + 8:
                raise Mismatch(
                    f"{name}, {_MANY} times: {open_after - open_before} more files are open",
                    "leak",
                )


_MANY = 2500


def _in_use(name: str) -> tuple[int, int, int]:
    """Bytes of tensors, bytes of the process, open files; 0 where the system does not say."""
    settle(name)
    files = "/proc/self/fd"
    opened = len(os.listdir(files)) if os.path.isdir(files) else 0
    return memory_without_plans(name), host_memory() or 0, opened


def _step_numbers(device: str) -> None:
    (dt.ones(300, device=device) * 2 - 1).sum().item()


def _step_copies(device: str) -> None:
    dt.tensor(np.ones(8000, np.float32), device=device)[1:].cpu()


def _step_shapes(device: str) -> None:
    """Other numbers and shapes each time: what is cached by them must be bounded."""
    _step_shapes.n = n = (getattr(_step_shapes, "n", 0) + 1) % 40  # type: ignore[attr-defined]
    dt.full((5 + n, 7), n, device=device).t()[1:, ::2].add(1).tolist()


def _step_training(device: str) -> None:
    w = dt.ones(30, 20, device=device, requires_grad=True)
    (dt.ones(4, 30, device=device) @ w).relu().mean().backward()


_STEPS: dict[str, Callable[[str], None]] = {
    "operators": _step_numbers,
    "copies": _step_copies,
    "shapes": _step_shapes,
    "gradients": _step_training,
}


def _live(target: Target, trial: Trial) -> None:
    """Twenty thousand tensors at once."""
    with trial.attempt(numel=20_000):
        kept = [dt.full((3,), i, dtype=dt.int32, **options(trial)) for i in range(20_000)]
        seen = host(dt.stack(kept[::7]))
        wanted = np.repeat(np.arange(0, 20_000, 7)[:, None], 3, 1)
        check_equal(seen, wanted, "every seventh of 20000 tensors that are alive")


# Large indices


def _large(target: Target, trial: Trial) -> None:
    """Counts and places beyond what float32 and, given the memory, 32 bits can hold."""
    with trial.attempt(stage="above 2**24", numel=2**24 + 3):
        n = 2**24 + 3
        x = dt.arange(n, dtype=dt.int32, **options(trial))
        check_equal(host(x[-4:]), np.arange(n - 4, n), f"the end of arange({n})")
        places = dt.tensor([n - 1, 2**24 + 1, 2**24, 0], **options(trial))
        check_equal(host(x[places]), host(places), "x[i] of indices above 2**24")
        if x.argmax().item() != n - 1:
            raise Mismatch(f"argmax: must be {n - 1}, is {x.argmax().item()}", "values")
        if x.eq(2**24 + 1).nonzero().item() != 2**24 + 1:
            raise Mismatch("nonzero: a place above 2**24 is wrong", "values")
        del x, places
    with trial.attempt(stage="sum of many ones", numel=2**25):
        ones = dt.ones(1, **options(trial)).expand(2**25)
        made = host(ones.sum())
        what = "sum of 2**25 ones in float32"
        check_close(made, np.array(2.0**25), d.float32, 2.0, what)
        del ones
    free, total = memory_of(trial.device)
    room = min(free or 0, total or 0)
    if room < 24 * GIBIBYTE:
        return
    with trial.attempt(stage="above 2**31", numel=2**31 + 17):
        n = 2**31 + 17
        y = dt.zeros(n, dtype=dt.uint8, **options(trial))
        y[-3:] = 7
        y[2**31] = 9
        check_equal(
            host(y[-17:]), np.array([9] + 13 * [0] + 3 * [7]), "the end of 2**31 + 17 bytes"
        )
        part = y.as_strided((2, 3), (2**31 - 1, 1), 15)
        check_equal(host(part), np.array([[0, 0, 0], [7, 7, 7]]), "strides of 2**31 - 1 elements")
        places = dt.tensor([2**31, n - 1, 0], **options(trial))
        check_equal(host(y.gather(0, places)), np.array([9, 7, 0]), "gather above 2**31")
        if y.argmax().item() != 2**31:
            raise Mismatch(f"argmax: must be {2**31}, is {y.argmax().item()}", "values")
    del y
    settle(trial.device)
    module_of(trial.device).empty_cache()


# Errors inside


def _autograd_errors(target: Target, trial: Trial) -> None:
    """An exception in a backward function leaves gradients, graph and device as they must be."""

    class Fails(dt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise KeyError("on purpose")

    for stage in ("first", "again"):
        with trial.attempt(stage=stage):
            settle(trial.device)
            before = memory_without_plans(trial.device)
            x = dt.ones(70_000, **options(trial), requires_grad=True)
            y = Fails.apply((x * 3).exp())
            try:
                y.sum().backward()
            except KeyError:
                pass
            else:
                raise Mismatch("backward must raise what a backward function raises", "error")
            if x.grad is not None:
                raise Mismatch("x.grad: must be None after a backward that failed", "gradient")
            if not dt.is_grad_enabled():
                raise Mismatch("gradients must still be enabled", "gradient")
            (x * 2).sum().backward()
            assert x.grad is not None
            check_equal(host(x.grad[:3]), np.full(3, 2), "x.grad of the next backward")
            del x, y
            settle(trial.device)
            grown = memory_without_plans(trial.device) - before
            if grown > (8192 if stage == "first" else 0):
                raise Mismatch(f"a backward that failed left {grown} bytes in use", "leak")
    with trial.attempt(stage="works on"):
        check_works(trial, "exceptions in backward")


def _late_errors(target: Target, trial: Trial) -> None:
    """A failing kernel's error comes at the call or at ``synchronize``, once, and is readable."""
    module = module_of(trial.device)
    x, index = dt.arange(8.0, **options(trial)), dt.tensor([1, 2**40], **options(trial))
    for stage, call in (
        ("gather", lambda: x.gather(0, index)),
        ("scatter", lambda: x.clone().scatter_(0, index, 1.0)),
        ("index_select", lambda: x.index_select(0, index)),
    ):
        with trial.attempt(stage=stage):
            at_call, late = _error(call), _error(lambda: module.synchronize(trial.device))
            if at_call is not None and late is not None:
                raise Mismatch(f"{stage}: one error came twice: {at_call} and {late}", "error")
            if late is not None and stage not in str(late):
                raise Mismatch(
                    f"{stage}: the error that synchronize() raises must name it, says {late}",
                    "error",
                )
            again = _error(lambda: module.synchronize(trial.device))
            if again is not None:
                raise Mismatch(f"{stage}: synchronize() raises again: {again}", "error")
            check_works(trial, f"a wrong index of {stage}")


def _error(call: Callable[[], Any]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


_CASES: dict[str, Callable[[Target, Trial], None]] = {
    "threads": _threads,
    "long run": _long_run,
    "live tensors": _live,
    "large indices": _large,
    "errors in backward": _autograd_errors,
    "late errors": _late_errors,
}
