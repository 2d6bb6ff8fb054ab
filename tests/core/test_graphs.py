"""Graphs on a device that records: what is captured is run by replays, with the same results."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from recording import recording_runtime

import dovetail as dt
from dovetail.backend import Backend, registry
from dovetail.backend.allocator import pool_for
from dovetail.func.tree import leaves

nn = dt.nn


@pytest.fixture
def device(need_device: Any, pytestconfig: pytest.Config) -> Iterator[str]:
    """The name of a device that captures: that of ``--device`` where it does, else one here."""
    chosen = dt.device(pytestconfig.getoption("--device")).type
    if registry.get(chosen).runtime.graphs:
        yield chosen
        return
    need_device("loop")
    runtime = recording_runtime(caching=True)
    name = f"recording{id(runtime)}"
    registry.register(name, Backend(runtime))
    yield name
    gc.collect()
    registry.unregister(name)


def captured(device: str, function: Any, **options: Any) -> tuple[Any, Any]:
    """The graph of a function's work, and what it returned."""
    module = getattr(dt, device)
    graph = module.CUDAGraph()
    with module.graph(graph, **options):
        result = function()
    return graph, result


def test_a_replay_computes_again(device: str) -> None:
    x = dt.tensor([1.0, 2.0, 3.0], device=device)
    graph, y = captured(device, lambda: (x * 2 + 1).sum())
    x.copy_(dt.tensor([4.0, 5.0, 6.0]))
    graph.replay()
    assert y.item() == 33.0
    x.fill_(1.0)
    assert y.item() == 33.0
    graph.replay()
    assert y.item() == 9.0


def graphs_blocks(pool: Any) -> list[Any]:
    """The idle blocks that serve graphs alone."""
    lists = [lists for by_home in pool._idle.values() for lists in by_home.items()]
    return [block for home, blocks in lists if isinstance(home, tuple) for block in blocks]


def test_memory_stays_the_graphs(device: str) -> None:
    """What was freed in the capture is written by each replay, and so by nobody else."""
    x = dt.ones(1000, device=device)

    def work() -> Any:
        a = x * 3
        b = a + 1
        del a
        return b * 2

    module = getattr(dt, device)
    stream = module.Stream()
    graph, y = captured(device, work, stream=stream)
    for value in (7.0, 5.0):
        with module.stream(stream):
            others = [dt.full((1000,), value, device=device) for _ in range(8)]
        graph.replay()
        assert y[0].item() == 8.0
        assert all((t == value).all().item() for t in others)
        module.empty_cache()
    assert graphs_blocks(pool_for(device))


def test_memory_comes_back(device: str) -> None:
    pool = pool_for(device)
    x = dt.ones(1000, device=device)
    graph, y = captured(device, lambda: (x * 3 + 1) * 2)
    handle = graph.pool()
    taken = pool.reserved
    second, z = captured(device, lambda y=y: x + y, pool=handle)
    assert second.pool() == handle
    graph.reset()
    getattr(dt, device).empty_cache()
    second.replay()
    assert pool.reserved <= taken + 4096
    second.reset()
    assert not graphs_blocks(pool)
    in_use = pool.reserved - pool.allocated
    del y, z
    assert handle not in pool._held
    getattr(dt, device).empty_cache()
    assert pool.reserved - pool.allocated <= in_use


def test_draws_go_on(device: str) -> None:
    module = getattr(dt, device)
    module.manual_seed(5)
    eager = [dt.rand(10, device=device).tolist() for _ in range(4)]
    after = dt.randn(3, device=device).tolist()
    module.manual_seed(5)
    first = dt.rand(10, device=device).tolist()
    graph, x = captured(device, lambda: dt.rand(10, device=device))
    seen = [first]
    for _ in range(3):
        graph.replay()
        seen.append(x.tolist())
    assert seen == eager
    assert dt.randn(3, device=device).tolist() == after
    module.manual_seed(7)
    other = dt.rand(10, device=device).tolist()
    module.manual_seed(7)
    graph.replay()
    assert x.tolist() == other


def test_draws_that_cannot_be_captured(device: str) -> None:
    own = dt.Generator(device)
    with pytest.raises(RuntimeError, match="only the default generator's draws"):
        captured(device, lambda: dt.rand(3, device=device, generator=own))
    assert dt.rand(3, device=device, generator=own).shape == (3,)
    module = getattr(dt, device)
    with pytest.raises(RuntimeError, match="must not be seeded"):
        captured(device, lambda: module.manual_seed(module.initial_seed() + 1))
    with pytest.raises(RuntimeError, match="only the default"):
        module.CUDAGraph().register_generator_state(own)
    module.CUDAGraph().register_generator_state(module._generator())


def test_numbers_of_plans_are_kept(device: str) -> None:
    """A number on the device that only a plan holds may be dropped by it."""
    from dovetail.dispatch import clear_plans

    x = dt.ones(4, device=device)
    for _ in range(3):
        x.mul(2.5)  # the plan keeps the number
    graph, y = captured(device, lambda: x * 2.5)
    clear_plans()
    gc.collect()
    getattr(dt, device).empty_cache()
    others = [dt.full((1,), 9.0, device=device) for _ in range(20)]
    graph.replay()
    assert y.tolist() == [2.5] * 4
    z = x * 7.25  # a number that a capture saw first is an eager call's of its own
    with_new, w = captured(device, lambda: x * 8.25)
    assert (x * 8.25).tolist() == [8.25] * 4
    with_new.replay()
    assert w.tolist() == [8.25] * 4
    assert z.tolist() == [7.25] * 4
    del others


def test_training_is_eager_training(device: str) -> None:
    """Twenty replays of a step against twenty steps."""
    dt.manual_seed(1)
    start = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3)).state_dict()
    batches = [(dt.randn(5, 6), dt.randint(0, 3, (5,))) for _ in range(4)]
    losses = []
    for is_captured in (False, True):
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3))
        model.load_state_dict(start)
        model.to(device)
        rule = dt.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        x, y = (t.to(device) for t in batches[0])

        def step(model: Any = model, rule: Any = rule, x: Any = x, y: Any = y) -> Any:
            rule.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            rule.step()
            return loss

        getattr(dt, device).manual_seed(3)
        for _ in range(2):
            step()
        graph = loss = None
        if is_captured:
            graph, loss = captured(device, step)
        seen = []
        for i in range(20):
            for mine, other in zip((x, y), batches[i % 4], strict=True):
                mine.copy_(other)
            if graph is None:
                loss = step()
            else:
                graph.replay()
            seen.append(loss.item())
        losses.append(seen)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert len(set(losses[0])) == 20


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_steps_are_counted_on_the_device(device: str, kind: str) -> None:
    values = dt.linspace(-1, 1, 7)
    results = []
    for is_captured in (False, True):
        x = values.to(device).requires_grad_(True)
        rule = getattr(dt.optim, kind)([x], lr=0.1, weight_decay=0.1, capturable=True)

        def step(x: Any = x, rule: Any = rule) -> None:
            rule.zero_grad()
            (x.sin() * x).sum().backward()
            rule.step()

        for _ in range(2):
            step()
        graph = captured(device, step)[0] if is_captured else None
        for _ in range(5):
            step() if graph is None else graph.replay()
        assert rule.state[x]["step"].item() == 7.0
        results.append(x.tolist())
    assert results[0] == pytest.approx(results[1], rel=1e-5, abs=1e-6)


def test_steps_that_the_host_counts(device: str) -> None:
    x = dt.ones(3, device=device, requires_grad=True)
    x.grad = dt.ones(3, device=device)
    rule = dt.optim.Adam([x])
    rule.step()
    with pytest.raises(
        RuntimeError, match="instance of Adam but param_groups' capturable is False"
    ):
        captured(device, rule.step)
    dt.optim.Adam([dt.ones(3, requires_grad=True)]).step()  # the cpu's are no part of a capture


def test_streams_that_join(device: str) -> None:
    module = getattr(dt, device)
    x = dt.ones(100, device=device)
    side = module.Stream()
    seen = []

    def work() -> Any:
        here = module.current_stream()
        a = x * 2
        side.wait_stream(here)
        with module.stream(side):
            assert module.is_current_stream_capturing()
            b = a * 3
            seen.append(side.home)
        here.wait_stream(side)
        return b + 1

    graph, y = captured(device, work)
    assert seen == [(graph.pool(), side.stream_id)]
    assert side.home == side.stream_id
    assert side.capture is None
    graph.replay()
    assert y[0].item() == 7.0


def test_what_cannot_be_captured(device: str) -> None:
    module = getattr(dt, device)
    x = dt.ones(3, device=device)
    for reads in (lambda: x.sum().item(), x.tolist, lambda: module.synchronize()):
        with pytest.raises(RuntimeError, match=r"waited for|waits for"):
            captured(device, reads)
    assert not module.is_current_stream_capturing()
    assert x.sum().item() == 3.0
    graph, y = captured(device, lambda: x + 1)
    graph.replay()
    assert y.tolist() == [2.0] * 3


def test_errors(device: str) -> None:
    module = getattr(dt, device)
    graph = module.CUDAGraph()
    for call in (graph.replay, graph.pool):
        with pytest.raises(RuntimeError, match="without a preceding successful capture"):
            call()
    with pytest.raises(RuntimeError, match="non-default stream"):
        graph.capture_begin()
    with pytest.raises(RuntimeError, match="there was no capture_begin"):
        graph.capture_end()
    with module.stream(module.Stream()):
        with pytest.raises(RuntimeError, match="Unknown capture error mode"):
            graph.capture_begin(capture_error_mode="strict")
        graph.capture_begin()
        with pytest.raises(RuntimeError, match="another capture is under way"):
            module.CUDAGraph().capture_begin()
        with pytest.raises(RuntimeError, match="already owns"):
            graph.capture_begin()
        graph.capture_end()
        with pytest.raises(RuntimeError, match="already owns"):
            graph.capture_begin()
        graph.reset()
        graph.capture_begin()
        with module.stream(module.Stream()), pytest.raises(RuntimeError, match="same stream"):
            graph.capture_end()
        with pytest.raises(RuntimeError, match="without a preceding"):
            graph.replay()


def test_devices_without_graphs(need_device: Any) -> None:
    need_device("loop")
    for name in ("cpu", "loop"):
        module = getattr(dt, name)
        with pytest.raises(RuntimeError, match=f"{name}.* cannot capture graphs"):
            module.graph(module.CUDAGraph())
        assert module.is_current_stream_capturing() is False


def test_accelerator_graph(device: str) -> None:
    from dovetail.graphs import AcceleratorGraph

    x = dt.ones(3, device=device)
    stream, graph = dt.Stream(device), AcceleratorGraph(device)
    with stream, graph:
        x += 1
    assert x.tolist() == [1.0] * 3
    graph.replay()
    graph.replay()
    assert x.tolist() == [3.0] * 3


def test_graphed_callables(device: str) -> None:
    """Losses and weights of training with a graphed module are those of the eager one."""
    module = getattr(dt, device)
    dt.manual_seed(2)
    start = nn.Linear(4, 3).state_dict()
    results = []
    for is_graphed in (False, True):
        layer = nn.Linear(4, 3)
        layer.load_state_dict(start)
        layer.to(device)
        function: Any = lambda a, b: ({"sum": (a * b).tanh()}, a + b)
        called: Any = layer
        sample = dt.randn(2, 4, device=device, requires_grad=True)
        pair = (dt.randn(2, 3, device=device, requires_grad=True), dt.ones(2, 3, device=device))
        if is_graphed:
            called, function = module.make_graphed_callables((layer, function), ((sample,), pair))
            assert called is layer
        rule = dt.optim.SGD(layer.parameters(), lr=0.1)
        dt.manual_seed(9)
        seen = []
        for _ in range(5):
            x = dt.randn(2, 4).to(device).requires_grad_(True)
            rule.zero_grad()
            first, second = function(called(x), dt.randn(2, 3).to(device))
            loss = (first["sum"] * second).sum()
            loss.backward()
            rule.step()
            seen.append((loss.item(), x.grad.tolist()))
        layer.eval()
        seen.append(called(dt.ones(2, 4, device=device)).tolist())
        results.append(seen)
    for mine, other in zip(*results, strict=True):
        for a, b in zip(leaves(mine), leaves(other), strict=True):
            assert a == pytest.approx(b, rel=1e-5, abs=1e-7)
    with pytest.raises(AssertionError, match="must contain only Tensors"):
        module.make_graphed_callables(function, (1.0,))
