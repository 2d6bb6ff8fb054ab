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
    helpers = {**HELPERS, **expression.helpers}
    kept = "" if expression.helpers else out.name
    while texts:
        text = texts.pop()
        if any(word in text for word in ("if (", "while (", "for (")):
            return False
        for word in {*WORD.findall(text)} & (MATH | {*helpers}) - seen:
            seen.add(word)
            if dialect.own(word, vector, kept):
                wanted = True
            elif word in helpers:
                texts.append(helpers[word])
            elif word not in _PLAIN:
                return False
    return wanted


def lanes_loop(kernel: Any, value: str) -> list[str]:
    """The loop over vectors along the innermost loop; elements beyond its end are the last again.

    Args:
        kernel: what is being made; its operands may lie in any way.
        value: what is computed of ``x0``, ``x1``, …
    """
    return [f"    {line}" for line in _Lanes(kernel).lines(value)]


class _Lanes:
    """Writes the loop of one kernel, whose operands are read and written ``width`` at a time.

    ``left`` are the elements from a vector's first to the end of the innermost loop.
    """

    def __init__(self, kernel: Any) -> None:
        self.kernel, self.dialect, self.index = kernel, kernel.dialect, kernel.index
        self.vector, self.width, self.truth = self.dialect.lanes[kernel.words.number]
        self.last = len(kernel.form.steps[0]) - 1

    def lines(self, value: str) -> list[str]:
        """The whole."""
        head, depth = self._by_rows() if self.last else self._by_packs()
        if self.kernel.out is bool_:
            head.insert(2, self.dialect.truth[0])
        body = [line for k in range(len(self.kernel.inputs)) for line in self._read(k)]
        body += self._written(value)
        closing = ["    " * k + "}" for k in reversed(range(depth))]
        return [*head, *_indented(body, depth), *closing]

    def _by_packs(self) -> tuple[list[str], int]:
        """The heads of the loops where there is one dim, and how many loops that are."""
        index, width = self.index, self.width
        first, bound, step = self._share("packs")
        return [
            f"const {index} packs = n / {width} + (n % {width} != 0);",
            f"const {index} end = {bound};",
            f"for ({index} pack = {first}; pack < end; pack += {step}) {{",
            f"    const {index} i = pack * {width}, left = n - i;",
        ], 1

    def _by_rows(self) -> tuple[list[str], int]:
        """The same where there are several: work items share out the rows."""
        index, last, at = self.index, self.last, f"i{self.last}"
        first, bound, step = self._share("rows")
        return [
            f"const {index} rows = size{last} ? n / size{last} : 0;",
            f"const {index} end = {bound};",
            f"for ({index} i = {first}; i < end; i += {step}) {{",
            *_indented(self.kernel.loops(last - 1), 1),
            f"    for ({index} {at} = 0; {at} < size{last}; {at} += {self.width}) {{",
            f"        const {index} left = size{last} - {at};",
        ], 2

    def _share(self, n: str) -> list[str]:
        words = (self.dialect.first, self.dialect.bound, self.dialect.step)
        return [text.format(index=self.index, n=n) for text in words]

    def _read(self, k: int) -> list[str]:
        """Operand ``k`` as the vector ``x{k}``."""
        kernel, dtype, width = self.kernel, self.kernel.inputs[k], self.width
        name, place, along = f"in{k}", kernel.place(k + 1), kernel.form.steps[k + 1][self.last]
        kind = self.truth if dtype is bool_ else self.vector
        if along == "0":
            return [f"const {kind} x{k} = ({kind})({self.dialect.load_lane(dtype, name, place)});"]
        step = "" if along == "1" else f" * stride{k + 1}_{self.last}"

        def singly(j: str) -> list[str]:
            """One by one, of which the j-th is where ``j`` says."""
            one = self.dialect.load_lane(dtype, name, f"{place} + {j}{step}")
            return [
                f"{_scalar(kind)} lane{k}[{width}];",
                f"for ({self.index} j = 0; j < {width}; j++) lane{k}[j] = {one};",
                f"x{k} = vload{width}(0, lane{k});",
            ]

        whole = singly("j")
        if along == "1":
            load = self.dialect.load_lanes[dtype.name]
            whole = [f"x{k} = {load.format(pointer=name, index=place, width=width)};"]
        return [f"{kind} x{k};", *self._whole_or(whole, singly("(j < left ? j : left - 1)"))]

    def _written(self, value: str) -> list[str]:
        """What is computed, as the vector ``made``, and where it goes."""
        kernel, out, width = self.kernel, self.kernel.out, self.width
        kind, place = self.truth if out is bool_ else self.vector, kernel.place(0)
        along = kernel.form.steps[0][self.last]
        step = "" if along == "1" else f" * stride0_{self.last}"
        lane = "lane[j] & 1" if out is bool_ else "lane[j]"
        one = self.dialect.store_of(out, "out", f"{place} + j{step}", lane)
        singly = [
            f"{_scalar(kind)} lane[{width}];",
            f"vstore{width}(made, 0, lane);",
            f"for ({self.index} j = 0; j < (left < {width} ? left : {width}); j++) {one};",
        ]
        computed = [*kernel.seen(), f"const {kind} made = {value};"]
        if along != "1":
            return [*computed, *singly]
        store = self.dialect.store_lanes[out.name]
        whole = f"{store.format(pointer='out', index=place, value='made', width=width)};"
        return [*computed, *self._whole_or([whole], singly)]

    def _whole_or(self, whole: list[str], rest: list[str]) -> list[str]:
        """One thing where a whole vector is left, another where there is less."""
        return [
            f"if (left >= {self.width}) {{", *_indented(whole, 1),
            "} else {", *_indented(rest, 1),
            "}",
        ]  # fmt: skip


def _scalar(vector: str) -> str:
    return vector.rstrip("0123456789")


def _indented(lines: list[str], depth: int) -> list[str]:
    return ["    " * depth + line for line in lines]
