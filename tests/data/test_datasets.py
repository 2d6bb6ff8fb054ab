"""Datasets, samplers and splits."""

from __future__ import annotations

import pytest

import dovetail as dt
from dovetail.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)


class Squares(Dataset):
    def __init__(self, size, start=0):
        self.size = size
        self.start = start

    def __getitem__(self, index):
        if not 0 <= index < self.size:
            raise IndexError(index)
        return (self.start + index) ** 2

    def __len__(self):
        return self.size


class Stream(IterableDataset):
    def __init__(self, *items):
        self.items = items

    def __iter__(self):
        return iter(self.items)

    def __len__(self):
        return len(self.items)


def generator(seed=0):
    return dt.Generator().manual_seed(seed)


def test_dataset_must_be_defined():
    with pytest.raises(NotImplementedError, match="should implement __getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="should implement __iter__"):
        iter(IterableDataset())
    with pytest.raises(NotImplementedError, match="a sampler defines __iter__"):
        iter(Sampler())


def test_tensor_dataset(device):
    x, y = dt.arange(6).view(3, 2).to(device), dt.arange(3).to(device)
    data = TensorDataset(x, y)
    assert len(data) == 3
    assert [t.tolist() for t in data[1]] == [[2, 3], 1]
    assert [t.tolist() for t in data[:2]] == [[[0, 1], [2, 3]], [0, 1]]
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        TensorDataset(x, dt.zeros(4))


def test_concat_dataset():
    data = Squares(2) + Squares(3, start=10)
    assert isinstance(data, ConcatDataset)
    assert [data[i] for i in range(len(data))] == [0, 1, 100, 121, 144]
    assert data[-1] == 144
    assert data.cumulative_sizes == [2, 5]
    with pytest.raises(ValueError, match="absolute value of index"):
        data[-6]
    with pytest.raises(AssertionError, match="empty iterable"):
        ConcatDataset([])
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        ConcatDataset([Stream()])


def test_chain_dataset():
    data = Stream(1, 2) + Stream(3)
    assert isinstance(data, ChainDataset)
    assert list(data) == [1, 2, 3]
    assert len(data) == 3
    with pytest.raises(AssertionError, match="only supports IterableDataset"):
        list(ChainDataset([Squares(2)]))


def test_stack_dataset():
    assert StackDataset(Squares(3), Squares(3, 1))[2] == (4, 9)
    named = StackDataset(a=Squares(3), b=Squares(3, 1))
    assert named[1] == {"a": 1, "b": 4}
    assert named.__getitems__([0, 2]) == [{"a": 0, "b": 1}, {"a": 4, "b": 9}]
    assert len(named) == 3
    with pytest.raises(ValueError, match="Size mismatch"):
        StackDataset(Squares(3), Squares(2))
    with pytest.raises(ValueError, match="both types are given"):
        StackDataset(Squares(3), b=Squares(3))
    with pytest.raises(ValueError, match="At least one"):
        StackDataset()


def test_subset():
    part = Subset(Squares(10), [9, 1, 5])
    assert [part[i] for i in range(len(part))] == [81, 1, 25]
    assert part.__getitems__([2, 0]) == [25, 81]
    nested = Subset(part, [1])
    assert nested[0] == 1

    class Half(Subset):
        def __getitem__(self, index):
            return super().__getitem__(index) / 2

    with pytest.raises(NotImplementedError, match="overrides __getitem__ but not __getitems__"):
        Half(Squares(4), [0])


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [
        ([7, 3], [7, 3]),
        ([0.5, 0.5], [5, 5]),
        ([0.34, 0.33, 0.33], [4, 3, 3]),
        ([0.25] * 4, [3, 3, 2, 2]),
    ],
)
def test_random_split(lengths, sizes):
    parts = random_split(Squares(10), lengths, generator=generator())
    assert [len(part) for part in parts] == sizes
    assert sorted(i for part in parts for i in part.indices) == list(range(10))
    again = random_split(Squares(10), lengths, generator=generator())
    assert [part.indices for part in again] == [part.indices for part in parts]
    other = random_split(Squares(10), lengths, generator=generator(1))
    assert [part.indices for part in other] != [part.indices for part in parts]


def test_random_split_refuses_lengths_that_do_not_fit():
    with pytest.raises(ValueError, match="does not equal the length"):
        random_split(Squares(10), [5, 4])
    with pytest.raises(ValueError, match="Fraction at index 0 is not between"):
        random_split(Squares(10), [-0.5, 1.5])
    with pytest.warns(UserWarning, match="split at index 1 is 0"):
        random_split(Squares(3), [0.9, 0.1])


def test_sequential_sampler():
    sampler = SequentialSampler(Squares(3))
    assert list(sampler) == [0, 1, 2]
    assert len(sampler) == 3


def test_random_sampler():
    data = Squares(50)
    first = list(RandomSampler(data, generator=generator()))
    assert sorted(first) == list(range(50))
    assert first != list(range(50))
    assert list(RandomSampler(data, generator=generator())) == first
    shared = generator()
    sampler = RandomSampler(data, generator=shared)
    assert list(sampler) == first
    assert list(sampler) != first


def test_random_sampler_follows_the_default_generator():
    data = Squares(50)
    dt.manual_seed(3)
    first, second = list(RandomSampler(data)), list(RandomSampler(data))
    assert first != second
    dt.manual_seed(3)
    assert list(RandomSampler(data)) == first


def test_random_sampler_with_replacement_and_numbers():
    data = Squares(5)
    drawn = list(RandomSampler(data, replacement=True, num_samples=3000, generator=generator()))
    assert len(drawn) == 3000
    assert set(drawn) == set(range(5))
    counts = [drawn.count(i) for i in range(5)]
    assert min(counts) > 450
    longer = list(RandomSampler(data, num_samples=12, generator=generator()))
    assert sorted(longer[:5]) == sorted(longer[5:10]) == list(range(5))
    assert len(longer) == 12
    with pytest.raises(TypeError, match="replacement should be a boolean"):
        RandomSampler(data, replacement=1)
    with pytest.raises(ValueError, match="num_samples should be a positive"):
        RandomSampler(data, num_samples=0)
    with pytest.raises(ValueError, match="num_samples=0"):
        RandomSampler(Squares(0))


def test_subset_random_sampler():
    sampler = SubsetRandomSampler([5, 7, 9, 11], generator=generator())
    assert sorted(sampler) == [5, 7, 9, 11]
    assert len(sampler) == 4


def test_weighted_random_sampler():
    sampler = WeightedRandomSampler([0.0, 3.0, 1.0], 4000, generator=generator())
    drawn = list(sampler)
    assert len(sampler) == len(drawn) == 4000
    assert 0 not in drawn
    assert 2800 < drawn.count(1) < 3200
    once = list(WeightedRandomSampler([0.1, 3.0, 1.0], 3, replacement=False))
    assert sorted(once) == [0, 1, 2]
    for wrong in (0, -1, True, 2.5):
        with pytest.raises(ValueError, match="num_samples should be a positive"):
            WeightedRandomSampler([1.0], wrong)
    with pytest.raises(ValueError, match="1d sequence"):
        WeightedRandomSampler([[1.0]], 1)


def test_batch_sampler():
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert len(BatchSampler(range(5), 2, False)) == 3
    assert len(BatchSampler(range(5), 2, True)) == 2
    with pytest.raises(ValueError, match="batch_size should be a positive"):
        BatchSampler(range(5), 0, False)
    with pytest.raises(ValueError, match="drop_last should be a boolean"):
        BatchSampler(range(5), 1, 1)
