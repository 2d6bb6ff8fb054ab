"""What became of each layer when a model was quantized: never silent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from dovetail.nn.module import Module
from dovetail.warning import warn

__all__ = [
    "LayerReport",
    "QuantizationReport",
    "QuantizationWarning",
    "keep",
    "quantization_report",
]

_ATTRIBUTE = "_quantization_report"


class QuantizationWarning(UserWarning):
    """Layers that quantization was asked for stay as they are; the message names each and why."""


class LayerReport(NamedTuple):
    """What became of one layer.

    Attributes:
        name: its dotted name in the model.
        before: its class.
        after: the class in its place; None where it stays.
        reason: why it stays.
        asked: whether it was to be quantized.
    """

    name: str
    before: str
    after: str | None = None
    reason: str = ""
    asked: bool = True


class QuantizationReport:
    """What became of the layers with parameters, in order.

    Attributes:
        layers: one :class:`LayerReport` each.
    """

    def __init__(self) -> None:
        self.layers: list[LayerReport] = []

    def add(self, layer: LayerReport) -> None:
        """Note a layer."""
        self.layers.append(layer)

    @property
    def quantized(self) -> list[LayerReport]:
        """Those that were swapped."""
        return [layer for layer in self.layers if layer.after]

    @property
    def skipped(self) -> list[LayerReport]:
        """Those that stay as they are."""
        return [layer for layer in self.layers if not layer.after]

    def __iter__(self) -> Iterator[LayerReport]:
        return iter(self.layers)

    def __str__(self) -> str:
        rows = [
            (layer.name or "(the model)", layer.before, layer.after or f"stays: {layer.reason}")
            for layer in self.layers
        ]
        widths = [max((len(row[i]) for row in rows), default=0) for i in (0, 1)]
        return "\n".join(
            f"{name:<{widths[0]}}  {before:<{widths[1]}}  {after}" for name, before, after in rows
        )

    def warn(self, function: str) -> None:
        """Warn once of all that was asked for and not done."""
        left = [layer for layer in self.skipped if layer.asked]
        if left:
            each = "; ".join(f"{x.name or '(the model)'} ({x.before}): {x.reason}" for x in left)
            warn(
                f"{function}: {len(left)} of the layers that quantization was asked for "
                f"{'stay' if len(left) > 1 else 'stays'} as they are: {each}",
                QuantizationWarning,
            )


def keep(model: Module, report: QuantizationReport) -> None:
    """Have a model remember its report."""
    model.__dict__[_ATTRIBUTE] = report


def quantization_report(model: Module) -> Any:
    """What ``convert`` or ``quantize_dynamic`` did to each layer of a model; None before.

    >>> import dovetail as dt
    >>> model = dt.nn.Sequential(dt.nn.Linear(4, 4), dt.nn.LayerNorm(4))
    >>> made = dt.ao.quantization.quantize_dynamic(model)
    >>> print(dt.ao.quantization.quantization_report(made))
    0  Linear     DynamicQuantizedLinear
    1  LayerNorm  stays: not asked for
    """
    return model.__dict__.get(_ATTRIBUTE)
