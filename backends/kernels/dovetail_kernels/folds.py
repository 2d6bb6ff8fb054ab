"""How a reduction makes one value of two: what :mod:`.reduce` folds by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dovetail import dtypes as d
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.device import Device
from dovetail_kernels.source import converted
from dovetail_kernels.vectors import lanes

__all__ = [
    "FOLDS",
    "NORMS",
    "Fold",
    "accumulated",
    "across",
    "fold_macros",
    "iota",
    "vector_macros",
    "worked_in",
    "wrapping",
]  # fmt: skip


@dataclass(frozen=True)
class Fold:
    """How two values become one, in C.

    Attributes:
        start: the value of nothing; None: begin with the first element.
        text: folds ``v`` into ``a``, and its place ``at`` into ``p``.
        complex_text: the same for complex numbers, where it differs.
        has_place: the place is what comes out.
        wraps: integers are gathered unsigned, so that they wrap.
        beyond: of the extremes, how what comes out compares with the others.
        is_truth: a mask is gathered, whatever the input's dtype: all bits of a number, or of a byte
            the highest at least.
        counts: what is folded of an element is whether it is not 0.
        mapped: what is folded of an element ``{x}``.
        result: what comes out of ``a`` in the end.
        has_divisor: it is divided by how many elements were folded, an argument of the kernel.
    """

    start: str | None
    text: str
    complex_text: str = ""
    has_place: bool = False
    wraps: bool = False
    beyond: str = ""
    is_truth: bool = False
    counts: bool = False
    mapped: str = "{x}"
    result: str = "a"
    has_divisor: bool = False

    def of(self, work: DType) -> str:
        """The text for a dtype."""
        return self.complex_text if work.is_complex and self.complex_text else self.text


def _extreme(beyond: str, mapped: str = "{x}") -> Fold:
    """What is not beyond ``a`` leaves it; NaN is neither beyond it nor not, and so it comes in."""
    other = {">": "<=", "<": ">="}[beyond]
    text = f"a = ((v {other} a) | (a != a)) ? a : v"
    return Fold(None, text, beyond=beyond, mapped=mapped)


def _place(beyond: str) -> Fold:
    """The first NaN goes before everything; of equal elements the first."""
    is_better = f"v != v ? a == a || at < p : a == a && (v {beyond} a || (v == a && at < p))"
    return Fold(None, f"if ({is_better}) {{ a = v; p = at; }}", has_place=True, beyond=beyond)


def _truth(start: str, sign: str, result: str) -> Fold:
    return Fold(start, f"a {sign}= v", is_truth=True, result=result)


FOLDS = {
    "sum": Fold("0", "a += v", wraps=True),
    "prod": Fold("1", "a *= v", "a = PAIR(a.x * v.x - a.y * v.y, a.x * v.y + a.y * v.x)",
                 wraps=True),
    "mean": Fold("0", "a += v", result="a / divisor", has_divisor=True),
    "amax": _extreme(">"),
    "amin": _extreme("<"),
    "argmax": _place(">"),
    "argmin": _place("<"),
    "any": _truth("0", "|", "a != 0"),
    "all": _truth("-1", "&", "(a >> 7) & 1"),
    "count_nonzero": Fold("0", "a += v", wraps=True, counts=True),
    "absolute_sum": Fold("0", "a += v", mapped="fabs({x})"),
    "root_of_squares": Fold("0", "a += v", mapped="({x}) * ({x})", result="sqrt(a)"),
    "largest_size": _extreme(">", "fabs({x})"),
    "smallest_size": _extreme("<", "fabs({x})"),
}  # fmt: skip

NORMS = {
    1.0: "absolute_sum",
    2.0: "root_of_squares",
    math.inf: "largest_size",
    -math.inf: "smallest_size",
}
"""By its order, the fold of a vector's norm."""


def accumulated(dtype: DType) -> DType:
    """What sums and products of ``dtype`` are gathered in."""
    return d.float32 if dtype.category == 2 and dtype.itemsize == 2 else dtype


def worked_in(fold: Fold, source: DType, out: DType) -> DType:
    """What is folded in: of masks, integers as large as what is compared with 0; of extremes,
    integers that a vector of places is as wide as."""
    if not fold.is_truth:
        work = accumulated(source if fold.has_place else out)
        return d.int32 if fold.beyond and work.category == 1 and work.itemsize < 4 else work
    size = 1 if source.is_complex else accumulated(source).itemsize
    return {1: d.uint8, 2: d.int16, 4: d.int32, 8: d.int64}[size]


def wrapping(dtype: DType) -> str:
    """The type that sums and products are gathered in: integers unsigned, so that they wrap."""
    value = dialect.VALUES[dtype.name]
    return f"u{value}" if dtype.category == 1 and dtype.is_signed else value


def fold_macros(
    fold: Fold, work: DType, dtypes: tuple[DType, DType], *, is_part: bool, is_rest: bool
) -> dict[str, Any]:
    """The macros of ``reduce.cl`` and ``reduce_group.cl`` for one launch of a fold.

    Args:
        dtypes: of what is read and what is written.
        is_part: what parts come to is written.
        is_rest: that is read.
    """
    source, out = dtypes
    loaded = converted(source, work, "IN_LOAD(in, i)")
    if fold.is_truth and not is_rest:
        value = converted(source, d.bool_, "IN_LOAD(in, i)")
        loaded = f"({dialect.VALUES[work.name]})-(int)({value})"
    elif fold.counts and not is_rest:
        loaded = converted(d.bool_, work, converted(source, d.bool_, "IN_LOAD(in, i)"))
    elif not is_rest:
        loaded = f"({fold.mapped.format(x=loaded)})"
    made = {
        "T": wrapping(work) if fold.wraps else dialect.VALUES[work.name],
        **dialect.pairing(wrapping(work)),
        "LOADED(i)": loaded,
        "RESULT(a)": converted(work, out, "a" if is_part else f"({fold.result})"),
        "FOLD(a, p, v, at)": fold.of(work),
        "HAS_PLACE": int(fold.has_place),
        "IS_PART": int(fold.has_place and is_part),
    }
    if fold.has_divisor:
        made["FOLD_NUMBERS"] = ", T divisor"
    if fold.start is not None:
        made["START"] = converted(d.float32 if work.is_complex else work, work, fold.start)
    return made


def vector_macros(
    device: Device, fold: Fold, work: DType, source: DType, is_rest: bool,
    is_dense: bool,
) -> tuple[int, dict[str, Any]]:  # fmt: skip
    """(elements of a vector, the macros of ``reduce.cl`` for it), where a CPU folds by vectors."""
    if not device.is_cpu or fold.counts or (fold.has_place and is_rest):
        return 1, {"W": 1}
    mapped = "{x}" if is_rest else fold.mapped
    if fold.is_truth:
        return _mask_macros(device, fold, work, source, is_rest)
    if fold is FOLDS["sum"] and work.itemsize == 8 and source.category < 2 > work.category:
        return _integer_macros(source, is_dense)
    is_extreme = source.category == 1 and bool(fold.beyond)
    if not is_extreme and (source.category != 2 or accumulated(source) is not work):
        return 1, {"W": 1}
    width = 64 // work.itemsize
    kind = dialect.VALUES[work.name]
    value = "(v)"
    if source.itemsize < work.itemsize and is_extreme:
        value = f"convert_{kind}{width}(v)"
    made = across(kind, width) | _loads(device, source, width, mapped.format(x=value))
    return width, made | (_extreme_macros(fold.beyond, work, width) if fold.beyond else {})


def _loads(device: Device, source: DType, width: int, mapped: str) -> dict[str, Any]:
    """The macros for elements, and what is folded of a vector ``v`` of them."""
    made = lanes(device, "IN", source, width, side=False)
    return {
        "IN_S(p, i)": made["IN_S(p, i)"],
        "RAW_V(p, i)": made["IN_V(p, i)"],
        "MAPPED(v)": f"({mapped})",
        "IN_V(p, i)": "MAPPED(RAW_V(p, i))",
    }


def across(kind: str, width: int) -> dict[str, Any]:
    """The macros for vectors of so many numbers of a type, and for folding their lanes."""
    return {
        "W": width,
        "VECTOR": f"{kind}{width}",
        "STORE_LANES(v, p)": f"vstore{width}(v, 0, p)",
        "LOAD_LANES(p)": f"vload{width}(0, p)",
        "ACROSS_VALUES(r, v, STEP)": _halving(kind, width),
    }


def iota(kind: str, width: int) -> str:
    """A vector of 0, 1, …, in C."""
    return f"({kind}{width})({', '.join(map(str, range(width)))})"


def _mask_macros(
    device: Device, fold: Fold, work: DType, source: DType, is_rest: bool
) -> tuple[int, dict[str, Any]]:
    if source.is_complex:
        return 1, {"W": 1}
    made: dict[str, Any] = {"IS_MASK": 1}
    if work.itemsize > 1:
        width = min(16, 64 // work.itemsize)
        value = "(v)" if is_rest else f"(v) != ({dialect.VALUES[source.name]})0"
        made |= across(dialect.VALUES[work.name], width)
        return width, made | _loads(device, source, width, value)
    sign = fold.text[2]
    steps = f"const ulong4 v4_ = (v).lo {sign} (v).hi; const ulong2 v2_ = v4_.lo {sign} v4_.hi;"
    top = "0x8080808080808080ul"
    folded = f"(v2_.x {sign} v2_.y)"
    is_any = sign == "|"
    truth = f"{folded} != 0" if is_any else f"({folded} & {top}) == {top}"
    return 64, made | {
        "W": 64,
        "VECTOR": "ulong8",
        "VECTOR_START": f"(ulong8)({fold.start}l)",
        "IN_V(p, i)": "LOAD_ulong8((p) + (i))" if is_any or is_rest else _BYTES,
        "ACROSS_VALUES(r, v, STEP)": f"{{ {steps} r = {truth} ? 255 : 0; }}",
    }


_LOW = "0x7f7f7f7f7f7f7f7ful"
_BYTES = f"(((LOAD_ulong8((p) + (i)) & {_LOW}) + {_LOW}) | LOAD_ulong8((p) + (i)))"
"""64 bytes, eight in a number, of which each has its highest bit where it is not 0."""


def _integer_macros(source: DType, is_dense: bool) -> tuple[int, dict[str, Any]]:
    """Sums of integers in ``ulong8``; of bool along lines 64 at a time, four counts in a number.

    Fewer than 2^16 are folded before counts are added up.
    """
    if source is d.bool_ and is_dense:
        ones, pairs = "0x0101010101010101ul", "0x00ff00ff00ff00fful"
        flags = f"({_BYTES} >> 7 & {ones})"
        steps = (
            "const ulong8 v8_ = ((v) & 0x0000ffff0000fffful) + ((v) >> 16 & 0x0000ffff0000fffful);"
            "const ulong8 c8_ = (v8_ & 0xfffffffful) + (v8_ >> 32);"
        )
        halves = _halving("ulong", 8).replace("(v)", "c8_")
        return 64, {
            "W": 64,
            "VECTOR": "ulong8",
            "IN_V(p, i)": f"(({flags} & {pairs}) + ({flags} >> 8 & {pairs}))",
            "ACROSS_VALUES(r, v, STEP)": f"{{ {steps} {halves} }}",
        }
    kind, load = dialect.VALUES[source.name], "vload8(0, (p) + (i))"
    if source is d.bool_:
        load = f"min({load}, (uchar8)1)"
    value = f"as_ulong8(CONVERT_{'u' if kind[0] == 'u' else ''}long8({load}))"
    return 8, across("ulong", 8) | {"IN_V(p, i)": value}


def _extreme_macros(beyond: str, work: DType, width: int) -> dict[str, Any]:
    kind, bits = ("int", 0x7F800000) if work.itemsize == 4 else ("long", 0x7FF << 52)
    made: dict[str, Any] = {
        "IS_EXTREME": 1,
        "NUMBER": kind,
        "NUMBERED": f"{kind}{width}",
        "BEYOND": beyond,
        "LEAST(a, v)": "a = min(a, v);",
        "IOTA": iota(kind, width),
        "ACROSS_NUMBERS(r, v, STEP)": _halving(kind, width),
        "FOLD_VALUE(a, v)": f"a = v {beyond} a ? v : a;",
    }
    if work.category == 1:
        return made
    magnitude = f"as_{kind}{width}(v) & {(1 << 8 * work.itemsize - 1) - 1:#x}"
    return made | {
        "HAS_NAN": 1,
        "INFINITE": f"{bits:#x}",
        "MOST(a, v)": "a = max(a, v);",
        "SEE(seen, v)": f"seen = max(seen, {magnitude});",
    }


def _halving(kind: str, width: int) -> str:
    """Statements that fold the lanes of ``v`` into ``r``, half of them into the other at a time."""
    text, vector = [], "(v)"
    while width > 2:
        width //= 2
        text.append(f"{kind}{width} v{width}_ = {vector}.lo; STEP(v{width}_, {vector}.hi)")
        vector = f"v{width}_"
    return f"{{ {' '.join(text)} r = {vector}.x; STEP(r, {vector}.y) }}"
