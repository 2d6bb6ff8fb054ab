"""Images at other sizes (PyTorch's ``interpolate``).

Every mode goes dim by dim, and along a dim each output is a sum of a few inputs with weights
("taps"). Which inputs and what weights follows from sizes alone, and is worked out on the host.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

import dovetail
from dovetail.nn.functional.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from dovetail.ops.calling import told
from dovetail.ops.linear_algebra.operands import whole_number
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

Array = np.ndarray
Taps = tuple[Array, Array | None]
"""Inputs (K, out) of each output, and their weights (K, out); None: one input, of weight 1."""

_LINEAR = {"linear": 3, "bilinear": 4, "trilinear": 5}
_DIMS = {**_LINEAR, "bicubic": 4, "lanczos": 4}


def _ratio(kind: Any, size: int, out: int, factor: float | None, align: bool) -> Any:
    """How many inputs one step of the output is, rounded as PyTorch rounds it."""
    if align:
        return kind(size - 1) / kind(out - 1) if out > 1 else kind(0)
    if factor is not None and factor > 0:
        return kind(1.0 / factor)
    return kind(size) / kind(out)


@functools.lru_cache(256)
def _nearest(size: int, out: int, factor: float | None, exact: bool) -> Taps:
    step = np.arange(out)
    ratio = _ratio(np.float32, size, out, factor, False)
    place: Array
    if exact:
        place = ((step + 0.5) * float(ratio)).astype(np.float32)
    elif out == size:
        place = step
    else:
        place = step.astype(np.float32) * ratio
    return np.minimum(np.floor(place).astype(np.int64), size - 1)[None], None


def _centres(kind: Any, size: int, out: int, factor: float | None, align: bool) -> Array:
    """Where each output is among the inputs."""
    ratio = _ratio(kind, size, out, factor, align)
    step = np.arange(out).astype(kind)
    centre: Array = ratio * step if align else ratio * (step + kind(0.5)) - kind(0.5)
    return centre


@functools.lru_cache(256)
def _linear(kind: Any, size: int, out: int, factor: float | None, align: bool) -> Taps:
    if out == size:
        return np.arange(out)[None], None
    centre = np.maximum(_centres(kind, size, out, factor, align), 0)
    first = np.minimum(np.floor(centre).astype(np.int64), size - 1)
    share = np.clip(centre - first, 0, 1)
    return np.stack((first, np.minimum(first + 1, size - 1))), np.stack((1 - share, share))


def _cubic(x: Array, a: float) -> Array:
    """Keys' cubic convolution, 1981."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _hat(x: Array) -> Array:
    return np.maximum(1 - np.abs(x), 0)


def _lanczos(x: Array) -> Array:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


@functools.lru_cache(256)
def _bicubic(kind: Any, size: int, out: int, factor: float | None, align: bool) -> Taps:
    centre = _centres(kind, size, out, factor, align)
    first = np.minimum(np.floor(centre).astype(np.int64), size - 1)
    share = np.clip(centre - first, 0, 1)
    around = np.arange(-1, 3)[:, None]
    return np.clip(first + around, 0, size - 1), _cubic(share - around.astype(kind), -0.75)


_FILTERS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "bilinear": (_hat, 1.0),
    "bicubic": (lambda x: _cubic(x, -0.5), 2.0),
    "lanczos": (_lanczos, 3.0),
}
"""With antialiasing: a filter, and how far it reaches."""


@functools.lru_cache(256)
def _antialiased(
    mode: str, kind: Any, size: int, out: int, factor: float | None, align: bool
) -> Taps:
    """The filter is stretched where the output is smaller, so that every input counts."""
    function, reach = _FILTERS[mode]
    ratio = float(_ratio(kind, size, out, factor, align))
    stretch = max(ratio, 1.0)
    centre = ratio * (np.arange(out) + 0.5)
    first = np.maximum((centre - reach * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach * stretch + 0.5).astype(np.int64), size)
    widest = max(int((last - first).max()), 1)
    index = first + np.arange(widest)[:, None]
    weight = np.where(index < last, function((index - centre + 0.5) / stretch), 0)
    total = weight.sum(0)
    return np.minimum(index, size - 1), weight / np.where(total == 0, 1, total)


def _repeated(x: Tensor, dim: int, times: int) -> Tensor:
    each = (*x.shape[: dim + 1], times, *x.shape[dim + 1 :])
    return x.unsqueeze(dim + 1).expand(each).flatten(dim, dim + 1)


def _apply(x: Tensor, dim: int, taps: Taps) -> Tensor:
    index, weights = taps
    places = dovetail.tensor(np.ascontiguousarray(index), device=x.device)
    if weights is None:
        times, rest = divmod(index.shape[1], x.shape[dim])
        if not rest and np.array_equal(index[0], np.arange(index.shape[1]) // times):
            return _repeated(x, dim, times)
        return x.index_select(dim, places[0])
    shape = (len(weights), -1, *[1] * (x.dim() - dim - 1))
    factors = dovetail.tensor(np.ascontiguousarray(weights), dtype=x.dtype, device=x.device)
    made: Any = None
    for place, factor in zip(places, factors.reshape(shape), strict=True):
        part = x.index_select(dim, place) * factor
        made = part if made is None else made + part
    return made  # type: ignore[no-any-return]


def _taps(
    mode: str, kind: Any, size: int, out: int, factor: float | None, align: bool, antialias: bool
) -> Taps:
    if antialias:
        return _antialiased(mode, kind, size, out, factor, align)
    if mode == "bicubic":
        return _bicubic(kind, size, out, factor, align)
    if mode in _LINEAR:
        return _linear(kind, size, out, factor, align)
    return _nearest(size, out, factor, mode == "nearest-exact")


def _resampled(
    x: Tensor, mode: str, sizes: list[int], factors: list[Any], align: bool, antialias: bool
) -> Tensor:
    """All dims, those that shrink most first."""
    kind = np.float64 if x.dtype is dovetail.float64 else np.float32
    is_byte = x.dtype is dovetail.uint8 and not mode.startswith("nearest")
    dims = sorted(range(len(sizes)), key=lambda i: sizes[i] / x.shape[2 + i])
    if is_byte:
        dims = list(reversed(range(len(sizes))))
    for i in dims:
        size, out = x.shape[2 + i], sizes[i]
        factor = None if factors[i] is None else float(factors[i])
        if (size, factor) == (out, None) and not (antialias or mode == "nearest-exact"):
            continue
        taps = _taps(mode, kind, size, out, factor, align, antialias)
        if is_byte:  # bytes between the dims too, as in PyTorch
            x = _apply(x.float(), 2 + i, taps).round().clamp(0, 255).to(dovetail.uint8)
        else:
            x = _apply(x, 2 + i, taps)
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
    if antialias and not (mode in _FILTERS and n == 4):
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
    kind = input.dtype
    wide = input
    if kind in (dovetail.float16, dovetail.bfloat16) and not mode.startswith("nearest"):
        wide = input.float()
    made = _resampled(wide, mode, sizes, factors, bool(align_corners), antialias)
    made = made.to(kind)
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
