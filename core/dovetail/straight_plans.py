"""Plans whose code is written out for their inputs and outputs, where a loop would cost as much.

Which inputs are tensors and how many outputs there are is all that differs; so the code is compiled
once for each such pattern, as that of nodes is (see ``autograd/graph.py``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dovetail.autograd.mode import mode
from dovetail.autograd.record import Recorder

__all__ = ["MOST", "straight"]

MOST = 16
"""Inputs and outputs up to which a plan is written out."""

Run = Callable[..., Any]


def straight(
    kernel: Run, makers: list[Run], are_tensors: tuple[bool, ...], recorder: Recorder | None
) -> Run:
    """The plan of a kernel of a device of its own that takes its inputs as they are.

    Where there are several outputs it has an attribute ``first``, the plan for who wants the first
    one alone.

    Args:
        makers: one per output, each makes a new tensor.
        are_tensors: per input; what is no tensor is handed to the kernel.
        recorder: None where no gradient can be asked for.
    """
    record = None if recorder is None else recorder.attach
    count = len(makers)
    run: Run = _written(are_tensors, count, False)(kernel, record, mode, *makers)
    if count > 1:
        if recorder is not None and recorder.positions[0]:
            record = None
        run.first = _written(are_tensors, count, True)(kernel, record, mode, *makers)  # type: ignore[attr-defined]
    return run


@functools.cache
def _written(are_tensors: tuple[bool, ...], outputs: int, is_alone: bool) -> Callable[..., Run]:
    inputs = [f"x{i}" for i in range(len(are_tensors))]
    made = [f"t{i}" for i in range(outputs)]
    makers = [f"m{i}" for i in range(outputs)]
    places = [i for i, is_tensor in enumerate(are_tensors) if is_tensor]
    lines = []
    for i in places:
        lines += [f"a{i} = x{i}._array", f"if a{i} is None: a{i} = x{i}._materialize()"]
    lines += [f"{t} = {m}()" for t, m in zip(made, makers, strict=True)]
    arrays = [f"a{i}" if i in places else x for i, x in enumerate(inputs)]
    lines.append(f"kernel({', '.join([*arrays, *(f'{t}._array' for t in made)])})")
    everything = "".join(f"{t}, " for t in made)
    if places:
        lines += ["if record is not None:", *[f"    n{i} = x{i}._node" for i in places]]
        reached = " or ".join(f"n{i} is not None" for i in places)
        needs = "".join(
            f"n{i} is not None, " if t else "False, " for i, t in enumerate(are_tensors)
        )
        edges = "".join(f"n{i}, " if t else "None, " for i, t in enumerate(are_tensors))
        given = "".join(f"{x}, " for x in inputs)
        alone = ", is_alone=True" if is_alone else ""
        lines += [
            f"    if ({reached}) and mode.grad:",
            f"        record(({needs}), ({edges}), ({given}), ({everything}){alone})",
        ]
    lines.append(f"return {made[0] if outputs == 1 or is_alone else f'({everything})'}")
    body = "".join(f"        {line}\n" for line in lines)
    source = (
        f"def make(kernel, record, mode, {', '.join(makers)}):\n"
        f"    def run({', '.join(inputs)}):\n{body}    return run\n"
    )
    space: dict[str, Any] = {}
    exec(compile(source, "<dovetail plan>", "exec"), space)
    written: Callable[..., Run] = space["make"]
    return written
