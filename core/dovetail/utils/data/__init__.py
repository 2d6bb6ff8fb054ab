"""Datasets, samplers and the loader that makes batches (PyTorch's ``torch.utils.data``)."""

from typing import TYPE_CHECKING, Any

from dovetail.utils.data.collate import (
    collate,
    default_collate,
    default_collate_fn_map,
    default_convert,
)
from dovetail.utils.data.dataloader import DataLoader, get_worker_info
from dovetail.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from dovetail.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "collate",
    "default_collate",
    "default_collate_fn_map",
    "default_convert",
    "get_worker_info",
    "random_split",
]

if not TYPE_CHECKING:  # a checker knows the names that there are

    def __getattr__(name: str) -> Any:
        from dovetail.near_names import AbsentName

        raise AbsentName(__name__, name)
