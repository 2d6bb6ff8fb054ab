"""OpenCL C for the core's generator of elementwise kernels, for each class of device."""

from __future__ import annotations

from typing import Any

from dovetail.backend import Dialect

__all__ = ["CPU", "GPU", "TYPES", "VALUES", "pairing"]

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
"""

ERROR_FUNCTION = """
static inline float erf_float(float x) {
    const float a = fabs(x), s = x * x;
    float u = fma(-1.72853470e-5f, a, 3.83197126e-4f);
    u = fma(u, s, fma(-3.88396438e-3f, a, 2.42546219e-2f));
    u = fma(u, a, -1.06777877e-1f);
    u = fma(u, a, -6.34846687e-1f);
    u = fma(u, a, -1.28717512e-1f);
    const float far = copysign(1.0f - exp(fma(u, a, -a)), x);
    float v = fma(-5.96761703e-4f, s, 4.99119423e-3f);
    v = fma(v, s, -2.67681349e-2f);
    v = fma(v, s, 1.12819925e-1f);
    v = fma(v, s, -3.76125336e-1f);
    v = fma(v, s, 1.28379166e-1f);
    const float near = fma(v, x, x);
    return a > 0.927734375f ? far : near;
}
static inline float erfc_float(float x) {
    const float a = fabs(x), inverse = 1.0f / (a + 2.0f);
    float q = (a - 2.0f) * inverse;
    q = fma(inverse, fma(-a, q, fma(q + 1.0f, -2.0f, a)), q);
    float p = fma(-4.01020574e-4f, q, -1.23073824e-3f);
    p = fma(p, q, 1.31355994e-3f);
    p = fma(p, q, 8.63243826e-3f);
    p = fma(p, q, -8.05991236e-3f);
    p = fma(p, q, -5.42047396e-2f);
    p = fma(p, q, 1.64055347e-1f);
    p = fma(p, q, -1.66031361e-1f);
    p = fma(p, q, -9.27639678e-2f);
    p = fma(p, q, 2.76978403e-1f);
    const float half_of = 0.5f / (a + 0.5f);
    float r = fma(p, half_of, half_of);
    r = fma((p - r) + fma(r + r, -a, 1.0f), half_of, r);
    const float s = a * a, e = exp(-s);
    r = fma(r, e, r * e * fma(-a, a, s));
    r = a > 10.055f ? 0.0f : r;
    r = x < 0.0f ? 2.0f - r : r;
    return x != x ? x : r;
}
"""
"""erf to 1 ulp and erfc to 3 without branches (after the minimax approximations published by N.
Juffa), so that a compiler makes vectors of them; drivers for CPUs have branches."""

_COMMON: dict[str, Any] = {
    "types": TYPES,
    "pairs": {"float": "float2", "double": "double2"},
    "kernel": "kernel void",
    "pointer": "global ",
    "function": "static inline",
    "load": _LOAD,
    "store": _STORE,
    "helpers": {"bfloat16": BFLOAT16},
    "to_bits": "as_uint",
    "from_bits": "as_float",
}

GPU = Dialect(
    name="opencl-gpu",
    first="get_global_id(0)",
    step="get_global_size(0)",
    pack=16,
    prelude=PRELUDE,
    **_COMMON,
)
"""Neighbouring work items take neighbouring elements, and go on by the size of the launch."""

CPU = Dialect(
    name="opencl-cpu",
    first="SHARE({index}, {n}) * get_global_id(0)",
    bound="min({n}, SHARE({index}, {n}) * (({index})get_global_id(0) + 1))",
    has_rows=True,
    loop="#pragma clang loop vectorize(assume_safety) vectorize_width({width})",
    vector=64,
    spellings={("erf", "float"): "erf_float", ("erfc", "float"): "erfc_float"},
    prelude=PRELUDE
    + ERROR_FUNCTION
    + "#define SHARE(T, n) (((n) - 1) / (T)get_global_size(0) + 1)\n",
    **_COMMON,
)
"""Each work item takes a run of elements, over which the compiler makes vectors."""
