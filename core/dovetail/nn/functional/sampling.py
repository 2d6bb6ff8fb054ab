"""Images read at places that a grid names (PyTorch's ``grid_sample`` and ``affine_grid``).

A grid holds, for every place of the output, where to read: coordinates from -1 to 1, x (width)
first. Source: Jaderberg et al., "Spatial transformer networks", 2015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dovetail
from dovetail import ops
from dovetail.ops.calling import told
from dovetail.ops.layers.reading import read_at
from dovetail.warning import warn

if TYPE_CHECKING:
    from dovetail.tensor import Tensor

__all__ = ["affine_grid", "grid_sample"]

_CHANGED = (
    "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
    "Please specify align_corners=True if the old behavior is desired. See the documentation of "
    "grid_sample for details."
)


def _pixels(x: Tensor, size: int, align: bool) -> Tensor:
    """Coordinates from -1 to 1 as places among ``size`` elements."""
    return (x + 1) / 2 * (size - 1) if align else ((x + 1) * size - 1) / 2


def _clipped(x: Tensor, size: int) -> Tensor:
    """Within [0, size - 1]; at both ends and beyond there is no gradient, as in PyTorch."""
    inside = (x > 0) & (x < size - 1)
    edge = x.detach().clamp(0, size - 1)
    return ops.where(inside, x, edge)  # type: ignore[no-any-return]


def _reflected(x: Tensor, twice_low: int, twice_high: int) -> Tensor:
    """Mirrored at both ends as often as needed."""
    if twice_low == twice_high:
        return x * 0
    low, span = twice_low / 2, (twice_high - twice_low) / 2
    away = ops.where(x < low, low - x, x - low)
    flips = (away / span).detach().floor()
    extra = away - flips * span
    return ops.where(flips.remainder(2) == 0, extra + low, span - extra + low)  # type: ignore[no-any-return]


def _padded(x: Tensor, size: int, padding: str, align: bool) -> Tensor:
    """Places outside brought inside, by the mode of padding; with zeros they stay outside."""
    if padding == "zeros":
        return x
    if padding == "reflection":
        ends = (0, 2 * (size - 1)) if align else (-1, 2 * size - 1)
        x = _reflected(x, *ends)
    return _clipped(x, size)


def _nearest(image: Tensor, places: list[Tensor], sizes: tuple[int, ...]) -> Tensor:
    whole = [place.detach().round() for place in places]
    read = read_at(image, whole, sizes)
    # Factors of 1 that hang on the grid, so that its gradient is zeros and not missing.
    for place in places:
        read = read * (place.clamp(0.25, 0.5).floor() + 1).unsqueeze(1)
    return read


def _cubic_weights(t: Tensor) -> list[Tensor]:
    """Weights of the four neighbours (Keys' cubic convolution, 1981, a = -0.75)."""
    a = -0.75

    def near(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _cubic(
    image: Tensor, places: list[Tensor], sizes: tuple[int, ...], padding: str, align: bool
) -> Tensor:
    """Among four neighbours along each of two dims, each of which is padded by itself."""
    first = [place.detach().floor() for place in places]
    pairs = zip(places, first, strict=True)
    of_rows, of_columns = (_cubic_weights(place - low) for place, low in pairs)
    rows, columns = (
        [_padded(low + step, size, padding, align).round() for step in range(-1, 3)]
        for low, size in zip(first, sizes, strict=True)
    )
    total: Any = None
    for row, of_row in zip(rows, of_rows, strict=True):
        line: Any = None
        for column, of_column in zip(columns, of_columns, strict=True):
            read = read_at(image, [row, column], sizes) * of_column.unsqueeze(1)
            line = read if line is None else line + read
        line = line * of_row.unsqueeze(1)
        total = line if total is None else total + line
    return total  # type: ignore[no-any-return]


def _check(input: Tensor, grid: Tensor, mode: str) -> None:
    def refuse(text: str) -> None:
        raise RuntimeError(f"grid_sampler(): {text}")

    shapes = f"input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
    if input.dtype is not grid.dtype:
        refuse(f"expected scalar type {input.dtype} but found {grid.dtype}")
    if grid.shape[:1] != input.shape[:1]:
        refuse(f"expected grid and input to have same batch size, but got {shapes}")
    if grid.shape[-1] != input.dim() - 2:
        refuse(
            f"expected grid to have size {input.dim() - 2} in last dimension, but got grid with "
            f"sizes {list(grid.shape)}"
        )
    if input.dim() not in (4, 5) or input.dim() != grid.dim():
        refuse(f"expected 4D or 5D input and grid with same number of dimensions, but got {shapes}")
    for dim, size in enumerate(input.shape[2:], 2):
        if size == 0:
            refuse(
                "expected input to have non-empty spatial dimensions, but input has sizes "
                f"{list(input.shape)} with dimension {dim} being empty"
            )
    if mode == "bicubic" and input.dim() != 4:
        refuse("bicubic interpolation only supports 4D input")
    if not input.is_floating_point():
        raise NotImplementedError(f"grid_sampler(): not implemented for {input.dtype}")


@told
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Read images at the places of a grid.

    Args:
        input: (N, C, H, W) or (N, C, D, H, W).
        grid: (N, H', W', 2), of x and y, or (N, D', H', W', 3), of x, y and z; from -1 to 1.
        mode: ``bilinear`` (for volumes: trilinear), ``nearest`` or ``bicubic`` (4-D).
        padding_mode: what is outside: ``zeros``, ``border`` (the nearest element) or
            ``reflection``.
        align_corners: -1 and 1 are the centres of the corner elements, not their corners.

    Returns:
        (N, C, H', W') or (N, C, D', H', W').

    Raises:
        ValueError: another mode.
        RuntimeError: shapes or dtypes that do not fit together.
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
            f"'reflection', but got: '{padding_mode}'"
        )
    if align_corners is None:
        warn(_CHANGED)
    align = bool(align_corners)
    _check(input, grid, mode)
    sizes = tuple(input.shape[2:])
    kind = input.dtype
    if kind in (dovetail.float16, dovetail.bfloat16):
        input, grid = input.float(), grid.float()
    flat = grid.flatten(1, -2)
    places = [
        _pixels(x, size, align) for x, size in zip(reversed(flat.unbind(-1)), sizes, strict=True)
    ]
    image = input.flatten(2)
    if mode == "bicubic":
        made = _cubic(image, places, sizes, padding_mode, align)
    else:
        pairs = zip(places, sizes, strict=True)
        inside = [_padded(place, size, padding_mode, align) for place, size in pairs]
        if mode == "bilinear":
            made: Tensor = ops.read_linear([image, *inside], sizes)
        else:
            made = _nearest(image, inside, sizes)
    return made.reshape(*input.shape[:2], *grid.shape[1:-1]).to(kind)


def _line(size: int, align: bool, like: Tensor) -> Tensor:
    """``size`` places from -1 to 1: centres of the corner elements, or all centres."""
    if size <= 1:
        return like.new_zeros((1,))
    line = dovetail.linspace(-1, 1, size, dtype=like.dtype, device=like.device)
    return line if align else line * (size - 1) / size


@told
def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The grid of an affine map, for :func:`grid_sample`.

    Args:
        theta: (N, 2, 3) or (N, 3, 4).
        size: of the output image, (N, C, H, W) or (N, C, D, H, W).
        align_corners: -1 and 1 are the centres of the corner elements, not their corners.

    Returns:
        (N, H, W, 2) or (N, D, H, W, 3).

    Raises:
        ValueError: shapes that do not fit, or an empty size.
        NotImplementedError: a size of neither 4 nor 5 numbers.
    """
    if align_corners is None:
        warn(_CHANGED)
    align = bool(align_corners)
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if len(size) not in (4, 5):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
            f"respectively. Got size {size}."
        )
    n = len(size) - 2
    if theta.dim() != 3 or tuple(theta.shape[1:]) != (n, n + 1):
        raise ValueError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. "
            f"Got {theta.shape}."
        )
    spatial = [int(m) for m in size[2:]]
    if align and min(spatial) == 1:
        warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when "
            "align_corners=True. This is not an intended use case of affine_grid. See the "
            "documentation of affine_grid for details.",
        )
    elif min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    columns = []
    for i in reversed(range(n)):
        line = _line(spatial[i], align, theta).reshape(-1, *[1] * (n - 1 - i))
        columns.append(line.expand(spatial))
    columns.append(theta.new_ones(spatial))
    base = dovetail.stack(columns, -1).reshape(1, -1, n + 1)
    return base.matmul(theta.transpose(1, 2)).reshape(-1, *spatial, n)
