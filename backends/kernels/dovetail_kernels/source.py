"""From a file of OpenCL C and a table of macros to a program's text."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dovetail.backend import Loops
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.device import Device
from dovetail_kernels.shuffle import SHUFFLED

__all__ = [
    "MOST",
    "converted",
    "element",
    "ended",
    "loop_numbers",
    "moved",
    "places",
    "program",
    "runs",
]

MOST = 8
"""Loops whose sizes and strides fit into a kernel's arguments."""

_SOURCES = Path(__file__).parent / "src"


@functools.cache
def _file(name: str) -> str:
    return (_SOURCES / f"{name}.cl").read_text(encoding="utf-8")


def program(
    device: Device,
    name: str,
    macros: Mapping[str, Any],
    dtypes: Sequence[DType],
    before: Sequence[str] = (),
    text: str = "",
) -> str:
    """The text of ``src/name.cl`` with macros before it.

    Args:
        macros: name, or ``NAME(arguments)``, and what it stands for.
        dtypes: those whose elements are read or written.
        before: files that it is written in terms of.
        text: more of the kind, before all of these.
    """
    spelled = device.dialect
    helpers = dict.fromkeys(filter(None, (spelled.helpers_of(kind) for kind in dtypes)))
    defines = [f"#define {key} {value}" for key, value in macros.items()]
    files = map(_file, (*before, name))
    made = "\n".join([text, *defines, *files])
    shuffled = SHUFFLED if "SHUFFLED_" in made else None
    return "\n".join(filter(None, [spelled.prelude, *helpers, shuffled, made]))


def element(device: Device, prefix: str, dtype: DType) -> dict[str, str]:
    """Macros for elements of a dtype: ``P_MEMORY``, ``P_VALUE``, ``P_LOAD(p, i)``,
    ``P_STORE(p, i, v)``, with ``prefix`` for P."""
    spelled = device.dialect
    return {
        f"{prefix}_MEMORY": dialect.TYPES[dtype.name],
        f"{prefix}_VALUE": dialect.VALUES[dtype.name],
        f"{prefix}_LOAD(p, i)": spelled.load_of(dtype, "(p)", "(i)"),
        f"{prefix}_STORE(p, i, v)": spelled.store_of(dtype, "(p)", "(i)", "(v)"),
    }


def moved(*prefixes: str, itemsize: int) -> dict[str, str]:
    """The macros of :func:`element` for elements that are only moved, as words of their size."""
    word = {1: "uchar", 2: "ushort", 4: "uint", 8: "ulong", 16: "ulong2"}[itemsize]
    made: dict[str, str] = {}
    for prefix in prefixes:
        made |= {
            f"{prefix}_MEMORY": word,
            f"{prefix}_VALUE": word,
            f"{prefix}_LOAD(p, i)": "(p)[i]",
            f"{prefix}_STORE(p, i, v)": "(p)[i] = (v)",
        }
    return made


def ended(*, is_rectified: bool) -> dict[str, str]:
    """The macro for what becomes of a sum, or of several in a vector, before it is written: itself,
    or the ReLU of it, which keeps NaN."""
    return {"ENDED(v)": "((v) <= (T)0 ? (T)0 : (v))" if is_rectified else "(v)"}


def converted(source: DType, target: DType, value: str) -> str:
    """``value``, an element of ``source`` in a register, as one of ``target``."""
    kind = dialect.VALUES[target.name]
    if target.is_complex:
        part = "float" if target.itemsize == 8 else "double"
        if source.is_complex:
            return value if source is target else f"convert_{kind}({value})"
        return f"({kind})(({part})({value}), 0)"
    if target.category == 0:
        if source.is_complex:
            return f"(({value}).x != 0 || ({value}).y != 0)"
        return f"(({value}) != 0)" if source.category else f"({value})"
    if source.is_complex:
        value = f"({value}).x"
    if source.category >= 2 and target.category == 1:
        # Through 64 bits: what a narrow type cannot hold wraps around, as PyTorch's does.
        value = f"(long)({value})"
    return f"(({kind})({value}))"


def places(name: str, loops: Loops, letter: str, made: Sequence[str]) -> dict[str, str]:
    """The macro ``name(flat)``: statements that make one place per operand of nested loops.

    How many loops there are and how they step are arguments (see :func:`loop_numbers`), so that
    one compiled kernel serves all layouts; only more than eight loops are spelled out. A place
    beyond the last one goes on in the first loop.

    Args:
        letter: what the arguments' names begin with.
        made: the names of the places, one per operand.
    """
    if len(loops.shape) > MOST:
        return _spelled_out(name, loops, letter, made)
    strides = [f"{letter}_stride{k}" for k in range(len(made))]
    text = [f"ulong {word} = 0;" for word in made]
    text.append(f"if ({letter}_ndim == 1) {{")
    text += [f"{word} = (flat) * {s}.s0;" for word, s in zip(made, strides, strict=True)]
    text.append("} else {")
    text.append(f"ulong {letter}_left = (flat), {letter}_n[8];")
    text.append(f"vstore8({letter}_size, 0, {letter}_n);")
    text += [f"ulong {s}_at[8]; vstore8({s}, 0, {s}_at);" for s in strides]
    text.append(f"for (int d = {letter}_ndim - 1; d > 0; d--) {{")
    text.append(f"const ulong i = {letter}_left % {letter}_n[d]; {letter}_left /= {letter}_n[d];")
    text += [f"{word} += i * {s}_at[d];" for word, s in zip(made, strides, strict=True)]
    text.append("}")
    text += [f"{word} += {letter}_left * {s}.s0;" for word, s in zip(made, strides, strict=True)]
    text.append("}")
    arguments = [f"int {letter}_ndim", f"ulong8 {letter}_size", *(f"ulong8 {s}" for s in strides)]
    return {f"{name}(flat)": " ".join(text), f"{name}_NUMBERS": ", " + ", ".join(arguments)}


def runs(
    device: Device, name: str, loops: Loops, letter: str, made: Sequence[str]
) -> dict[str, str]:
    """Macros for a kernel of the host's cores that takes the places of :func:`places` run by run,
    without a division for each: between ``name_RUNS(count)`` and ``name_NEXT``, ``run`` elements
    begin at the places, each ``place_step`` from the one before.

    ``name_HAS_RUNS`` is 0 where places come one by one: of other devices, of more than 8 loops.
    """
    if not device.is_cpu or len(loops.shape) > MOST:
        return {f"{name}_HAS_RUNS": "0"}
    n, last = letter, f"{letter}_last"
    strides = [(word, f"{letter}_stride{k}") for k, word in enumerate(made)]
    text = [
        f"const ulong {n}_share = (count - 1) / get_global_size(0) + 1;",
        f"const ulong {n}_begin = get_global_id(0) * {n}_share;",
        f"const ulong {n}_end = min((ulong)(count), {n}_begin + {n}_share);",
        f"const int {last} = {n}_ndim - 1;",
        f"ulong {n}_n[8], {n}_at[8], {n}_left = {n}_begin;",
        f"vstore8({n}_size, 0, {n}_n);",
        *(f"ulong {word} = 0, {word}_by[8]; vstore8({s}, 0, {word}_by);" for word, s in strides),
        *(f"const ulong {word}_step = {word}_by[{last}];" for word in made),
        f"for (int d = {last}; d >= 0; d--) {{",
        f"{n}_at[d] = {n}_left % {n}_n[d]; {n}_left /= {n}_n[d];",
        *(f"{word} += {n}_at[d] * {word}_by[d];" for word in made),
        "}",
        f"for (ulong {n}_item = {n}_begin; {n}_item < {n}_end;) {{",
        f"const ulong run = min({n}_n[{last}] - {n}_at[{last}], {n}_end - {n}_item);",
    ]
    behind = [
        f"{n}_item += run;",
        *(f"{word} -= {n}_at[{last}] * {word}_step;" for word in made),
        f"{n}_at[{last}] = 0;",
        f"for (int d = {last} - 1; d >= 0; d--) {{",
        *(f"{word} += {word}_by[d];" for word in made),
        f"if (++{n}_at[d] < {n}_n[d]) break;",
        *(f"{word} -= {n}_n[d] * {word}_by[d];" for word in made),
        f"{n}_at[d] = 0;",
        "} }",
    ]
    return {
        f"{name}_HAS_RUNS": "1",
        f"{name}_RUNS(count)": " ".join(text),
        f"{name}_NEXT": " ".join(behind),
    }


def _spelled_out(name: str, loops: Loops, letter: str, made: Sequence[str]) -> dict[str, str]:
    text = [f"ulong {letter}_left = (flat);"]
    text += [f"ulong {word} = 0;" for word in made]
    for d in reversed(range(len(loops.shape))):
        left = f"{letter}_left"
        text.append(f"{{ const ulong i = {left}{f' % {loops.shape[d]}ul' if d else ''};")
        text.append(f"{left} /= {loops.shape[d]}ul;")
        text += [f"{word} += i * {loops.strides[k][d]}ul;" for k, word in enumerate(made)]
        text.append("}")
    return {f"{name}(flat)": " ".join(text), f"{name}_NUMBERS": ""}


def loop_numbers(loops: Loops) -> list[Any]:
    """The values of the arguments that :func:`places` names, in order."""
    ndim = len(loops.shape)
    if ndim > MOST:
        return []
    if not ndim:  # one element: one loop that is run once
        return loop_numbers(Loops((1,), ((0,),) * len(loops.strides)))
    return [np.int32(ndim), _eight(loops.shape, 1), *(_eight(row, 0) for row in loops.strides)]


def _eight(values: Sequence[int], filler: int) -> Any:
    return np.array([n % 2**64 for n in (*values, *[filler] * (MOST - len(values)))], np.uint64)
