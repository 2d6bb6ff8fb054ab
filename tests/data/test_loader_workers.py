"""DataLoader with worker processes beside PyTorch's: batches, order, streams, errors, seeds."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_datasets import Squares, generator

import dovetail as dt
from dovetail.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
    random_split,
)

# Where there are fewer processors than workers.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


def batches(loader: Any) -> list[Any]:
    return [batch.tolist() for batch in loader]


def flat(lists: list[list[Any]]) -> list[Any]:
    return [x for one in lists for x in one]


def alive(processes: list[Any]) -> int:
    return sum(process.is_alive() for process in processes)


class Told(Dataset[Any]):
    """What a worker knows of itself."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        info = get_worker_info()
        assert info is not None
        assert info.dataset is self
        assert dt.get_num_threads() == 1
        return index, info.id, info.num_workers, info.seed % 2**31, os.getpid()


class Wrong(Dataset[Any]):
    """Raises at 3; another exception for each kind."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> int:
        if index == 3:
            raise self.kind("no such sample")
        return index


class NeedsTwo(Exception):
    """Its constructor does not take a text alone."""

    def __init__(self, first: Any, second: Any = None) -> None:
        if isinstance(first, str) and first.startswith("Caught"):
            raise TypeError("two arguments")
        super().__init__(first)


class Dies(Squares):
    def __getitem__(self, index: int) -> int:
        if index == 2:
            os._exit(3)
        return super().__getitem__(index)


class Slow(Squares):
    def __getitem__(self, index: int) -> int:
        if index == 0:
            time.sleep(0.5)
        return super().__getitem__(index)


class Shared(IterableDataset[int]):
    """Numbers, of which each worker gives its share."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Any:
        info = get_worker_info()
        if info is None:
            return iter(range(self.count))
        return iter(range(info.id, self.count, info.num_workers))


class Random(Dataset[Any]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return random.random(), float(np.random.rand()), dt.rand(1).item()


def first_is_7(worker: int) -> None:
    info = get_worker_info()
    assert info is not None
    info.dataset.first = 7 + worker


class HasFirst(Squares):
    first = 0

    def __getitem__(self, index: int) -> int:
        return self.first


def fails_to_start(worker: int) -> None:
    raise RuntimeError("nothing to read")


def test_batches_are_those_of_one_process() -> None:
    for options in ({}, {"batch_size": 4}, {"batch_size": 4, "drop_last": True}):
        alone = batches(DataLoader(Squares(11), **options))
        loader = DataLoader(Squares(11), num_workers=2, **options)
        assert batches(loader) == batches(loader) == alone
        assert len(loader) == len(alone)


@pytest.mark.parametrize("way", multiprocessing.get_all_start_methods())
def test_ways_to_start_processes(way: str) -> None:
    for context in (way, multiprocessing.get_context(way)):
        loader = DataLoader(Squares(5), num_workers=1, multiprocessing_context=context)
        assert batches(loader) == [[0], [1], [4], [9], [16]]
        if way != "fork":
            break  # each costs an import


def test_a_fork_does_not_stop_its_parents_workers() -> None:
    loader = iter(DataLoader(Squares(6), batch_size=None, num_workers=1))
    assert next(loader) == 0
    process = multiprocessing.get_context("fork").Process(target=loader._finish)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert list(loader) == [1, 4, 9, 16, 25]


def test_pairs_of_tensors_and_single_samples() -> None:
    data = TensorDataset(dt.arange(12.0).reshape(6, 2), dt.arange(6))
    for options in ({"batch_size": 4}, {"batch_size": None}):
        alone = [[t.tolist() for t in pair] for pair in DataLoader(data, **options)]
        many = [[t.tolist() for t in pair] for pair in DataLoader(data, num_workers=3, **options)]
        assert many == alone


def test_shuffling_is_reproducible() -> None:
    options = {"batch_size": 4, "shuffle": True}
    alone = batches(DataLoader(Squares(20), generator=generator(1), **options))
    many = batches(DataLoader(Squares(20), generator=generator(1), num_workers=2, **options))
    assert sorted(flat(many)) == sorted(flat(alone))
    assert batches(DataLoader(Squares(20), generator=generator(1), num_workers=2, **options)) == (
        many
    )


@pytest.mark.parametrize("own", [True, False])
def test_the_order_does_not_depend_on_how_many_workers_there_are(own: bool) -> None:
    def passes(count: int) -> list[Any]:
        dt.manual_seed(2)
        source = generator(5) if own else None
        loader = DataLoader(Squares(9), 2, shuffle=True, generator=source, num_workers=count)
        return [batches(loader), batches(loader), dt.rand(1).item()]

    assert passes(0) == passes(1) == passes(2)


def test_workers_know_themselves() -> None:
    loader = DataLoader(Told(), batch_size=2, num_workers=2)
    rows = [[column.tolist() for column in batch] for batch in loader]
    assert [row[0] for row in rows] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [row[1] for row in rows] == [[0, 0], [1, 1], [0, 0], [1, 1]]
    assert {n for row in rows for n in row[2]} == {2}
    seeds = [row[3][0] for row in rows]
    assert (seeds[1] - seeds[0]) % 2**31 == 1
    assert len({pid for row in rows for pid in row[4]} - {os.getpid()}) == 2
    assert get_worker_info() is None


def test_random_numbers_differ_by_worker_and_pass_and_repeat_with_a_seed() -> None:
    def drawn() -> list[Any]:
        dt.manual_seed(3)
        loader = DataLoader(Random(), num_workers=2, batch_size=None)
        return [list(loader), list(loader)]

    first, second = drawn()
    assert drawn() == [first, second]
    assert len({sample[k] for sample in first + second for k in range(3)}) == 24


@pytest.mark.parametrize("count", [1, 7, 12])
def test_streams_are_shared_out(count: int) -> None:
    loader = DataLoader(Shared(count), batch_size=2, num_workers=3)
    for _ in range(2):
        assert sorted(flat(batches(loader))) == list(range(count))
    torch = pytest.importorskip("torch")

    class Theirs(torch.utils.data.IterableDataset):
        def __iter__(self) -> Any:
            info = torch.utils.data.get_worker_info()
            return iter(range(info.id, count, info.num_workers))

    theirs = torch.utils.data.DataLoader(Theirs(), batch_size=2, num_workers=3)
    assert batches(loader) == [batch.tolist() for batch in theirs]


@pytest.mark.parametrize("kind", [ValueError, KeyError, IndexError, StopIteration])
def test_an_exception_is_raised_here_as_pytorchs(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    # How long PyTorch waits for each worker in the end: they do not leave by themselves here.
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.1)

    def said_by(library: Any) -> list[str]:
        loader = iter(library.utils.data.DataLoader(Wrong(kind), num_workers=2))
        assert [next(loader).item() for _ in range(3)] == [0, 1, 2]
        with pytest.raises(kind) as caught:
            next(loader)
        assert next(loader).item() == 4  # the others go on
        lines = str(caught.value).splitlines()
        return [lines[0], lines[1], lines[-1]]

    said = [said_by(library) for library in (dt, torch)]
    gc.collect()  # the exception holds the loader, which later would wait for 5 s a worker
    assert said[0] == said[1]
    assert said[0][0] == f"Caught {kind.__name__} in DataLoader worker process 1."


def test_an_exception_of_another_shape_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError, match="Caught NeedsTwo in DataLoader worker process 1"):
        list(DataLoader(Wrong(NeedsTwo), num_workers=2))


def test_a_worker_that_fails_to_start() -> None:
    loader = DataLoader(Squares(3), num_workers=1, worker_init_fn=fails_to_start)
    with pytest.raises(RuntimeError, match="nothing to read"):
        next(iter(loader))


def test_worker_init_fn_may_change_the_workers_dataset() -> None:
    loader = DataLoader(HasFirst(4), num_workers=2, worker_init_fn=first_is_7)
    assert batches(loader) == [[7], [8], [7], [8]]


def test_a_batch_that_cannot_be_sent_is_an_error() -> None:
    loader = DataLoader(Squares(2), num_workers=1, collate_fn=lambda samples: lambda: samples)
    with pytest.raises((AttributeError, TypeError, RuntimeError), match=r"(?i)pickle"):
        next(iter(loader))


def test_a_worker_that_dies_is_told() -> None:
    loader = iter(DataLoader(Dies(6), num_workers=2, batch_size=None))
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpect"):
        list(loader)


def test_timeout() -> None:
    loader = DataLoader(Slow(2), num_workers=1, timeout=0.1)
    with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0\.1 seconds"):
        next(iter(loader))


def test_in_order_or_as_they_come() -> None:
    slow = Slow(4)
    assert list(DataLoader(slow, batch_size=None, num_workers=2)) == [0, 1, 4, 9]
    loader = DataLoader(slow, batch_size=None, num_workers=2, in_order=False)
    as_they_come = list(loader)
    assert as_they_come[0] == 1
    assert sorted(as_they_come) == [0, 1, 4, 9]


def test_persistent_workers_stay_and_others_go() -> None:
    def pids(loader: Any) -> set[int]:
        return {pid for batch in loader for pid in batch[4].tolist()}

    kept = DataLoader(Told(), num_workers=2, persistent_workers=True)
    first = pids(kept)
    assert pids(kept) == first
    broken_off = iter(kept)
    assert next(broken_off)[0].item() == 0
    assert [batch[0].item() for batch in kept] == list(range(8))  # a new pass, from its beginning
    fresh = DataLoader(Told(), num_workers=2)
    assert pids(fresh).isdisjoint(pids(fresh))
    assert alive(broken_off._processes) == 2
    processes = broken_off._processes
    del kept, broken_off
    assert alive(processes) == 0


def test_a_pass_that_is_broken_off_leaves_no_process() -> None:
    loader = iter(DataLoader(Squares(100), num_workers=2))
    next(loader)
    processes = loader._processes
    assert alive(processes) == 2
    del loader
    assert alive(processes) == 0


def test_no_more_than_prefetch_factor_is_read_ahead() -> None:
    assert DataLoader(Squares(3)).prefetch_factor is None
    assert DataLoader(Squares(3), num_workers=1).prefetch_factor == 2
    assert batches(DataLoader(Squares(3), num_workers=1, prefetch_factor=0)) == [[0], [1], [4]]
    loader = iter(DataLoader(Squares(50), num_workers=2, prefetch_factor=3))
    assert loader._sent == 6
    next(loader)
    assert loader._sent == 7


def test_workers_make_tensors_in_host_memory(need_device: Any) -> None:
    device = need_device("loop:0")
    dt.set_default_device(device)
    try:
        alone = next(iter(DataLoader(Squares(2), batch_size=2, shuffle=True)))
        many = next(iter(DataLoader(Squares(2), batch_size=2, num_workers=1, shuffle=True)))
    finally:
        dt.set_default_device(None)
    assert alone.device == device
    assert many.device == dt.device("cpu")


class Everything(IterableDataset[int]):
    """Each worker reads all of it, which is the mistake that the warning is about."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Any:
        return iter(range(3))


def test_a_stream_that_each_worker_reads_whole_is_warned_of_as_by_pytorch() -> None:
    loader = DataLoader(Everything(), batch_size=None, num_workers=2)
    assert len(loader) == 3
    with pytest.warns(UserWarning, match=r"reported to be 3.*at each worker") as told:
        assert sorted(loader) == [0, 0, 1, 1, 2, 2]
    assert [f"but {n} samples" in str(w.message) for n, w in enumerate(told, 4)] == [True] * 3
    assert told[0].filename == __file__


def test_options_that_exclude_each_other() -> None:
    torch = pytest.importorskip("torch")
    for options in ({"prefetch_factor": -1, "num_workers": 1}, {"num_workers": -1}):
        said = []
        for library in (dt, torch):
            with pytest.raises(ValueError, match="option should be") as caught:
                library.utils.data.DataLoader([1], **options)
            said.append(str(caught.value))
        assert said[0] == said[1]


def test_workers_go_when_their_parent_is_no_more(tmp_path: Any) -> None:
    program = (
        "import os, dovetail as dt\n"
        "from dovetail.utils.data import DataLoader\n"
        "if __name__ == '__main__':\n"
        "    loader = iter(DataLoader(range(4), num_workers=1))\n"
        "    next(loader)\n"
        "    print(loader._processes[0].pid, flush=True)\n"
        "    os._exit(0)\n"
    )
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    worker = int(done.stdout)
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        if "State:\tZ" in Path(f"/proc/{worker}/status").read_text():
            return
        time.sleep(0.1)
    pytest.fail("the worker is still there")


def test_more_workers_than_processors_are_warned_of_as_by_pytorch() -> None:
    torch = pytest.importorskip("torch")
    said = []
    for library in (dt, torch):
        with pytest.warns(UserWarning, match="This DataLoader will create 999 worker") as told:
            library.utils.data.DataLoader(Squares(3), num_workers=999)
        said.append(told[0])
    assert said[0].filename == __file__
    assert str(said[0].message) == str(said[1].message)


def test_samplers_draw_on_the_host_or_by_their_generator(need_device: Any) -> None:
    device = need_device("loop:0")
    weights = [0.0, 1.0, 3.0]
    expected = [
        sorted(SubsetRandomSampler([5, 6, 7])), len(list(WeightedRandomSampler(weights, 4))),
        len(random_split(range(4), [3, 1])),
    ]  # fmt: skip
    dt.set_default_device(device)
    try:
        own = dt.Generator(device).manual_seed(1)
        for g in (None, generator(1), own):
            assert [
                sorted(SubsetRandomSampler([5, 6, 7], g)),
                len(list(WeightedRandomSampler(weights, 4, generator=g))),
                len(random_split(range(4), [3, 1], g)),
            ] == expected
            assert sorted(RandomSampler(range(3), generator=g)) == [0, 1, 2]
        assert WeightedRandomSampler(dt.ones(3), 2).weights.device == device
    finally:
        dt.set_default_device(None)
