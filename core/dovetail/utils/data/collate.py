"""Making one batch of many samples: ``default_collate`` and its parts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

import dovetail
from dovetail.tensor import Tensor

__all__ = [
    "collate", "default_collate", "default_collate_fn_map", "default_convert", "rebuilt_mapping",
    "rebuilt_sequence",
]  # fmt: skip

CollateMap = Mapping[Any, Callable[..., Any]]


def collate(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Join samples: leaves by the function of their type, containers entry by entry.

    Args:
        batch: the samples, all built alike.
        collate_fn_map: type (or tuple of types) -> ``function(batch, *, collate_fn_map)``.

    Raises:
        TypeError: a sample of a type that nobody joins.
        RuntimeError: sequences of different lengths.
    """
    first = batch[0]
    kind = type(first)
    table = collate_fn_map or {}
    function = table.get(kind) or next(
        (join for types, join in table.items() if isinstance(first, types)), None
    )
    if function is not None:
        return function(batch, collate_fn_map=collate_fn_map)

    def join(samples: Sequence[Any]) -> Any:
        return collate(samples, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        return rebuilt_mapping(first, {key: join([d[key] for d in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*(join(samples) for samples in zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [join(samples) for samples in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else rebuilt_sequence(first, columns)
    raise _refused(kind)


def _refused(kind: Any) -> TypeError:
    return TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {kind}"
    )


def rebuilt_mapping(like: Mapping[Any, Any], entries: dict[Any, Any]) -> Any:
    """A mapping of the type of ``like``; a plain dict where that type cannot be built this way."""
    try:
        if isinstance(like, MutableMapping):
            made = copy.copy(like)
            made.update(entries)
            return made
        return type(like)(entries)  # type: ignore[call-arg]
    except TypeError:
        return entries


def rebuilt_sequence(like: Sequence[Any], entries: list[Any]) -> Any:
    """A sequence of the type of ``like``; a list where that type cannot be built this way."""
    try:
        if isinstance(like, MutableSequence):
            made = copy.copy(like)
            for i, entry in enumerate(entries):
                made[i] = entry
            return made
        return type(like)(entries)  # type: ignore[call-arg]
    except TypeError:
        return entries


def _collate_tensors(
    batch: Sequence[Tensor], *, collate_fn_map: CollateMap | None = None
) -> Tensor:
    return dovetail.stack(list(batch), 0)


def _collate_arrays(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    if batch[0].dtype.kind in "SUOV":
        raise _refused(batch[0].dtype)
    return collate([dovetail.as_tensor(b) for b in batch], collate_fn_map=collate_fn_map)


def _collate_array_scalars(
    batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None
) -> Tensor:
    return dovetail.as_tensor(np.asarray(batch))


def _collate_floats(batch: Sequence[float], *, collate_fn_map: CollateMap | None = None) -> Tensor:
    return dovetail.tensor(batch, dtype=dovetail.float64)


def _collate_ints(batch: Sequence[int], *, collate_fn_map: CollateMap | None = None) -> Tensor:
    return dovetail.tensor(batch)


def _collate_strings(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    return batch


#: type -> how its samples are joined; a program may add its own types here.
default_collate_fn_map: dict[Any, Callable[..., Any]] = {
    Tensor: _collate_tensors,
    np.ndarray: _collate_arrays,
    (np.bool_, np.number, np.object_): _collate_array_scalars,
    float: _collate_floats,
    int: _collate_ints,
    str: _collate_strings,
    bytes: _collate_strings,
}


def default_collate(batch: Sequence[Any]) -> Any:
    """Join samples into a batch with one more dim in front.

    Tensors are stacked; arrays and numbers become tensors (Python floats float64); strings stay;
    mappings, sequences and named tuples are joined entry by entry (tuples become lists).

    >>> from dovetail.utils.data import default_collate
    >>> default_collate([{"a": 0}, {"a": 100}])
    {'a': tensor([  0, 100])}
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def default_convert(data: Any) -> Any:
    """Turn arrays into tensors, inside containers too; everything else stays as it is."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return data if data.dtype.kind in "SUOV" else dovetail.as_tensor(data)
    if isinstance(data, Mapping):
        return rebuilt_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(entry) for entry in data))
    if isinstance(data, tuple):
        return [default_convert(entry) for entry in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return rebuilt_sequence(data, [default_convert(entry) for entry in data])
    return data
