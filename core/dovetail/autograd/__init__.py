"""Differentiation: backward, grad, Function, checks, hooks, functional derivatives."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dovetail.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

if TYPE_CHECKING:
    from dovetail.autograd import functional, graph
    from dovetail.autograd.anomaly import detect_anomaly, set_detect_anomaly
    from dovetail.autograd.engine import backward, grad
    from dovetail.autograd.function import Function, FunctionCtx
    from dovetail.autograd.gradient_check import gradcheck, gradgradcheck
    from dovetail.autograd.variable import Variable

__all__ = [
    "Function",
    "FunctionCtx",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]

_LATER = {
    "Function": "function",
    "FunctionCtx": "function",
    "Variable": "variable",
    "backward": "engine",
    "detect_anomaly": "anomaly",
    "set_detect_anomaly": "anomaly",
    "grad": "engine",
    "gradcheck": "gradient_check",
    "gradgradcheck": "gradient_check",
}


if not TYPE_CHECKING:  # it would make any name good

    def __getattr__(name: str) -> Any:
        if name in _LATER:
            found = getattr(importlib.import_module(f"dovetail.autograd.{_LATER[name]}"), name)
            globals()[name] = found  # the name may also be that of the submodule just imported
            return found
        if name in ("functional", "function", "graph", "anomaly", "forward_ad"):
            return importlib.import_module(f"dovetail.autograd.{name}")
        raise AttributeError(f"module 'dovetail.autograd' has no attribute {name!r}")


def __dir__() -> list[str]:
    """With what is loaded when it is asked for."""
    return sorted({*globals(), *__all__})
