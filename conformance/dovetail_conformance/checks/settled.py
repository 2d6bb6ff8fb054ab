"""Work that has not finished: what is read, changed or given back must wait for it.

Each result is read at once, and again when the device was waited for. A device that computes in
the background and forgets to wait somewhere gives two answers, of which the second is right.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail_conformance.calls import host
from dovetail_conformance.device_bytes import Block, devices_of, module_of, state
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["cases"]

SIDE = 192
LONG = 1 << 19
"""Elements of tensors on which an operator takes long."""


def cases(target: Target) -> Iterator[Case]:
    """Reads after long work, order of work, memory used again, host memory used again, streams."""
    for op, make in _WORK.items():
        yield Case(0, "settled", op, "", "", functools.partial(_work, make))
    yield Case(0, "settled", "order", "", "", _order)
    yield Case(0, "settled", "memory used again", "", "", _reused)
    yield Case(0, "settled", "host memory used again", "", "", _host_reused)
    yield Case(0, "settled", "runtime", "", "", _runtime)
    yield Case(0, "settled", "streams", "", "", functools.partial(_streams, target))
    yield Case(0, "settled", "events", "", "", functools.partial(_events, target))
    if target.count > 1:
        yield Case(0, "settled", "between-devices", "", "", functools.partial(_peer, target))


def _differs(made: np.ndarray, expected: np.ndarray) -> str:
    wrong = np.flatnonzero(made.reshape(-1) != expected.reshape(-1))
    if not len(wrong):
        return ""
    i = int(wrong[0])
    return (
        f"element {i} must be {expected.reshape(-1)[i]}, was {made.reshape(-1)[i]}, and "
        f"{len(wrong)} of {made.size} are wrong"
    )


def _judge(trial: Trial, x: Any, expected: np.ndarray, what: str, **facts: Any) -> None:
    """Read now and later, each an attempt; a wrong first read alone is work not waited for."""
    module, name = module_of(trial.device), str(x.device)
    facts = {"numel": x.numel(), **facts}
    first = host(x).copy()
    module.synchronize(name)
    later = host(x).copy()
    with trial.attempt(**facts, stage="first read"):
        wrong = _differs(first, expected)
        if wrong and not _differs(later, expected):
            raise Mismatch(
                f"{what}, read at once: {wrong}; right after synchronize(). Must d2h wait for the "
                "kernels that write the buffer?",
                "settled",
            )
        if wrong:
            raise Mismatch(f"{what}, read at once: {wrong}", "values")
    with trial.attempt(**facts, stage="later read"):
        wrong = _differs(later, expected)
        if wrong:
            raise Mismatch(f"{what}, read after synchronize(): {wrong}", "values")


# Long work


def _products(device: str) -> tuple[Any, np.ndarray]:
    """40 products with a permutation matrix, which are exact."""
    order = np.random.default_rng(1).permutation(SIDE)
    turn = dt.tensor(np.eye(SIDE, dtype=np.float32)[order], device=device)
    values = np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE) % 1009
    x = dt.tensor(values, device=device)
    for _ in range(40):
        x = turn @ x
        values = values[order]
    return x, values


def _elementwise(device: str) -> tuple[Any, np.ndarray]:
    x = dt.arange(LONG, dtype=dt.int32, device=device)
    for i in range(25):
        x = x * 3 - i
    values = np.arange(LONG, dtype=np.int32)
    for i in range(25):
        values = values * np.int32(3) - np.int32(i)
    return x, values


def _in_place(device: str) -> tuple[Any, np.ndarray]:
    x = dt.zeros(LONG, dtype=dt.int32, device=device)
    for i in range(30):
        x.add_(i)
        x[::2].sub_(1)
    values = np.full(LONG, 30 * 29 // 2)
    values[::2] -= 30
    return x, values


def _part(device: str) -> tuple[Any, np.ndarray]:
    """The last few elements of something long, and strided, so that a copy kernel runs first."""
    x, values = _elementwise(device)
    return x[-4001::2], values[-4001::2]


def _reduction(device: str) -> tuple[Any, np.ndarray]:
    x, values = _elementwise(device)
    return x.reshape(512, -1).sum(1), values.reshape(512, -1).sum(1, dtype=np.int64)


def _gradient(device: str) -> tuple[Any, np.ndarray]:
    x = dt.ones(LONG // 4, device=device, requires_grad=True)
    y = x
    for _ in range(10):
        y = y * 2
    y.sum().backward()
    return x.grad, np.full(LONG // 4, 1024.0)


_WORK: dict[str, Callable[[str], tuple[Any, np.ndarray]]] = {
    "matmul": _products,
    "mul": _elementwise,
    "add_": _in_place,
    "part": _part,
    "sum": _reduction,
    "backward": _gradient,
}


def _work(make: Callable[[str], tuple[Any, np.ndarray]], trial: Trial) -> None:
    for _ in range(2):
        x, expected = make(trial.device)
        _judge(trial, x, expected, "the end of a long chain of operators")
    x, expected = make(trial.device)
    with trial.attempt(stage="first read", numel=1):
        if x.reshape(-1)[-1].item() != expected.reshape(-1)[-1]:
            raise Mismatch("item() of the last element of a long chain is wrong", "settled")


def _order(trial: Trial) -> None:
    """A kernel sees what was queued before it, and nothing that was queued after."""
    x = dt.zeros(LONG, dtype=dt.int32, device=trial.device)
    results = []
    for i in range(40):
        x.fill_(i)
        results.append(x[:1000] + 0)
        x.add_(1)
    for i, y in enumerate(results):
        _judge(trial, y, np.full(1000, i), f"x + 0 between fill_({i}) and add_(1)")
    _judge(trial, x, np.full(LONG, 40), "x after all of it")


def _reused(trial: Trial) -> None:
    """Memory goes to the next tensor only when the last one's work is done."""
    results = []
    for i in range(30):
        long = dt.full((LONG,), i, dtype=dt.int32, device=trial.device)
        result = long * 2 + 1
        del long
        other = dt.full((LONG,), -7, dtype=dt.int32, device=trial.device)
        results.append(result[:: LONG // 16].clone())
        del result, other
        if i % 10 == 9:
            module_of(trial.device).empty_cache()
    for i, y in enumerate(results):
        _judge(trial, y, np.full(16, 2 * i + 1), f"2 x + 1 for x full of {i}, x dropped at once")


def _host_reused(trial: Trial) -> None:
    """The caller's arrays are the caller's again when a copy returns."""
    n = LONG * 2
    for stage, send in _SENDS.items():
        values = np.full(n, 5, np.int32)
        with trial.attempt(stage=stage, numel=n):
            x = send(values, trial.device)
            values.fill(6)
            wrong = _differs(host(x), np.full(n, 5))
            if wrong and not (stage == "to()" and x.device.type == "cpu"):  # the array itself
                raise Mismatch(
                    f"{stage}, whose source is written afterwards: {wrong}. Does h2d copy (or "
                    "wait) before it returns? The source belongs to the caller then.",
                    "settled",
                )
    x = dt.zeros(n, dtype=dt.int32, device=trial.device)
    with trial.attempt(stage="read, write, read", numel=n):
        reads = []
        for i in range(8):
            x.fill_(i)
            reads.append(x.to("cpu", copy=True))
        for i, y in enumerate(reads):
            wrong = _differs(host(y), np.full(n, i))
            if wrong:
                raise Mismatch(
                    f"a copy to the host between fill_({i}) and the next: {wrong}", "settled"
                )


_SENDS: dict[str, Callable[[np.ndarray, str], Any]] = {
    "tensor()": lambda a, device: dt.tensor(a, device=device),
    "to()": lambda a, device: dt.from_numpy(a).to(device),
    "copy_()": lambda a, device: dt.zeros(len(a), dtype=dt.int32, device=device).copy_(
        dt.from_numpy(a)
    ),
}


def _runtime(trial: Trial) -> None:
    """h2d and d2h against kernels on the same buffer, with nothing of the core between."""
    place = state(trial.device)
    n = 1 << 16
    with Block(trial.device, 4 * n) as block:
        x = block.tensor((n,), (1,), 0, dt.int32)
        for i in range(10):
            with trial.attempt(stage="first read", numel=n):
                block.write(np.full(n, i, np.int32))
                for _ in range(20):
                    x.add_(1)
                wrong = _differs(block.read().view(np.int32), np.full(n, i + 20))
                if wrong:
                    place.runtime.synchronize(place.index)
                    late = _differs(block.read().view(np.int32), np.full(n, i + 20))
                    raise Mismatch(
                        f"d2h after h2d of {i} and 20 times add_(1): {wrong}; "
                        + (f"later, {late}" if late else "right after synchronize()"),
                        "settled",
                    )
                for _ in range(20):
                    x.add_(1)
                y = x + 0
                block.write(np.full(n, -1, np.int32))
                wrong = _differs(host(y), np.full(n, i + 40))
                if wrong:
                    raise Mismatch(
                        f"h2d after kernels that read the buffer: {wrong}. h2d must wait for them, "
                        "or be queued behind them",
                        "settled",
                    )
        del x


# Two devices, streams and events


def _peer(target: Target, trial: Trial) -> None:
    """A copy to another device waits for its source, and its source for the copy."""
    pair = devices_of(trial.device, target.count)
    for here, there in (pair, pair[::-1]):
        ways: dict[str, Callable[[Any], Any]] = {
            "to": lambda x: x.to(there),  # noqa: B023
            "copy_": lambda x: dt.empty_like(x, device=there).copy_(x),  # noqa: B023
        }
        for stage, copy in ways.items():
            x, expected = _elementwise(here)
            y = copy(x)
            x.fill_(0)
            facts = {"index": int(there[-1]), "sample": stage}
            _judge(trial, y + 1, expected + 1, f"{stage} {there} of a long chain's end", **facts)
            back = y.to(here)
            y.zero_()
            _judge(trial, back, expected, "the same, copied back", **facts)


def _streams(target: Target, trial: Trial) -> None:
    """Work on two streams, one waiting for the other; memory stays with the stream that uses it.

    A device without streams has one, and the same program must give the same.
    """
    expected = _elementwise("cpu")[1]
    for _ in range(3):
        one, two = dt.Stream(trial.device), dt.Stream(trial.device)
        with one:
            x, _ = _elementwise(trial.device)
        two.wait_stream(one)
        with two:
            y = x + 1
        one.wait_stream(two)
        with one:
            x.fill_(0)
        two.synchronize()
        _judge(trial, y, expected + 1, "x + 1 on a stream that waits for the stream of x")
        one.synchronize()
        with trial.attempt(stage="query"):
            if one.query() is not True or two.query() is not True:
                raise Mismatch("query() must be True after synchronize()", "streams")
        _judge(trial, x, np.zeros(LONG), "x, overwritten after that")
    with dt.Stream(trial.device):
        x, _ = _elementwise(trial.device)
        _judge(trial, x, expected, "a long chain's end, read on its own stream")
    one, two = dt.Stream(trial.device), dt.Stream(trial.device)
    with one:
        x, _ = _elementwise(trial.device)
    two.wait_stream(one)
    with two:
        y = x + 1
    x.record_stream(two)
    del x
    with one:
        other = dt.full((LONG,), -7, dtype=dt.int32, device=trial.device)
    two.synchronize()
    _judge(trial, y, expected + 1, "x + 1 on a second stream, x dropped after record_stream()")
    one.synchronize()
    del other


def _events(target: Target, trial: Trial) -> None:
    """An event happens after the work before it, and times go forward."""
    start, end = (dt.Event(trial.device, enable_timing=True) for _ in range(2))
    start.record()
    x, expected = _elementwise(trial.device)
    end.record()
    end.synchronize()
    _judge(trial, x, expected, "a long chain's end, after an event that follows it")
    with trial.attempt(stage="query"):
        if end.query() is not True:
            raise Mismatch("query() must be True after synchronize()", "events")
    with trial.attempt(stage="time"):
        elapsed = start.elapsed_time(end)
        if not 0 <= elapsed < 600_000:
            raise Mismatch(f"elapsed_time() must be milliseconds, is {elapsed}", "events")
        if end.elapsed_time(start) > 0:
            raise Mismatch(
                "elapsed_time() of the later to the earlier must not be above 0", "events"
            )
    with trial.attempt(stage="wait"):
        stream = dt.Stream(trial.device)
        stream.wait_event(end)
        stream.record_event().synchronize()
