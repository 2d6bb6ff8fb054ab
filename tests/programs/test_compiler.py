"""``torch.compile`` and its module: programs that ask for it run as they are."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import dovetail as dt


def test_what_is_compiled_is_itself() -> None:
    model = dt.nn.Linear(2, 1)
    assert dt.compile(model) is model
    assert dt.compile(model, mode="reduce-overhead", fullgraph=True, dynamic=False) is model
    assert model.compile(backend="eager") is None

    @dt.compile
    def one(x: Any) -> Any:
        return x + 1

    @dt.compile(dynamic=True)
    def two(x: Any) -> Any:
        return x + 2

    @dt.compiler.disable
    def three(x: Any) -> Any:
        return x + 3

    @dt.compiler.disable(recursive=False)
    def four(x: Any) -> Any:
        return x + 4

    assert [f(dt.zeros(1)).item() for f in (one, two, three, four)] == [1, 2, 3, 4]
    assert not dt.compiler.is_compiling()
    dt.compiler.reset()
    with dt.compiler.set_stance("force_eager"):
        assert dt.compiler.list_backends() == []


def test_mode_and_options_exclude_each_other() -> None:
    with pytest.raises(RuntimeError, match="Either mode or options can be specified, but both"):
        dt.compile(dt.relu, mode="default", options={"a": 1})


def test_arguments_are_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="the parity extra (torch) is not installed")
    theirs = inspect.signature(torch.compile).parameters
    mine = inspect.signature(dt.compile).parameters
    known = [n for n in theirs if n in mine]
    assert known == list(mine), (list(theirs), list(mine))
    assert {n: p.kind for n, p in mine.items()} == {n: theirs[n].kind for n in known}
