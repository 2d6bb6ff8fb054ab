"""Layers that quantization treats as one, side by side in a container until they are swapped."""

from __future__ import annotations

from typing import Any

from dovetail.nn.activation import LeakyReLU, ReLU, Tanh
from dovetail.nn.containers import Sequential
from dovetail.nn.conv import Conv1d, Conv2d, Conv3d
from dovetail.nn.linear import Linear
from dovetail.nn.module import Module
from dovetail.nn.running_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from dovetail.nn.utils.parametrize import type_before_parametrizations

__all__ = [
    "BNReLU2d",
    "BNReLU3d",
    "ConvAdd2d",
    "ConvAddReLU2d",
    "ConvBn1d",
    "ConvBn2d",
    "ConvBn3d",
    "ConvBnReLU1d",
    "ConvBnReLU2d",
    "ConvBnReLU3d",
    "ConvReLU1d",
    "ConvReLU2d",
    "ConvReLU3d",
    "LinearBn1d",
    "LinearLeakyReLU",
    "LinearReLU",
    "LinearTanh",
    "_FusedModule",
]


class _FusedModule(Sequential):
    """A container that is swapped as one."""

    _parts: tuple[type[Module], ...] = ()

    def __init__(self, *modules: Module) -> None:
        kinds = tuple(type_before_parametrizations(m) for m in modules)
        if self._parts and kinds != self._parts:
            raise AssertionError(
                f"{type(self).__name__}: Incorrect types for input modules: it takes "
                f"{', '.join(p.__name__ for p in self._parts)}, got "
                f"{', '.join(k.__name__ for k in kinds)}"
            )
        super().__init__(*modules)


class ConvReLU1d(_FusedModule):
    """Convolution and ReLU."""

    _parts = (Conv1d, ReLU)


class ConvReLU2d(_FusedModule):
    """Convolution and ReLU."""

    _parts = (Conv2d, ReLU)


class ConvReLU3d(_FusedModule):
    """Convolution and ReLU."""

    _parts = (Conv3d, ReLU)


class LinearReLU(_FusedModule):
    """Linear and ReLU."""

    _parts = (Linear, ReLU)


class LinearLeakyReLU(_FusedModule):
    """Linear and LeakyReLU."""

    _parts = (Linear, LeakyReLU)


class LinearTanh(_FusedModule):
    """Linear and tanh."""

    _parts = (Linear, Tanh)


class ConvBn1d(_FusedModule):
    """Convolution and batch normalization."""

    _parts = (Conv1d, BatchNorm1d)


class ConvBn2d(_FusedModule):
    """Convolution and batch normalization."""

    _parts = (Conv2d, BatchNorm2d)


class ConvBn3d(_FusedModule):
    """Convolution and batch normalization."""

    _parts = (Conv3d, BatchNorm3d)


class ConvBnReLU1d(_FusedModule):
    """Convolution, batch normalization and ReLU."""

    _parts = (Conv1d, BatchNorm1d, ReLU)


class ConvBnReLU2d(_FusedModule):
    """Convolution, batch normalization and ReLU."""

    _parts = (Conv2d, BatchNorm2d, ReLU)


class ConvBnReLU3d(_FusedModule):
    """Convolution, batch normalization and ReLU."""

    _parts = (Conv3d, BatchNorm3d, ReLU)


class BNReLU2d(_FusedModule):
    """Batch normalization and ReLU."""

    _parts = (BatchNorm2d, ReLU)


class BNReLU3d(_FusedModule):
    """Batch normalization and ReLU."""

    _parts = (BatchNorm3d, ReLU)


class LinearBn1d(_FusedModule):
    """Linear and batch normalization."""

    _parts = (Linear, BatchNorm1d)


class ConvAdd2d(_FusedModule):
    """Convolution of one input, and another added.

    Args:
        conv: a ``Conv2d``.
        add: what adds, such as ``torch.add``.
    """

    def __init__(self, conv: Module, add: Any) -> None:
        super().__init__(conv)
        self.add = add

    def forward(self, x1: Any, x2: Any) -> Any:  # type: ignore[override]
        """``conv(x1) + x2``."""
        return self.add(self[0](x1), x2)


class ConvAddReLU2d(_FusedModule):
    """Convolution of one input, another added, and ReLU.

    Args:
        conv: a ``Conv2d``.
        add: what adds, such as ``torch.add``.
        relu: a ``ReLU``.
    """

    def __init__(self, conv: Module, add: Any, relu: Module) -> None:
        super().__init__(conv)
        self.add = add
        self.relu = relu

    def forward(self, x1: Any, x2: Any) -> Any:  # type: ignore[override]
        """``relu(conv(x1) + x2)``."""
        return self.relu(self.add(self[0](x1), x2))
