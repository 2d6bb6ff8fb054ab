"""Layers for training what will be quantized dynamically."""

from __future__ import annotations

from typing import Any

from dovetail.ao.nn.qat.modules import Linear as _Linear

__all__ = ["Linear"]


class Linear(_Linear):
    """Linear with a fake-quantized weight, for activations that are quantized as they come.

    Args:
        in_features, out_features, bias, device, dtype: the float layer's.
        qconfig: whose ``activation`` must be without memory.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, qconfig: Any = None,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        from dovetail.ao.quantization.qconfig import is_memoryless

        super().__init__(in_features, out_features, bias, qconfig, device, dtype)
        if not is_memoryless(qconfig):
            raise ValueError(
                "Dynamic QAT requires a memoryless observer."
                "This means a MovingAverage observer with averaging constant equal to 1"
            )
