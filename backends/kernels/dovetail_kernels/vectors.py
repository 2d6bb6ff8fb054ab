"""Elements of a dtype several at a time, as OpenCL's vectors: what a CPU's kernels are made of.

Explicit vectors are worth it: PoCL's compiler makes code twice as fast of them as of loops over
lanes (softmax of float32, and the sum of a line).
"""

from __future__ import annotations

from collections.abc import Iterable

from dovetail.dtypes import dtype as DType
from dovetail_kernels import dialect
from dovetail_kernels.device import Device

__all__ = ["BYTES", "FETCH", "lanes", "vector_helpers", "whole_stores"]

FETCH = """
#if defined(__clang__) && !defined(__SPIR__) && !defined(__SPIR64__)
#define FETCH(p) __builtin_prefetch((const void *)(ulong)(p));
#define FETCH_OWN(p) __builtin_prefetch((const void *)(ulong)(p), 1);
#else
#define FETCH(p) ;
#define FETCH_OWN(p) ;
#endif
"""
"""An element that is wanted soon, to be read or to be written; PoCL's ``prefetch`` does nothing,
and Oclgrind does not know the compiler's."""

BYTES = """
#ifdef __clang__
typedef ulong8 ulong8_of_bytes __attribute__((aligned(1)));
#define LOAD_ulong8(p) (*(global const ulong8_of_bytes *)(p))
#else
#define LOAD_ulong8(p) vload8(0, (global const ulong *)(p))
#endif
#if __has_builtin(__builtin_convertvector)
#define CONVERT_long8(v) __builtin_convertvector(v, long8)
#define CONVERT_ulong8(v) __builtin_convertvector(v, ulong8)
#define CONVERT_float16(v) __builtin_convertvector(v, float16)
#define CONVERT_double8(v) __builtin_convertvector(v, double8)
#else
#define CONVERT_long8(v) convert_long8(v)
#define CONVERT_ulong8(v) convert_ulong8(v)
#define CONVERT_float16(v) convert_float16(v)
#define CONVERT_double8(v) convert_double8(v)
#endif
"""
"""64 bytes that begin anywhere, as eight numbers; integers as larger ones, or as floats."""

_SIZES = {
    "ushort": 2, "int": 4, "uint": 4, "float": 4, "long": 8, "ulong": 8, "double": 8,
}  # fmt: skip


def whole_stores(kinds: Iterable[str], width: int) -> str:
    """Macros ``STORE_uint16(p, v)`` and the like for vectors of so many of these types."""
    return "".join(
        dialect.WHOLE_STORE.format(kind=f"{kind}{width}", size=_SIZES[kind], w=width)
        for kind in dict.fromkeys(kinds)
    )


def lanes(device: Device, prefix: str, dtype: DType, width: int, *, side: bool) -> dict[str, str]:
    """Macros for an element of ``dtype``, or for ``width`` neighbours as a vector: ``P_MEMORY``,
    ``P_S(p, i)``, ``P_V(p, i)``, ``P_SET_S(p, i, v)`` and ``P_SET_V(p, i, v)``.

    ``side``: single elements are vectors too, for lines side by side.
    """
    spelled, w = device.dialect, width
    single = {
        "S(p, i)": spelled.load_of(dtype, "(p)", "(i)"),
        "SET_S(p, i, v)": spelled.store_of(dtype, "(p)", "(i)", "(v)"),
    }
    if dtype.name == "float16":
        load, store = f"vload_half{w}(0, (p) + (i))", f"vstore_half{w}_rte(v, 0, (p) + (i))"
    elif dtype.name == "bfloat16":
        load = f"as_float{w}(convert_uint{w}(vload{w}(0, (p) + (i))) << 16)"
        store = f"STORE_ushort{w}((p) + (i), float{w}_to_bfloat16(v))"
    else:
        load, store = f"vload{w}(0, (p) + (i))", f"vstore{w}(v, 0, (p) + (i))"
        if _is_register(dtype, w):
            store = f"STORE_{dialect.VALUES[dtype.name]}{w}((p) + (i), v)"
    made = {"V(p, i)": load, "SET_V(p, i, v)": store} if w > 1 else {}
    if side:
        made = {"S(p, i)": load, "SET_S(p, i, v)": store}
    else:
        made |= single
    return {f"{prefix}_MEMORY": dialect.TYPES[dtype.name]} | {
        f"{prefix}_{key}": text for key, text in made.items()
    }


def _is_register(dtype: DType, width: int) -> bool:
    return dtype.name in ("float32", "float64") and width * dtype.itemsize == 64


def vector_helpers(dtypes: Iterable[DType], width: int) -> str:
    """What vectors of ``width`` elements of these dtypes are stored with."""
    made, kinds = [], []
    for dtype in dict.fromkeys(dtypes):
        if width > 1 and dtype.name == "bfloat16":
            made.append(dialect.BFLOAT16_LANES.format(w=width))
            kinds.append("ushort")
        elif _is_register(dtype, width):
            kinds.append(dialect.VALUES[dtype.name])
    return "".join(made) + whole_stores(kinds, width)
