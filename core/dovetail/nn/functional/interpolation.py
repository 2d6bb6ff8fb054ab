"""Images at other sizes (PyTorch's ``interpolate``).

Every mode goes dim by dim, and along a dim each output is a sum of a few inputs with weights
("taps"). Which inputs and what weights follows from sizes alone, and is worked out on the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import dovetail
from dovetail import ops
from dovetail.backend.taps import filters, is_same, taps_of
from dovetail.nn.functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from dovetail.ops.calling import told
from dovetail.ops.layout.byte_resampling import resampled_bytes
from dovetail.ops.layout.resampling import apply_taps
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

_LINEAR = {"linear": 3, "bilinear": 4, "trilinear": 5}
_DIMS = {**_LINEAR, "bicubic": 4, "lanczos": 4}

_SMALL = 128
"""Rows and columns together of the largest output for which PyTorch's ``nearest`` copies and
doubles by the sizes, whatever the factor; of a larger image, a signal or a volume it asks that."""


def _resampled(
    x: Tensor, mode: str, sizes: list[int], factors: list[Any], align: bool, antialias: bool
) -> Tensor:
    places = tuple(None if factor is None else float(factor) for factor in factors)
    if mode == "nearest" and x.dim() == 4 and sum(sizes) <= _SMALL:
        pairs = zip(places, sizes, x.shape[2:], strict=True)
        places = tuple(None if n in (m, 2 * m) else place for place, n, m in pairs)
    if x.dtype is not dovetail.uint8:
        made: Tensor = ops.resample(
            x, size=tuple(sizes), mode=mode, factors=places, align=align, antialias=antialias
        )
        return made
    if not mode.startswith("nearest"):
        return resampled_bytes(x, sizes, mode, places, align, antialias)
    for i, (n, factor) in enumerate(zip(sizes, places, strict=True)):
        size = x.shape[2 + i]
        if not is_same(mode, size, n, factor, antialias):
            x = apply_taps(x, 2 + i, taps_of(mode, np.float32, size, n, factor, align, antialias))
    return x


def _sized(
    input: Tensor, size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[list[int], list[Any]]:
    """The output's sizes, and the factors that count in where outputs are (None: sizes count)."""
    n = input.dim() - 2
    spatial = list(input.shape[2:])
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if size is not None:
        if isinstance(size, (list, tuple)):
            if len(size) != n:
                raise ValueError(
                    "Input and output must have the same number of spatial dimensions, but got "
                    f"input with spatial dimensions of {spatial} and output size of {size}. Please "
                    "provide input tensor in (N, C, d1, d2, ...,dK) format and output size in "
                    "(o1, o2, ...,oK) format."
                )
            if not all(hasattr(part, "__index__") for part in size):
                raise TypeError(
                    "expected size to be one of int or Tuple[int] or Tuple[int, int] or "
                    "Tuple[int, int, int], but got size with types "
                    f"{[type(part) for part in size]}"
                )
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        parts = size if isinstance(size, (list, tuple)) else [size] * n
        return [whole_number("interpolate", "size", part) for part in parts], [None] * n
    if isinstance(scale_factor, (list, tuple)):
        if len(scale_factor) != n:
            raise ValueError(
                "Input and scale_factor must have the same number of spatial dimensions, but got "
                f"input with spatial dimensions of {spatial} and scale_factor of shape "
                f"{scale_factor}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and "
                "scale_factor in (s1, s2, ...,sK) format."
            )
        factors = list(scale_factor)
    else:
        factors = [scale_factor] * n
    sizes = [int(m * float(f)) for m, f in zip(spatial, factors, strict=True)]
    return sizes, [None] * n if recompute else factors


def _check_mode(input: Tensor, mode: str, antialias: bool) -> None:
    n = input.dim()
    if antialias and not (mode in filters() and n == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires "
            "a 4-D tensor as input"
        )
    if n in (3, 4, 5) and mode in _LINEAR and _LINEAR[mode] != n:
        raise NotImplementedError(f"Got {n}D input, but {mode} mode needs {_LINEAR[mode]}D input")
    if n not in (3, 4, 5) or (
        (mode not in ("nearest", "nearest-exact", "area")) and (_DIMS.get(mode) != n)
    ):
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {n}D) for the modes: "
            "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact "
            f"(got {mode})"
        )


def _check_sizes(input: Tensor, mode: str, sizes: list[int]) -> None:
    if min(*input.shape[2:], *sizes) <= 0:
        labels = "DHW"[-len(sizes) :]
        of_input, of_output = (
            ", ".join(f"{label}: {n}" for label, n in zip(labels, numbers, strict=True))
            for numbers in (input.shape[2:], sizes)
        )
        raise RuntimeError(
            "Input and output sizes should be greater than 0, but got input "
            f"({of_input}) output ({of_output})"
        )
    if 0 in input.shape[1:]:
        raise RuntimeError(
            f"Non-empty {input.dim()}D data tensor expected but got a tensor with sizes "
            f"{list(input.shape)}"
        )
    is_byte = input.dtype is dovetail.uint8 and mode != "linear" and mode != "trilinear"
    if not (input.is_floating_point() or is_byte):
        raise NotImplementedError(f"interpolate: mode {mode} is not implemented for {input.dtype}")


@told
def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Images (or signals, or volumes) at another size.

    Args:
        input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        size: of the spatial dims, one number or one per dim.
        scale_factor: instead of ``size``, how many times as large.
        mode: ``nearest``, ``nearest-exact``, ``area``, ``linear`` (3-D), ``bilinear``, ``bicubic``,
            ``lanczos`` (4-D, with ``antialias``) or ``trilinear`` (5-D).
        align_corners: the corner elements' centres stay where they are; else the corners of the
            elements do.
        recompute_scale_factor: places follow from the sizes, not from ``scale_factor``.
        antialias: where the output is smaller, every input counts.

    Raises:
        ValueError: options that do not fit together.
        NotImplementedError: a mode for other numbers of dims.
        RuntimeError: nothing in the input or the output.
    """
    if align_corners is not None and mode in ("nearest", "area", "nearest-exact"):
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: "
            "linear | bilinear | bicubic | trilinear"
        )
    if input.dtype.category < 0:  # quantized: on numbers, and back on the same scale
        from dovetail.quantized.tensor import like

        numbers = input.dequantize()
        options = (align_corners, recompute_scale_factor, antialias)
        return like(interpolate(numbers, size, scale_factor, mode, *options), input)
    recompute = recompute_scale_factor or (mode == "area" and size is None)
    sizes, factors = _sized(input, size, scale_factor, recompute)
    _check_mode(input, mode, antialias)
    if mode == "area":
        pools = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)
        return pools[input.dim() - 3](input, sizes)
    if mode == "lanczos":
        if align_corners:
            raise ValueError("Lanczos mode does not support align_corners=True")
        if not antialias:
            raise ValueError("Lanczos mode requires antialias=True")
    _check_sizes(input, mode, sizes)
    made = _resampled(input, mode, sizes, factors, bool(align_corners), antialias)
    return made.clone() if made is input else made


def _deprecated(name: str) -> None:
    warn(
        f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.",
    )


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """:func:`interpolate`, under a name that PyTorch deprecates."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """:func:`interpolate` with mode ``nearest``, under a name that PyTorch deprecates."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """:func:`interpolate` with mode ``bilinear`` and aligned corners; PyTorch deprecates it."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
