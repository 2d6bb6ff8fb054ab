"""cuBLASLt through ctypes: one product of matrices, planned once and queued with pointers only.

Everything that is asked of the library goes through :func:`library`, so that a test can put another
in its place (:func:`place`).
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_float, c_int, c_int64, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

__all__ = ["BIAS", "KINDS", "Matrix", "Problem", "library", "place", "why_absent"]

KINDS = {
    "float32": (0, 68, np.float32),
    "float64": (1, 70, np.float64),
    "float16": (2, 68, np.float32),
    "bfloat16": (14, 68, np.float32),
    "complex64": (4, 68, np.complex64),
    "complex128": (5, 70, np.complex128),
}
"""By dtype: ``cudaDataType``, ``cublasComputeType_t``, and what alpha and beta are."""

SCALES = {np.float32: 0, np.float64: 1, np.complex64: 4, np.complex128: 5}
"""The ``cudaDataType`` of alpha and beta."""

TF32 = 77
"""``CUBLAS_COMPUTE_32F_FAST_TF32``: factors are rounded to 10 bits, sums are not."""

DEFAULT, BIAS = 1, 4
"""``cublasLtEpilogue_t``: what is done with a sum."""

# Attributes of a product, of a matrix and of what is preferred.
TURN_A, TURN_B, EPILOGUE, BIAS_POINTER = 3, 4, 7, 8
BATCHES, STEP = 5, 6
WORKSPACE, REDUCTIONS, ALIGNMENTS = 1, 3, (5, 6, 7, 8)

IN_FULL = 2
"""``CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE``: parts of a sum are added before they are rounded."""

FURTHEST = 8
"""How many algorithms are asked for; the first one that fits is taken."""


@dataclass(frozen=True)
class Matrix:
    """A matrix in columns: ``rows`` neighbours, then ``lead`` elements on the next column.

    Attributes:
        step: elements from one matrix of a batch to the next; 0: they share it.
    """

    rows: int
    columns: int
    lead: int
    step: int = 0


@dataclass(frozen=True)
class Problem:
    """``d = alpha * op(a) @ op(b) + beta * c``, for ``batch`` of them.

    Attributes:
        kind: the dtype of a and b.
        made: that of c and d; float32 may be made of halves.
        turned_a, turned_b: ``op`` transposes.
        epilogue: what is done with a sum (:data:`DEFAULT`, :data:`BIAS`: a number for each row).
        tf32: float32 factors may be rounded.
        aligned: bytes that all addresses are multiples of.
    """

    kind: str
    made: str
    a: Matrix
    b: Matrix
    c: Matrix
    d: Matrix
    turned_a: bool
    turned_b: bool
    batch: int = 1
    epilogue: int = DEFAULT
    tf32: bool = False
    aligned: int = 256


class _Found(ctypes.Structure):
    """``cublasLtMatmulHeuristicResult_t``."""

    _fields_ = (
        ("algorithm", c_uint64 * 8),
        ("workspace", c_size_t),
        ("state", c_int),
        ("waves", c_float),
        ("reserved", c_int * 4),
    )


class CublasLt:
    """The library; one handle serves a device."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        for name, *kinds in (
            ("Create", POINTER(c_void_p)),
            ("MatrixLayoutCreate", POINTER(c_void_p), c_int, c_uint64, c_uint64, c_int64),
            ("MatrixLayoutSetAttribute", c_void_p, c_int, c_void_p, c_size_t),
            ("MatrixLayoutDestroy", c_void_p),
            ("MatmulDescCreate", POINTER(c_void_p), c_int, c_int),
            ("MatmulDescSetAttribute", c_void_p, c_int, c_void_p, c_size_t),
            ("MatmulDescDestroy", c_void_p),
            ("MatmulPreferenceCreate", POINTER(c_void_p)),
            ("MatmulPreferenceSetAttribute", c_void_p, c_int, c_void_p, c_size_t),
            ("MatmulPreferenceDestroy", c_void_p),
            (
                "MatmulAlgoGetHeuristic", *[c_void_p] * 7, c_int, POINTER(_Found), POINTER(c_int),
            ),
        ):  # fmt: skip
            getattr(self._library, f"cublasLt{name}").argtypes = kinds
        self._queue = self._library.cublasLtMatmul
        self._set = self._library.cublasLtMatmulDescSetAttribute
        self._library.cublasLtGetStatusString.restype = ctypes.c_char_p

    def _call(self, name: str, *arguments: Any) -> None:
        _check(self, getattr(self._library, f"cublasLt{name}")(*arguments), name)

    def status(self, code: int) -> str:
        """What an error code means."""
        text: bytes = self._library.cublasLtGetStatusString(code)
        return text.decode()

    def handle(self) -> int:
        """A new context on the current device."""
        made = c_void_p()
        self._call("Create", byref(made))
        assert made.value is not None
        return made.value

    def plan(self, handle: int, problem: Problem, workspace: int) -> Plan | None:
        """How to compute it within so many bytes of workspace; None where the library cannot."""
        plan = Plan(self, handle, problem)
        return plan if plan.choose(workspace) else None

    def _layout(self, kind: int, matrix: Matrix, batch: int) -> c_void_p:
        made = c_void_p()
        shape = (matrix.rows, matrix.columns, matrix.lead)
        self._call("MatrixLayoutCreate", byref(made), kind, *shape)
        if batch > 1:
            self.attribute("MatrixLayout", made, BATCHES, c_int(batch))
            self.attribute("MatrixLayout", made, STEP, c_int64(matrix.step))
        return made

    def attribute(self, of: str, made: c_void_p, which: int, value: Any) -> None:
        """Set an attribute of a descriptor."""
        self._call(f"{of}SetAttribute", made, which, byref(value), ctypes.sizeof(value))

    def destroy(self, of: str, made: c_void_p) -> None:
        """Give a descriptor back."""
        self._call(f"{of}Destroy", made)


class Plan:
    """One product, to be queued with its pointers.

    Attributes:
        workspace: bytes that it needs besides.
    """

    workspace = 0

    def __init__(self, library: CublasLt, handle: int, problem: Problem) -> None:
        kind, compute, scale = KINDS[problem.kind]
        made = KINDS[problem.made][0]
        if problem.tf32 and compute == 68:
            compute = TF32
        self._library, self._handle, self._problem = library, handle, problem
        self._layouts = [
            library._layout(dtype, matrix, problem.batch)
            for dtype, matrix in (
                (kind, problem.a),
                (kind, problem.b),
                (made, problem.c),
                (made, problem.d),
            )
        ]
        self._product = c_void_p()
        library._call("MatmulDescCreate", byref(self._product), compute, SCALES[scale])
        for which, value in (
            (TURN_A, c_int(problem.turned_a)),
            (TURN_B, c_int(problem.turned_b)),
            (EPILOGUE, ctypes.c_uint32(problem.epilogue)),
        ):
            library.attribute("MatmulDesc", self._product, which, value)
        self._has_bias = problem.epilogue == BIAS
        self._bias = c_void_p(problem.aligned)
        if self._has_bias:  # the search looks at its alignment
            library.attribute("MatmulDesc", self._product, BIAS_POINTER, self._bias)
        self._scales = np.array([1, 0], scale)
        self._chosen = (_Found * FURTHEST)()
        # What the library is called with: addresses that a call writes, and what stays.
        self._addresses = tuple(c_void_p() for _ in range(6))
        self._arguments: tuple[Any, ...] = ()

    def scaled(self, alpha: Any, beta: Any) -> Plan:
        """The plan, with other numbers than 1 and 0."""
        self._scales[:] = (alpha, beta)
        return self

    def choose(self, workspace: int) -> bool:
        """Ask the library for its best algorithm; whether it has one."""
        library, problem, count = self._library, self._problem, c_int()
        wish = c_void_p()
        library._call("MatmulPreferenceCreate", byref(wish))
        settings: list[tuple[int, Any]] = [(WORKSPACE, c_size_t(workspace))]
        if problem.kind in ("float16", "bfloat16"):
            settings.append((REDUCTIONS, ctypes.c_uint32(IN_FULL)))
        settings += [(which, ctypes.c_uint32(problem.aligned)) for which in ALIGNMENTS]
        for which, value in settings:
            library.attribute("MatmulPreference", wish, which, value)
        status = library._library.cublasLtMatmulAlgoGetHeuristic(
            self._handle, self._product, *self._layouts, wish, FURTHEST, self._chosen, byref(count)
        )
        library.destroy("MatmulPreference", wish)
        if status:
            return False
        for found in self._chosen[: count.value]:
            if found.state == 0 and found.workspace <= workspace:
                self.workspace = int(found.workspace)
                self._arguments = self._with(ctypes.addressof(found))
                return True
        return False

    def __call__(
        self, a: int, b: int, c: int, d: int, bias: int, workspace: int, stream: int
    ) -> None:
        """Queue it; all are addresses.

        Raises:
            RuntimeError: the library refuses.
        """
        if self._has_bias:
            self._bias.value = bias
            self._library._set(self._product, BIAS_POINTER, byref(self._bias), 8)
        x, y, z, w, v, u = self._addresses
        x.value, y.value, z.value, w.value, v.value, u.value = a, b, c, d, workspace, stream
        code = self._library._queue(*self._arguments)
        if code:
            _check(self._library, code, "Matmul")

    def _with(self, algorithm: int) -> tuple[Any, ...]:
        """The arguments of a call, which convert themselves: that is faster than from numbers."""
        one, two, three, four = self._layouts
        a, b, c, d, workspace, stream = self._addresses
        alpha = self._scales.ctypes.data
        beta = c_void_p(alpha + self._scales.itemsize)
        return (
            c_void_p(self._handle), self._product, c_void_p(alpha), a, one, b, two, beta, c, three,
            d, four, c_void_p(algorithm), workspace, c_size_t(self.workspace), stream,
        )  # fmt: skip

    def __del__(self) -> None:
        for layout in self._layouts:
            self._library._library.cublasLtMatrixLayoutDestroy(layout)
        self._library._library.cublasLtMatmulDescDestroy(self._product)


def _check(library: CublasLt, code: int, name: str) -> None:
    if code:
        raise RuntimeError(f"cublasLt{name}: {library.status(code)} ({code})")


_placed: Any = None


@cache
def _loaded() -> tuple[CublasLt | None, str]:
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        found = load_nvidia_dynamic_lib("cublasLt").abs_path
        if found is None:
            return None, "libcublasLt is loaded from a place that cannot be told"
        return CublasLt(found), ""
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return None, str(error).splitlines()[0]


def library() -> Any:
    """The library; None where it cannot be loaded (see :func:`why_absent`)."""
    return _placed if _placed is not None else _loaded()[0]


def why_absent() -> str:
    """Why there is no library; empty where there is one."""
    return "" if _placed is not None else _loaded()[1]


def place(other: Any) -> None:
    """Put another library in cuBLASLt's place, or None: for tests without a GPU."""
    global _placed
    _placed = other
