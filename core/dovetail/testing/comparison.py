"""``assert_close``: two results are equal within a tolerance, or the report says where not.

Source: PyTorch's page ``torch.testing``, whose sentences these are too.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import dovetail
from dovetail import dtypes as d
from dovetail import raw
from dovetail.promotion import promote_types
from dovetail.tensor import Tensor
from dovetail.warning import warn

__all__ = ["TOLERANCES", "assert_allclose", "assert_close"]

TOLERANCES: dict[d.dtype, tuple[float, float]] = {
    d.float16: (1e-3, 1e-5),
    d.bfloat16: (1.6e-2, 1e-5),
    d.float32: (1.3e-6, 1e-5),
    d.float64: (1e-7, 1e-7),
    d.complex64: (1.3e-6, 1e-5),
    d.complex128: (1e-7, 1e-7),
}
"""``(rtol, atol)`` per dtype; all others are compared exactly."""

_NUMBERS = (bool, int, float, complex, np.number)
_KINDS: dict[type, d.dtype] = {int: d.int64, float: d.float64, complex: d.complex128}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise where ``|actual - expected| > atol + rtol * |expected|`` holds for any element.

    Tensors, NumPy arrays, Python numbers, bools and None are compared, and sequences and mappings
    of them, item by item.

    Args:
        allow_subclasses: a tensor may be compared with one of a subclass, such as a parameter.
        rtol: relative tolerance; with ``atol`` both or none. By default they follow from the dtype
            (the larger ones of the two): float32 1.3e-6 and 1e-5, float64 1e-7 and 1e-7, float16
            1e-3 and 1e-5, bfloat16 1.6e-2 and 1e-5, complex as their parts, all others 0.
        atol: absolute tolerance.
        equal_nan: NaN equals NaN.
        check_device: both are on the same device; otherwise they are compared in host memory.
        check_dtype: both have the same dtype; otherwise they are promoted.
        check_layout: both have the same layout.
        check_stride: both have the same strides.
        msg: the text of the error, or a function from the text made here to another.

    Raises:
        AssertionError: they are not close, or not alike in what is checked.
        TypeError: two things that cannot be compared.
        ValueError: only one of the tolerances was given.

    Example:
        >>> import dovetail as dt
        >>> dt.testing.assert_close(dt.tensor([1.0, 2.0]), dt.tensor([1.0, 2.0 + 1e-7]))
        >>> dt.testing.assert_close([1, 2], [1, 3])
        Traceback (most recent call last):
        AssertionError: Scalars are not equal!
        <BLANKLINE>
        Expected 3 but got 2.
        Absolute difference: 1
        Relative difference: 0.3333333333333333
        <BLANKLINE>
        The failure occurred for item [1]
    """
    checks = _Checks(
        allow_subclasses, rtol, atol, equal_nan, check_device, check_dtype, check_layout,
        check_stride,
    )  # fmt: skip
    failure: Exception
    try:
        pairs = list(_pairs(actual, expected, ()))
        for path, a, b in pairs:
            checks.admit(a, b, path)
    except _Failure as found:
        failure = found.error(None)  # about the call itself: in our words, as PyTorch has it
    else:
        wrong = next(checks.failures(pairs), None)
        if wrong is None:
            return
        failure = wrong.error(msg)
    raise failure


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: str = "",
) -> None:
    """The deprecated form of :func:`assert_close`: only values are compared; NaN equals NaN.

    Raises:
        AssertionError: they are not close.
    """
    warn(
        "`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a "
        "future release. Please use `torch.testing.assert_close()` instead.",
        FutureWarning,
    )
    actual = actual if isinstance(actual, Tensor) else dovetail.tensor(actual)
    if not isinstance(expected, Tensor):
        expected = dovetail.tensor(expected, dtype=actual.dtype)
    if rtol is None and atol is None:
        both = [_LOOSE.get(x.dtype, (0.0, 0.0)) for x in (actual, expected)]
        rtol, atol = max(r for r, _ in both), max(a for _, a in both)
    assert_close(
        actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=True,
        check_dtype=False, check_stride=False, msg=msg or None,
    )  # fmt: skip


_LOOSE = {d.float16: (1e-3, 1e-3), d.float32: (1e-4, 1e-5), d.float64: (1e-5, 1e-8)}
"""The tolerances of ``assert_allclose``."""


class _Failure(Exception):
    """What is wrong, before it is known how it is to be said."""

    def __init__(
        self, text: str, kind: type[Exception] = AssertionError, path: tuple[Any, ...] = ()
    ) -> None:
        super().__init__(text)
        self.text, self.kind, self.path = text, kind, path

    def error(self, msg: str | Callable[[str], str] | None) -> Exception:
        """The exception to raise."""
        if isinstance(msg, str):
            return self.kind(msg)
        text = self.text
        if self.path:
            text += f"\n\nThe failure occurred for item {''.join(f'[{p!r}]' for p in self.path)}"
        return self.kind(text if msg is None else msg(text))


def _pairs(a: Any, b: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """What is to be compared, with the keys that lead there."""
    if _is_sequence(a) and _is_sequence(b):
        if len(a) != len(b):
            text = f"The length of the sequences mismatch: {len(a)} != {len(b)}"
            raise _Failure(text, path=path)
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _pairs(x, y, (*path, i))
    elif isinstance(a, Mapping) and isinstance(b, Mapping):
        missing, extra = set(b) - set(a), set(a) - set(b)
        if missing or extra:
            raise _Failure(
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {_ordered(missing)}\n"
                f"Additional keys in the actual mapping: {_ordered(extra)}",
                path=path,
            )
        for key in _ordered(a):
            yield from _pairs(a[key], b[key], (*path, key))
    else:
        yield path, a, b


def _is_sequence(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str)


def _ordered(keys: Iterable[Any]) -> list[Any]:
    """Sorted where that has a meaning."""
    found = list(keys)
    try:
        return sorted(found)
    except TypeError:
        return found


@dataclass(frozen=True)
class _Checks:
    """The options of one ``assert_close``."""

    allow_subclasses: bool
    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool

    def admit(self, a: Any, b: Any, path: tuple[Any, ...]) -> None:
        """See that two things can be compared.

        Raises:
            _Failure: they cannot, or only one tolerance was given.
        """
        if a is None or b is None or all(isinstance(x, (bool, np.bool_)) for x in (a, b)):
            return
        if not all(isinstance(x, _NUMBERS) for x in (a, b)) and not self._are_tensors(a, b):
            raise _Failure(
                f"No comparison pair was able to handle inputs of type {type(a)} and {type(b)}.",
                TypeError,
                path,
            )
        if (self.rtol is None) != (self.atol is None):
            missing = "rtol" if self.rtol is None else "atol"
            raise _Failure(
                "Both 'rtol' and 'atol' must be either specified or omitted, but got no "
                f"{missing}.",
                ValueError,
                path,
            )

    def failures(self, pairs: list[tuple[tuple[Any, ...], Any, Any]]) -> Iterator[_Failure]:
        """What is wrong, pair by pair."""
        for path, a, b in pairs:
            try:
                self._compare(a, b)
            except _Failure as found:
                found.path = path
                yield found

    def _compare(self, a: Any, b: Any) -> None:
        if a is None or b is None:
            if a is not b:
                raise _Failure(f"None mismatch: {a} is not {b}")
        elif isinstance(a, (bool, np.bool_)) and isinstance(b, (bool, np.bool_)):
            if bool(a) is not bool(b):
                raise _Failure(f"Booleans mismatch: {bool(a)} is not {bool(b)}")
        elif isinstance(a, _NUMBERS) and isinstance(b, _NUMBERS):
            self._numbers(_number(a), _number(b))
        else:
            self._tensors(_tensor(a), _tensor(b))

    def _are_tensors(self, a: Any, b: Any) -> bool:
        if not all(isinstance(x, (Tensor, np.ndarray)) for x in (a, b)):
            return False
        if not self.allow_subclasses and type(a) is not type(b):
            return False
        return isinstance(a, type(b)) or isinstance(b, type(a))

    def _tolerances(self, *kinds: d.dtype) -> tuple[float, float]:
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        both = [TOLERANCES.get(kind, (0.0, 0.0)) for kind in kinds]
        return max(r for r, _ in both), max(a for _, a in both)

    def _numbers(self, a: Any, b: Any) -> None:
        rtol, atol = self._tolerances(*[_KINDS.get(type(x), d.int64) for x in (a, b)])
        if self.check_dtype and type(a) is not type(b):
            raise _Failure(f"The (d)types do not match: {type(a)} != {type(b)}.")
        if not _are_close(a, b, rtol, atol, self.equal_nan):
            raise _Failure(_scalar_text(a, b, rtol, atol))

    def _tensors(self, a: Tensor, b: Tensor) -> None:
        rtol, atol = self._tolerances(a.dtype, b.dtype)
        self._attributes(a, b)
        if a.is_meta or b.is_meta:
            return
        a, b = a.detach().cpu(), b.detach().cpu()
        kind = promote_types(a.dtype, b.dtype)
        a, b = a.to(kind), b.to(kind)
        close = dovetail.isclose(a, b, rtol=rtol, atol=atol, equal_nan=self.equal_nan)
        if bool(close.all()):
            return
        if not a.ndim:
            raise _Failure(_scalar_text(a.item(), b.item(), rtol, atol))
        raise _Failure(_tensor_text(a, b, raw.to_host(close), rtol, atol))

    def _attributes(self, a: Tensor, b: Tensor) -> None:
        for name, checked, x, y in (
            ("shape", True, a.shape, b.shape),
            ("layout", self.check_layout, a.layout, b.layout),
            ("device", self.check_device, a.device, b.device),
            ("dtype", self.check_dtype, a.dtype, b.dtype),
            ("stride()", self.check_stride, a.stride(), b.stride()),
        ):
            if checked and x != y:
                raise _Failure(f"The values for attribute '{name}' do not match: {x} != {y}.")


def _number(x: Any) -> Any:
    return x.item() if isinstance(x, np.generic) else x


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else dovetail.as_tensor(x)


def _are_close(a: Any, b: Any, rtol: float, atol: float, equal_nan: bool) -> bool:
    if equal_nan and cmath.isnan(a) and cmath.isnan(b):
        return True
    if a == b:
        return True
    if cmath.isinf(a) or cmath.isinf(b):
        return False
    return bool(abs(a - b) <= atol + rtol * abs(b))


# The report.


def _title(subject: str, rtol: float, atol: float) -> str:
    return f"{subject} are not {'close' if rtol or atol else 'equal'}!"


def _scalar_text(a: Any, b: Any, rtol: float, atol: float) -> str:
    difference = abs(a - b)
    relative = difference / abs(b) if b else math.inf
    rows = [_title("Scalars", rtol, atol), "", f"Expected {b} but got {a}."]
    for name, value, bound in (("Absolute", difference, atol), ("Relative", relative, rtol)):
        allowed = f" (up to {bound} allowed)" if rtol or atol else ""
        rows.append(f"{name} difference: {value}{allowed}")
    return "\n".join(rows)


def _tensor_text(a: Tensor, b: Tensor, close: np.ndarray, rtol: float, atol: float) -> str:
    x, y = (raw.to_host(t).reshape(-1) for t in (a, b))
    if x.dtype.kind in "biu":
        x, y = x.astype(np.int64), y.astype(np.int64)
    matches = close.reshape(-1)
    with np.errstate(all="ignore"):
        absolute = abs(x - y)
        absolute[matches] = 0
        size = abs(y)
        if size.dtype.kind == "i":
            relative = absolute.astype(np.float32) / size.astype(np.float32)
        else:
            relative = absolute / size
        relative[matches] = 0
    wrong, count = int((~matches).sum()), matches.size
    rows = [
        _title("Tensor-likes", rtol, atol),
        "",
        f"Mismatched elements: {wrong} / {count} ({wrong / count:.1%})",
    ]
    for name, values, bound in (("absolute", absolute, atol), ("relative", relative, rtol)):
        place = _largest(values)
        index = tuple(int(n) for n in np.unravel_index(place, tuple(a.shape)))
        allowed = f" (up to {bound} allowed)" if rtol or atol else ""
        value = values[place].item()
        rows.append(f"Greatest {name} difference: {value} at index {index}{allowed}")
    return "\n".join(rows)


def _largest(values: np.ndarray) -> int:
    """The place of the largest value; NaN is larger than all, as PyTorch's argmax has it."""
    missing = np.flatnonzero(values != values)
    return int(missing[0]) if missing.size else int(np.argmax(values))
