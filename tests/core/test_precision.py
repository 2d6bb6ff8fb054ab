"""How exactly products of float32 are computed, as PyTorch has it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dovetail as dt

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    for library in (dt, torch):
        library.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("word", ["high", "medium", "highest"])
def test_the_switch_follows_the_word(word: str) -> None:
    for library in (dt, torch):
        library.set_float32_matmul_precision(word)
    assert dt.get_float32_matmul_precision() == torch.get_float32_matmul_precision() == word
    switch = torch.backends.cuda.matmul.allow_tf32
    assert dt.backends.cuda.matmul.allow_tf32 == switch == (word != "highest")


def test_the_word_follows_the_switch() -> None:
    for allowed in (True, False):
        for library in (dt, torch):
            library.backends.cuda.matmul.allow_tf32 = allowed
        assert dt.get_float32_matmul_precision() == torch.get_float32_matmul_precision()


def test_another_word_changes_nothing() -> None:
    def outcome(library: Any) -> Any:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            library.set_float32_matmul_precision("exact")
        return library.get_float32_matmul_precision(), [w.category for w in seen]

    assert outcome(dt) == outcome(torch)


@pytest.mark.parametrize("value", [3, None])
def test_what_is_no_word(value: Any) -> None:
    def message(function: Callable[[Any], None]) -> str:
        with pytest.raises(RuntimeError) as caught:
            function(value)
        return str(caught.value)

    found = message(dt.set_float32_matmul_precision)
    assert found == message(torch.set_float32_matmul_precision)
