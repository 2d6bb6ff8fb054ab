"""Datasets: where samples come from (PyTorch's ``torch.utils.data`` page).

A map-style dataset has ``__getitem__`` and ``__len__``; an iterable one has ``__iter__``.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

import dovetail
from dovetail.utils.data.sampler import drawn_on
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "collated",
    "random_split",
    "samples_of",
    "warn_of_length",
]

T = TypeVar("T", covariant=True)

_NUMBERS = frozenset((int, np.int64, np.int32))


class Dataset(Generic[T]):
    """A map from indices to samples; a subclass defines ``__getitem__`` and usually ``__len__``.

    It may also define ``__getitems__(indices)``, which returns the samples of a whole batch.
    """

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T], Iterable[T]):
    """A stream of samples; a subclass defines ``__iter__``."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError("Subclasses of IterableDataset should implement __iter__.")

    def __add__(self, other: Dataset[Any]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple["Tensor", ...]]):
    """Samples that are rows of tensors: index ``i`` gives ``tuple(t[i] for t in tensors)``.

    Args:
        tensors: tensors of the same first size.

    Raises:
        AssertionError: the first sizes differ.
    """

    def __init__(self, *tensors: Tensor) -> None:
        if any(tensors[0].size(0) != tensor.size(0) for tensor in tensors):
            raise AssertionError("Size mismatch between tensors")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].size(0))

    def collated(self, indices: list[int]) -> list[Tensor]:
        """What ``default_collate`` makes of these samples, read with one gather per tensor."""
        return [
            tensor.index_select(0, dovetail.tensor(indices, device=tensor.device))
            for tensor in self.tensors
        ]


class StackDataset(Dataset[Any]):
    """Several datasets of one length, read in step: a tuple (or a dict) of their samples.

    Args:
        args: datasets of a tuple.
        kwargs: datasets of a dict, by key.
    """

    def __init__(self, *args: Dataset[Any], **kwargs: Dataset[Any]) -> None:
        if args and kwargs:
            raise ValueError(
                "Supported either ``tuple``- (via ``args``) or``dict``- (via ``kwargs``) like "
                "input/output, but both types are given."
            )
        datasets: list[Any] = list(args or kwargs.values())
        if not datasets:
            raise ValueError("At least one dataset should be passed")
        self._length = len(datasets[0])
        if any(len(dataset) != self._length for dataset in datasets):
            raise ValueError("Size mismatch between datasets")
        self.datasets: Any = args or kwargs

    def _joined(self, parts: Sequence[Any]) -> Any:
        return (
            dict(zip(self.datasets, parts, strict=True))
            if isinstance(self.datasets, dict)
            else tuple(parts)
        )

    def _values(self) -> Sequence[Any]:
        is_dict = isinstance(self.datasets, dict)
        return list(self.datasets.values()) if is_dict else self.datasets  # type: ignore[no-any-return]

    def __getitem__(self, index: Any) -> Any:
        return self._joined([dataset[index] for dataset in self._values()])

    def __getitems__(self, indices: list[int]) -> list[Any]:
        columns = []
        for dataset in self._values():
            samples = samples_of(dataset, indices)
            if len(samples) != len(indices):
                raise ValueError(
                    "Nested dataset's output size mismatch. "
                    f"Expected {len(indices)}, got {len(samples)}"
                )
            columns.append(samples)
        return [self._joined(row) for row in zip(*columns, strict=True)]

    def __len__(self) -> int:
        return self._length  # type: ignore[no-any-return]


class ConcatDataset(Dataset[Any]):
    """Datasets one after another.

    Args:
        datasets: map-style datasets, at least one.
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        sizes = (len(dataset) for dataset in self.datasets)  # type: ignore[arg-type]
        self.cumulative_sizes = list(itertools.accumulate(sizes))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if index < 0:
            if -index > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            index += len(self)
        place = bisect.bisect_right(self.cumulative_sizes, index)
        start = self.cumulative_sizes[place - 1] if place else 0
        return self.datasets[place][index - start]


class ChainDataset(IterableDataset[Any]):
    """Streams one after another.

    Args:
        datasets: iterable datasets.
    """

    def __init__(self, datasets: Iterable[Dataset[Any]]) -> None:
        self.datasets = datasets

    def _streams(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield dataset

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self._streams())

    def __len__(self) -> int:
        return sum(len(stream) for stream in self._streams())


class Subset(Dataset[T]):
    """The samples of a dataset at some indices.

    Args:
        dataset: the whole.
        indices: which samples, in which order.
    """

    def __init__(self, dataset: Dataset[T], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices
        cls = type(self)
        if cls.__getitem__ is not Subset.__getitem__ and cls.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{cls.__name__} overrides __getitem__ but not __getitems__. When subclassing "
                "Subset and overriding __getitem__, you must also override __getitems__ to ensure "
                "DataLoader works correctly with your custom logic. A simple implementation:\n\n"
                "def __getitems__(self, indices):\n"
                "    return [self.__getitem__(idx) for idx in indices]"
            )

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return samples_of(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def samples_of(dataset: Any, indices: list[int]) -> list[Any]:
    """The samples at these indices, in one call where the dataset has ``__getitems__``."""
    together = getattr(dataset, "__getitems__", None)
    return together(indices) if callable(together) else [dataset[i] for i in indices]


def collated(dataset: Any, indices: list[int]) -> Any:
    """What ``default_collate`` would make of these samples, when that is one gather; else None."""
    asked = dataset
    while type(asked) is Subset:
        asked = asked.dataset
    if type(asked) is not TensorDataset or type(indices) is not list:
        return None
    while dataset is not asked:
        indices = [dataset.indices[i] for i in indices]
        dataset = dataset.dataset
    size = len(dataset)
    # What else may index a tensor (negative numbers, bools, tensors) is read sample by sample.
    plain = all(type(i) in _NUMBERS and 0 <= i < size for i in indices)
    return dataset.collated(indices) if plain and indices else None


def warn_of_length(stream: Any, announced: int | None, fetched: int, hint: str = "") -> None:
    """Warn once more has come of a stream than its ``__len__`` told a loader."""
    if announced is not None and fetched > announced:
        warn(
            f"Length of IterableDataset {stream} was reported to be {announced}(when accessing "
            f"len(dataloader)), but {fetched} samples have been fetched. {hint}",
        )


def random_split(
    dataset: Dataset[T], lengths: Sequence[float], generator: Any = None
) -> list[Subset[T]]:
    """Divide a dataset at random into parts that do not overlap.

    Args:
        dataset: the whole.
        lengths: sizes that sum to the dataset's, or fractions that sum to 1 (what rounding
            leaves over goes to the first parts, one each).
        generator: where the random numbers come from.

    Raises:
        ValueError: the lengths do not fit.
    """
    size = len(dataset)  # type: ignore[arg-type]
    total = sum(lengths)
    if math.isclose(total, 1) and total <= 1:
        for i, fraction in enumerate(lengths):
            if fraction < 0 or fraction > 1:
                raise ValueError(f"Fraction at index {i} is not between 0 and 1")
        counts = [math.floor(size * fraction) for fraction in lengths]
        for i in range(size - sum(counts)):
            counts[i % len(counts)] += 1
        for i, count in enumerate(counts):
            if count == 0:
                warn(
                    f"Length of split at index {i} is 0. This might result in an empty dataset.",
                )
        lengths = counts
    if sum(lengths) != size:
        raise ValueError("Sum of input lengths does not equal the length of the input dataset!")
    where = drawn_on(generator)
    indices = dovetail.randperm(size, generator=generator, device=where).tolist()
    ends = list(itertools.accumulate(int(length) for length in lengths))
    return [Subset(dataset, indices[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
