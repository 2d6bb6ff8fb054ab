"""The loop of an elementwise kernel that takes vectors, where a dialect has them.

Explicit vectors are for functions that the dialect has for vectors (``Dialect.own``), and for
dtypes of whose elements a compiler makes none by itself (``Dialect.read_by_lanes``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dovetail.backend.dialect import Dialect
from dovetail.backend.expression_helpers import HELPERS, MATH
from dovetail.backend.expressions import Expression
from dovetail.dtypes import bfloat16, bool_, float16, float32
from dovetail.dtypes import dtype as DType

__all__ = ["WORD", "computed", "lanes_loop", "takes_lanes"]

WORD = re.compile(r"[A-Za-z_]\w*|(?<![\w.])\d+\.\d*(?:e[+-]?\d+)?")
"""A name or a real number in the table's language."""

_PLAIN = frozenset(("fabs", "floor", "ceil", "trunc", "rint", "sqrt", "copysign", "fmax", "fmin"))
"""What a language with vectors has for them, too."""


def computed(dtype: DType) -> DType:
    """The dtype that is computed in."""
    return float32 if dtype in (float16, bfloat16) else dtype


def takes_lanes(
    expression: Expression, inputs: Sequence[DType], out: DType, dialect: Dialect
) -> bool:
    """Whether a kernel takes vectors: all that it calls must be there for them."""
    text = expression.text(inputs[-1] if inputs else out)
    kinds = set()
    for k, dtype in enumerate(inputs):
        if dtype is not bool_:
            kinds.add(computed(dtype))
        elif re.search(rf"\bx{k}\b(?! \?)", text):  # more than a condition
            return False
    if expression.result != "bool":
        kinds.add(computed(out))
    if not inputs or len(kinds) != 1 or expression.result == "real":
        return False
    number = dialect.types[kinds.pop().name]
    if number not in dialect.lanes or any(d.name not in dialect.load_lanes for d in (*inputs, out)):
        return False
    vector = dialect.lanes[number].vector
    wanted = any(d.name in dialect.read_by_lanes for d in inputs)
    wanted |= out.name in dialect.written_by_lanes
    texts, seen = [text], set[str]()
    while texts:
        text = texts.pop()
        if "if (" in text or "while (" in text:
            return False
        for word in {*WORD.findall(text)} & (MATH | {*HELPERS}) - seen:
            seen.add(word)
            if dialect.own(word, vector, out.name):
                wanted = True
            elif word in HELPERS:
                texts.append(HELPERS[word])
            elif word not in _PLAIN:
                return False
    return wanted


def lanes_loop(kernel: Any, value: str) -> list[str]:
    """The loop over vectors along the innermost loop; elements beyond its end are the last again.

    Args:
        kernel: what is being made; its operands may lie in any way.
        value: what is computed of ``x0``, ``x1``, …
    """
    dialect, index, form = kernel.dialect, kernel.index, kernel.form
    vector, width, truth = dialect.lanes[kernel.words.number]
    last = len(form.steps[0]) - 1
    by_rows = last > 0
    n = "rows" if by_rows else "packs"
    words = (dialect.first, dialect.bound, dialect.step)
    first, bound, step = (text.format(index=index, n=n) for text in words)
    lines = [f"const {index} packs = n / {width} + (n % {width} != 0);"]
    if by_rows:
        lines = [f"const {index} rows = size{last} ? n / size{last} : 0;"]
    lines.append(f"const {index} end = {bound};")
    if kernel.out is bool_:
        lines.append(dialect.truth[0])
    at = f"i{last}" if by_rows else "i"
    if by_rows:
        lines += [f"for ({index} i = {first}; i < end; i += {step}) {{"]
        lines += [f"    {line}" for line in kernel.loops(last - 1)]
        lines.append(f"    for ({index} {at} = 0; {at} < size{last}; {at} += {width}) {{")
        lines.append(f"        const {index} left = size{last} - {at};")
        behind = ["}", "}"]
    else:
        lines += [f"for ({index} pack = {first}; pack < end; pack += {step}) {{"]
        lines.append(f"    const {index} i = pack * {width}, left = n - i;")
        behind = ["}"]
    body = []
    for k, dtype in enumerate(kernel.inputs):
        name, place, along = f"in{k}", kernel.place(k + 1), form.steps[k + 1][last]
        kind = truth if dtype is bool_ else vector
        one = dialect.load_lane(dtype, name, place)
        if along == "0":
            body.append(f"const {kind} x{k} = ({kind})({one});")
            continue
        apart = "" if along == "1" else f" * stride{k + 1}_{last}"
        lane, scalar = f"lane{k}", kind.rstrip("0123456789")
        one = dialect.load_lane(dtype, name, f"{place} + (j < left ? j : left - 1){apart}")
        some = [
            f"{scalar} {lane}[{width}];",
            f"for ({index} j = 0; j < {width}; j++) {lane}[j] = {one};",
            f"x{k} = vload{width}(0, {lane});",
        ]
        body.append(f"{kind} x{k};")
        if along == "1":
            whole = dialect.load_lanes[dtype.name].format(pointer=name, index=place, width=width)
            body += [f"if (left >= {width}) {{", f"    x{k} = {whole};", "} else {"]
        else:
            every = dialect.load_lane(dtype, name, f"{place} + j{apart}")
            body += [
                f"if (left >= {width}) {{",
                f"    {some[0]}",
                f"    for ({index} j = 0; j < {width}; j++) {lane}[j] = {every};",
                f"    {some[2]}",
                "} else {",
            ]
        body += [*(f"    {line}" for line in some), "}"]
    kind, place = truth if kernel.out is bool_ else vector, kernel.place(0)
    along = form.steps[0][last]
    apart = "" if along == "1" else f" * stride0_{last}"
    one = dialect.store_of(kernel.out, "out", f"{place} + j{apart}", "lane[j]")
    if kernel.out is bool_:
        one = dialect.store_of(kernel.out, "out", f"{place} + j{apart}", "lane[j] & 1")
    some = [
        f"{kind.rstrip('0123456789')} lane[{width}];",
        f"vstore{width}(made, 0, lane);",
        f"for ({index} j = 0; j < (left < {width} ? left : {width}); j++) {one};",
    ]
    body.append(f"const {kind} made = {value};")
    if along == "1":
        whole = dialect.store_lanes[kernel.out.name].format(
            pointer="out", index=place, value="made", width=width
        )
        body += [f"if (left >= {width}) {{", f"    {whole};", "} else {"]
        body += [*(f"    {line}" for line in some), "}"]
    else:
        body += some
    pad = "    " * len(behind)
    lines += [f"{pad}{line}" for line in body]
    lines += [f"{'    ' * k}}}" for k in reversed(range(len(behind)))]
    return [f"    {line}" for line in lines]
