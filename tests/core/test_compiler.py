"""``torch.compile``: PyTorch's forms, and what is given is what runs."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import dovetail as dt


def test_forms() -> None:
    layer = dt.nn.Linear(2, 2)
    assert dt.compile(layer, backend="inductor", fullgraph=True, dynamic=False) is layer
    assert layer.compile(mode="reduce-overhead") is None
    assert layer(dt.ones(1, 2)).shape == (1, 2)

    @dt.compile
    def plain(x: Any) -> Any:
        return x + 1

    @dt.compile(options={"trace.enabled": True}, disable=True)
    def given(x: Any) -> Any:
        return x + 2

    @dt.compiler.disable(recursive=False)
    def disabled(x: Any) -> Any:
        return x + 3

    assert [f(dt.zeros(1)).item() for f in (plain, given, disabled)] == [1, 2, 3]
    assert dt.compiler.disable(plain) is plain
    assert dt.compiler.allow_in_graph(plain) is plain
    dt.compiler.reset()
    with dt.compiler.set_stance("force_eager"):
        assert not dt.compiler.is_compiling()


def test_mode_or_options() -> None:
    with pytest.raises(RuntimeError, match="both can't be specified"):
        dt.compile(dt.relu, mode="default", options={})


def test_signatures() -> None:
    torch = pytest.importorskip("torch")

    def parameters(f: Any) -> list[tuple[str, Any]]:
        return [(p.name, p.default) for p in inspect.signature(f).parameters.values()]

    assert parameters(dt.compile) == parameters(torch.compile)
    assert parameters(dt.compiler.disable) == parameters(torch.compiler.disable)
