"""Plans whose code is written out for their inputs and outputs, where a loop would cost as much.

Which inputs are tensors, how many outputs there are and which of them get a node is all that
differs; so the code is compiled once for each such pattern, as that of nodes is (see
``autograd/graph.py``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dovetail.autograd.graph import JointNode, Node, OutputNode, next_sequence
from dovetail.autograd.mode import mode
from dovetail.autograd.record import Recorder

__all__ = ["MOST", "straight"]

MOST = 16
"""Inputs and outputs up to which a plan is written out."""

Run = Callable[..., Any]


def straight(
    kernel: Run,
    makers: list[Run],
    are_tensors: tuple[bool, ...],
    recorder: Recorder | None,
    more: int = 0,
    rest: Run | None = None,
) -> Run:
    """The plan of a kernel of a device of its own that takes its inputs as they are.

    Where there are several outputs it has an attribute ``first``, the plan for who wants the first
    one alone.

    Args:
        makers: one per output, each makes a new tensor.
        are_tensors: per input; what is no tensor is handed to the kernel.
        recorder: None where no gradient can be asked for.
        more: arguments after the inputs, which are handed to the kernel.
        rest: for ``first``, whose caller sees no other output: makes all of those.
    """
    count = len(makers)
    positions = () if recorder is None else recorder.positions
    is_single = recorder is not None and recorder.is_single

    def written(*, is_alone: bool) -> Run:
        reached = tuple([i for i in positions if i == 0 or not is_alone])
        joins = is_alone and rest is not None
        make = _written(are_tensors, count, reached, is_single, is_alone, more, joins)
        return make(kernel, recorder, *([makers[0], rest] if joins else makers))

    run = written(is_alone=False)
    if count > 1:
        run.first = written(is_alone=True)  # type: ignore[attr-defined]
    return run


@functools.cache
def _written(
    are_tensors: tuple[bool, ...],
    outputs: int,
    recorded: tuple[int, ...],
    is_single: bool,
    is_alone: bool,
    more: int,
    joins: bool,
) -> Callable[..., Run]:
    """Makes the plan of a kernel, a recorder and makers.

    Args:
        recorded: the outputs that get a node.
        is_single: it is the call's own node, for no other output ever has one.
        is_alone: nobody gets to see any output but the first.
        joins: the outputs but the first have one maker.
    """
    inputs = [f"x{i}" for i in range(len(are_tensors))]
    further = [f"e{i}" for i in range(more)]
    made = [f"t{i}" for i in range(outputs)]
    makers = [f"m{i}" for i in range(2 if joins else outputs)]
    places = [i for i, is_tensor in enumerate(are_tensors) if is_tensor]
    lines = []
    for i in places:
        lines += [f"a{i} = x{i}._array", f"if a{i} is None: a{i} = x{i}._materialize()"]
    targets = [made[0], "".join(f"{t}, " for t in made[1:])] if joins else made
    lines += [f"{target} = {m}()" for target, m in zip(targets, makers, strict=True)]
    arrays = [f"a{i}" if i in places else x for i, x in enumerate(inputs)]
    lines.append(f"kernel({', '.join([*arrays, *further, *(f'{t}._array' for t in made)])})")
    if places and recorded:
        lines += [f"n{i} = x{i}._node" for i in places]
        lines.append(f"if ({' or '.join(f'n{i} is not None' for i in places)}) and mode.grad:")
        recording = _recording(are_tensors, [*inputs, *made], recorded, is_single, is_alone)
        lines += [f"    {line}" for line in recording]
    everything = "".join(f"{t}, " for t in made)
    lines.append(f"return {made[0] if outputs == 1 or is_alone else f'({everything})'}")
    body = "".join(f"        {line}\n" for line in lines)
    source = (
        f"def make(kernel, recorder, {', '.join(makers)}):\n"
        "    infos = info_of = None\n"
        "    if recorder is not None: infos, info_of = recorder.infos, recorder.info\n"
        f"    def run({', '.join([*inputs, *further])}):\n{body}    return run\n"
    )
    space = {
        "Kind": Node if is_single else JointNode,
        "OutputNode": OutputNode,
        "mode": mode,
        "new": object.__new__,
        "next_sequence": next_sequence,
    }
    exec(compile(source, "<dovetail plan>", "exec"), space)
    written: Callable[..., Run] = space["make"]  # type: ignore[assignment]
    return written


def _recording(
    are_tensors: tuple[bool, ...],
    names: list[str],
    recorded: tuple[int, ...],
    is_single: bool,
    is_alone: bool,
) -> list[str]:
    """What :meth:`Recorder.record` does; ``names`` are those of all inputs and outputs."""
    count = len(are_tensors)
    needs = "".join(f"n{i} is not None, " if t else "False, " for i, t in enumerate(are_tensors))
    edges = "".join(f"n{i}, " if t else "None, " for i, t in enumerate(are_tensors))
    lines = [
        f"info = infos.get(({needs})) or info_of(({needs}))",
        "if info.has_gradients:",
        "    node = new(Kind)",
        "    node.info = info",
        "    node.sequence = next_sequence()",
        f"    node.next = ({edges})",
        f"    keep = info.keep{'_first' if is_alone else ''}",
        f"    node.saved = () if keep is None else keep(info, {', '.join(names)})",
    ]
    if is_single:
        return [*lines, f"    {names[count + recorded[0]]}._node = node"]
    lines.append(f"    node.outputs = {len(names) - count}")
    for i in recorded:
        lines += [
            "    part = new(OutputNode)",
            f"    part.parent, part.index, part.sequence = node, {i}, next_sequence()",
            f"    {names[count + i]}._node = part",
        ]
    return lines
