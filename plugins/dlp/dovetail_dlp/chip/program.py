"""A compiled kernel: instructions on fixed places in on-chip memory and on arguments in GDRAM.

Instructions of several tiles that are the same but for where they read and write are one step over
a leading dim (``batch``). That changes nothing but the time that the simulation takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from dovetail_dlp.chip.instructions import INSTRUCTIONS

__all__ = ["Chip", "Global", "Program", "Step", "Value"]


class Chip(NamedTuple):
    """A place in on-chip memory; strides in bytes, the first between tiles."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    kind: np.dtype


class Global(NamedTuple):
    """A place ``offset`` bytes after the address that argument ``number`` has."""

    number: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    kind: np.dtype


class Value(NamedTuple):
    """A number: constant, or argument ``number``; None for ``kind``: as Python has it."""

    number: int | None
    constant: Any
    kind: np.dtype | None


class Step(NamedTuple):
    """One instruction for one or more tiles; the first operand is written."""

    name: str
    parameters: tuple[Any, ...]
    operands: tuple[Any, ...]


@dataclass
class Program:
    """Steps in order.

    Attributes:
        name: the kernel's, for errors.
        steps: what is done.
        scratch: bytes of simulated on-chip memory that the steps use.
        cycles: what a launch takes.
    """

    name: str
    steps: list[Step]
    scratch: int
    cycles: float
    _code: list[Any] = field(default_factory=list)

    def prepare(self) -> None:
        """Make views of on-chip memory once, and functions of the instructions."""
        chip = _scratch(self.scratch)
        for step in self.steps:
            function = INSTRUCTIONS[step.name](*step.parameters)
            operands: list[Any] = []
            late = []
            for i, operand in enumerate(step.operands):
                if isinstance(operand, Chip):
                    operands.append(
                        np.ndarray(
                            operand.shape, operand.kind, chip, operand.offset, operand.strides
                        )
                    )
                elif isinstance(operand, Value) and operand.number is None:
                    operands.append(_number(operand.constant, operand.kind))
                else:
                    operands.append(None)
                    late.append((i, operand))
            self._code.append((function, operands, late))

    def run(self, memory: Any, base: int, values: tuple[Any, ...]) -> None:
        """Do all steps; ``values`` are the arguments: addresses and numbers."""
        with np.errstate(all="ignore"):
            for function, operands, late in self._code:
                if late:
                    operands = operands.copy()
                    for i, operand in late:
                        if type(operand) is Global:
                            number, offset, shape, strides, kind = operand
                            place = values[number] - base + offset
                            operands[i] = np.ndarray(shape, kind, memory, place, strides)
                        else:
                            operands[i] = _number(values[operand.number], operand.kind)
                            if operand.constant:
                                operands[i] = operands[i] + operand.constant
                function(*operands)

    def reads(self, values: tuple[Any, ...]) -> Any:
        """(address, bytes) of what is read from GDRAM."""
        for step in self.steps:
            for operand in step.operands[1:]:
                if isinstance(operand, Global) and all(operand.shape):
                    steps = zip(operand.shape, operand.strides, strict=True)
                    span = operand.kind.itemsize + sum((n - 1) * s for n, s in steps)
                    yield values[operand.number] + operand.offset, span


_scratches: list[np.ndarray] = []


def _scratch(size: int) -> np.ndarray:
    """On-chip memory, simulated: programs run one at a time, so all share it."""
    if not _scratches or _scratches[-1].nbytes < size:
        _scratches[:] = [np.zeros(max(size, 8 << 20), np.uint8)]
    return _scratches[-1]


def _number(value: Any, kind: np.dtype | None) -> Any:
    if kind is None:
        return value
    if kind.kind in "iu":
        return np.array(value).astype(kind)[()]
    return np.asarray(value, kind)[()]
