"""Queues: order, missing synchronisation, late errors."""

from __future__ import annotations

from typing import Any

import pytest

import dovetail as dt


def over_two_queues(module: Any, seed: int, *, waits: bool) -> float:
    """A long chain on one queue, read on another; the second waits for the first, or should."""
    first, second = dt.Stream("dlp:0"), dt.Stream("dlp:0")
    x = dt.zeros(1000, device="dlp")
    dt.dlp.synchronize()
    module.inject(0, reorder=seed)
    with first:
        for _ in range(20):
            x.add_(1)
    if waits:
        second.wait_stream(first)
    with second:
        y = x * 1
    second.synchronize()
    first.synchronize()
    with second:
        result = y.sum().item() / 1000
    module.inject(0)
    return result


def test_a_missing_wait_shows(module: Any) -> None:
    assert {over_two_queues(module, seed, waits=True) for seed in range(6)} == {20.0}
    assert len({over_two_queues(module, seed, waits=False) for seed in range(6)}) > 1


def test_one_queue_is_in_order_whatever_the_latency(module: Any) -> None:
    module.inject(0, latency=0.001, reorder=3)
    x = dt.arange(6.0).dlp()
    for _ in range(5):
        x = x * 2 + 1
    assert x.tolist() == [32 * i + 31 for i in range(6)]
    module.inject(0)


def test_latency_is_seen_by_query(module: Any) -> None:
    module.inject(0, latency=0.001)
    stream = dt.Stream("dlp:0")
    with stream:
        x = dt.ones(10, device="dlp")
        for _ in range(10):
            x = x + 1
    assert not stream.query()
    stream.synchronize()
    assert stream.query()
    module.inject(0)


def test_an_error_comes_once_and_names_its_operator(module: Any) -> None:
    x, index = dt.arange(4.0).dlp(), dt.tensor([1, 9]).dlp()
    x.gather(0, index)
    with pytest.raises(
        IndexError,
        match=r"^index 9 is out of bounds for dimension 0 with size 4 \(gather, found when",
    ):
        dt.dlp.synchronize()
    dt.dlp.synchronize()
    assert (x + 1).tolist() == [1, 2, 3, 4]


def test_devices_are_apart(module: Any) -> None:
    x, y = dt.ones(3, device="dlp:0"), dt.ones(3, device="dlp:1")
    with pytest.raises(RuntimeError, match="same device"):
        x + y
    assert (x + y.to("dlp:0")).tolist() == [2, 2, 2]


def test_an_interrupt_loses_no_answer(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the host waits: the next question gets its own answer, not the one before."""
    from dovetail_dlp.machine import link

    x, y = dt.full((1000,), 1.0, device="dlp"), dt.full((1000,), 2.0, device="dlp")
    dt.dlp.synchronize()

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(link.select, "select", interrupted)
        with pytest.raises(KeyboardInterrupt):
            x.cpu()
    assert y.cpu().sum().item() == 2000
    assert x.cpu().sum().item() == 1000


def test_programs_are_forgotten_in_the_end(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dovetail_dlp.machine import kernel

    monkeypatch.setattr(kernel, "LIMIT", 5)
    for n in range(1, 30):
        assert (dt.ones(n, device="dlp") + 1).sum().item() == 2 * n
