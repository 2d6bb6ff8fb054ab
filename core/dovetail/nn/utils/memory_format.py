"""Weights of convolutions in another order of memory (``torch.nn.utils``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.nn.conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d

if TYPE_CHECKING:
    from dovetail.nn.module import Module

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]


def _convert(module: Any, kinds: tuple[type[Module], ...], memory_format: Any) -> Any:
    for part in module.modules():
        if isinstance(part, kinds):
            weight: Any = part.weight
            weight.data = weight.detach().clone(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module: Module, memory_format: Any) -> Module:
    """Lay out the weights of all 2-D convolutions in a module as ``memory_format``, in place."""
    made: Module = _convert(module, (Conv2d, ConvTranspose2d), memory_format)
    return made


def convert_conv3d_weight_memory_format(module: Module, memory_format: Any) -> Module:
    """Lay out the weights of all 3-D convolutions in a module as ``memory_format``, in place."""
    made: Module = _convert(module, (Conv3d, ConvTranspose3d), memory_format)
    return made
