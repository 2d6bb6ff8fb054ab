"""DataLoader: batches, orders, collation and options that exclude each other."""

from __future__ import annotations

import numpy as np
import pytest
from test_datasets import Squares, Stream, generator

import dovetail as dt
from dovetail.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)


def batches(loader):
    return [batch.tolist() for batch in loader]


def test_batches():
    loader = DataLoader(Squares(5), batch_size=2)
    assert batches(loader) == [[0, 1], [4, 9], [16]]
    assert batches(loader) == [[0, 1], [4, 9], [16]]
    assert len(loader) == len(iter(loader)) == 3
    dropped = DataLoader(Squares(5), batch_size=2, drop_last=True)
    assert batches(dropped) == [[0, 1], [4, 9]]
    assert len(dropped) == 2
    assert next(iter(loader)).dtype is dt.int64


def test_shuffling_is_reproducible():
    def order(seed):
        loader = DataLoader(Squares(20), batch_size=4, shuffle=True, generator=generator(seed))
        return [batches(loader), batches(loader)]

    first, second = order(1)
    assert first != second
    assert order(1) == [first, second]
    assert sorted(x for batch in first for x in batch) == [i * i for i in range(20)]


def test_default_generator_decides_the_order():
    dt.manual_seed(5)
    first = batches(DataLoader(Squares(20), batch_size=4, shuffle=True))
    dt.manual_seed(5)
    assert batches(DataLoader(Squares(20), batch_size=4, shuffle=True)) == first


def test_samplers():
    assert batches(DataLoader(Squares(9), batch_size=2, sampler=[3, 1, 2])) == [[9, 1], [4]]
    by_batch = BatchSampler(SequentialSampler(range(5)), 3, False)
    loader = DataLoader(Squares(9), batch_sampler=by_batch)
    assert batches(loader) == [[0, 1, 4], [9, 16]]
    assert loader.batch_size is None
    assert len(loader) == 2


def test_without_batching():
    assert list(DataLoader(Squares(3), batch_size=None)) == [0, 1, 4]
    data = TensorDataset(dt.arange(3))
    assert [x[0].item() for x in DataLoader(data, batch_size=None)] == [0, 1, 2]


def test_tensor_dataset_gives_what_collation_would(device):
    x = dt.arange(24).view(6, 2, 2).float().to(device)
    y = dt.arange(6).to(device)
    data = TensorDataset(x, y)
    part = Subset(Subset(data, [5, 4, 3, 1]), [3, 0, 2])
    for dataset in (data, part):
        fast = list(DataLoader(dataset, batch_size=2))
        slow = list(DataLoader(dataset, batch_size=2, collate_fn=lambda b: default_collate(b)))
        assert len(fast) == len(slow)
        for a, b in zip(fast, slow, strict=True):
            assert type(a) is type(b) is list
            assert [t.tolist() for t in a] == [t.tolist() for t in b]
            assert [t.device for t in a] == [device, device]
    (batch, _), *_ = DataLoader(data, batch_size=2)
    batch.zero_()
    assert x[0].sum().item() == 6.0


@pytest.mark.parametrize("indices", [[-1, 0], [0, 9], [], [True, False], (0, 1), 0, np.arange(2)])
def test_what_indexes_a_tensor_dataset_is_as_in_pytorch(indices):
    torch = pytest.importorskip("torch")
    outcomes = []
    for library in (torch, dt):
        data = library.utils.data.TensorDataset(library.arange(8).view(4, 2))
        try:
            ((batch,),) = library.utils.data.DataLoader(data, batch_sampler=[indices])
        except (IndexError, TypeError, RuntimeError) as error:
            outcomes.append(type(error))
        else:
            outcomes.append(batch.tolist())
    assert outcomes[0] == outcomes[1]


def test_subclass_of_tensor_dataset_is_asked_for_its_samples():
    class Shifted(TensorDataset):
        def __getitem__(self, index):
            return tuple(t + 100 for t in super().__getitem__(index))

    ((batch,),) = DataLoader(Shifted(dt.arange(2)), batch_size=2)
    assert batch.tolist() == [100, 101]


def test_batched_reading():
    class Whole(Squares):
        def __getitems__(self, indices):
            return [1000 + i for i in indices]

    assert batches(DataLoader(Whole(3), batch_size=2)) == [[1000, 1001], [1002]]


def test_collate_function():
    assert list(DataLoader(Squares(3), batch_size=2, collate_fn=sum)) == [1, 4]


def test_streams():
    data = Stream(1, 2, 3)
    assert batches(DataLoader(data, batch_size=2)) == [[1, 2], [3]]
    assert batches(DataLoader(data, batch_size=2, drop_last=True)) == [[1, 2]]
    assert list(DataLoader(data, batch_size=None)) == [1, 2, 3]
    assert len(DataLoader(data, batch_size=2)) == 2
    assert len(DataLoader(data, batch_size=2, drop_last=True)) == 1
    for option in ({"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}):
        with pytest.raises(ValueError, match="IterableDataset: expected unspecified"):
            DataLoader(data, **option)


def test_stream_longer_than_it_said():
    class Liar(Stream):
        def __len__(self):
            return 1

    loader = DataLoader(Liar(1, 2, 3), batch_size=None)
    assert len(loader) == 1
    with pytest.warns(UserWarning, match="was reported to be 1"):
        assert len(list(loader)) == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"shuffle": True, "sampler": [0]}, "sampler option is mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler option is mutually exclusive"),
        ({"batch_sampler": [[0]], "drop_last": True}, "batch_sampler option is mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "batch_size=None option disables auto-batching"),
        ({"batch_size": 0}, "batch_size should be a positive integer"),
        ({"num_workers": -1}, "num_workers option should be non-negative"),
        ({"timeout": -1}, "timeout option should be non-negative"),
        ({"prefetch_factor": 2}, "prefetch_factor option could only be specified"),
        ({"persistent_workers": True}, "persistent_workers option needs num_workers > 0"),
        ({"multiprocessing_context": "spawn"}, "multiprocessing_context can only be used"),
    ],
)
def test_options_that_exclude_each_other(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        DataLoader(Squares(3), **options)


@pytest.mark.parametrize("context", ["thread", 3])
def test_a_way_to_start_processes_that_is_none_is_refused_at_once(context):
    torch = pytest.importorskip("torch")
    said = []
    for library in (torch, dt):
        with pytest.raises((ValueError, TypeError)) as caught:
            library.utils.data.DataLoader([1], num_workers=1, multiprocessing_context=context)
        said.append((type(caught.value), str(caught.value)))
        with pytest.raises(ValueError, match="can only be used with multi-process loading"):
            library.utils.data.DataLoader([1]).multiprocessing_context = "spawn"
    assert said[0] == said[1]


def test_a_timeout_without_workers_is_refused_when_a_pass_begins():
    torch = pytest.importorskip("torch")
    for library in (torch, dt):
        loader = library.utils.data.DataLoader([1], timeout=1)
        with pytest.raises(AssertionError, match="timeout"):
            iter(loader)


def test_attributes_are_fixed():
    loader = DataLoader(Squares(3), batch_size=2, pin_memory=True)
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader"):
        loader.batch_size = 3
    loader.collate_fn = len
    assert list(loader) == [2, 1]


def test_errors_of_a_dataset_pass_through():
    class Broken(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            raise OSError(f"no file {index}")

    with pytest.raises(OSError, match="no file 0"):
        list(DataLoader(Broken()))
