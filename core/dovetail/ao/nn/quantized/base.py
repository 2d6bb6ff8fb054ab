"""What quantized modules have in common: weights from observers, the scale of the output."""

from __future__ import annotations

from typing import Any

import dovetail
import dovetail.dtypes as d
from dovetail.nn.module import Module
from dovetail.quantized.make import limits, quantize_per_channel, quantize_per_tensor
from dovetail.quantized.schemes import per_channel_affine_float_qparams
from dovetail.quantized.tensor import QTensor, moved
from dovetail.tensor import Tensor

__all__ = [
    "OutputScale",
    "WeightedQuantizedModule",
    "output_qparams",
    "quantize_weight",
    "rescaled",
]


def quantize_weight(weight: Tensor, observer: Any) -> QTensor:
    """A weight quantized as its observer (or fake quantizer) says, within the observer's range.

    Args:
        weight: the floats.
        observer: has seen the weight.
    """
    scale, zero_point = observer.calculate_qparams()
    values = weight.detach().to(d.float32)
    watching = getattr(observer, "activation_post_process", observer)
    if observer.qscheme is per_channel_affine_float_qparams:
        return quantize_per_channel(values, scale, zero_point, watching.ch_axis, d.quint8)
    dtype = observer.dtype
    if hasattr(watching, "ch_axis"):
        made = quantize_per_channel(values, scale, zero_point.to(d.int64), watching.ch_axis, dtype)
    else:
        made = quantize_per_tensor(values, float(scale), int(zero_point), dtype)
    low, high = limits(dtype)
    if watching.quant_min > low or watching.quant_max < high:
        return moved(made, lambda ints: ints.clamp(watching.quant_min, watching.quant_max))
    return made


def output_qparams(observer: Any) -> tuple[float, int]:
    """Scale and zero point of an output, as numbers."""
    scale, zero_point = observer.calculate_qparams()
    return float(scale), int(zero_point)


def rescaled(values: Tensor, scale: Any, zero_point: Any, dtype: Any = d.quint8) -> QTensor:
    """Numbers on the scale of an output."""
    return quantize_per_tensor(  # type: ignore[no-any-return]
        values, float(scale), int(zero_point), dtype
    )


class OutputScale(Module):
    """A module whose output is on a scale of its own: ``scale`` and ``zero_point``, two numbers.

    The state dict has them as tensors.
    """

    scale: float = 1.0
    zero_point: int = 0

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "scale"] = dovetail.tensor(self.scale)
        destination[prefix + "zero_point"] = dovetail.tensor(self.zero_point)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: list[str],
        *rest: Any,
    ) -> None:  # fmt: skip
        for name, kind in (("scale", float), ("zero_point", int)):
            if prefix + name in state_dict:
                setattr(self, name, kind(state_dict.pop(prefix + name)))
            elif strict:
                missing.append(prefix + name)
        super()._load_from_state_dict(state_dict, prefix, metadata, False, missing, *rest)


class WeightedQuantizedModule(OutputScale):
    """A quantized module with a weight."""

    def weight(self) -> Any:
        """The weight."""
        return self._weight_bias()[0]

    def bias(self) -> Any:
        """The bias in float32, or None."""
        return self._weight_bias()[1]

    def _weight_bias(self) -> tuple[Any, Any]:
        raise NotImplementedError

    def set_weight_bias(self, w: Tensor, b: Tensor | None) -> None:
        """Give it a quantized weight and a bias."""
        raise NotImplementedError
