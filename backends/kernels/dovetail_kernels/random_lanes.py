"""Draws of several blocks of words at a time, as vectors: what the host's cores take.

A block's four words lie in four vectors, a lane for each block; what is made of them is woven into
the order of the elements and stored whole.
"""

from __future__ import annotations

from typing import Any

from dovetail.dtypes import FLOATING
from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect, mathematics
from dovetail_kernels.device import Device
from dovetail_kernels.shuffle import transposed
from dovetail_kernels.vectors import lanes, vector_helpers, whole_stores

__all__ = ["CONVERTED", "IS_NORMAL", "called", "drawn", "word_types"]

_WORDS = "xyzw"
_NORMAL = ("log", "sin", "cos")
"""What Box and Muller call."""

_CALLED = {
    "random_normal": _NORMAL,
    "random_scaled": _NORMAL,
    "random_log_normal": (*_NORMAL, "exp"),
    "random_exponential": ("log1p",),
    "random_geometric": ("log1p",),
    "random_cauchy": ("sin", "cos"),
}
"""By name of a draw, the functions that its numbers and what becomes of them call."""

IS_NORMAL = frozenset(name for name, functions in _CALLED.items() if "log" in functions)
"""Draws of normal numbers; those of uniform ones are the others."""


def called(name: str, ending: str) -> dict[str, str]:
    """By function, the macro that calls it for ``ONE`` number or for ``LANES``."""
    return {function: f"{function.upper()}_{ending}" for function in _CALLED.get(name, ())}


_WHOLE = {"int32": "uint", "uint32": "uint", "int64": "ulong", "uint64": "ulong"}
"""By dtype of whole numbers, the type that its vectors are stored as; there are none of others."""

CONVERTED = """
#if __has_builtin(__builtin_convertvector)
#define LANES_OF(kind, v) __builtin_convertvector(v, kind)
#else
#define LANES_OF(kind, v) LANES_OF_(kind, v)
#define LANES_OF_(kind, v) convert_##kind(v)
#endif
"""
"""``LANES_OF(type, v)``: vectors of numbers as those of another type."""


def drawn(device: Device, name: str, dtype: DType) -> tuple[dict[str, Any], str]:
    """(The macros for blocks side by side, the text that they need); LANES is 1 where there are no
    vectors of such a draw.

    Args:
        name: the kernel, such as ``random_uniform``.
        dtype: of what is drawn.
    """
    if name in ("random_whole", "random_keys"):
        return {"LANES": 1}, ""
    is_whole = dtype not in FLOATING
    if not device.is_cpu or (is_whole and (name in _CALLED or dtype.name not in _WHOLE)):
        return {"LANES": 1}, ""
    width = 64 // max(4, dtype.itemsize)
    kind = _WHOLE[dtype.name] if is_whole else dialect.VALUES[dtype.name]
    rows = [f"AFTER_LANES({row})" for row in _rows(name, kind, width)]
    made = [f"m{i}" for i in range(len(rows))]
    statements = [f"const {kind}{width} {m} = {row};" for m, row in zip(made, rows, strict=True)]
    weaving, woven = transposed(made, width, kind)
    stores = [f"PUT_LANES(e + {i * width}, {m})" for i, m in enumerate(woven)]
    macros = {
        **word_types(width),
        "LANES": width,
        "VALUES": f"{kind}{width}",
        "DRAW_LANES": " ".join([*statements, weaving, *stores]),
    }
    text = CONVERTED
    for lanes_of, ending in ((width, "LANES"), (1, "ONE")):  # the same bits wherever a draw ends
        names = called(name, ending)
        if names:
            wanted = [(function, lanes_of) for function in names]
            calls, functions = mathematics.taken(wanted, kind, is_own=True)
            for macro, call in zip(names.values(), calls, strict=True):
                macros[f"{macro}(v)"] = f"{call}(v)"
            text += functions
    if is_whole:
        macros["OUT_SET_V(p, i, v)"] = f"STORE_{kind}{width}((global {kind} *)(p) + (i), v)"
        return macros, text + whole_stores((kind,), width)
    elements = lanes(device, "OUT", dtype, width, side=False)
    macros |= {key: value for key, value in elements.items() if "_V(" in key}
    return macros, text + vector_helpers((dtype,), width)


def word_types(width: int) -> dict[str, str]:
    """Vectors of so many lanes. Names are not pasted together: see ``declarations.py``."""
    wide = f"ulong{width // 2}"
    return {
        "UINTS": f"uint{width}",
        "FLOATS": f"float{width}",
        "DOUBLES": f"double{width}",
        "WIDE": wide,
        "AS_WIDE(v)": f"as_{wide}(v)",
        "AS_INTS(v)": f"as_int{width}(v)",
        "AS_UINTS(v)": f"as_uint{width}(v)",
        "LANE_NUMBERS": f"(uint{width})({', '.join(map(str, range(width)))})",
    }


def _rows(name: str, kind: str, width: int) -> list[str]:
    """A block's elements, each as an expression of vectors."""
    vector, is_double = f"{kind}{width}", kind == "double"
    words = [f"c.{word}" for word in _WORDS]
    if name == "random_bits":
        return [f"LANES_OF({vector}, {w})" for w in words]
    if name == "random_integers":
        ranged = "LANES_OF({0}, {1}) * (range & 0xFFFFFFFFu) >> 32"
        return [f"(ulong)low_value + ({ranged.format(vector, w)})" for w in words]
    if name in IS_NORMAL:
        if is_double:
            r, s = (
                "RADIUS_LANES(UNIFORM_DOUBLE_LANES(c.x, c.y))",
                "UNIFORM_DOUBLE_LANES(c.z, c.w) * TURN",
            )
            return [f"{r} * {f}_LANES({s})" for f in ("COS", "SIN")]
        return [
            f"RADIUS_LANES(UNIFORM_LANES(c.{a})) * {f}_LANES(UNIFORM_LANES(c.{b}) * TURN)"
            for a, b in ("xy", "zw")
            for f in ("COS", "SIN")
        ]
    if name == "random_noise":
        chosen = [f"(UNIFORM_LANES({w}) < p ? (FLOATS)({{}}) : (FLOATS)(0))" for w in words]
        if is_double:
            return [f"LANES_OF({vector}, {c.format('1')}) * scale" for c in chosen]
        return [c.format("(float)scale") for c in chosen]
    if is_double:
        return ["UNIFORM_DOUBLE_LANES(c.x, c.y)", "UNIFORM_DOUBLE_LANES(c.z, c.w)"]
    return [f"UNIFORM_LANES({w})" for w in words]
