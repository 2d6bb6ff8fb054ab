"""Which bit widths a model came to: by layer, and as one row beside other networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from dovetail.fixed_point.layers import OPERANDS
from dovetail.fixed_point.quantizer import Quantizer

if TYPE_CHECKING:
    from dovetail.nn.module import Module

__all__ = ["LayerReport", "OperandReport", "Report", "report"]


@dataclass(frozen=True)
class OperandReport:
    """What became of one operand of a layer.

    Attributes:
        bits: its width now.
        history: the step at which each width began, and the width.
        steps: steps so far.
        adjustments: how many of them measured it.
        error: what the last one measured.
    """

    bits: int
    history: tuple[tuple[int, int], ...]
    steps: int
    adjustments: int
    error: float

    def steps_at(self, bits: int) -> int:
        """The number of steps with this width."""
        starts = [*self.history, (self.steps, 0)]
        return sum(end - start for (start, width), (end, _) in pairwise(starts) if width == bits)

    def __str__(self) -> str:
        """``int8``, or ``int8, int16 from step 12``; a width that lasted no step is left out."""
        lasted = [w for w in self.history if w[1] == self.bits or self.steps_at(w[1])]
        first, *later = lasted
        return ", ".join([f"int{first[1]}", *(f"int{bits} from step {at}" for at, bits in later)])


@dataclass(frozen=True)
class LayerReport:
    """A layer: its name in the model, its class, and its three operands."""

    name: str
    kind: str
    activation: OperandReport
    weight: OperandReport
    gradient: OperandReport


@dataclass(frozen=True)
class Report:
    """All layers of a model, in its order; ``str`` gives a table with a row for each."""

    layers: tuple[LayerReport, ...]

    def shares(self, operand: str) -> dict[int, float]:
        """Width -> share, 0 to 1, of all steps of all layers; empty before the first step.

        Args:
            operand: ``activation``, ``weight`` or ``gradient``.
        """
        found = [getattr(layer, operand) for layer in self.layers]
        steps = sum(o.steps for o in found)
        widths = sorted({bits for o in found for _, bits in o.history})
        shares = {w: sum(o.steps_at(w) for o in found) / steps for w in widths} if steps else {}
        return {width: share for width, share in shares.items() if share}

    def table(self, network: str, *, float32: float, adaptive: float, metric: str = "Acc") -> str:
        """One row beside others: what a network reaches, and in which bits.

        The columns are those of the published results: int8 for activations and weights, int8
        and int16 for gradients; other widths that occurred stand beside them.

        Args:
            network: its name.
            float32: what the plain model reached, 0 to 1.
            adaptive: what this one reached, 0 to 1.
            metric: what was reached: ``Acc``, ``mAP``, ``meanIoU``.
        """
        heads = ["Network", f"float32 {metric}", f"Adaptive {metric}"]
        cells = [network, f"{100 * float32:.1f}", f"{100 * adaptive:.1f}"]
        usual = {"activation": (8,), "weight": (8,), "gradient": (8, 16)}
        for operand in OPERANDS:
            shares = self.shares(operand)
            for bits in sorted({*usual[operand], *shares}):
                heads.append(f"{operand.capitalize()} int{bits}")
                cells.append(f"{shares.get(bits, 0.0):.1%}")
        return _aligned([heads, cells])

    def __str__(self) -> str:
        heads = ["Layer", "Kind", "Steps", *(o.capitalize() for o in OPERANDS), "Measured"]
        rows = [heads]
        for layer in self.layers:
            operands = [getattr(layer, operand) for operand in OPERANDS]
            steps = sum(o.steps for o in operands)
            measured = sum(o.adjustments for o in operands) / steps if steps else 0.0
            rows.append([
                layer.name, layer.kind, str(layer.gradient.steps), *map(str, operands),
                f"{measured:.1%}",
            ])  # fmt: skip
        return _aligned(rows)


def report(model: Module) -> Report:
    """What became of a model that :func:`dovetail.fixed_point.prepare` made.

    Raises:
        ValueError: the model has no layer in fixed point.

    >>> import dovetail as dt
    >>> model = dt.fixed_point.prepare(dt.nn.Sequential(dt.nn.Linear(4, 2)))
    >>> model(dt.ones(3, 4)).sum().backward()
    >>> print(dt.fixed_point.report(model))
    Layer  Kind    Steps  Activation  Weight  Gradient  Measured
    0      Linear  1      int8        int8    int8      100.0%
    """
    layers = tuple(
        LayerReport(name, type(m).__name__, *(_of(getattr(m, f"{o}_quantizer")) for o in OPERANDS))
        for name, m in model.named_modules()
        if isinstance(getattr(m, "gradient_quantizer", None), Quantizer)
    )
    if not layers:
        raise ValueError("report: the model must come from fixed_point.prepare, got a plain one")
    return Report(layers)


def _of(quantizer: Quantizer) -> OperandReport:
    rule = quantizer.adjustment
    widths = [rule.bits + i * rule.step_bits for i in range(len(quantizer.began))]
    return OperandReport(
        quantizer.bits,
        tuple(zip(quantizer.began, widths, strict=True)),
        quantizer.step,
        quantizer.adjustments,
        quantizer.error,
    )


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines: Iterable[str] = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)
