"""Element types: the thirteen dtypes, their aliases, and their numeric limits.

Names and meanings follow PyTorch's ``torch.dtype`` page. ``repr`` prints ``torch.float32`` so that
printed tensors read exactly as PyTorch prints them.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from dovetail.late_binding import PLANS

__all__ = [
    "ALL", "COMPLEX", "FLOATING", "INTEGRAL", "NUMBER", "SIGNED", "as_dtype",
    "bfloat16", "bool_", "cdouble", "cfloat", "complex64", "complex128", "double", "dtype",
    "finfo", "float16", "float32", "float64", "float_", "from_numpy_dtype",
    "get_default_dtype", "half", "iinfo", "int8", "int16", "int32", "int64", "int_", "long",
    "qint8", "qint32", "quint8", "set_default_dtype", "short", "type_name",
    "uint8",
]  # fmt: skip


class dtype:
    """The type of a tensor's elements; one object per type, compared by identity."""

    __slots__ = (
        "category",
        "is_complex",
        "is_floating_point",
        "is_signed",
        "itemsize",
        "name",
        "numpy",
    )

    name: str
    numpy: np.dtype
    itemsize: int
    category: int  # 0 bool, 1 integral, 2 floating, 3 complex: the order of promotion; -1 quantized
    is_floating_point: bool
    is_complex: bool
    is_signed: bool

    def __init__(
        self, name: str, numpy_type: object, category: int, *, signed: bool = True
    ) -> None:
        self.name = name
        self.numpy = np.dtype(numpy_type)  # type: ignore[call-overload]
        self.itemsize = self.numpy.itemsize
        self.category = category
        self.is_floating_point = category == 2
        self.is_complex = category == 3
        self.is_signed = signed

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _by_name, (self.name,)

    def __copy__(self) -> dtype:
        return self

    def __deepcopy__(self, memo: object) -> dtype:
        return self

    def to_real(self) -> dtype:
        """The real dtype of a complex one (complex64 -> float32); itself when already real."""
        return {complex64: float32, complex128: float64}.get(self, self)

    def to_complex(self) -> dtype:
        """The complex dtype that holds this one (float64 -> complex128, else complex64)."""
        return complex128 if self in (float64, complex128) else complex64


uint8 = dtype("uint8", np.uint8, 1, signed=False)
int8 = dtype("int8", np.int8, 1)
int16 = dtype("int16", np.int16, 1)
int32 = dtype("int32", np.int32, 1)
int64 = dtype("int64", np.int64, 1)
bool_ = dtype("bool", np.bool_, 0, signed=False)
float16 = dtype("float16", np.float16, 2)
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, 2)
float32 = dtype("float32", np.float32, 2)
float64 = dtype("float64", np.float64, 2)
complex64 = dtype("complex64", np.complex64, 3)
complex128 = dtype("complex128", np.complex128, 3)

half, float_, double = float16, float32, float64
short, int_, long = int16, int32, int64
cfloat, cdouble = complex64, complex128

INTEGRAL = (uint8, int8, int16, int32, int64)
FLOATING = (float16, bfloat16, float32, float64)
COMPLEX = (complex64, complex128)
SIGNED = (int8, int16, int32, int64, *FLOATING, *COMPLEX)
NUMBER = (*INTEGRAL, *FLOATING, *COMPLEX)
ALL = (bool_, *NUMBER)

# Of quantized tensors (dovetail/quantized), which hold integers: no kernel takes them.
qint8 = dtype("qint8", np.int8, -1)
quint8 = dtype("quint8", np.uint8, -1, signed=False)
qint32 = dtype("qint32", np.int32, -1)

_NAMES = {d.name: d for d in (*ALL, qint8, quint8, qint32)}
_FROM_NUMPY = {d.numpy: d for d in ALL}


def _by_name(name: str) -> dtype:
    return _NAMES[name]


_FROM_PYTHON = {float: float64, int: int64, bool: bool_, complex: complex128}


def as_dtype(kind: object) -> dtype:
    """A dtype from what ``dtype=`` was given: one of ours, or Python's float, int, bool, complex.

    Raises:
        TypeError: anything else.
    """
    if isinstance(kind, dtype):
        return kind
    found = _FROM_PYTHON.get(kind) if isinstance(kind, type) else None
    if found is None:
        raise TypeError(f"dtype must be a torch.dtype, got {kind!r}")
    return found


def from_numpy_dtype(numpy_dtype: object) -> dtype:
    """The dtype of a NumPy array's elements.

    Raises:
        TypeError: no dtype here has that element type.
    """
    found = _FROM_NUMPY.get(np.dtype(numpy_dtype))  # type: ignore[call-overload]
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type {np.dtype(numpy_dtype)}. "  # type: ignore[call-overload]
            "The only supported types are: float64, float32, float16, bfloat16, complex64, "
            "complex128, int64, int32, int16, int8, uint8, and bool."
        )
    return found


_default: dtype = float32


def get_default_dtype() -> dtype:
    """The dtype that Python floats become (float32 unless changed)."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Choose the dtype that Python floats become.

    Raises:
        TypeError: ``d`` is not a floating-point dtype.
    """
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"set_default_dtype: d must be a floating-point dtype, got {d!r}")
    _default = d
    PLANS.clear()  # plans have the default in them


_TYPE_NAMES = {
    "float16": "Half", "bfloat16": "BFloat16", "float32": "Float", "float64": "Double",
    "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long",
    "bool": "Bool", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
    "qint8": "QInt8", "quint8": "QUInt8", "qint32": "QInt32",
}  # fmt: skip


def type_name(kind: dtype) -> str:
    """PyTorch's C++ name of a dtype, as its messages print it (``Long`` for int64)."""
    return _TYPE_NAMES[kind.name]


class finfo:
    """Numeric limits of a floating-point dtype: bits, eps, max, min, tiny, resolution."""

    def __init__(self, type: dtype | None = None) -> None:
        kind = _default if type is None else type
        if not isinstance(kind, dtype) or not (kind.is_floating_point or kind.is_complex):
            raise TypeError(
                "torch.finfo() requires a floating point input type. "
                f"Use torch.iinfo to handle {kind!r}"
            )
        kind = kind.to_real()
        info = ml_dtypes.finfo(kind.numpy)
        self.dtype = kind.name
        self.bits = kind.itemsize * 8
        self.eps = float(info.eps)
        self.max = float(info.max)
        self.min = float(info.min)
        self.tiny = self.smallest_normal = float(info.tiny)
        self.resolution = float(10.0**-info.precision)

    def __repr__(self) -> str:
        fields = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        body = ", ".join(f"{f}={getattr(self, f):g}" for f in fields)
        return f"finfo({body}, dtype={self.dtype})"


class iinfo:
    """Numeric limits of an integer dtype: ``bits max min``."""

    def __init__(self, type: dtype) -> None:
        if not isinstance(type, dtype) or type.category > 1 or type is bool_:
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle {type!r}"
            )
        info = np.iinfo(type.numpy)
        self.dtype = type.name
        self.bits = type.itemsize * 8
        self.max = int(info.max)
        self.min = int(info.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
