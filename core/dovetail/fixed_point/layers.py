"""Layers whose products read fixed-point numbers only, and how a model gets them.

    forward    y  = x̂ ŵ + b        x̂, ŵ: activation and weight, quantized
    backward   dx = ŵ dŷ           dŷ: gradient of the output, quantized once for both
               dw = x̂ dŷ

The weight that is stored and updated stays in floating point, as do the sums and the bias.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from dovetail import nn
from dovetail.amp import autocast, is_autocast_enabled
from dovetail.autograd.function import Function
from dovetail.fixed_point.adjustment import Adjustment
from dovetail.fixed_point.quantizer import Quantizer
from dovetail.nn import functional as F

if TYPE_CHECKING:
    from dovetail.nn.module import Module
    from dovetail.nn.parameter import Parameter
    from dovetail.tensor import Tensor

__all__ = ["OPERANDS", "Conv1d", "Conv2d", "Conv3d", "Linear", "prepare", "restore"]

OPERANDS = ("activation", "weight", "gradient")
"""What a layer quantizes; each has a quantizer, ``activation_quantizer`` and so on."""


class _QuantizeGradient(Function):
    """The identity, whose gradient passes through a quantizer."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, quantizer: Quantizer) -> Tensor:
        ctx.quantizer = quantizer
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return ctx.quantizer(g), None


class _FixedPoint(nn.Module):
    """What the layers share; ``_product`` is the plain layer's formula."""

    weight: Parameter
    activation_quantizer: Quantizer
    weight_quantizer: Quantizer
    gradient_quantizer: Quantizer

    def _product(self, input: Tensor, weight: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        """As the plain layer, on quantized operands."""
        kind = input.device.type
        if not is_autocast_enabled(kind):
            return self._fixed_point(input)
        with autocast(kind, enabled=False):  # bfloat16 cannot hold an int16
            return self._fixed_point(input.to(self.weight.dtype))

    def _fixed_point(self, input: Tensor) -> Tensor:
        y = self._product(self.activation_quantizer(input), self.weight_quantizer(self.weight))
        return _QuantizeGradient.apply(y, self.gradient_quantizer)  # type: ignore[no-any-return]


class Linear(_FixedPoint, nn.Linear):
    """:class:`dovetail.nn.Linear` in fixed point; made by :func:`prepare`."""

    def _product(self, input: Tensor, weight: Tensor) -> Tensor:
        return F.linear(input, weight, self.bias)


class _Conv(_FixedPoint):
    def _product(self, input: Tensor, weight: Tensor) -> Tensor:
        return self._conv_forward(input, weight, self.bias)  # type: ignore[no-any-return]


class Conv1d(_Conv, nn.Conv1d):
    """:class:`dovetail.nn.Conv1d` in fixed point; made by :func:`prepare`."""


class Conv2d(_Conv, nn.Conv2d):
    """:class:`dovetail.nn.Conv2d` in fixed point; made by :func:`prepare`."""


class Conv3d(_Conv, nn.Conv3d):
    """:class:`dovetail.nn.Conv3d` in fixed point; made by :func:`prepare`."""


_FIXED: dict[type, type] = {
    nn.Linear: Linear,
    nn.Conv1d: Conv1d,
    nn.Conv2d: Conv2d,
    nn.Conv3d: Conv3d,
}
_PLAIN = {fixed: plain for plain, fixed in _FIXED.items()}


def prepare(
    model: Module,
    *,
    activation: Adjustment | None = None,
    weight: Adjustment | None = None,
    gradient: Adjustment | None = None,
    exclude: Collection[str] = (),
    inplace: bool = False,
) -> Module:
    """The model with its ``Linear`` and ``Conv1d`` … ``Conv3d`` layers in fixed point.

    Parameters keep their names and values, so a checkpoint of the plain model loads with
    ``strict=False``. Layers of a class derived from these four are left as they are, for their
    formula is not known. Train the model as any other; autocast has no effect within the layers.

    Args:
        model: float32 or float64.
        activation, weight, gradient: the rules of the three operands; None: ``Adjustment()``.
        exclude: names of layers, as in ``model.named_modules()``, that stay as they are.
        inplace: change ``model`` itself rather than a copy; its parameters stay the same objects.

    Raises:
        ValueError: ``exclude`` has a name that is no such layer's, or no layer is left.

    >>> import dovetail as dt
    >>> model = dt.fixed_point.prepare(dt.nn.Sequential(dt.nn.Linear(4, 2)))
    >>> model
    Sequential(
      (0): Linear(
        in_features=4, out_features=2, bias=True
        (activation_quantizer): Quantizer(int8, not adjusted)
        (weight_quantizer): Quantizer(int8, not adjusted)
        (gradient_quantizer): Quantizer(int8, not adjusted)
      )
    )
    """
    if not inplace:
        model = copy.deepcopy(model)
    layers = {name: m for name, m in model.named_modules() if type(m) in _FIXED}
    unknown = [name for name in exclude if name not in layers]
    if unknown:
        raise ValueError(
            f"prepare: exclude must name layers of {_names()}, got {unknown}; there are "
            f"{sorted(layers)}"
        )
    chosen = [layer for name, layer in layers.items() if name not in exclude]
    if not chosen:
        raise ValueError(f"prepare: the model must have a layer of {_names()}, found none")
    rules = dict(zip(OPERANDS, (activation, weight, gradient), strict=True))
    for layer in chosen:
        # The same object with another formula: hooks, references to it and its optimizer hold.
        layer.__class__ = _FIXED[type(layer)]
        for operand, rule in rules.items():
            quantizer = Quantizer(rule or Adjustment()).train(layer.training)
            layer.add_module(f"{operand}_quantizer", quantizer)
    return model


def restore(model: Module, *, inplace: bool = False) -> Module:
    """The model with plain layers again: what :func:`prepare` did is taken back, weights stay.

    >>> import dovetail as dt
    >>> dt.fixed_point.restore(dt.fixed_point.prepare(dt.nn.Linear(4, 2)))
    Linear(in_features=4, out_features=2, bias=True)
    """
    if not inplace:
        model = copy.deepcopy(model)
    for layer in list(model.modules()):
        if type(layer) in _PLAIN:
            layer.__class__ = _PLAIN[type(layer)]
            for operand in OPERANDS:
                delattr(layer, f"{operand}_quantizer")
    return model


def _names() -> str:
    return ", ".join(plain.__name__ for plain in _FIXED)
