"""Into quantized numbers and out of them."""

from __future__ import annotations

from typing import Any

import dovetail
import dovetail.dtypes as d
from dovetail.nn.module import Module
from dovetail.quantized.make import dequantize, quantize_per_tensor
from dovetail.tensor import Tensor

__all__ = ["DeQuantize", "Quantize"]


class Quantize(Module):
    """Floats to integers on one scale.

    Args:
        scale, zero_point: of the result.
        dtype: of the result.
        factory_kwargs: device and dtype of the buffers.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(
        self, scale: float, zero_point: int, dtype: Any, factory_kwargs: Any = None
    ) -> None:
        super().__init__()
        options = dict(factory_kwargs or {})
        self.register_buffer("scale", dovetail.tensor([scale], **options))
        options.pop("dtype", None)
        self.register_buffer("zero_point", dovetail.tensor([zero_point], dtype=d.int64, **options))
        self.dtype = dtype

    def forward(self, X: Tensor) -> Any:
        """``X`` quantized."""
        return quantize_per_tensor(X, float(self.scale), int(self.zero_point), self.dtype)

    @staticmethod
    def from_float(mod: Any, use_precomputed_fake_quant: bool = False) -> Quantize:
        """Of an observed ``QuantStub``."""
        if not hasattr(mod, "activation_post_process"):
            raise AssertionError(
                f"Module {type(mod).__name__} must have activation_post_process attribute"
            )
        scale, zero_point = mod.activation_post_process.calculate_qparams()
        return Quantize(
            scale.float().item(), zero_point.long().item(), mod.activation_post_process.dtype
        )

    def extra_repr(self) -> str:
        return f"scale={self.scale}, zero_point={self.zero_point}, dtype={self.dtype}"


class DeQuantize(Module):
    """Integers back to floats."""

    def forward(self, Xq: Any) -> Tensor:
        """``Xq`` in float32."""
        return dequantize(Xq)  # type: ignore[no-any-return]

    @staticmethod
    def from_float(mod: Any, use_precomputed_fake_quant: bool = False) -> DeQuantize:
        """Of a ``DeQuantStub``."""
        return DeQuantize()
