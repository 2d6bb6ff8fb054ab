"""Which addresses of a device's memory are taken: first fit, neighbours joined."""

from __future__ import annotations

import bisect

__all__ = ["Blocks"]

STEP = 512


class Blocks:
    """Addresses ``base`` to ``base + size``.

    Example:
        >>> blocks = Blocks(0, 4096)
        >>> blocks.take(1000), blocks.take(10), blocks.take(4096)
        (0, 1024, None)
        >>> blocks.give(0)
        1024
        >>> blocks.free
        3584
    """

    def __init__(self, base: int, size: int) -> None:
        self.base, self.size = base, size
        self.taken: dict[int, int] = {}
        self._gaps: list[tuple[int, int]] = [(base, size)]

    @property
    def free(self) -> int:
        """Bytes that are not taken."""
        return sum(n for _, n in self._gaps)

    def take(self, nbytes: int) -> int | None:
        """The address of ``nbytes`` bytes; None: no gap is large enough."""
        need = max(STEP, -(-nbytes // STEP) * STEP)
        for at, (start, length) in enumerate(self._gaps):
            if length >= need:
                if length == need:
                    del self._gaps[at]
                else:
                    self._gaps[at] = (start + need, length - need)
                self.taken[start] = need
                return start
        return None

    def give(self, address: int) -> int:
        """Bytes that are free again from here on.

        Raises:
            KeyError: nothing was taken there.
        """
        length = given = self.taken.pop(address)
        at = bisect.bisect(self._gaps, (address, 0))
        if at < len(self._gaps) and self._gaps[at][0] == address + length:
            length += self._gaps.pop(at)[1]
        if at and sum(self._gaps[at - 1]) == address:
            address, before = self._gaps.pop(at - 1)
            length, at = length + before, at - 1
        self._gaps.insert(at, (address, length))
        return given

    def holding(self, address: int) -> int | None:
        """The start of the taken block that has ``address`` in it."""
        starts = sorted(self.taken)
        at = bisect.bisect_right(starts, address) - 1
        if at < 0 or address >= starts[at] + self.taken[starts[at]]:
            return None
        return starts[at]
