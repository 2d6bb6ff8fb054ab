"""Training in fixed point, with a bit width for each operand of each layer that adapts itself.

``prepare`` turns the layers of a model into layers whose products read int8, int16 or int24
numbers only: activations and weights on the way forward, and the gradient of the output on the
way back. How many bits are enough is measured while the network learns; ``report`` says what came
of it. ``docs/decisions/fixed-point-training.md`` has the method in full.

Source: Zhang et al., "Fixed-Point Back-Propagation Training", CVPR 2020.
"""

from __future__ import annotations

from dovetail.fixed_point.adjustment import Adjustment, quantization_error
from dovetail.fixed_point.layers import Conv1d, Conv2d, Conv3d, Linear, prepare, restore
from dovetail.fixed_point.quantizer import Quantizer, quantize
from dovetail.fixed_point.report import LayerReport, OperandReport, Report, report

__all__ = [
    "Adjustment",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "LayerReport",
    "Linear",
    "OperandReport",
    "Quantizer",
    "Report",
    "prepare",
    "quantization_error",
    "quantize",
    "report",
    "restore",
]
