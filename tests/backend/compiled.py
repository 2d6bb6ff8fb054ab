"""Kernels from the expression table, compiled by the system's C compiler and called on arrays."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dovetail import dtypes as d
from dovetail.backend import C99, EXPRESSIONS, StridedView, form_of, kernel_name, program_source

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

_NUMBER = {"float32": ctypes.c_float, "float64": ctypes.c_double, "int64": ctypes.c_longlong,
           "int32": ctypes.c_int, "int16": ctypes.c_short, "int8": ctypes.c_byte,
           "uint8": ctypes.c_ubyte, "bool": ctypes.c_ubyte, "float16": ctypes.c_float,
           "bfloat16": ctypes.c_float}  # fmt: skip


class Launch:
    """One call of a kernel: arrays that lie in buffers of their own, and what it must write.

    Args:
        name: the operator.
        inputs: NumPy arrays of one shape, in any layout.
        out: an array of that shape to be written.
        parameters: numbers, in the expression's order.
    """

    def __init__(
        self, name: str, inputs: Iterable[np.ndarray], out: np.ndarray, parameters: Any = ()
    ) -> None:
        self.name, self.inputs, self.out = name, tuple(inputs), out
        self.parameters = parameters
        self.views = [view_of(a) for a in (out, *self.inputs)]
        self.form, self.integers = form_of(*self.views)

    @property
    def request(self) -> Any:
        """The kernel it needs, for ``program_source``."""
        kinds = tuple(v.dtype for v in self.views[1:])
        return self.name, kinds, self.views[0].dtype, self.form, None

    def run(self, library: ctypes.CDLL) -> None:
        """Call the kernel."""
        name, kinds, out, form, _ = self.request
        kernel = library[kernel_name(name, kinds, out, form)]
        kernel.restype = None
        pointers = [ctypes.c_void_p(v.buffer.ctypes.data) for v in self.views]
        number = _NUMBER.get((kinds[-1] if kinds else out).name, ctypes.c_double)
        width = ctypes.c_ulonglong if form.is_wide else ctypes.c_uint
        kernel(*pointers, *map(number, self.parameters), *map(width, self.integers))


def view_of(array: np.ndarray) -> StridedView:
    """An array as a view of the memory that it lies in."""
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    offset = array.ctypes.data - base.ctypes.data
    kind = d.from_numpy_dtype(array.dtype)
    return StridedView(base, offset, array.shape, array.strides, kind)


def compiled(launches: Iterable[Launch], folder: Path) -> ctypes.CDLL:
    """A library with a kernel for each of the launches."""
    requests = list(dict.fromkeys(launch.request for launch in launches))
    return compiled_source(program_source(requests, C99), folder)


def compiled_source(source: str, folder: Path) -> ctypes.CDLL:
    """A library from its source."""
    assert COMPILER is not None
    (folder / "kernels.c").write_text(source)
    words = [
        COMPILER,
        "-std=c99",
        "-O1",
        "-shared",
        "-fPIC",
        "-o",
        "kernels.so",
        "kernels.c",
        "-lm",
    ]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(folder / "kernels.so"))


def elementwise_names() -> list[str]:
    """The required operators that have an expression."""
    from dovetail.ops.schema import REGISTRY

    kinds = ("elementwise", "compare", "select")
    required = [op.name for op in REGISTRY.values() if op.required and op.kind in kinds]
    assert len(required) >= 33
    assert set(required) <= set(EXPRESSIONS), sorted(set(required) - set(EXPRESSIONS))
    return required
