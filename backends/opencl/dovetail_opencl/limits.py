"""What an OpenCL device allows a kernel: what it says of itself, and less where that is asked for.

``DOVETAIL_OPENCL_LIMITS`` has any device stand in for a smaller one, to try kernels on it:
``work_group=64,kernel_group=32,local_memory=16384,arguments=1024,double=0,long_atomics=0,half=0,
pairs=0``. What is named is the most that is allowed; programs are compiled without what the device
is said to lack.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyopencl as cl

from dovetail_opencl.declarations import POCL

__all__ = ["VARIABLE", "Limits", "of_device", "pretended"]

CPUINFO = Path("/proc/cpuinfo")
"""Where Linux says what its processor has."""

VARIABLE = "DOVETAIL_OPENCL_LIMITS"


@dataclass(frozen=True)
class Limits:
    """What a device has.

    Attributes:
        work_group: work items of a work group at most.
        kernel_group: those that every kernel can be launched with; a driver says for each kernel
            how many its registers allow, and this is the most that is believed.
        local_memory: bytes that a work group shares at most.
        arguments: bytes that a kernel's arguments may have together.
        double, long_atomics: float64, and atomics of 64 bits.
        half: float16 to compute with; kernels use it as storage only, and do not need it.
        pairs: products of pairs of bfloat16 (see :func:`_has_pairs`).
    """

    work_group: int
    kernel_group: int
    local_memory: int
    arguments: int = 1024
    double: int = 1
    long_atomics: int = 1
    half: int = 1
    pairs: int = 0

    @property
    def group(self) -> int:
        """Work items of the largest group that folds can halve: a power of two."""
        return 1 << self.work_group.bit_length() - 1

    @property
    def guard(self) -> str:
        """What stands before a program, so that it cannot use what the device is said to lack."""
        if not os.environ.get(VARIABLE):
            return ""
        missing = []
        if not self.double:
            missing += ["#undef cl_khr_fp64", "#undef __opencl_c_fp64", *_without("double", 1)]
        if not self.half:
            missing += ["#undef cl_khr_fp16", *_without("half", 2)]
        if not self.long_atomics:
            missing += ["#undef cl_khr_int64_base_atomics", "#define atom_cmpxchg no_atom_cmpxchg"]
        return "".join(f"{line}\n" for line in missing)


def _without(kind: str, least: int) -> list[str]:
    """Vectors of a type, of so many elements at least, become names that are not declared."""
    widths = [w for w in (1, 2, 3, 4, 8, 16) if w >= least]
    names = [f"{kind}{w if w > 1 else ''}" for w in widths]
    return [f"#define {name} no_{name}" for name in names]


def of_device(handle: Any) -> Limits:
    """What a device says of itself, or is said to have."""
    extensions = set(handle.extensions.split())
    most = int(handle.max_work_group_size)
    found = Limits(
        most, most, int(handle.local_mem_size), int(handle.max_parameter_size),
        int("cl_khr_fp64" in extensions or _has_double(handle)),
        int("cl_khr_int64_base_atomics" in extensions),
        pairs=int(_has_pairs(handle)),
    )  # fmt: skip
    return pretended(found, os.environ.get(VARIABLE, ""))


def pretended(found: Limits, text: str) -> Limits:
    """The smaller of what was found and what a text such as ``work_group=64,double=0`` says.

    Raises:
        ValueError: the text is none of limits.
    """
    smaller = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.strip().partition("=")
        if name not in Limits.__dataclass_fields__ or not number.isdigit():
            raise ValueError(
                f"{VARIABLE}: must be name=number, with one of the names "
                f"{', '.join(Limits.__dataclass_fields__)}, got {part!r}"
            )
        smaller[name] = min(int(number), getattr(found, name))
    return replace(found, **smaller)


def _has_double(handle: Any) -> bool:
    try:
        return bool(handle.double_fp_config)
    except cl.LogicError:  # drivers of devices without doubles may not know the question
        return False


def _has_pairs(handle: Any) -> bool:
    """Whether the device is the host's processor, which multiplies pairs of bfloat16, and the
    driver's compiler takes that instruction in assembly: PoCL names a processor to its compiler
    that has all of AVX-512 but this."""
    if not handle.type & cl.device_type.CPU or handle.platform.name != POCL:
        return False
    try:
        words = CPUINFO.read_text(encoding="utf-8").split()
    except OSError:
        return False
    return {"avx512_bf16", "avx512f"} <= set(words)
