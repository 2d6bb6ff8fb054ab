"""Dtypes of results: every pair of dtypes, tensors with dims, 0-d tensors and Python numbers.

The tables are PyTorch's (``torch.result_type`` and ``torch.can_cast`` of 2.13.0); the ``parity``
tests compare them with PyTorch again.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

import dovetail as dt
from dovetail import dtypes as d
from dovetail_conformance.calls import host
from dovetail_conformance.model import Case, Mismatch, Trial
from dovetail_conformance.target import Target

__all__ = ["CASTS", "LETTERS", "LOWER", "NUMBERS", "SAME", "cases"]

LETTERS = {
    "bool": "b", "uint8": "u", "int8": "i", "int16": "j", "int32": "k", "int64": "l",
    "float16": "h", "bfloat16": "o", "float32": "f", "float64": "d",
    "complex64": "F", "complex128": "D",
}  # fmt: skip
"""One letter per dtype; rows and columns of the tables are in this order."""

SAME = (
    "buijklhofdFD",
    "uujjklhofdFD",
    "ijijklhofdFD",
    "jjjjklhofdFD",
    "kkkkklhofdFD",
    "llllllhofdFD",
    "hhhhhhhffd??",
    "oooooofofdFD",
    "fffffffffdFD",
    "ddddddddddDD",
    "FFFFFF?FFDFD",
    "DDDDDD?DDDDD",
)
"""Two tensors with dims, or two without. ``?``: PyTorch gives complex32."""

LOWER = (
    "buijklhofdFD",
    "uuuuuuhofdFD",
    "iiiiiihofdFD",
    "jjjjjjhofdFD",
    "kkkkkkhofdFD",
    "llllllhofdFD",
    "hhhhhhhhhh??",
    "ooooooooooFF",
    "ffffffffffFF",
    "ddddddddddDD",
    "FFFFFF?FFFFF",
    "DDDDDD?DDDDD",
)
"""A tensor with dims (the row) and one without (the column)."""

NUMBERS: dict[str, dict[Any, str]] = {
    "float32": {
        True: "buijklhofdFD", 2: "luijklhofdFD", 1.5: "ffffffhofdFD", 2j: "FFFFFF?FFDFD"
    },
    "float64": {
        True: "buijklhofdFD", 2: "luijklhofdFD", 1.5: "ddddddhofdFD", 2j: "DDDDDD?FFDFD"
    },
}  # fmt: skip
"""By the default dtype and the Python number: the result with a tensor, with dims or without."""

CASTS = ("111111111111",) + ("011111111111",) * 5 + ("000000111111",) * 4 + ("000000000011",) * 2
"""Whether a dtype (the row) may be written into another (the column)."""

_NAMES = {letter: name for name, letter in LETTERS.items()}
_DIMS = (2, 3)


def cases(target: Target) -> Iterator[Case]:
    """One case per dtype: all others with it."""
    for dtype in target.dtypes:
        run = functools.partial(_promotion, dtype, target)
        yield Case(1, "promotion", "result_type", dtype.name, "", run)


def _promotion(dtype: d.dtype, target: Target, trial: Trial) -> None:
    row = list(LETTERS).index(dtype.name)
    for column, name in enumerate(LETTERS):
        other = getattr(dt, name)
        if other not in target.dtypes:
            continue
        with trial.attempt(other=name, stage="rules"):
            _check_rules(dtype, other, row, column)
        for table, a, b in ((SAME, _DIMS, _DIMS), (SAME, (), ()), (LOWER, _DIMS, ())):
            wanted = _wanted(table[row][column], target)
            if wanted is not None:
                with trial.attempt(other=name, shape=[list(a), list(b)]):
                    _check_pair(trial.device, (dtype, a), (other, b), wanted)
    for default, numbers in NUMBERS.items():
        for number, results in numbers.items():
            wanted = _wanted(results[row], target)
            if wanted is not None and getattr(dt, default) in target.dtypes:
                with trial.attempt(number=str(number), default=default):
                    _check_number(trial.device, dtype, number, default, wanted)


def _wanted(letter: str, target: Target) -> d.dtype | None:
    """The dtype of this letter; None where there is none, or the device has not got it."""
    found = getattr(dt, _NAMES[letter]) if letter in _NAMES else None
    return found if found in target.dtypes else None


def _check_rules(dtype: d.dtype, other: d.dtype, row: int, column: int) -> None:
    letter = SAME[row][column]
    if letter in _NAMES:
        _expect(dt.promote_types(dtype, other), getattr(dt, _NAMES[letter]), "promote_types")
    if dt.can_cast(dtype, other) != (CASTS[row][column] == "1"):
        raise Mismatch(f"can_cast({dtype}, {other}) is not what PyTorch says", "dtype")


def _check_pair(device: str, one: Any, two: Any, wanted: d.dtype) -> None:
    x = dt.full(one[1], 1, dtype=one[0], device=device)
    y = dt.full(two[1], 1, dtype=two[0], device=device)
    what = f"{one[0]} {one[1]} and {two[0]} {two[1]}"
    for a, b in ((x, y), (y, x)):
        _expect(dt.result_type(a, b), wanted, f"result_type of {what}")
        _expect_value(a * b, wanted, 1, f"mul of {what}")
        _expect_value(dt.eq(a, b), dt.bool, 1, f"eq of {what}")
    three = dt.full(one[1], True, dtype=dt.bool, device=device)
    _expect_value(dt.where(three, x, y), wanted, 1, f"where of {what}")


def _check_number(device: str, dtype: d.dtype, number: Any, default: str, wanted: d.dtype) -> None:
    before = dt.get_default_dtype()
    dt.set_default_dtype(getattr(dt, default))
    try:
        for shape in (_DIMS, ()):
            x = dt.full(shape, 1, dtype=dtype, device=device)
            what = f"{dtype} {shape} and {number!r}, the default dtype being {default}"
            _expect(dt.result_type(x, number), wanted, f"result_type of {what}")
            _expect(dt.result_type(number, x), wanted, f"result_type of {what}")
            _expect_value(x * number, wanted, number, f"mul of {what}")
            _expect_value(number * x, wanted, number, f"mul of {what}")
    finally:
        dt.set_default_dtype(before)


def _expect_value(made: Any, wanted: d.dtype, value: Any, what: str) -> None:
    _expect(made.dtype, wanted, what)
    if not np.all(host(made).astype(np.complex128) == value):
        raise Mismatch(f"{what}: every element must be {value}, got {host(made)}", "values")


def _expect(made: d.dtype, wanted: d.dtype, what: str) -> None:
    if made is not wanted:
        raise Mismatch(f"{what}: must be {wanted}, is {made}", "dtype")
