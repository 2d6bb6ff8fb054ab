"""What low rooms ask of higher ones: every question has an answer, and answers have a place."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dovetail import late_binding

TABLES = {
    name: getattr(late_binding, name)
    for name in late_binding.__all__
    if isinstance(getattr(late_binding, name), late_binding.LateBound)
}

BY_IMPORT = {
    "import dovetail": ("DEVICES", "PLANS", "TENSORS"),
    "import dovetail.func": ("BATCHED",),
    "import dovetail.nn": ("MODULES",),
    "import dovetail.quantized": ("QUANTIZED",),
}
"""A program -> the tables that are complete after it."""


@pytest.mark.parametrize("statement", BY_IMPORT)
def test_a_room_answers_all_that_it_is_asked(statement: str) -> None:
    code = (
        f"{statement}\n"
        "from dovetail import late_binding\n"
        f"for name in {BY_IMPORT[statement]!r}:\n"
        "    table = getattr(late_binding, name)\n"
        "    print(*set(type(table).__annotations__) - set(vars(table)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_table_is_asked_about() -> None:
    assert {name for names in BY_IMPORT.values() for name in names} == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_an_answer_that_nobody_asks_for_is_refused(name: str) -> None:
    with pytest.raises(AttributeError, match="has no place for 'nonsense'"):
        TABLES[name].bind(nonsense=len)


def test_without_modules_none_is_to_blame() -> None:
    assert type(late_binding.MODULES).unmoved(()) == ""
