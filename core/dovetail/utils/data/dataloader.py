"""``DataLoader``: a dataset in batches (PyTorch's ``torch.utils.data.DataLoader``)."""

from __future__ import annotations

import functools
import itertools
import multiprocessing.context
import os
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dovetail.device_modules import accelerator
from dovetail.utils.data.collate import default_collate, default_convert
from dovetail.utils.data.dataset import IterableDataset, collated, samples_of, warn_of_length
from dovetail.utils.data.pin import pin_memory as pinned
from dovetail.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from dovetail.utils.data.workers import WorkerIterator, draw_seed, get_worker_info
from dovetail.warning import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from dovetail.utils.data.dataset import Dataset

__all__ = ["DataLoader", "get_worker_info"]

T = TypeVar("T", covariant=True)

_FIXED = frozenset(
    ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
)


class DataLoader(Generic[T]):
    """Batches of a dataset, in an order that a sampler decides, read here or by other processes.

    What workers make is in host memory. Where processes do not fork (``spawn``), the dataset and
    the functions given here are pickled.

    Args:
        dataset: map-style (``__getitem__``, ``__len__``) or an ``IterableDataset``.
        batch_size: samples per batch; None: single samples, not joined.
        shuffle: a new random order at each pass.
        sampler: the order of indices, instead of ``shuffle``.
        batch_sampler: lists of indices, instead of ``batch_size``, ``shuffle``, ``sampler`` and
            ``drop_last``.
        num_workers: processes that read; 0: this one does.
        collate_fn: makes a batch of a list of samples; ``default_collate`` if None.
        pin_memory: give tensors in page-locked memory of the accelerator, so that
            ``to(device, non_blocking=True)`` of them does not wait.
        drop_last: leave out a last batch that is shorter.
        timeout: seconds to wait for a worker; 0: for ever, the only choice without workers.
        worker_init_fn: called with its number in each worker, before it reads.
        multiprocessing_context: of ``multiprocessing``, or the name of a way to start processes.
        generator: where the random numbers of ``shuffle`` come from.
        prefetch_factor: batches that each worker reads ahead; 2 if None.
        persistent_workers: keep the workers from one pass to the next.
        pin_memory_device: not used; it is the current accelerator's.
        in_order: False: batches come as workers have them.

    Warns:
        UserWarning: more workers than processors; a stream that is longer than it said;
            ``pin_memory`` without an accelerator.

    Raises:
        ValueError: options that exclude each other, in PyTorch's words.
        AssertionError: when a pass begins, a timeout without workers.
        RuntimeError: a worker died, or took longer than ``timeout``; what it raised is raised here,
            with its trace in the message.

    >>> import dovetail as dt
    >>> data = dt.utils.data.TensorDataset(dt.arange(5))
    >>> [batch[0].tolist() for batch in dt.utils.data.DataLoader(data, batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    _is_initialized = False
    _workers: WorkerIterator | None = None

    def __init__(
        self,
        dataset: Dataset[T] | Sequence[T],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self._is_stream = isinstance(dataset, IterableDataset)
        if self._is_stream:
            for name, value in (("sampler", sampler), ("batch_sampler", batch_sampler)):
                if value is not None:
                    raise ValueError(_unspecified(name, value))
            if shuffle not in (False, None):
                raise ValueError(_unspecified("shuffle", shuffle))
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, "
                    "sampler, and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )
        if sampler is None:
            if self._is_stream:
                sampler = itertools.repeat(None)
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn
        self.num_workers = num_workers
        self.multiprocessing_context = multiprocessing_context
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self._announced_length: int | None = None
        self._is_initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_initialized and name in _FIXED:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        if name == "multiprocessing_context":
            value = _context(value, self.num_workers)
        super().__setattr__(name, value)

    @property
    def _index_sampler(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    @property
    def _reads(self) -> Callable[[], _Reads]:
        return functools.partial(
            _Reads, self.dataset, self._is_stream, self.batch_size, self.drop_last,
            self.batch_sampler is not None, self.collate_fn,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Any]:
        give = self._pinning()
        if not self.num_workers:
            if self.timeout:
                raise AssertionError("DataLoader: timeout needs num_workers > 0")
            return _Iterator(self, give)
        if self._workers is not None:
            self._workers.begin()
            return self._workers
        workers = WorkerIterator(self, self._reads, give)
        if self.persistent_workers:
            self._workers = workers
        return workers

    def _pinning(self) -> Callable[[Any], Any] | None:
        """What is done to a batch before it is given."""
        if not self.pin_memory:
            return None
        if self.pin_memory_device:
            warn(
                "pin_memory_device is deprecated, the current accelerator will be used as the "
                f"device,ignore pin_memory_device='{self.pin_memory_device}'.",
            )
        if not accelerator.is_available():
            warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device "
                "pinned memory won't be used.",
            )
            return None
        return pinned

    def __len__(self) -> int:
        """Batches per pass (an estimate for an ``IterableDataset``, from its ``__len__``)."""
        if not self._is_stream:
            return len(self._index_sampler)
        length = self._announced_length = len(self.dataset)
        if self.batch_size is None:
            return length
        spare = 0 if self.drop_last else self.batch_size - 1
        return (length + spare) // self.batch_size


def _unspecified(name: str, value: Any) -> str:
    return (
        f"DataLoader with IterableDataset: expected unspecified {name} option, "
        f"but got {name}={value}"
    )


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool
) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable "
            "multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers > 0:
        if prefetch_factor is not None and prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        usable = _processors()
        if num_workers > usable:
            warn(
                f"This DataLoader will create {num_workers} worker processes in total. Our "
                f"suggested max number of worker in current system is {usable}, which is smaller "
                "than what this DataLoader is going to create. Please be aware that excessive "
                "worker creation might get DataLoader running slow or even freeze, lower the "
                "worker number to avoid potential slowness/freeze if necessary.",
            )
        return
    if prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if persistent:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _context(option: Any, num_workers: int) -> Any:
    """The way to start processes that ``multiprocessing_context`` names.

    Raises:
        ValueError: there is no such way, or nothing to start.
        TypeError: neither a name nor a context.
    """
    if option is None:
        return None
    if not num_workers:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading "
            f"(num_workers > 0), but got num_workers={num_workers}"
        )
    if isinstance(option, str):
        ways = multiprocessing.get_all_start_methods()
        if option not in ways:
            raise ValueError(
                f"multiprocessing_context option should specify a valid start method in {ways!r}, "
                f"but got multiprocessing_context={option!r}"
            )
        return multiprocessing.get_context(option)
    if not isinstance(option, multiprocessing.context.BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string "
            f"specifying the start method, but got multiprocessing_context={option}"
        )
    return option


def _processors() -> int:
    """How many this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Reads:
    """Reads batches: what an iterator does here, and what each worker does in its process."""

    def __init__(
        self, dataset: Any, is_stream: bool, batch_size: int | None, drop_last: bool,
        is_batched: bool, collate_fn: Callable[[Any], Any],
    ) -> None:  # fmt: skip
        self._dataset, self._collate = dataset, collate_fn
        self._samples = iter(dataset) if is_stream else None
        self._batch_size, self._drop_last, self._is_batched = batch_size, drop_last, is_batched
        self.fetched = 0

    def __call__(self, index: Any) -> Any:
        """The batch of these indices; of a stream, the next one.

        Raises:
            StopIteration: the stream has ended.
        """
        if self._samples is not None:
            return self._next(self._samples)
        if not self._is_batched:
            return self._collate(self._dataset[index])
        if self._collate is default_collate:
            batch = collated(self._dataset, index)
            if batch is not None:
                return batch
        return self._collate(samples_of(self._dataset, index))

    def _next(self, stream: Iterator[Any]) -> Any:
        if self._batch_size is None:
            sample = next(stream)
            self.fetched += 1
            return self._collate(sample)
        samples = list(itertools.islice(stream, self._batch_size))
        if not samples or (self._drop_last and len(samples) < self._batch_size):
            raise StopIteration
        self.fetched += len(samples)
        return self._collate(samples)


class _Iterator:
    """One pass in this process."""

    def __init__(self, loader: DataLoader[Any], give: Callable[[Any], Any] | None) -> None:
        self._loader, self._give = loader, give
        draw_seed(loader.generator)  # as with workers, or these would change what comes after
        self._indices = iter(loader._index_sampler)
        self._read = loader._reads()
        self._announced = loader._announced_length

    def __iter__(self) -> _Iterator:
        return self

    def __len__(self) -> int:
        return len(self._loader)

    def __next__(self) -> Any:
        batch = self._read(next(self._indices))
        warn_of_length(self._loader.dataset, self._announced, self._read.fetched)
        return batch if self._give is None else self._give(batch)
