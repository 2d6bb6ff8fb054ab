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

    Args:
        makers: one per output, each makes a new tensor.
        are_tensors: per input; what is no tensor is handed to the kernel.
        recorder: None where no gradient can be asked for.
    """
    record = None if recorder is None else recorder.attach
    made: Run = _written(are_tensors, len(makers))(kernel, record, mode, *makers)
    return made


@functools.cache
def _written(are_tensors: tuple[bool, ...], outputs: int) -> Callable[..., Run]:
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
        edges = "".join(f"n{i}, " if i in places else "None, " for i in range(len(inputs)))
        given = "".join(f"{x}, " for x in inputs)
        lines += [
            f"    if ({reached}) and mode.grad:",
            f"        record(({edges}), ({given}), ({everything}))",
        ]
    lines.append(f"return {made[0] if outputs == 1 else f'({everything})'}")
    body = "".join(f"        {line}\n" for line in lines)
    source = (
        f"def make(kernel, record, mode, {', '.join(makers)}):\n"
        f"    def run({', '.join(inputs)}):\n{body}    return run\n"
    )
    space: dict[str, Any] = {}
    exec(compile(source, "<dovetail plan>", "exec"), space)
    written: Callable[..., Run] = space["make"]
    return written
