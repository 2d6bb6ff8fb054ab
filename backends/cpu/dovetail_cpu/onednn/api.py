"""oneDNN's C interface as this package uses it: constants and prototypes, as data.

Source: oneDNN 3.x, ``dnnl.h`` and ``dnnl_types.h`` (the C ABI is stable within a major version).
"""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER,
    Structure,
    c_char_p,
    c_float,
    c_int,
    c_int64,
    c_size_t,
    c_uint,
    c_void_p,
)
from typing import Any

__all__ = [
    "ARG",
    "ISA_NAMES",
    "MAX_DIMS",
    "QUERY",
    "Api",
    "Argument",
    "Dims",
    "OneDnnError",
    "Version",
    "dims",
]

MAX_DIMS = 12
Dims = c_int64 * MAX_DIMS

CPU_ENGINE = 1
IN_ORDER = 1
USER_SCRATCHPAD = 1
FORWARD_TRAINING = 64
CONVOLUTION_DIRECT = 1
FORMAT_ANY = 1
SYNCHRONOUS_RUNTIMES = (1, 2, 4)  # sequential, OpenMP, TBB: an execution is done on return

QUERY = {
    "implementation": 8,
    "src": 129,
    "diff_src": 130,
    "weights": 131,
    "diff_weights": 132,
    "dst": 133,
    "diff_dst": 134,
    "scratchpad": 136,
}
"""``dnnl_query_t``: what a primitive descriptor can be asked for."""

ARG = {
    "src": 1,
    "dst": 17,
    "weights": 33,
    "bias": 41,
    "mean": 49,
    "variance": 50,
    "scale": 51,
    "shift": 52,
    "scratchpad": 80,
    "diff_src": 129,
    "diff_dst": 145,
    "diff_weights": 161,
    "diff_scale": 255,
    "diff_shift": 256,
}
"""``DNNL_ARG_*``: the role of a memory in an execution."""

STATUS_NAMES = {
    1: "out of memory",
    2: "invalid arguments",
    3: "unimplemented",
    4: "last implementation reached",
    5: "runtime error",
    6: "not required",
}

ISA_NAMES = {
    0x1: "sse41",
    0x3: "avx",
    0x7: "avx2",
    0xF: "avx2_vnni",
    0x1F: "avx2_vnni_2",
    0x27: "avx512_core",
    0x67: "avx512_core_vnni",
    0xE7: "avx512_core_bf16",
    0x1EF: "avx512_core_fp16",
    0xFEF: "avx512_core_amx",
    0x1FEF: "avx512_core_amx_fp16",
}
"""``dnnl_cpu_isa_t``: a bit set, so ``isa & 0x27 == 0x27`` means "has avx512_core"."""


class Version(Structure):
    """``dnnl_version_t``."""

    _fields_ = [
        ("major", c_int),
        ("minor", c_int),
        ("patch", c_int),
        ("hash", c_char_p),
        ("cpu_runtime", c_uint),
        ("gpu_runtime", c_uint),
    ]


class Argument(Structure):
    """``dnnl_exec_arg_t``: a role (see :data:`ARG`) and a memory object."""

    _fields_ = [("arg", c_int), ("memory", c_void_p)]


class OneDnnError(RuntimeError):
    """A oneDNN call that came back with a status other than success."""


_P = c_void_p
_OUT = POINTER(c_void_p)
_DIMS = POINTER(c_int64)

# name -> (argument types); every one of these returns a dnnl_status_t.
_CHECKED: dict[str, tuple[Any, ...]] = {
    "engine_create": (_OUT, c_int, c_size_t),
    "stream_create": (_OUT, _P, c_uint),
    "memory_desc_create_with_strides": (_OUT, c_int, _DIMS, c_int, _DIMS),
    "memory_desc_create_with_tag": (_OUT, c_int, _DIMS, c_int, c_int),
    "memory_create": (_OUT, _P, _P, _P),
    "primitive_attr_create": (_OUT,),
    "primitive_attr_set_scratchpad_mode": (_P, c_int),
    "primitive_desc_query": (_P, c_int, c_int, _P),
    "primitive_create": (_OUT, _P),
    "reorder_primitive_desc_create": (_OUT, _P, _P, _P, _P, _P),
    "matmul_primitive_desc_create": (_OUT, _P, _P, _P, _P, _P, _P),
    "convolution_forward_primitive_desc_create": (
        (_OUT, _P, c_int, c_int) + (_P,) * 4 + (_DIMS,) * 4 + (_P,)
    ),
    "convolution_backward_data_primitive_desc_create": (
        (_OUT, _P, c_int) + (_P,) * 3 + (_DIMS,) * 4 + (_P, _P)
    ),
    "convolution_backward_weights_primitive_desc_create": (
        (_OUT, _P, c_int) + (_P,) * 4 + (_DIMS,) * 4 + (_P, _P)
    ),
    "eltwise_forward_primitive_desc_create": (
        (_OUT, _P, c_int, c_int, _P, _P, c_float, c_float, _P)
    ),
    "eltwise_backward_primitive_desc_create": (
        (_OUT, _P, c_int) + (_P,) * 3 + (c_float, c_float, _P, _P)
    ),
    "softmax_forward_primitive_desc_create": (_OUT, _P, c_int, c_int, _P, _P, c_int, _P),
    "softmax_backward_primitive_desc_create": (_OUT, _P, c_int, _P, _P, _P, c_int, _P, _P),
    "layer_normalization_forward_primitive_desc_create": (
        (_OUT, _P, c_int) + (_P,) * 3 + (c_float, c_uint, _P)
    ),
    "layer_normalization_backward_primitive_desc_create": (
        (_OUT, _P, c_int) + (_P,) * 4 + (c_float, c_uint, _P, _P)
    ),
}

# name -> (result type, argument types); called without a check.
_PLAIN: dict[str, tuple[Any, tuple[Any, ...] | None]] = {
    "version": (POINTER(Version), ()),
    "get_effective_cpu_isa": (c_int, ()),
    "set_primitive_cache_capacity": (c_int, (c_int,)),
    "memory_desc_equal": (c_int, (_P, _P)),
    "memory_desc_get_size": (c_size_t, (_P,)),
    "memory_desc_destroy": (c_int, (_P,)),
    "memory_destroy": (c_int, (_P,)),
    "primitive_desc_query_md": (c_void_p, (_P, c_int, c_int)),
    "primitive_desc_destroy": (c_int, (_P,)),
    "primitive_destroy": (c_int, (_P,)),
    "stream_destroy": (c_int, (_P,)),
    "primitive_execute": (c_int, None),  # see Assembly.step
    "memory_set_data_handle": (c_int, (_P, _P)),
}

# Too short to be worth releasing the interpreter lock for.
_KEEPS_LOCK = ("memory_set_data_handle",)


def dims(values: tuple[int, ...]) -> Any:
    """``values`` as a ``dnnl_dims_t``."""
    return Dims(*values)


class Api:
    """The functions of one loaded library, named without their ``dnnl_`` prefix.

    A checked function raises :class:`OneDnnError` when its status is not success.

    Args:
        path: the shared library, as the dynamic linker takes it.

    Raises:
        OSError: the library, or one that it needs, cannot be loaded.
        AttributeError: the library lacks a function: it is not oneDNN 3.x.
    """

    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path)
        holder = ctypes.PyDLL(path)
        for name, arguments in _CHECKED.items():
            function = self.library["dnnl_" + name]
            function.argtypes = arguments
            function.restype = c_int
            function.errcheck = _raise_on_failure
            setattr(self, name, function)
        for name, (result, accepted) in _PLAIN.items():
            source = holder if name in _KEEPS_LOCK else self.library
            function = source["dnnl_" + name]
            if accepted is not None:
                function.argtypes = accepted
            function.restype = result
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:  # only for what __init__ did not set
        raise AttributeError(f"oneDNN: no function {name!r} is bound; add it to api.py")

    def new(self, name: str, *arguments: Any) -> int:
        """Call a ``*_create`` function; the handle that it made."""
        handle = c_void_p()
        getattr(self, name)(ctypes.byref(handle), *arguments)
        return handle.value or 0


def _raise_on_failure(status: Any, function: Any, arguments: Any) -> Any:
    if status:
        name = STATUS_NAMES.get(status, f"status {status}")
        raise OneDnnError(f"{function.__name__}: {name}")
    return status
