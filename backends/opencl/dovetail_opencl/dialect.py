"""OpenCL C for the core's generator of elementwise kernels, for each class of device."""

from __future__ import annotations

from typing import Any

from dovetail.backend import Dialect

__all__ = ["CPU", "GPU", "TYPES", "VALUES"]

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

PRELUDE = """#ifdef cl_khr_fp64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
"""

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
    prelude=PRELUDE,
    **_COMMON,
)
"""Neighbouring work items take neighbouring elements, and go on by the size of the launch."""

CPU = Dialect(
    name="opencl-cpu",
    first="SHARE({index}, {n}) * get_global_id(0)",
    bound="min({n}, SHARE({index}, {n}) * (({index})get_global_id(0) + 1))",
    has_rows=True,
    prelude=PRELUDE + "#define SHARE(T, n) (((n) - 1) / (T)get_global_size(0) + 1)\n",
    **_COMMON,
)
"""Each work item takes a run of elements, over which the compiler makes vectors."""
