"""Elementwise operators of many steps without a kernel here: all steps of a block, then the next.

Where all is one block, the steps are the dispatcher's. Its calls take longer than the arithmetic of
a block, so here the kernels are called by code that is written out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, Stepwise, composable, stepwise
from dovetail.dtypes import bfloat16, float16
from dovetail_cpu.kernels.blocks import BLOCK, are_alike, by_blocks, scratch
from dovetail_cpu.kernels.conversion import convert_block

__all__ = ["by_steps", "enter", "enter_steps", "has_steps", "written"]

_SCRATCH, _WITHIN = 100, 1000
"""Scratch arrays with numbers from here on are no kernel's; those of steps within steps."""


_FEW_HALVES = 1 << 12
"""So many halves are computed one after another, as NumPy does it."""


def _steps(facts: Any, table: KernelTable, few: int = BLOCK) -> Stepwise | None:
    """What a large call is made of; None: it is small, or none of single elements.

    few: elements that are not many yet, but of halves.
    """
    if len(facts.outputs) > 1 or not are_alike(facts):
        return None
    is_half = any(getattr(s, "dtype", None) in (float16, bfloat16) for s in facts.inputs)
    if facts.outputs[0].numel <= (_FEW_HALVES if is_half else few):
        return None
    return stepwise(facts, table, BLOCK)


def has_steps(facts: Any, table: KernelTable, few: int = BLOCK) -> bool:
    """Whether a call is a large one of single elements."""
    return _steps(facts, table, few) is not None


def by_steps(facts: Any, table: KernelTable, first: int = _SCRATCH) -> Callable[..., None]:
    """The kernel of such a call, or of one whose operands were packed since it was found to be one:
    a device with this table may pack an input and leave the output as it is."""
    steps = stepwise(facts, table, BLOCK)
    assert steps is not None
    run = written(steps, facts.outputs[0].dtype, first)
    return by_blocks(run, facts) if are_alike(facts) else _in_order(run)


def _in_order(run: Callable[..., None]) -> Callable[..., None]:
    """Elements in the order of the shape, copied from wherever they lie."""

    def kernel(*arrays: np.ndarray) -> None:
        out = arrays[-1]
        flat = [np.broadcast_to(a, out.shape).reshape(-1) for a in arrays[:-1]]
        made = np.empty(out.size, out.dtype)
        for start in range(0, out.size, BLOCK):
            part = slice(start, start + BLOCK)
            run(*[a[part] for a in flat], made[part])
        out[...] = made.reshape(out.shape)

    return kernel


def written(steps: Stepwise, wanted: Any, first: int = _SCRATCH) -> Callable[..., None]:
    """``run(*inputs, out)`` of a block: a line for each step, in scratch that serves again."""
    known: dict[str, Any] = {
        "__name__": __name__,
        "scratch": scratch,
        "copy": convert_block,
        "widened": _widened,
    }
    lines: list[str] = []
    places = {f"a{i}": f"a{i}" for i in range(len(steps.kinds))}
    head = f"def run({', '.join(places)}, out):"
    free: dict[Any, list[str]] = {}
    last = {x: i for i, call in enumerate(steps.calls) for x in call.operands if isinstance(x, str)}

    def place(kind: Any) -> str:
        """Scratch for a value."""
        if free.get(kind):
            return free[kind].pop()
        name = f"s{len(known)}"
        known[f"of_{name}"] = kind.numpy
        lines.insert(0, f"    {name} = scratch(of_{name}, out.size, {first + len(known)})")
        return name

    for i, (given, kind) in enumerate(zip(steps.given, steps.kinds, strict=True)):
        if given is not kind:  # a half
            lines.append(f"    a{i} = widened(a{i}, {place(kind)})")
    for i, call in enumerate(steps.calls):
        known[f"k{i}"] = call.kernel
        operands = []
        for x, kind in zip(call.operands, call.kinds, strict=True):
            if isinstance(x, str):
                operands.append(places[x])
            else:
                operands.append(f"c{len(known)}")
                known[operands[-1]] = np.asarray(x, kind.numpy)
        direct = call.result == steps.result and steps.dtype is wanted
        places[call.result] = "out" if direct else place(call.dtype)
        lines.append(f"    k{i}({', '.join((*operands, places[call.result]))})")
        for x in {x for x in call.operands if isinstance(x, str) and last[x] == i}:
            if places[x].startswith("s"):
                kind = next((c.dtype for c in steps.calls if c.result == x), None)
                free.setdefault(kind, []).append(places[x])
    if steps.dtype is not wanted:
        lines.append(f"    copy({places[steps.result]}, out)")
    exec("\n".join((head, *lines)), known)
    made: Callable[..., None] = known["run"]
    return made


def _widened(half: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Its values in the dtype of ``place``."""
    made = place[: half.size]
    if half.ndim:
        convert_block(half, made)
    else:
        np.copyto(made, half)
    return made


def enter(table: KernelTable) -> None:
    """Put these kernels into a table; what comes after them is asked first."""
    for name in composable(()):
        enter_steps(name, table)


def enter_steps(name: str, table: KernelTable, few: int = BLOCK, **options: Any) -> None:
    """An operator's calls of more than ``few`` elements, by the steps of this table's kernels.

    A block has to be more than ``few`` where it is a step of halves.
    """
    first = _SCRATCH if few >= BLOCK else _WITHIN
    made = partial(by_steps, table=table, first=first)
    fits = partial(has_steps, table=table, few=few)
    table.add(name, made, when=fits, specialize=True, **options)
