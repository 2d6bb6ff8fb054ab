"""OpenCL C for the core's generator of elementwise kernels, for each class of device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dovetail.backend import Dialect
from dovetail.backend.dialect import Lanes, Reports
from dovetail_kernels import mathematics, whole

__all__ = ["CPU", "GPU", "NEAR", "TYPES", "VALUES", "pairing"]

TYPES = {
    "bool": "uchar", "uint8": "uchar", "int8": "char", "int16": "short", "int32": "int",
    "int64": "long", "uint32": "uint", "uint64": "ulong", "float16": "half", "bfloat16": "ushort",
    "float32": "float", "float64": "double", "complex64": "float2", "complex128": "double2",
}  # fmt: skip
"""By dtype's name, the type in memory."""

VALUES = {**TYPES, "float16": "float", "bfloat16": "float"}
"""By dtype's name, the type in registers."""

BFLOAT16 = """
FUNCTION float bfloat16_to_float(ushort bits) { return as_float((uint)bits << 16); }
FUNCTION ushort float_to_bfloat16(float value) {
    uint bits = as_uint(value);
    uint rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return value != value ? (ushort)0x7fc0 : (ushort)rounded;
}"""

HALF = """
#ifndef __has_builtin
#define __has_builtin(name) 0
#endif
#if __has_builtin(__builtin_load_halff) && !defined(__SPIR__) && !defined(__SPIR64__)
#define LOAD_HALF(p, i) __builtin_load_halff((p) + (i))
#define STORE_HALF(v, p, i) __builtin_store_halff(v, (p) + (i))
#else
#define LOAD_HALF(p, i) vload_half(i, p)
#define STORE_HALF(v, p, i) vstore_half_rte(v, i, p)
#endif
"""
"""What PoCL makes of vload_half and vstore_half takes four times as long, and no vectors. Code for
SPIR is for whoever reads that, Oclgrind too, which has no numbers of 16 bits."""

_LOAD = {
    "bool": "({pointer}[{index}] != 0)",
    "float16": "vload_half({index}, {pointer})",
    "bfloat16": "bfloat16_to_float({pointer}[{index}])",
}
_STORE = {
    "float16": "vstore_half_rte({value}, {index}, {pointer})",
    "bfloat16": "{pointer}[{index}] = float_to_bfloat16({value})",
}


def pairing(kind: str) -> dict[str, str]:
    """The macro ``PAIR(x, y)``: a complex number of the type ``kind``, such as float2."""
    return {"PAIR(x, y)": f"({kind})((x), (y))"}


PRELUDE = """#ifdef cl_khr_fp64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
#ifdef cl_khr_int64_base_atomics
#pragma OPENCL EXTENSION cl_khr_int64_base_atomics : enable
#endif
"""

BFLOAT16_LANES = """
static inline ushort{w} float{w}_to_bfloat16(float{w} value) {{
#if defined(HAS_PAIRS) && {w} == 16
    if (!__builtin_ia32_fpclassps512_mask(value, 32, (ushort)-1)) {{
        ushort{w} brought;
        __asm__("vcvtneps2bf16 %1, %0" : "=v"(brought) : "v"(value));
        return brought;
    }}
#endif
    const uint{w} bits = as_uint{w}(value);
    const uint{w} rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    const uint{w} made = value != value ? (uint{w})0x7fc0u : rounded;
#if __has_builtin(__builtin_convertvector)
    return __builtin_convertvector(made, ushort{w});
#else
    return convert_ushort{w}(made);
#endif
}}"""
"""Vectors rounded to bfloat16. The instruction for it (see ``Device.has_pairs``) makes denormal
numbers 0, so those are rounded as bits are elsewhere."""

WHOLE_STORE = """
#ifdef __clang__
typedef {kind} {kind}_anywhere __attribute__((aligned({size})));
#define STORE_{kind}(p, v) *(global {kind}_anywhere *)(p) = (v)
#else
#define STORE_{kind}(p, v) vstore{w}(v, 0, p)
#endif
"""
"""A store of a whole vector register: PoCL's ``vstore`` is made of three of its parts."""

CONDITIONS = """
#if __has_builtin(__builtin_convertvector)
#define CONDITION_16(bytes) (__builtin_convertvector(bytes, int16) != 0)
#define CONDITION_8(bytes) (__builtin_convertvector(bytes, long8) != 0)
#define BYTES_16(condition) __builtin_convertvector(condition, uchar16)
#define BYTES_8(condition) __builtin_convertvector(condition, uchar8)
#else
#define CONDITION_16(bytes) (convert_int16(bytes) != 0)
#define CONDITION_8(bytes) (convert_long8(bytes) != 0)
#define BYTES_16(condition) as_uchar16(convert_char16(condition))
#define BYTES_8(condition) as_uchar8(convert_char8(condition))
#endif
"""
"""Bools in memory as conditions, and conditions as bytes: all bits are set where they hold."""

NEAR = """
#ifndef NEAR_GELU
#define NEAR_GELU
// What is below x of a normal distribution, by e = exp(-x * x / 2): relative errors up to 4e-5, so
// that a half is as near as it can be. The polynomial was fitted to the scaled complement of erf.
FUNCTION float near_share(float x, float e) {
    const float t = native_recip(fma(0.38f, fabs(x), 1.0f));
    float p = fma(-0.08992883f, t, 0.18887741f);
    p = fma(p, t, 0.09197917f);
    p = fma(p, t, 0.15782957f);
    p = fma(p, t, 0.15122514f) * t * e;
    return x < 0.0f ? p : 1.0f - p;
}
FUNCTION float near_gelu(float x) {
    return x * near_share(x, native_exp2(-0.72134752f * x * x));
}
FUNCTION float near_gelu_slope(float x) {
    const float e = native_exp2(-0.72134752f * x * x);
    return fma(x * 0.39894228f, e, near_share(x, e));
}
// (1 + tanh(z)) / 2 = 1 / (1 + exp(-2 z)), z = sqrt(2 / pi) (x + 0.044715 x^3)
FUNCTION float near_gate(float x, float square) {
    return native_recip(1.0f + native_exp2(fma(-0.10294324f, square, -2.30220820f) * x));
}
FUNCTION float near_gelu_tanh(float x) { return x * near_gate(x, x * x); }
FUNCTION float near_gelu_tanh_slope(float x) {
    const float square = x * x, gate = near_gate(x, square);
    const float inner = fma(0.21406445f, square, 1.59576912f);
    return fma(x * inner, gate - gate * gate, gate);
}
#endif
"""
"""gelu and its gradient for halves: erf and tanh of float32 cost more than memory does."""

HALVES = {
    (name, dtype): text
    for dtype in ("float16", "bfloat16")
    for name, text in (
        ("gelu", "near_gelu(x0)"),
        ("gelu_tanh", "near_gelu_tanh(x0)"),
        ("gelu_backward", "near_gelu_slope(x1) * x0"),
        ("gelu_tanh_backward", "near_gelu_tanh_slope(x1) * x0"),
    )
}
"""What is computed by :data:`NEAR`."""

REPORTS = Reports(
    functions=(Path(__file__).parent / "src" / "fault.cl").read_text(encoding="utf-8"),
    statement="if ({wrong}) report(faults, refused + {which}, 0, 0);",
)
"""Operands that have no result are reported as indices out of range are: see :mod:`.faults`."""

_COMMON: dict[str, Any] = {
    "types": TYPES,
    "pairs": {"float": "float2", "double": "double2"},
    "kernel": "kernel void",
    "pointer": "global ",
    "function": "static inline",
    "helpers": {"bfloat16": BFLOAT16},
    "to_bits": "as_uint",
    "from_bits": "as_float",
    "reports": REPORTS,
}

GPU = Dialect(
    name="opencl-gpu",
    first="get_global_id(0)",
    step="get_global_size(0)",
    pack=16,
    texts=HALVES,
    load=_LOAD,
    store=_STORE,
    prelude=PRELUDE,
    **_COMMON | {"helpers": {"bfloat16": BFLOAT16 + NEAR, "float16": NEAR}},
)
"""Neighbouring work items take neighbouring elements, and go on by the size of the launch."""

_LANES = {"float": Lanes("float16", 16, "int16"), "double": Lanes("double8", 8, "long8")}
"""What the functions of the host's cores take at once."""


_WIDTHS = {"float": ("float", 1), "double": ("double", 1)} | {
    lanes.vector: (kind, lanes.width) for kind, lanes in _LANES.items()
}


def _own(name: str, type: str, kept: str) -> dict[str, str]:
    kind, width = _WIDTHS.get(type, ("", 1))
    if kind == "float" and kept in ("float16", "bfloat16") and mathematics.is_there(name, "half"):
        return mathematics.written([name], width, "half")
    if mathematics.is_there(name, kind):
        return mathematics.written([name], width, kind)
    return whole.written(name, type)


CPU = Dialect(
    name="opencl-cpu",
    first="SHARE({index}, {n}) * get_global_id(0)",
    bound="min({n}, SHARE({index}, {n}) * (({index})get_global_id(0) + 1))",
    has_rows=True,
    loop="#pragma clang loop vectorize(assume_safety) vectorize_width({width})",
    vector=64,
    load={**_LOAD, "float16": "LOAD_HALF({pointer}, {index})"},
    store={**_STORE, "float16": "STORE_HALF({value}, {pointer}, {index})"},
    truth=("volatile uchar truth = 1; const uchar one = truth;", "({value}) ? one : (uchar)0"),
    lanes=_LANES,
    read_by_lanes=frozenset(("float16",)),
    written_by_lanes=frozenset(("float16", "bfloat16")),
    own=_own,
    load_lanes={
        "bool": "CONDITION_{width}(vload{width}(0, {pointer} + {index}))",
        "float16": "vload_half{width}(0, {pointer} + {index})",
        "bfloat16": "as_float{width}"
        "(convert_uint{width}(vload{width}(0, {pointer} + {index})) << 16)",
        "float32": "vload{width}(0, {pointer} + {index})",
        "float64": "vload{width}(0, {pointer} + {index})",
    },
    store_lanes={
        "bool": "vstore{width}(BYTES_{width}({value}) & one, 0, {pointer} + {index})",
        "float16": "vstore_half{width}_rte({value}, 0, {pointer} + {index})",
        "bfloat16": "STORE_ushort{width}({pointer} + {index}, float{width}_to_bfloat16({value}))",
        "float32": "STORE_float{width}({pointer} + {index}, {value})",
        "float64": "STORE_double{width}({pointer} + {index}, {value})",
    },
    lanes_helpers={
        "bool": CONDITIONS,
        "float32": WHOLE_STORE.format(kind="floatWIDTH", size=4, w="WIDTH"),
        "float64": WHOLE_STORE.format(kind="doubleWIDTH", size=8, w="WIDTH"),
        "bfloat16": BFLOAT16_LANES.format(w="WIDTH")
        + WHOLE_STORE.format(kind="ushortWIDTH", size=2, w="WIDTH"),
    },
    prelude=PRELUDE + HALF + "#define SHARE(T, n) (((n) - 1) / (T)get_global_size(0) + 1)\n",
    **_COMMON,
)
"""Each work item takes a run of elements, over which the compiler makes vectors.

``truth`` is not known to a compiler, which would load a constant under a mask; where all of a
result is false, that touches a page which nothing has brought, and AMD's processors take 100 ns to
find that out, each time.
"""
