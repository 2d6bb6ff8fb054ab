"""Pooling layers: (N, C, *) or (C, *) -> the same with fewer places.

Meanings follow PyTorch's pages ``MaxPool1d`` … ``AdaptiveMaxPool3d``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.nn import functional as F
from dovetail.nn.functional.arguments import ntuple
from dovetail.nn.module import Module

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovetail.tensor import Tensor

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
]


class _Pool(Module):
    """A layer that calls the pooling function named in ``_function``."""

    _function: str

    def _run(self, *args: Any) -> Any:
        return getattr(F, self._function)(*args)


class _MaxPool(_Pool):
    """The largest element of each window.

    Args:
        kernel_size: size of the window, one number or one per spatial dim.
        stride: step of the window; the window's size if None.
        padding: how much to pad both sides (with minus infinity), at most half the window.
        dilation: distance between the window's elements.
        return_indices: give the places of the largest elements too.
        ceil_mode: a window may hang over the end.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        """(N, C, *) or (C, *) -> the same with fewer places (and their indices)."""
        return self._run(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    __doc__ = _MaxPool.__doc__
    _function = "max_pool1d"


class MaxPool2d(_MaxPool):
    __doc__ = _MaxPool.__doc__
    _function = "max_pool2d"


class MaxPool3d(_MaxPool):
    __doc__ = _MaxPool.__doc__
    _function = "max_pool3d"


class AvgPool1d(_Pool):
    """The mean of each window: (N, C, L) or (C, L).

    Args:
        kernel_size: size of the window.
        stride: step of the window; the window's size if None.
        padding: how much to pad both sides (with zeros), at most half the window.
        ceil_mode: a window may hang over the end.
        count_include_pad: the padding counts in the mean.
    """

    _function = "avg_pool1d"

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = ntuple(kernel_size, 1)
        self.stride = ntuple(kernel_size if stride is None else stride, 1)
        self.padding = ntuple(padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) or (C, L) -> the same with fewer places."""
        return self._run(  # type: ignore[no-any-return]
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(_Pool):
    """The mean of each window.

    Args:
        kernel_size: size of the window, one number or one per spatial dim.
        stride: step of the window; the window's size if None.
        padding: how much to pad both sides (with zeros), at most half the window.
        ceil_mode: a window may hang over the end.
        count_include_pad: the padding counts in the mean.
        divisor_override: divide by this instead of the number of elements.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) or (C, *) -> the same with fewer places."""
        return self._run(  # type: ignore[no-any-return]
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    __doc__ = _AvgPool.__doc__
    _function = "avg_pool2d"


class AvgPool3d(_AvgPool):
    __doc__ = _AvgPool.__doc__
    _function = "avg_pool3d"


class _AdaptiveAvgPool(_Pool):
    """The means of windows chosen so that the output has the given size.

    Args:
        output_size: one number or one per spatial dim; None keeps the input's.
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) or (C, *) -> (…, *output_size)."""
        return self._run(input, self.output_size)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    __doc__ = _AdaptiveAvgPool.__doc__
    _function = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    __doc__ = _AdaptiveAvgPool.__doc__
    _function = "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    __doc__ = _AdaptiveAvgPool.__doc__
    _function = "adaptive_avg_pool3d"


class _AdaptiveMaxPool(_Pool):
    """The largest elements of windows chosen so that the output has the given size.

    Args:
        output_size: one number or one per spatial dim; None keeps the input's.
        return_indices: give the places of the largest elements too.
    """

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """(N, C, *) or (C, *) -> (…, *output_size) (and indices)."""
        return self._run(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    __doc__ = _AdaptiveMaxPool.__doc__
    _function = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    __doc__ = _AdaptiveMaxPool.__doc__
    _function = "adaptive_max_pool2d"


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    __doc__ = _AdaptiveMaxPool.__doc__
    _function = "adaptive_max_pool3d"
