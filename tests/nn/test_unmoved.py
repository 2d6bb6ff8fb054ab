"""A tensor that a module keeps as a plain attribute stays where it was, and the error says so."""

from __future__ import annotations

from typing import Any

import pytest

import dovetail as dt
from dovetail import nn


class Shifted(nn.Module):
    def __init__(self, is_buffer: bool) -> None:
        super().__init__()
        if is_buffer:
            self.register_buffer("shift", dt.ones(3))
        else:
            self.shift = dt.ones(3)

    def forward(self, x: Any) -> Any:
        return x - self.shift


def test_a_plain_attribute_is_named(need_device: Any) -> None:
    device = need_device("loop:0")
    x = dt.ones(3, device=device)
    assert Shifted(True).to(device)(x).tolist() == [0, 0, 0]
    with pytest.raises(RuntimeError, match="found at least two devices, loop:0 and cpu") as caught:
        nn.Sequential(Shifted(False)).to(device)(x)
    assert str(caught.value).endswith(
        "(sub: Shifted.shift is a plain attribute, which Module.to does not move: keep it with "
        "self.register_buffer('shift', …))"
    )


def test_other_mixtures_are_not_blamed_on_a_module(need_device: Any) -> None:
    x = dt.ones(3, device=need_device("loop:0"))
    with pytest.raises(RuntimeError, match="move them with"):
        Shifted(True)(x)
    with pytest.raises(RuntimeError, match="move them with"):
        _ = x + dt.ones(3)
