"""Running statistics that batch_norm's own launch takes the batch's into."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dovetail.dtypes import dtype as DType
from dovetail_kernels.arrays import NO_OFFSETS, joined, placing

__all__ = ["RUNNING", "Running"]

RUNNING = 3
"""Their buffers: mean, variance, and the counter of batches."""


class Running:
    """Buffers and numbers that a kernel with HAS_RUNNING has besides its own.

    Args:
        facts: of ``batch_norm_train``.
        work: the dtype of the statistics.
        first: the position of these numbers among the kernel's.

    Attributes:
        numbers: what they are when the launch is made.
    """

    def __init__(self, facts: Any, work: DType, first: int) -> None:
        images, _, *size = facts.outputs[0].shape
        count = images * prod(size)
        self._unbiased = count / max(count - 1, 1)
        self._kind, self._first = np.dtype(work.numpy).type, first
        self.numbers = [NO_OFFSETS, joined((), 8, self._kind)]
        self._place = placing(RUNNING)
        self._known: tuple[Any, Any] = None, None

    def given(self, begins: Any, running: tuple[Any, ...], momentum: float) -> tuple[Any, Any]:
        """(the buffers, all numbers of a call: ``begins`` and these).

        The numbers are the same object where nothing has changed: a launch knows it again.

        Args:
            begins: the numbers of the kernel's own arrays.
            running: mean, variance, and the counter or None.
        """
        mean, var, counter = running
        counts = counter is not None
        buffers, places = self._place(mean, var, counter if counts else mean)
        follows = (momentum, counts, begins, places)
        known, numbers = self._known
        if known != follows:
            shares = (1 - momentum, momentum, momentum * self._unbiased, counts)
            values = places[0][1], joined(shares, 8, self._kind)
            numbers = (*begins, *enumerate(values, self._first))
            self._known = follows, numbers
        return buffers, numbers
