"""Functions of one float16 or bfloat16: all 65536 values once, then each element's by its bits.

What a function costs no longer matters for large arrays: a million elements take 0.65 ms. Where a
number stands beside the array, the values are computed for each call.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np

from dovetail.backend import KernelTable, stepwise
from dovetail.dtypes import bfloat16, bool_, dtype, float16
from dovetail_cpu.kernels.blocks import BLOCK, are_alike, flat, scratch, single
from dovetail_cpu.kernels.composed import written

__all__ = ["enter_lookup"]

_ALL = 1 << 16

_LEAST = 1 << 12
"""Fewer elements are computed as they come."""

_LEAST_BESIDE_NUMBERS = 1 << 18

_CAPACITY = 64
"""Functions whose values are kept, 128 KB each; the oldest go first."""

_known: dict[Hashable, np.ndarray] = {}


def _wholes(facts: Any) -> list[int]:
    """Which operands are no single numbers."""
    return [i for i, s in enumerate(facts.inputs) if not isinstance(s, type) and s.ndim]


def _evaluated(run: Callable[..., None], place: int, kind: Any, operands: list[Any]) -> np.ndarray:
    """(65536,): the function of every pattern of bits, as the operand at ``place``."""
    given = np.arange(_ALL, dtype=np.uint16).view(operands[place].dtype)
    made = np.empty(_ALL, kind)
    with np.errstate(all="ignore"):
        for start in range(0, _ALL, BLOCK):
            part = slice(start, start + BLOCK)
            operands[place] = given[part]
            run(*operands, made[part])
    return made


def _kept(key: Hashable, evaluate: Callable[[], np.ndarray]) -> np.ndarray:
    found = _known.get(key)
    if found is None:
        while len(_known) >= _CAPACITY:
            _known.pop(next(iter(_known)), None)
        found = _known[key] = evaluate()
    return found


def _found(values: np.ndarray, input: np.ndarray, out: np.ndarray) -> None:
    """The value of each element."""
    kind = np.bool_ if values.dtype == np.bool_ else np.uint16
    place = scratch(np.intp, input.size).reshape(input.shape)
    np.copyto(place, input.view(np.uint16))
    np.take(values.view(kind), place, out=out.view(kind), mode="clip")  # without a copy of out


def _looked_up(facts: Any, table: KernelTable) -> Callable[..., None]:
    (place,), out = _wholes(facts), facts.outputs[0]
    steps = stepwise(facts, table, BLOCK)
    assert steps is not None
    run = written(steps, out.dtype)
    alike = are_alike(facts)  # a device with this table may pack one of both
    # By text, -0.0 is not 0.0.
    key = (facts.op.name, facts.inputs[place].dtype, repr(sorted(facts.attributes.items())))

    def kernel(*arrays: np.ndarray) -> None:
        operands = [a if i == place else single(a) for i, a in enumerate(arrays[:-1])]
        evaluate = partial(_evaluated, run, place, out.dtype.numpy, operands)
        values = _kept(key, evaluate) if len(arrays) == 2 else evaluate()
        input, result = arrays[place], arrays[-1]
        if not alike:
            _found(values, input, result)
            return
        input, result = flat(input), flat(result)
        for start in range(0, result.size, BLOCK):
            part = slice(start, start + BLOCK)
            _found(values, input[part], result[part])

    return kernel


def _is_of_one(facts: Any, table: KernelTable) -> bool:
    """Whether a call is a large one of a function of one half, to a half or bool."""
    if len(facts.outputs) != 1 or len(facts.inputs) > 3 or not are_alike(facts):
        return False
    whole, out = _wholes(facts), facts.outputs[0]
    least = _LEAST if len(facts.inputs) == 1 else _LEAST_BESIDE_NUMBERS
    if len(whole) != 1 or out.numel < least:
        return False
    kind = facts.inputs[whole[0]].dtype
    made = (kind, bool_) if len(facts.inputs) == 1 else (kind,)  # comparing costs less
    if kind not in (float16, bfloat16) or out.dtype not in made:
        return False
    if kind is bfloat16 and len(facts.inputs) > 1:  # as quick in float32
        return False
    if not all(isinstance(v, (int, float, str)) for v in facts.attributes.values()):
        return False
    return stepwise(facts, table, BLOCK) is not None


def enter_lookup(name: str, table: KernelTable, dtypes: Sequence[dtype]) -> None:
    """Put an operator's large calls into a table."""
    table.add(
        name, partial(_looked_up, table=table), when=partial(_is_of_one, table=table),
        specialize=True, dtypes=dtypes,
    )  # fmt: skip
