"""Layers with a ReLU behind them, called as one: it is taken where the layer's sums are written.

Nobody sees what is between the two: where somebody could, because a module has hooks or a
``forward`` of its own, it is called by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dovetail.nn import functional as F
from dovetail.nn import hooks
from dovetail.nn.activation import ReLU
from dovetail.nn.conv import Conv1d, Conv2d, Conv3d
from dovetail.nn.functional.conv import rectified_convolution_of
from dovetail.nn.functional.linear import rectified_linear
from dovetail.nn.linear import Linear
from dovetail.nn.module import Module
from dovetail.nn.reading import affine_of

__all__ = ["call_in_turn", "linear_then"]


def _linear(layer: Module, input: Any) -> Any:
    weight, bias = affine_of(layer)
    return rectified_linear(input, weight, bias)


def _conv(layer: Module, input: Any) -> Any:
    weight, bias = affine_of(layer)
    return layer._conv_forward(input, weight, bias, rectified_convolution_of(layer._dims))


_TOGETHER: dict[type, Callable[[Module, Any], Any]] = {
    Linear: _linear, Conv1d: _conv, Conv2d: _conv, Conv3d: _conv,
}  # fmt: skip


def _is_bare(module: Module) -> bool:
    """Whether a call of the module is its class's ``forward`` and nothing else."""
    return not (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or hooks.call_hooks
        or "forward" in module.__dict__
    )


def call_in_turn(modules: Iterable[Module], input: Any) -> Any:
    """The output of the last module; each is fed with the output of the one before."""
    layer: Module | None = None  # waits for what comes behind it
    for module in modules:
        kind = type(module)
        if layer is not None:
            if kind is ReLU and _is_bare(module):
                input = _TOGETHER[type(layer)](layer, input)
                layer = None
                continue
            input = layer(input)
            layer = None
        if kind in _TOGETHER and _is_bare(module):
            layer = module
        else:
            input = module(input)
    return input if layer is None else layer(input)


def linear_then(layer: Module, activation: Any, input: Any) -> Any:
    """``activation(layer(input))``, where the activation may be ``F.relu``."""
    is_relu = activation is F.relu or (type(activation) is ReLU and _is_bare(activation))
    if is_relu and type(layer) is Linear and _is_bare(layer):
        return _linear(layer, input)
    return activation(layer(input))
