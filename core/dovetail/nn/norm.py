"""Normalisation layers of single samples: over a layer, groups of channels, or neighbours.

Ba et al. 2016 (layer), Wu and He 2018 (group), Zhang and Sennrich 2019 (RMS). Meanings follow
PyTorch's pages of the same names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail.nn import functional as F
from dovetail.nn import init
from dovetail.nn.module import Module
from dovetail.nn.parameter import Parameter
from dovetail.nn.reading import affine_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovetail.tensor import Tensor

__all__ = [
    "Affine",
    "GroupNorm",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]


class Affine(Module):
    """Layers with a scale ``weight`` and a shift ``bias``, which start as ones and zeros."""

    def _set_affine(self, shape: Any, weight: bool, bias: bool, device: Any, dtype: Any) -> None:
        for name, wanted in (("weight", weight), ("bias", weight and bias)):
            values = dovetail.empty(shape, device=device, dtype=dtype) if wanted else None
            self.register_parameter(name, None if values is None else Parameter(values))

    def reset_parameters(self) -> None:
        """Set the scale to ones and the shift to zeros."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


def _shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    is_number = not hasattr(normalized_shape, "__iter__")
    return (int(normalized_shape),) if is_number else tuple(normalized_shape)  # type: ignore[arg-type]


class LayerNorm(Affine):
    """Normalises each sample over its last dims, which must be ``normalized_shape``.

    Args:
        normalized_shape: sizes of those dims.
        eps: added to the variance.
        elementwise_affine: learn a scale and a shift per element.
        bias: whether there is a shift.
        device: where the parameters are.
        dtype: their dtype.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._set_affine(self.normalized_shape, elementwise_affine, bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """(*, normalized_shape) -> the same."""
        weight, bias = affine_of(self)
        return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class GroupNorm(Affine):
    """Normalises each sample over groups of channels: (N, C, *) -> the same.

    Args:
        num_groups: how many groups; it divides ``num_channels``.
        num_channels: C.
        eps: added to the variance.
        affine: learn a scale and a shift per channel.
        device: where the parameters are.
        dtype: their dtype.
        bias: whether there is a shift, given ``affine``.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups != 0:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._set_affine(num_channels, affine, bias, device, dtype)
        self.reset_parameters()

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) -> the same."""
        weight, bias = affine_of(self)
        return F.group_norm(input, self.num_groups, weight, bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Divides each sample by the root of its mean square over the last dims.

    Args:
        normalized_shape: sizes of those dims.
        eps: added to the mean square; None: the smallest step of the input's dtype.
        elementwise_affine: learn a scale per element.
        device: where the parameter is.
        dtype: its dtype.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        if elementwise_affine:
            values = dovetail.empty(self.normalized_shape, device=device, dtype=dtype)
            self.weight = Parameter(values)
        else:
            self.register_parameter("weight", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the scale to ones."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """(*, normalized_shape) -> the same."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LocalResponseNorm(Module):
    """Divides by the squares of neighbouring channels (Krizhevsky et al., 2012): (N, C, *).

    Args:
        size: how many channels count as neighbours.
        alpha: factor of the mean of squares.
        beta: exponent.
        k: added to it.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) -> the same."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
