"""What the core warns of points to the line of the program, however deep the call is."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dovetail as dt
import dovetail.nn.functional as F
from dovetail import nn

CORE = Path(dt.__file__).parent

CALLS: dict[str, Callable[[], Any]] = {
    "a loss": lambda: F.mse_loss(dt.ones(3), dt.ones(3, 1)),
    "a loss's layer": lambda: nn.MSELoss()(dt.ones(3), dt.ones(3, 1)),
    "softmax": lambda: F.softmax(dt.ones(3)),
    "softmax's layer": lambda: nn.Softmax()(dt.ones(3)),
    "a layer in a layer": lambda: nn.Sequential(nn.Sequential(nn.Softmax()))(dt.ones(3)),
    "old flags": lambda: F.l1_loss(dt.ones(3), dt.ones(3), size_average=True),
    "init": lambda: nn.init.kaiming_uniform_(dt.ones(0)),
    "recurrent": lambda: nn.LSTM(2, 2, dropout=0.1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_points_to_the_user(call: Callable[[], Any]) -> None:
    with pytest.warns(UserWarning, match=r"\w") as caught:
        call()
    assert [(w.filename, w.lineno) for w in caught] == [(__file__, call.__code__.co_firstlineno)]


def test_the_core_warns_in_one_way() -> None:
    left = {
        path.relative_to(CORE).as_posix()
        for path in CORE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"
    }
    assert left == {"warning.py"}


def test_a_warning_each_time() -> None:
    def said() -> int:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")  # Python's own: once for each line
            for _ in range(3):
                F.softmax(dt.ones(3))
        assert {w.filename for w in caught} == {__file__}
        return len(caught)

    assert not dt.is_warn_always_enabled()
    assert said() == 1
    dt.set_warn_always(True)
    try:
        assert dt.is_warn_always_enabled()
        assert said() == 3
    finally:
        dt.set_warn_always(False)
    with pytest.raises(TypeError, match="expects a bool, but got int"):
        dt.set_warn_always(1)  # type: ignore[arg-type]
