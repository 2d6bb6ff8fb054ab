"""Type promotion against PyTorch: every pair of dtypes, 0-d tensors, Python numbers, defaults."""

from __future__ import annotations

import itertools

import pytest

import dovetail
from dovetail import dtypes as d
from tests.parity.harness import torch

# PyTorch promotes float16 with complex to its experimental complex32, which dovetail does not have.
PAIRS = [
    (a, b)
    for a, b in itertools.product(d.ALL, d.ALL)
    if not ({a, b} & {d.float16} and {a, b} & set(d.COMPLEX))
]
NUMBERS = (True, 1, 1.5, 1j)


def theirs(kind: d.dtype) -> object:
    return getattr(torch, kind.name)


@pytest.mark.parametrize(("a", "b"), PAIRS, ids=lambda t: t.name)
def test_pairs(a: d.dtype, b: d.dtype) -> None:
    assert repr(dovetail.promote_types(a, b)) == repr(torch.promote_types(theirs(a), theirs(b)))
    assert dovetail.can_cast(a, b) == torch.can_cast(theirs(a), theirs(b))
    for first, second in itertools.product(((2,), ()), repeat=2):
        mine = dovetail.result_type(dovetail.zeros(first, dtype=a), dovetail.zeros(second, dtype=b))
        yours = torch.result_type(
            torch.zeros(first, dtype=theirs(a)), torch.zeros(second, dtype=theirs(b))
        )
        assert repr(mine) == repr(yours), (first, second)


@pytest.mark.parametrize("kind", d.ALL, ids=lambda t: t.name)
@pytest.mark.parametrize("default", [d.float32, d.float64], ids=lambda t: t.name)
def test_python_numbers(kind: d.dtype, default: d.dtype) -> None:
    dovetail.set_default_dtype(default)
    torch.set_default_dtype(theirs(default))
    try:
        for shape, number in itertools.product(((2,), ()), NUMBERS):
            if kind is d.float16 and isinstance(number, complex):
                continue
            mine = dovetail.zeros(shape, dtype=kind)
            yours = torch.zeros(shape, dtype=theirs(kind))
            assert repr(dovetail.result_type(mine, number)) == repr(
                torch.result_type(yours, number)
            )
            assert repr((mine + number).dtype) == repr((yours + number).dtype)
            assert repr((number * mine).dtype) == repr((number * yours).dtype)
    finally:
        dovetail.set_default_dtype(d.float32)
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("kind", d.FLOATING, ids=lambda t: t.name)
def test_finfo(kind: d.dtype) -> None:
    mine, yours = dovetail.finfo(kind), torch.finfo(theirs(kind))
    for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution", "dtype"):
        assert getattr(mine, field) == getattr(yours, field), field


@pytest.mark.parametrize("kind", d.INTEGRAL, ids=lambda t: t.name)
def test_iinfo(kind: d.dtype) -> None:
    mine, yours = dovetail.iinfo(kind), torch.iinfo(theirs(kind))
    assert (mine.bits, mine.min, mine.max) == (yours.bits, yours.min, yours.max)


@pytest.mark.parametrize("a", [d.int8, d.uint8, d.int64, d.float32, d.bool_], ids=lambda t: t.name)
def test_integer_arithmetic_wraps_around(a: d.dtype) -> None:
    values = [0, 1, 5, 100, 127]
    mine = dovetail.tensor(values).to(a)
    yours = torch.tensor(values).to(theirs(a))
    for op in ("__add__", "__mul__"):
        assert getattr(mine, op)(100).tolist() == getattr(yours, op)(100).tolist()
