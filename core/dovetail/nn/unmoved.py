"""Tensors that a module keeps as plain attributes, so that ``Module.to`` leaves them behind."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from dovetail.late_binding import MODULES
from dovetail.nn.module import Module
from dovetail.tensor import Tensor

__all__ = ["unmoved"]


def unmoved(inputs: Sequence[Any]) -> str:
    """Which of a failing call's inputs a module on the stack keeps so, and the way out; or empty.

    Args:
        inputs: of a call whose tensors are on different devices.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_locals.get("self")
        if isinstance(module, Module):
            for name, value in vars(module).items():
                if isinstance(value, Tensor) and any(value is x for x in inputs):
                    return (
                        f"{type(module).__name__}.{name} is a plain attribute, which Module.to "
                        f"does not move: keep it with self.register_buffer({name!r}, …)"
                    )
        frame = frame.f_back
    return ""


MODULES.bind(unmoved=unmoved)
