"""What a record's samples hold, element by element: columns of which any number may be made."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from dovetail import dtypes as d
from dovetail.ops.schema import OpDef, Sample
from dovetail_conformance.calls import samples_of

__all__ = ["Columns", "columns_of"]


class Columns(NamedTuple):
    """Operands of single elements that fit each other, and what they are called with.

    Attributes:
        arrays: one per operand, all of one length.
        places: which positional argument each is.
        args: the positional arguments; those at ``places`` are to be filled.
        kwargs: the keywords.
    """

    arrays: tuple[np.ndarray, ...]
    places: tuple[int, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def sample(self, arrays: tuple[Any, ...] | list[Any], name: str = "") -> Sample:
        """A call with these operands."""
        args = list(self.args)
        for i, array in zip(self.places, arrays, strict=True):
            args[i] = array
        return Sample(tuple(args), self.kwargs, name)

    def sized(self, n: int, name: str = "") -> Sample:
        """A call of ``n`` elements: the columns again and again."""
        return self.sample([np.resize(a, n) for a in self.arrays], name)


@functools.lru_cache(maxsize=64)
def columns_of(op: OpDef, dtype: d.dtype) -> tuple[Columns, ...]:
    """One for each set of numbers and keywords that an operator's samples go with.

    Those with the most arrays come first; the others have a number for an input.
    """
    found: dict[Any, tuple[Sample, tuple[int, ...], list[Any]]] = {}
    for sample in samples_of(op, dtype):
        places = tuple(i for i, a in enumerate(sample.args) if isinstance(a, np.ndarray))
        if not places or _holds_arrays(sample, places):
            continue
        arrays = [sample.args[i] for i in places]
        others = tuple(a for i, a in enumerate(sample.args) if i not in places)
        key = (places, tuple(a.dtype.str for a in arrays), repr((others, dict(sample.kwargs))))
        try:
            parts = np.broadcast_arrays(*arrays)
        except ValueError:  # no operator of single elements
            continue
        found.setdefault(key, (sample, places, []))[2].append(parts)
    made = [
        Columns(
            tuple(np.concatenate([p[i].reshape(-1) for p in parts]) for i in range(len(places))),
            places,
            tuple(None if i in places else a for i, a in enumerate(sample.args)),
            sample.kwargs,
        )
        for sample, places, parts in found.values()
    ]
    return tuple(sorted((c for c in made if c.arrays[0].size), key=lambda c: -len(c.places)))


def _holds_arrays(sample: Sample, places: tuple[int, ...]) -> bool:
    """Whether arrays stand anywhere else than in a place of their own."""
    rest = [a for i, a in enumerate(sample.args) if i not in places]
    return any(
        isinstance(a, np.ndarray)
        for x in (*rest, *sample.kwargs.values())
        for a in (x if isinstance(x, (list, tuple)) else (x,))
    )
