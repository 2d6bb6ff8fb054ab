"""Pooling by p-norms, at random places, and the inverse of max pooling.

Meanings follow PyTorch's pages ``LPPool1d`` …, ``FractionalMaxPool2d`` … and ``MaxUnpool1d`` ….
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
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]


class _Pool(Module):
    """A layer over ``_dims`` spatial dims, which calls the function of its kind."""

    _dims: int


class _LPPool(_Pool):
    """(sum of x ** p) ** (1 / p) of each window.

    Args:
        norm_type: p; infinity for the largest modulus.
        kernel_size: size of the window, one number or one per spatial dim.
        stride: step of the window; the window's size if None.
        ceil_mode: a window may hang over the end.
    """

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) or (C, *) -> the same with fewer places."""
        function = getattr(F, f"lp_pool{self._dims}d")
        return function(  # type: ignore[no-any-return]
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    __doc__ = _LPPool.__doc__
    _dims = 1


class LPPool2d(_LPPool):
    __doc__ = _LPPool.__doc__
    _dims = 2


class LPPool3d(_LPPool):
    __doc__ = _LPPool.__doc__
    _dims = 3


class _MaxUnpool(_Pool):
    """Zeros with the elements of a max pooling back in their places.

    Args:
        kernel_size: size of its window, one number or one per spatial dim.
        stride: step of its window; the window's size if None.
        padding: of its input.
    """

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = ntuple(kernel_size, self._dims)
        self.stride = ntuple(kernel_size if stride is None else stride, self._dims)
        self.padding = ntuple(padding, self._dims)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """What a max pooling gave, and its indices -> the shape of its input."""
        function = getattr(F, f"max_unpool{self._dims}d")
        return function(  # type: ignore[no-any-return]
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    __doc__ = _MaxUnpool.__doc__
    _dims = 1


class MaxUnpool2d(_MaxUnpool):
    __doc__ = _MaxUnpool.__doc__
    _dims = 2


class MaxUnpool3d(_MaxUnpool):
    __doc__ = _MaxUnpool.__doc__
    _dims = 3


class _FractionalMaxPool(_Pool):
    """The largest element of each window, of windows at random places.

    Args:
        kernel_size: size of the windows, one number or one per spatial dim.
        output_size: how many windows.
        output_ratio: instead of that, a share of the input's size, between 0 and 1.
        return_indices: give the places of the largest elements too.
        _random_samples: (N, C, spatial dims) numbers of [0, 1) that the places follow from.
    """

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        n = self._dims
        if n == 3 and min(ntuple(kernel_size, n)) <= 0:
            raise ValueError(f"kernel_size must be greater than 0, but got {kernel_size}")
        self.kernel_size = ntuple(kernel_size, n)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else ntuple(output_size, n)
        self.output_ratio = None if output_ratio is None else ntuple(output_ratio, n)
        if output_size is None and output_ratio is None:
            raise ValueError(
                f"{type(self).__name__} requires specifying either an output size, or a pooling "
                "ratio"
            )
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        """(N, C, *) or (C, *) -> the same with fewer places (and their indices)."""
        return getattr(F, f"fractional_max_pool{self._dims}d")(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    __doc__ = _FractionalMaxPool.__doc__
    _dims = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    __doc__ = _FractionalMaxPool.__doc__
    _dims = 3
