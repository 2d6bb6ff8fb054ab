"""Dialects of C: how a compiler wants the kernels spelled that :mod:`.source` generates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dovetail.dtypes import dtype as DType

__all__ = ["BFLOAT16", "C99", "FLOAT16", "Dialect", "Lanes", "Reports"]

BFLOAT16 = """
FUNCTION float bfloat16_to_float(unsigned short bits) {
    return FROM_BITS((unsigned int)bits << 16);
}
FUNCTION unsigned short float_to_bfloat16(float value) {
    unsigned int bits = TO_BITS(value);
    if (value != value) return 0x7fc0;
    return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}"""
"""bfloat16 kept as 16 bits, rounded to nearest even; what a dialect's ``helpers`` may hold."""

FLOAT16 = """
FUNCTION float float16_to_float(unsigned short bits) {
    unsigned int sign = (bits & 0x8000u) << 16, size = (bits & 0x7fffu) << 13;
    if (size >= 0x0f800000u) return FROM_BITS(sign | (size + 0x70000000u));
    if (size >= 0x00800000u) return FROM_BITS(sign | (size + 0x38000000u));
    return FROM_BITS(sign | TO_BITS(FROM_BITS(size + 0x38800000u) - FROM_BITS(0x38800000u)));
}
FUNCTION unsigned short float_to_float16(float value) {
    unsigned int bits = TO_BITS(value), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return (unsigned short)(sign | 0x7e00u);
    if (size >= 0x477ff000u) return (unsigned short)(sign | 0x7c00u);
    if (size < 0x38800000u) {
        return (unsigned short)(sign | (TO_BITS(FROM_BITS(size) + 0.5f) - 0x3f000000u));
    }
    return (unsigned short)(sign | ((size + 0xc8000fffu + (size >> 13 & 1u)) >> 13));
}"""
"""float16 kept as 16 bits, for compilers that have no such type; rounded to nearest even."""

_LOAD = {
    "bool": "({pointer}[{index}] != 0)",
    "bfloat16": "bfloat16_to_float({pointer}[{index}])",
    "float16": "float16_to_float({pointer}[{index}])",
}
_STORE = {
    "bfloat16": "{pointer}[{index}] = float_to_bfloat16({value})",
    "float16": "{pointer}[{index}] = float_to_float16({value})",
}


def _none(name: str, type: str, kept: str) -> Mapping[str, str]:
    """No function of its own."""
    return {}


class Lanes(NamedTuple):
    """Vectors of a type that is computed in.

    Attributes:
        vector: the vector's type.
        width: how many numbers it has.
        condition: the type that a comparison of two gives; all bits are set where it holds.
    """

    vector: str
    width: int
    condition: str


class Reports(NamedTuple):
    """How a kernel tells the host of operands that it has no result for.

    Attributes:
        functions: what stands before kernels that do.
        statement: what stands behind the loop. ``faults`` is a buffer of uint32 and ``refused`` a
            number, arguments of the kernel; ``{which}`` is the refusal's place among those of the
            expression, ``{wrong}`` a condition.
        any: how it is asked whether a vector of conditions holds anywhere.
    """

    functions: str
    statement: str
    any: str = "any({wrong})"


@dataclass(frozen=True)
class Dialect:
    """How one compiler spells a kernel.

    Attributes:
        name: for people, and for the key of a cache.
        types: by dtype's name (and ``uint32``, ``uint64``) the type in memory.
        pairs: by the type of its parts, the type of a complex number, with members x and y.
        kernel: what stands before a kernel's name.
        pointer: what stands before the type of a pointer to device memory.
        function: what stands before a function that kernels call.
        first: the index of a work item's first element; ``{index}`` is the index type and ``{n}``
            the number of all.
        bound: the index that it ends before, likewise.
        step: how far it is to the work item's next element, likewise.
        has_rows: where there are several loops, the innermost is a loop of the text, so that a
            compiler makes vectors of it; work items then share out the rows.
        loop: what stands before the innermost loop; ``{width}`` is how many elements of the widest
            type fill :attr:`vector` bytes. No element that it writes is read for another one.
        vector: bytes of a vector register.
        lanes: by type computed in, what takes several at once.
        read_by_lanes, written_by_lanes: names of dtypes of whose elements a compiler makes no
            vectors by itself where they are read, or written: such kernels take those of ``lanes``
            wherever all that they call has them.
        own: functions that it has instead of C's or of the table's helpers: ``own(name, type,
            kept)``, where ``kept`` is the name of the result's dtype, gives by name the texts to
            stand before a kernel, last the one to call; none: no such function. Where there is one
            for a vector, kernels take vectors.
        load_lanes, store_lanes: by dtype's name, how ``{width}`` neighbours are read and written.
            Bools are of the type of conditions.
        truth: (statement before the loop, how a bool is spelled that is written; ``{value}`` is a
            condition).
        lanes_helpers: by dtype's name, what these two are written in terms of; WIDTH is the width.
        math: by type computed in, how C's functions are called: ``"{}f"`` makes ``expf``.
        spellings: ``(function, type)`` where that rule does not hold.
        texts: ``(expression, dtype)`` that is computed otherwise, where all operands and the
            result are of that dtype; its functions are among the dtype's helpers.
        load: by dtype's name, how an element is read where ``pointer[index]`` is not right;
            ``{pointer}`` and ``{index}`` are filled in.
        store: how it is written, with ``{value}`` too.
        helpers: by dtype's name, functions that ``load`` and ``store`` call. FUNCTION, TO_BITS and
            FROM_BITS stand for the three attributes of nearly those names.
        to_bits, from_bits: functions from a float32 to its bits as uint32, and back.
        pack: bytes that a work item reads or writes at once where operands lie densely; 0: an
            element at a time.
        prelude: text that every source begins with.
        reports: how kernels tell the host of operands that they have no result for; None: they
            have no way to.

    Example:
        >>> C99.types["int64"], C99.call("exp", "float"), C99.call("exp", "double")
        ('long long', 'expf', 'exp')
    """

    name: str
    types: Mapping[str, str]
    pairs: Mapping[str, str]
    kernel: str
    pointer: str = ""
    function: str = "static"
    first: str = "0"
    bound: str = "{n}"
    step: str = "1"
    has_rows: bool = False
    loop: str = ""
    vector: int = 16
    lanes: Mapping[str, Lanes] = field(default_factory=dict)
    read_by_lanes: frozenset[str] = frozenset()
    written_by_lanes: frozenset[str] = frozenset()
    own: Callable[[str, str, str], Mapping[str, str]] = _none
    load_lanes: Mapping[str, str] = field(default_factory=dict)
    store_lanes: Mapping[str, str] = field(default_factory=dict)
    truth: tuple[str, str] = ("", "{value}")
    lanes_helpers: Mapping[str, str] = field(default_factory=dict)
    math: Mapping[str, str] = field(default_factory=dict)
    spellings: Mapping[tuple[str, str], str] = field(default_factory=dict)
    texts: Mapping[tuple[str, str], str] = field(default_factory=dict)
    load: Mapping[str, str] = field(default_factory=lambda: _LOAD)
    store: Mapping[str, str] = field(default_factory=lambda: _STORE)
    helpers: Mapping[str, str] = field(
        default_factory=lambda: {"bfloat16": BFLOAT16, "float16": FLOAT16}
    )
    to_bits: str = "to_bits"
    from_bits: str = "from_bits"
    pack: int = 0
    prelude: str = ""
    reports: Reports | None = None

    def call(self, function: str, type: str) -> str:
        """How ``function`` of C's is named on arguments of ``type``."""
        found = self.spellings.get((function, type))
        return self.math.get(type, "{}").format(function) if found is None else found

    def load_of(self, dtype: DType, pointer: str, index: str) -> str:
        """The value of an element, in the type it is computed in."""
        text = self.load.get(dtype.name, "{pointer}[{index}]")
        return text.format(pointer=pointer, index=index)

    def load_lane(self, dtype: DType, pointer: str, index: str) -> str:
        """The value of an element for a lane of a vector: a bool as a condition has it."""
        value = self.load_of(dtype, pointer, index)
        return f"-({value})" if dtype.name == "bool" else value

    def store_of(self, dtype: DType, pointer: str, index: str, value: str) -> str:
        """The statement that writes ``value`` to an element."""
        text = self.store.get(dtype.name, "{pointer}[{index}] = {value}")
        return text.format(pointer=pointer, index=index, value=value)

    def pack_of(self, dtype: DType, width: int) -> tuple[str, str]:
        """The type of ``width`` neighbours that are read or written at once, and its declaration.

        Its member ``at`` holds them; see :meth:`in_pack`.

        Example:
            >>> from dovetail.dtypes import float32
            >>> C99.pack_of(float32, 4)[0]
            'pack_float32_4'
        """
        name, size = f"pack_{dtype.name}_{width}", width * dtype.itemsize
        kind = self.types["bfloat16" if dtype.name == "float16" else dtype.name]
        text = f"typedef struct __attribute__((aligned({size}))) {{ {kind} at[{width}]; }} {name};"
        return name, text

    def in_pack(self, dtype: DType, pack: str) -> str:
        """The pointer to a pack's elements, for :meth:`load_of` and :meth:`store_of`."""
        if dtype.name == "float16":  # a type that may be of memory only
            return f"(({self.types['float16']} *){pack}.at)"
        return f"{pack}.at"

    def helpers_of(self, dtype: DType) -> str:
        """The functions that reading and writing elements of ``dtype`` takes."""
        text = self.helpers.get(dtype.name, "")
        for word, own in (
            ("FUNCTION", self.function),
            ("TO_BITS", self.to_bits),
            ("FROM_BITS", self.from_bits),
        ):
            text = text.replace(word, own)
        return text


C99 = Dialect(
    name="c99",
    types={
        "bool": "unsigned char", "uint8": "unsigned char", "int8": "signed char",
        "int16": "short", "int32": "int", "int64": "long long", "uint32": "unsigned int",
        "uint64": "unsigned long long", "float16": "unsigned short",
        "bfloat16": "unsigned short", "float32": "float", "float64": "double",
        "complex64": "float2", "complex128": "double2",
    },
    pairs={"float": "float2", "double": "double2"},
    kernel="void",
    math={"float": "{}f"},
    prelude="""#include <math.h>
#include <string.h>
typedef struct { float x, y; } float2;
typedef struct { double x, y; } double2;
static unsigned int to_bits(float value) {
    unsigned int bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
static float from_bits(unsigned int bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
""",
)  # fmt: skip
"""Plain C, one work item: for a library compiled on the host, and to try expressions out with."""
