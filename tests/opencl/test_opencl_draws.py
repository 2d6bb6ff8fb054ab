"""Draws that find in memory how far their generator has moved, as those of captured graphs do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dovetail as dt

DRAWS: dict[str, Any] = {
    "rand": lambda g: dt.rand(70, device="opencl:0", generator=g),
    "float64": lambda g: dt.rand(7, device="opencl:0", dtype=dt.float64, generator=g),
    "randn": lambda g: dt.randn(70, device="opencl:0", generator=g),
    "randint": lambda g: dt.randint(0, 100, (70,), device="opencl:0", generator=g),
    "dropout": lambda g: dt.dropout(dt.ones(70, device="opencl:0"), 0.5, True, generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_move(queue: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    draw, device = DRAWS[name], queue
    first, later = 0x1234_5678_9ABC_DEF0, 0x0FED_CBA9_8765_4321
    for at, moved in ((5, 3), ((1 << 64) - 10, 30)):
        generator = dt.Generator("opencl:0").manual_seed(later)
        generator.set_offset((at + moved) % (1 << 64))
        expected = draw(generator).tolist()
        generator.manual_seed(first).set_offset(at)
        plain = draw(generator).tolist()
        state = device.constant(np.array([first ^ later, moved], np.uint64))
        with monkeypatch.context() as patch:
            patch.setattr(type(device), "draw_state", lambda self, state=state: state)
            generator.manual_seed(first).set_offset(at)
            assert draw(generator).tolist() == expected
        assert plain != expected
        generator.manual_seed(first).set_offset(at)
        assert draw(generator).tolist() == plain
