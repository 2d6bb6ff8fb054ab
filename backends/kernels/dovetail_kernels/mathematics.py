"""C's functions on float and double as text without branches, one number or a vector at a time.

The text is in src/mathematics*.cl. Drivers for the host's cores bring functions of which a compiler
makes no vectors (PoCL's ``log`` takes fifty times as long as reading its argument), or slow ones.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

__all__ = ["FUNCTIONS", "is_there", "named", "taken", "written"]

_FILES = {
    "float": ("mathematics", "mathematics_angles", "mathematics_powers", "mathematics_gamma"),
    "half": ("mathematics_half",),
    "double": (
        "mathematics_double", "mathematics_double_angles", "mathematics_double_powers",
        "mathematics_double_gamma",
    ),
}  # fmt: skip
_SOURCES = Path(__file__).parent / "src"
_CALL = re.compile(r"\b(NAME|WIDE)\((\w+)\)")
_TOKEN = re.compile(
    r"\b(FUNCTION|F|I|U|L|TO_F|TO_I|TO_L|AS_F|AS_I|AS_U|AS_L|FAR|ANY|SOME|BIG|SCALE|SPLIT|REST|(?:NAME|WIDE)\(\w+\))(?!\w)"
)
_EACH = re.compile(r"EACH\((\w+)((?:, \w)+)\)")


@functools.cache
def _texts(kind: str) -> Mapping[str, str]:
    """By name, a function's text, in terms of F and I; each after those that it calls."""
    found = {}
    for file in _FILES[kind]:
        text = (_SOURCES / f"{file}.cl").read_text(encoding="utf-8")
        for part in re.split(r"\n(?=FUNCTION )", text)[1:]:
            line, *rest = part.split("\n")
            end = 0 if line.endswith("}") else rest.index("}") + 1
            found[_CALL.findall(line)[0][1]] = "\n".join([line, *rest[:end]])
    return found


FUNCTIONS = frozenset(
    (
        "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "tanh",
        "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh", "atan2", "erf",
        "erfc", "hypot", "pow", "fmod", "normal_cdf", "soft_plus", "lgamma",
    )
)  # fmt: skip
"""C's functions and the core's that there are; others are parts of them."""

_OF_LANES = """
#if __has_builtin(__builtin_reduce_or)
#define ANY_LANE(c) (__builtin_reduce_or(c) != 0)
#else
#define ANY_LANE(c) any(c)
#endif
#if defined(__AVX512DQ__) && __has_builtin(__builtin_ia32_reduceps512_mask)
#define SCALE_float16(x, k) __builtin_ia32_scalefps512_mask(x, k, x, (ushort)-1, 4)
#define REST_float16(x) __builtin_ia32_reduceps512_mask(x, 9, x, (ushort)-1, 4)
#define SPLIT_float16(x, e) (e = __builtin_ia32_getexpps512_mask(x, x, (ushort)-1, 4), \
    __builtin_ia32_getmantps512_mask(x, 11, x, (ushort)-1, 4))
#define SCALE_double8(x, k) __builtin_ia32_scalefpd512_mask(x, k, x, (uchar)-1, 4)
#endif
"""
"""Whether a comparison of vectors holds in a lane, for PoCL's ``any`` takes them one by one; and
a product with a power of two in one instruction, where the host's cores have it.
"""


def named(function: str, width: int, kind: str = "float") -> str:
    """What the function is called for vectors of so many numbers; 1: for one.

    Kinds are ``float``, ``double``, and ``half``: on float, for a result that is kept as a half.
    """
    return f"{function}_{kind}{width if width > 1 else ''}"


def is_there(function: str, kind: str) -> bool:
    """Whether C's function or the core's of this name is here for ``kind``."""
    return function in FUNCTIONS and kind in _FILES and function in _texts(kind)


_NUMBERS = {"float": "float", "half": "float", "double": "double"}
"""By kind of function, the type that is computed in."""


def _owner(kind: str, word: str, function: str) -> str:
    """Whose function is called: those for halves stand before those on float."""
    return "float" if kind == "half" and (word == "WIDE" or function not in _texts(kind)) else kind


def written(functions: Iterable[str], width: int, kind: str = "float") -> dict[str, str]:
    """By name, the text of these functions and of those that they call, in order."""
    made = {"OF_LANES": _OF_LANES} if width > 1 else {}

    def write(function: str, kind: str) -> None:
        name, text = named(function, width, kind), _texts(kind)[function]
        if name in made:
            return
        for word, called in _CALL.findall(text):
            owner = _owner(kind, word, called)
            if (called, owner) != (function, kind):
                write(called, owner)
        made[name] = _spelled(text, width, kind)

    for function in functions:
        write(function, kind)
    return made


def taken(
    calls: Sequence[tuple[str, int]], kind: str, *, is_own: bool,
    short: Sequence[tuple[str, int]] = (),
) -> tuple[list[str], str]:  # fmt: skip
    """(What functions are called in a kernel, the text that stands before it).

    Args:
        calls: each function, and for vectors of how many numbers it is wanted.
        kind: of which kind they are, ``float`` or ``double``.
        is_own: ours; else the driver's, whose names are C's.
        short: more of ours, for results that are kept as halves.
    """
    if not is_own:
        return [function for function, _ in calls], ""
    made: dict[str, str] = {}
    for function, width in calls:
        made |= written([function], width, kind)
    for function, width in short:
        made |= written([function], width, "half")
    names = [named(*call, kind) for call in calls] + [named(*call, "half") for call in short]
    return names, "\n".join(made.values())


_WHOLE = {
    "float": ("int", "uint", "12582912.0f", "1e5f"),
    "double": ("long", "ulong", "6755399441055744.0", "1e9"),
}
"""By type, integers as wide, BIG and FAR."""


def _spelled(text: str, width: int, kind: str) -> str:
    w = width if width > 1 else ""
    number = _NUMBERS[kind]
    signed, unsigned, big, far = _WHOLE[number]
    words = {
        "FUNCTION": "static inline",
        "F": f"{number}{w}",
        "I": f"{signed}{w}",
        "U": f"{unsigned}{w}",
        "L": f"ulong{w}",
        "TO_F": f"convert_float{w}",
        "TO_I": f"convert_int{w}",
        "TO_L": f"convert_ulong{w}",
        "AS_F": f"as_{number}{w}",
        "AS_I": f"as_{signed}{w}",
        "AS_U": f"as_{unsigned}{w}",
        "AS_L": f"as_long{w}",
        "ANY": "ANY_LANE" if w else "",
        "SOME": "ANY_LANE" if w else "1 | ",
        "BIG": big,
        "FAR": far,
        "SCALE": f"SCALE_{number}{w}",
        "SPLIT": f"SPLIT_{number}{w}",
        "REST": f"REST_{number}{w}",
    }

    def spelled(match: re.Match[str]) -> str:
        word = match[1]
        if called := _CALL.fullmatch(word):
            return named(called[2], width, _owner(kind, *called.groups()))
        return words.get(word, word)

    each = lambda match: _each(match[1], match[2].replace(",", " ").split(), w, number)
    return _TOKEN.sub(spelled, _EACH.sub(each, text))


def _each(function: str, operands: Sequence[str], width: int | str, kind: str) -> str:
    if not width:
        return f"made = {function}({', '.join(operands)});"
    lanes = "".join(f"{kind} {o}_lane[{width}]; vstore{width}({o}, 0, {o}_lane);" for o in operands)
    call = ", ".join(f"{o}_lane[j]" for o in operands)
    loop = f"for (int j = 0; j < {width}; j++) x_lane[j] = {function}({call});"
    return f"{lanes} {loop} made = vload{width}(0, x_lane);"
