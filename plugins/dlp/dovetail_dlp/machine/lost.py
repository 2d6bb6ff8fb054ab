"""What was in memory before a reset is gone; tensors that had it there must not read garbage."""

from __future__ import annotations

from typing import Any

from dovetail_dlp.machine.blocks import Blocks
from dovetail_dlp.machine.compiler import Compiled
from dovetail_dlp.machine.errors import DeviceError

__all__ = ["Lost"]


class Lost:
    """Blocks whose contents a reset has lost, until they are written again.

    Args:
        device: for messages, such as ``dlp:0``.
        blocks: what was taken when the device was reset.
    """

    def __init__(self, device: str, blocks: Blocks) -> None:
        self.device, self.blocks = device, blocks
        self.starts = set(blocks.taken)

    def __bool__(self) -> bool:
        return bool(self.starts)

    def check(self, program: Compiled, values: list[Any]) -> None:
        """Before a launch: refuse to read what was lost, note what is written."""
        for number in program.reads:
            self.read(program.program.name, values[number])
        for number in program.writes:
            self.written(values[number])

    def read(self, name: str, address: int) -> None:
        """Refuse to read from a lost block.

        Raises:
            DeviceError: it is one.
        """
        if self.blocks.holding(address) in self.starts:
            raise DeviceError(
                f"{name}: the tensor was on {self.device} when that was reset, and its contents "
                "are lost; load it again from a checkpoint or from the host"
            )

    def written(self, address: int) -> None:
        """The block has contents again."""
        self.starts.discard(self.blocks.holding(address) or -1)
