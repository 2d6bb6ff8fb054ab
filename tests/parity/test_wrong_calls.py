"""Wrong calls of every operator: PyTorch's class of error, and a sentence of our own.

From one good sample of the record each argument is spoilt in turn, in each way that its kind has:
a string, None, a list; another dtype; another shape; a dim out of range or named twice; an index
out of range; another device.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from dovetail import dtypes as d
from dovetail.ops.schema import OpDef, Sample
from tests.parity.findings import Findings
from tests.parity.harness import (
    ADAPTED,
    operators,
    outcome,
    published,
    samples,
    to_ours,
    to_torch,
    torch_call,
)
from tests.parity.judging import note_outcomes, said
from tests.parity.test_forms import usual

OPERATORS = [op for op in operators() if op.name not in ADAPTED]

# what a message must not show: the inside of Python, NumPy or of this library
LEAKS = re.compile(
    r"object has no attribute|object is not|object cannot be|unsupported operand|not supported "
    r"between|unpack|<lambda>|_spec|unhashable|ufunc|numpy|_prepare|_dims\(|<dovetail|ndarray|"
    r"function\(\)|list index|tuple index|invalid literal|could not convert|'str' object|"
    r"expected \d+ argument|axis \d|strict|index must be"
)


class Other:
    """Something that is no argument of any operator."""

    def __repr__(self) -> str:
        return "Other()"


class OnMeta:
    """A tensor of the other device, once made."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array


def spoilt(value: Any, position: int) -> Iterator[tuple[str, Any]]:
    """(what was done, a wrong value) for one argument."""
    yield "a str", "x"
    yield "None", None
    yield "an object", Other()
    if isinstance(value, np.ndarray):
        yield "a list", value.tolist() if value.ndim else [1.0]
        kind = d.from_numpy_dtype(value.dtype)
        for other in (d.float64, d.int64, d.int32, d.bool_, d.complex64):
            if other is not kind:
                with np.errstate(all="ignore"):  # NaN as an integer
                    cast = value.real.astype(other.numpy)
                yield f"dtype {other.name}", cast
        yield "another shape", np.ones((*value.shape, 7), value.dtype)
        yield "7 in front", np.ones((7, *value.shape), value.dtype)
        yield "no elements", np.ones((0,), value.dtype)
        if value.ndim:
            yield "no dims", np.ones((), value.dtype)
        if value.dtype == np.int64 and value.size:
            yield "index out of range", np.full_like(value, 99)
            yield "index below", np.full_like(value, -99)
        if position:
            yield "meta", OnMeta(value)
    elif isinstance(value, bool):
        yield "an int", 7
    elif isinstance(value, int):
        yield "far", 99
        yield "far below", -99
        yield "a fraction", 1.5
        yield "a list", [value, value]
    elif isinstance(value, tuple) and value and all(isinstance(n, int) for n in value):
        yield "twice", (value[0], value[0], *value[1:])
        yield "far", (99,)
        yield "a fraction", (1.5,)
        yield "one", value[0]


def wrong_calls(op: OpDef, sample: Sample) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Every spoilt form of a sample: what was done, arguments, keywords."""
    names = list(inspect.signature(published(op)).parameters)
    args, kwargs = tuple(sample.args), dict(sample.kwargs)
    for i, value in enumerate(args):
        name = names[i] if i < len(names) else str(i)
        for what, wrong in spoilt(value, i):
            yield f"{name} {what}", (*args[:i], wrong, *args[i + 1 :]), kwargs
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], np.ndarray):
            for what, wrong in spoilt(value[-1], 1):
                mixed = type(value)([*value[:-1], wrong])
                yield f"last of {i} {what}", (*args[:i], mixed, *args[i + 1 :]), kwargs
    for name, value in kwargs.items():
        for what, wrong in spoilt(value, 1):
            yield f"{name} {what}", args, {**kwargs, name: wrong}
    if args:
        yield "one too few", args[:-1], kwargs
    yield "three too many", (*args, Other(), Other(), Other()), kwargs
    yield "an unknown keyword", args, {**kwargs, "colour": 1}


def made(value: Any, convert: Callable[[Any], Any], meta: Callable[[Any], Any]) -> Any:
    """Arguments in one library, with what is meant to be elsewhere there."""
    if isinstance(value, OnMeta):
        return meta(convert(value.array))
    if isinstance(value, (tuple, list)):
        return type(value)(made(v, convert, meta) for v in value)
    return convert(value)


def chosen(op: OpDef) -> list[tuple[int, Sample]]:
    """A few samples, each with another kind of arguments; not those of no elements or dims."""
    found: dict[Any, tuple[int, Sample]] = {}
    for i, sample in enumerate(samples(op, usual(op))):
        arrays = [a for a in sample.args if isinstance(a, np.ndarray)]
        if all(a.size and a.ndim for a in arrays[:1]):
            kinds = (*map(type, sample.args), *sorted(sample.kwargs))
            found.setdefault(kinds, (i, sample))
    return list(found.values())[:4]


def ours(op: OpDef, args: Any, kwargs: Any, device: Any) -> Any:
    """What the call comes to here."""
    convert = lambda v: to_ours(v, device)
    meta = lambda x: x.to("meta")
    arguments = made(args, convert, meta), {k: made(v, convert, meta) for k, v in kwargs.items()}
    return outcome(published(op), *arguments)


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
def test_wrong_calls(op: OpDef) -> None:
    findings = Findings(op.name, "wrong call", usual(op).name)
    for i, sample in chosen(op):
        for what, args, kwargs in wrong_calls(op, sample):
            where = f"sample {i}, {what}"
            meta = lambda x: x.to("meta")
            theirs = torch_call(
                op,
                Sample((), {k: made(v, to_torch, meta) for k, v in kwargs.items()}),
                made(args, to_torch, meta),
            )
            mine = ours(op, args, kwargs, "cpu")
            note_outcomes(findings, where, mine, theirs)
            if isinstance(mine, Exception) and LEAKS.search(str(mine)):
                findings.add(where, "text", said(mine))
    findings.settle()


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
def test_the_same_sentence_on_every_device(op: OpDef, need_device: Callable[[str], Any]) -> None:
    other = need_device("loop:0")
    for i, sample in chosen(op):
        for what, args, kwargs in wrong_calls(op, sample):
            here, there = (ours(op, args, kwargs, device) for device in ("cpu", other))
            if re.search(r"out of (range in self|bounds)", str(here)):
                continue  # bounds of values are checked where those are in host memory
            if not isinstance(here, Exception) and not isinstance(there, Exception):
                continue
            assert type(here) is type(there), f"{op.name}, sample {i}, {what}: {here!r}, {there!r}"
            texts = [re.sub(r"\b(cpu|loop:0)\b", "DEVICE", str(e)) for e in (here, there)]
            assert texts[0] == texts[1], f"{op.name}, sample {i}, {what}"
