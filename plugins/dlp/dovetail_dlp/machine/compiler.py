"""From a trace to a program: like tiles become one step over all of them.

Two segments are alike if their instructions differ only in where they reach into GDRAM, by the same
distance each time. Then one NumPy call can do the instruction for all of them; each still has its
own on-chip memory, so results are those of one after another. What would not be is left alone:
tiles that pass values on in on-chip memory, or read what the one before wrote.
"""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple

from dovetail_dlp.chip.program import Chip, Global, Program, Step, Value
from dovetail_dlp.machine.settings import Machine
from dovetail_dlp.machine.tile import Argument, Buffer, Scalar, Tile
from dovetail_dlp.machine.timing import Cost, cost_of
from dovetail_dlp.machine.trace import Segment, Trace

__all__ = ["Compiled", "compile_trace"]

BATCH_BYTES = 4 << 20
"""On-chip memory that the tiles of one step may take together, so that it stays in a cache."""

_ALONE = {"store_scatter", "random"}  # instructions that look at one tile at a time
_ids = count(1)


class Compiled(NamedTuple):
    """A program and what is known of it.

    Attributes:
        number: its own, for the link.
        program: what the device runs.
        cost: of a launch.
        reads, writes: numbers of the arguments whose memory is read (before it is written), and
            written.
    """

    number: int
    program: Program
    cost: Cost
    reads: frozenset[int]
    writes: frozenset[int]


class _Described(NamedTuple):
    segment: Segment
    signature: tuple[Any, ...]
    offsets: tuple[int, ...]
    stores: tuple[int, ...]  # positions in offsets
    is_alone: bool


def compile_trace(machine: Machine, trace: Trace) -> Compiled:
    """The program of a finished trace."""
    # Task by task; what follows a sync_cluster() comes after all that is before one.
    segments = sorted((s for s in trace.segments if s.instructions), key=lambda s: s.phase)
    private, writers = _private_buffers(segments)
    canonical: dict[int, int] = {}
    kept = _without_repeats(segments, private, writers, canonical)
    layout = _Layout(private, canonical)
    groups: list[list[_Described]] = []
    for segment in kept:
        found = _describe(segment, private, canonical)
        if groups and _continues(groups[-1], found, layout):
            groups[-1].append(found)
        else:
            groups.append([found])
    steps = [step for group in groups for step in layout.steps(group)]
    cost = cost_of(machine, trace.events)
    program = Program(trace.name, steps, layout.size, cost.cycles)
    reads, writes = _touched(segments)
    return Compiled(next(_ids), program, cost, reads, writes)


def _touched(segments: list[Segment]) -> tuple[frozenset[int], frozenset[int]]:
    """Numbers of the arguments that are read before anything is written to them; that are
    written."""
    reads, writes = set(), set()
    for ins in (ins for segment in segments for ins in segment.instructions):
        for place in (*range(1, len(ins.operands)), 0):
            operand = ins.operands[place]
            if isinstance(operand, Tile) and isinstance(operand.home, Argument):
                number = operand.home.number
                if (place or ins.reads_out) and number not in writes:
                    reads.add(number)
                if not place:
                    writes.add(number)
    return frozenset(reads), frozenset(writes)


def _private_buffers(segments: list[Segment]) -> tuple[set[int], dict[int, set[int]]]:
    """Buffers that pass nothing from one segment to another, and who writes each."""
    shared: set[int] = set()
    seen: set[int] = set()
    writers: dict[int, set[int]] = {}
    for at, segment in enumerate(segments):
        written: set[int] = set()
        for ins in segment.instructions:
            for place in (*range(1, len(ins.operands)), 0):
                operand = ins.operands[place]
                if not isinstance(operand, Tile) or not isinstance(operand.home, Buffer):
                    continue
                number = operand.home.number
                seen.add(number)
                is_write = place == 0 and ins.name != "check_range"
                if is_write:
                    writers.setdefault(number, set()).add(at)
                if number in written or number in segment.made:
                    continue
                whole = operand.is_dense and operand.nbytes == operand.home.nbytes
                if is_write and whole and not ins.reads_out:
                    written.add(number)
                else:
                    shared.add(number)
    return seen - shared, writers


def _without_repeats(
    segments: list[Segment],
    private: set[int],
    writers: dict[int, set[int]],
    canonical: dict[int, int],
) -> list[Segment]:
    """Drop what a task loads that an earlier task has loaded: nobody writes to it later."""
    known: dict[Any, list[int]] = {}
    kept = []
    stored = {
        ins.operands[0].home.number
        for s in segments
        for ins in s.instructions
        if isinstance(ins.operands[0], Tile) and isinstance(ins.operands[0].home, Argument)
    }
    for at, segment in enumerate(segments):
        made = sorted(segment.made)
        outer = [n for n in made if n not in private]
        plain = outer and all(writers.get(n, set()) <= {at} for n in made)
        for ins in segment.instructions:
            for place, operand in enumerate(ins.operands):
                if isinstance(operand, Tile) and isinstance(operand.home, Argument):
                    plain = plain and place > 0 and operand.home.number not in stored
                elif isinstance(operand, Tile):
                    plain = plain and operand.home.number in segment.made
        if plain:
            found = _describe(segment, segment.made, {})
            key = (found.signature, found.offsets)
            if key in known:
                canonical.update(zip(made, known[key], strict=True))
                continue
            known[key] = made
        kept.append(segment)
    return kept


def _describe(segment: Segment, private: set[int], canonical: dict[int, int]) -> _Described:
    places: dict[int, int] = {}
    signature: list[Any] = []
    offsets: list[int] = []
    stores: list[int] = []
    loaded: dict[int, list[Any]] = {}
    is_alone = False
    for ins in segment.instructions:
        parts: list[Any] = [ins.name, ins.parameters]
        is_alone = is_alone or ins.name in _ALONE
        for place, operand in enumerate(ins.operands):
            if isinstance(operand, Tile):
                where = (operand.shape, operand.strides, operand.dtype)
                if isinstance(operand.home, Argument):
                    number = operand.home.number
                    if place == 0:
                        stores.append(len(offsets))
                        # Reading what this tile writes elsewhere may be reading a neighbour's.
                        known = loaded.get(number, [])
                        is_alone = is_alone or any(k != (operand.offset, *where) for k in known)
                    else:
                        loaded.setdefault(number, []).append((operand.offset, *where))
                    offsets.append(operand.offset)
                    parts.append(("g", number, *where))
                    continue
                number = canonical.get(operand.home.number, operand.home.number)
                if number in private:
                    key: Any = ("l", places.setdefault(number, len(places)))
                else:
                    key = ("x", number)
                    is_alone = is_alone or (place == 0 and ins.name != "check_range")
                parts.append((*key, operand.offset, *where))
            elif isinstance(operand, Scalar):
                parts.append(("s", operand.number, operand.constant))
            else:
                # 0.0 and -0.0 are equal, and 1 and True; what they do is not.
                parts.append(("i", repr(operand)))
        signature.append(tuple(parts))
    return _Described(segment, tuple(signature), tuple(offsets), tuple(stores), is_alone)


def _continues(group: list[_Described], found: _Described, layout: _Layout) -> bool:
    """Whether a segment is one more of a group."""
    last = group[-1]
    if found.is_alone or last.is_alone or found.signature != last.signature:
        return False
    if (len(group) + 1) * layout.bytes_of(group[0]) > BATCH_BYTES:
        return False
    moved = [b - a for a, b in zip(last.offsets, found.offsets, strict=True)]
    if any(moved[i] == 0 for i in found.stores) or any(m < 0 for m in moved):
        return False
    if len(group) > 1:
        before = group[-2].offsets
        return moved == [b - a for a, b in zip(before, last.offsets, strict=True)]
    return True


def _rounded(nbytes: int) -> int:
    return -(-nbytes // 64) * 64


class _Layout:
    """Where buffers are in the simulation's memory: those that tasks keep first, then a step's."""

    def __init__(self, private: set[int], canonical: dict[int, int]) -> None:
        self.private, self.canonical = private, canonical
        self.kept: dict[int, int] = {}
        self.top = self.size = 0
        self._sizes: dict[int, int] = {}

    def _locals(self, one: _Described) -> dict[int, int]:
        """Bytes of the buffers that are the segment's own."""
        found: dict[int, int] = {}
        for ins in one.segment.instructions:
            for operand in ins.operands:
                if isinstance(operand, Tile) and isinstance(operand.home, Buffer):
                    number = self.canonical.get(operand.home.number, operand.home.number)
                    nbytes = _rounded(operand.home.nbytes)
                    if number in self.private:
                        found[number] = nbytes
                    elif number not in self.kept:
                        self.kept[number] = self.top
                        self.top += nbytes
        return found

    def bytes_of(self, one: _Described) -> int:
        """On-chip memory that one tile takes."""
        key = id(one.segment)
        if key not in self._sizes:
            self._sizes[key] = sum(self._locals(one).values())
        return self._sizes[key]

    def steps(self, group: list[_Described]) -> list[Step]:
        """The steps of a group of like segments."""
        first, batch = group[0], len(group)
        sizes = self._locals(first)
        moved = [0] * len(first.offsets)
        if batch > 1:
            moved = [b - a for a, b in zip(first.offsets, group[1].offsets, strict=True)]
        places: dict[int, tuple[int, int]] = {}
        end = self.top
        for number, nbytes in sizes.items():
            places[number] = (end, nbytes)
            end += nbytes * batch
        self.size = max(self.size, end)
        steps, reached = [], 0
        for ins in first.segment.instructions:
            operands: list[Any] = []
            kind = next(o.dtype.numpy for o in ins.operands if isinstance(o, Tile))
            for operand in ins.operands:
                if isinstance(operand, Tile):
                    shape = (batch, *operand.shape)
                    own = operand.dtype.numpy
                    if isinstance(operand.home, Argument):
                        strides = (moved[reached], *operand.strides)
                        reached += 1
                        operands.append(
                            Global(operand.home.number, operand.offset, shape, strides, own)
                        )
                        continue
                    number = self.canonical.get(operand.home.number, operand.home.number)
                    at, step = places.get(number) or (self.kept[number], 0)
                    operands.append(Chip(at + operand.offset, shape, (step, *operand.strides), own))
                elif isinstance(operand, Scalar):
                    operands.append(Value(operand.number, operand.constant, _kind(ins, kind)))
                else:
                    operands.append(Value(None, operand, _kind(ins, kind)))
            steps.append(Step(ins.name, ins.parameters, tuple(operands)))
        return steps


def _kind(ins: Any, kind: Any) -> Any:
    """The dtype of a number among operands: that of the tiles that it is computed with."""
    if ins.name in ("random", "index"):
        return None
    if ins.name.startswith("vector_"):
        tiles = [o for o in ins.operands[1:] if isinstance(o, Tile)]
        if ins.name == "vector_where":
            return ins.operands[0].dtype.numpy
        return tiles[0].dtype.numpy if tiles else kind
    return kind
