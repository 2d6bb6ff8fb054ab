"""The suite's tables of promotion against PyTorch."""

from __future__ import annotations

import pytest

from dovetail_conformance.checks.promotion import CASTS, LETTERS, LOWER, NUMBERS, SAME
from tests.parity.harness import torch

NAMES = tuple(LETTERS)


def letter(kind: object) -> str:
    return LETTERS.get(str(kind).removeprefix("torch."), "?")


@pytest.mark.parametrize("row", range(len(NAMES)), ids=NAMES)
def test_pairs(row: int) -> None:
    kind = getattr(torch, NAMES[row])
    for column, name in enumerate(NAMES):
        other = getattr(torch, name)
        assert torch.can_cast(kind, other) == (CASTS[row][column] == "1")
        for table, a, b in ((SAME, (2,), (2,)), (SAME, (), ()), (LOWER, (2,), ())):
            theirs = torch.result_type(torch.zeros(a, dtype=kind), torch.zeros(b, dtype=other))
            assert table[row][column] in (letter(theirs), "?"), (name, a, b)
            turned = torch.result_type(torch.zeros(b, dtype=other), torch.zeros(a, dtype=kind))
            assert turned == theirs


@pytest.mark.parametrize("default", NUMBERS)
def test_numbers(default: str) -> None:
    torch.set_default_dtype(getattr(torch, default))
    try:
        for number, row in NUMBERS[default].items():
            for name, wanted in zip(NAMES, row, strict=True):
                for shape in ((2,), ()):
                    zeros = torch.zeros(shape, dtype=getattr(torch, name))
                    assert wanted in (letter(torch.result_type(zeros, number)), "?")
    finally:
        torch.set_default_dtype(torch.float32)


def test_few_are_left_out() -> None:
    rows = (*SAME, *LOWER, *(row for table in NUMBERS.values() for row in table.values()))
    assert "".join(rows).count("?") == 10
