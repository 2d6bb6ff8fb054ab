"""Running statistics that batch_norm's own launch takes the batch's into."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import MET, joined, placing

__all__ = ["RUNNING", "Running"]

RUNNING = 3
"""Their buffers: mean, variance, and the counter of batches."""


class Running:
    """Buffers and numbers that a kernel with HAS_RUNNING has besides its own: six arrays, whose
    offsets and those of the statistics are its first number.

    Args:
        facts: of ``batch_norm_train``.
        work: the dtype of the statistics.
        first: the position of these numbers among the kernel's.

    Attributes:
        numbers: what they are when the launch is made: where the counter is, and the shares.
        place: see :func:`placing`.
    """

    def __init__(self, facts: Any, work: DType, first: int) -> None:
        images, _, *size = facts.outputs[0].shape
        count = images * prod(size)
        self._unbiased = count / max(count - 1, 1)
        self._kind, self._first = np.dtype(work.numpy).type, first
        self.numbers = [np.uint64(0), joined((), 8, self._kind)]
        self.place = placing(8, counter=first)
        self._known: tuple[Any, float, bool] = None, 0.0, False
        self._given: Any = None
        self._size = work.itemsize
        self._usual: dict[float, Any] = {}

    def given(self, begins: Any, momentum: float, counts: bool) -> Any:
        """The numbers of a call; where nothing has changed the same object, which a launch knows.

        Args:
            begins: what :attr:`place` found of the kernel's arrays and these.
            counts: there is a counter; else another array stands for it.
        """
        known = self._known
        if begins is not known[0] or momentum != known[1] or counts is not known[2]:
            shares = self._shares(momentum, counts)
            self._given = (*begins, (self._first + 1, shares))
            self._known = begins, momentum, counts
        return self._given

    def _shares(self, momentum: float, counts: bool) -> Any:
        shares = (1 - momentum, momentum, momentum * self._unbiased, counts)
        return joined(shares, 8, self._kind)

    def usual(self, behind: int, momentum: float) -> Any:
        """The numbers of a call whose arrays all begin with their buffers, but for the batch's
        variance, which begins ``behind`` bytes after its mean; for each momentum one object.

        Written so that a call that comes again asks a dictionary alone.
        """
        found = self._usual.get(momentum)
        if found is None:
            if len(self._usual) >= MET:
                self._usual.clear()
            begins = [0, 0, behind // self._size, 0, 0, 0, 0, 0]
            found = self._usual[momentum] = (
                (0, np.array(begins, np.uint64)),
                (self._first, np.uint64(0)),
                (self._first + 1, self._shares(momentum, True)),
            )
        return found
